package godwit_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
)

// Channels by their place in the table.
const (
	Move godwit.ChannelID = 1 + iota
	Chat
)

var channels = godwit.Channels{
	{Name: "move", Mode: godwit.Sequenced},
	{Name: "chat", Mode: godwit.ReliableOrdered},
}

// A server that tells everybody what anybody says.
func Example() {
	var srv *godwit.Server
	srv, err := godwit.Listen(":7777", godwit.Config{ // UDP
		Channels: channels,
		Handler: godwit.Handler{
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { srv.BroadcastExcept(c, ch, b) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/godwit/", srv) // the request by which a client connects
	log.Fatal(http.ListenAndServe("localhost:8080", nil))
}

// A game with a loop of its own: no goroutine, no lock, everything inside the tick.
func ExampleServer_Poll() {
	srv, err := godwit.Listen(":7777", godwit.Config{Channels: channels, Manual: true})
	if err != nil {
		log.Fatal(err)
	}
	for range time.Tick(time.Second / 60) {
		for ev := range srv.Poll(0) {
			switch ev.Type {
			case godwit.MessageEvent:
				fmt.Println(ev.Conn.ID(), ev.Data)
			case godwit.EndedEvent:
				return
			}
		}
		srv.Broadcast(Move, []byte("the state of the world"))
		srv.Flush()
	}
}

// Players show a token that the game's login service has signed.
func ExampleConfig_tokens() {
	key, err := auth.ParseKey([]byte("what godwit-token public has printed"))
	if err != nil {
		log.Fatal(err)
	}
	godwit.Listen(":7777", godwit.Config{
		Tokens: &auth.Verifier{Keys: []auth.Key{key}, Audience: "eu-1"},
		Handler: godwit.Handler{
			Open: func(c *godwit.Conn) { log.Print("hello ", c.Identity().Name) },
		},
	})
}

// A game for one player: the client is in the same process.
func ExampleServer_Local() {
	srv, err := godwit.New(godwit.Config{
		Channels: channels,
		Handler: godwit.Handler{
			Request: func(c *godwit.Conn, r *godwit.Request) { r.Reply(append([]byte("hello, "), r.Data...)) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	player, err := srv.Local(godwit.LocalConfig{})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := player.Request(context.Background(), "greet", []byte("world"))
	fmt.Println(string(answer), err)
	// Output: hello, world <nil>
}

// A handler asks with Ask, because Request waits.
func ExampleConn_Ask() {
	godwit.Listen(":7777", godwit.Config{
		Handler: godwit.Handler{
			Open: func(c *godwit.Conn) {
				c.Ask("pick a side", nil, func(r godwit.Result) {
					if r.Status == godwit.Responded {
						log.Printf("%v plays %s", c.ID(), r.Data)
					}
				})
			},
		},
	})
}
