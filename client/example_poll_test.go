package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

// A game that polls its client in each frame has no handlers and needs no locks.
func ExampleEndpoint_Poll() {
	channels := channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}}
	server, err := godwit.Listen("127.0.0.1:0", godwit.Config{Channels: channels, Handler: godwit.Handler{
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()

	endpoint, err := client.Listen("", client.Config{Manual: true})
	if err != nil {
		log.Fatal(err)
	}
	defer endpoint.Close()
	s, err := endpoint.Join(context.Background(), web.URL, client.SessionConfig{Channels: channels})
	if err != nil {
		log.Fatal(err)
	}
	for open := true; open; {
		for ev := range endpoint.Poll(time.Second / 60) { // or 0, if something else waits for the next frame
			switch ev.Type {
			case session.EventOpen:
				s.SendNamed("chat", []byte("hello"), channel.Options{})
			case session.EventMessage:
				fmt.Printf("%s: %s\n", channels.Name(ev.Channel), ev.Data)
				s.Close(session.CloseNormal, "")
			case session.EventClose:
				fmt.Println(ev.Reason)
				open = false
			}
		}
		endpoint.Flush()
	}
	// Output:
	// chat: hello
	// closed here: normal
}
