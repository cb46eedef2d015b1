package typed_test

import (
	"context"
	"log"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/typed"
)

func ExampleClient() {
	sc, err := typed.Client(arena, client.SessionConfig{},
		arena.Where.On(func(me typed.ClientEnd, w Where) { log.Print("at ", w.X, w.Y) }))
	if err != nil {
		log.Fatal(err)
	}
	s, err := client.Connect(context.Background(), "https://game.example/godwit/", client.Config{}, sc)
	if err != nil {
		log.Fatal(err)
	}
	me := typed.Over(s)
	arena.Move.Send(me, Move{DX: 1})
	seat, err := arena.Join.Request(context.Background(), me, Name{"Ada"})
	log.Print(seat.Number, err)
}
