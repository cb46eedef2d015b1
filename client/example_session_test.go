package client_test

import (
	"context"
	"fmt"
	"log"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

func ExampleConnect() {
	const Chat channel.ID = 1
	s, err := client.Connect(context.Background(), "https://game.example/godwit/", client.Config{}, client.SessionConfig{
		Channels: channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}},
		Handler: client.SessionHandler{
			Message: func(s *client.Session, ch channel.ID, b []byte) { fmt.Printf("%s\n", b) },
			Close:   func(s *client.Session, why session.CloseReason) { log.Print(why) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	s.Send(Chat, []byte("hello"))
	side, err := s.Request(context.Background(), "pick a side", nil)
	fmt.Println(string(side), err)
}
