package godwit_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
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

// A server that sends each chat message to all players.
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

// A game with its own loop: one goroutine, no lock, everything inside the tick.
func ExampleServer_Poll() {
	srv, err := godwit.Listen(":7777", godwit.Config{Channels: channels, Manual: true})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/godwit/", srv)
	go http.ListenAndServe("localhost:8080", nil)
	for next := time.Now(); ; {
		for ev := range srv.Poll(time.Until(next)) {
			switch ev.Type {
			case session.EventMessage:
				fmt.Println(ev.Conn.ID(), ev.Data)
			case session.EventEnded:
				return
			}
		}
		if time.Now().Before(next) {
			continue // Poll returns when something has happened
		}
		next = next.Add(time.Second / 60)
		srv.Broadcast(Move, []byte("the state of the world"))
		srv.Flush()
	}
}

// Players have a token, which the game's login service signs for a player that has logged in. A
// page passes it as the option "token", a native client as SessionConfig.Token.
func ExampleConfig_tokens() {
	text, err := os.ReadFile("private.pem") // made by: godwit-token key
	if err != nil {
		log.Fatal(err)
	}
	signer, err := auth.ParseSigner(text)
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		token, err := signer.Sign(time.Now(), auth.Claims{
			Subject:  "ada", // whoever has logged in
			Audience: "eu-1",
			ID:       rand.Text(), // good once
			Expires:  time.Now().Add(time.Minute),
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		io.WriteString(w, token)
	})

	// A server elsewhere needs the public key only: see auth.ParseKey.
	srv, err := godwit.Listen(":7777", godwit.Config{
		Tokens:     &auth.Verifier{Keys: []auth.Key{signer.Key()}, Audience: "eu-1"},
		Duplicates: godwit.DuplicatesReplace,
		Handler: godwit.Handler{
			Open: func(c *godwit.Conn) { log.Print("hello ", c.Identity().Name) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("/godwit/", srv)
	log.Fatal(http.ListenAndServe("localhost:8080", nil))
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

// A handler asks with Ask, because Request waits. A page answers with
// conn.handle("pick a side", ...).
func ExampleConn_Ask() {
	sides := make(chan string, 1)
	srv, err := godwit.New(godwit.Config{
		Handler: godwit.Handler{
			Open: func(c *godwit.Conn) {
				c.Ask("pick a side", nil, func(r godwit.Result) {
					if r.Status == session.StatusResponded {
						sides <- string(r.Data)
					}
				})
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	srv.Local(godwit.LocalConfig{Handler: godwit.Handler{
		Request: func(c *godwit.Conn, r *godwit.Request) { r.Reply([]byte("red")) },
	}})
	fmt.Println(<-sides)
	// Output: red
}

// The players in a room get the messages of the other players in it.
func ExampleGroup() {
	var room *godwit.Group
	srv, err := godwit.New(godwit.Config{
		Channels: channels,
		Handler: godwit.Handler{
			Request: func(c *godwit.Conn, r *godwit.Request) {
				room.Join(c) // it leaves when the session ends
				r.Ack()
			},
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { room.SendExcept(c, ch, b) },
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	room = srv.NewGroup()

	heard := make(chan string, 1)
	ada, err := srv.Local(godwit.LocalConfig{Handler: godwit.Handler{
		Message: func(_ *godwit.Conn, _ godwit.ChannelID, b []byte) { heard <- string(b) },
	}})
	if err != nil {
		log.Fatal(err)
	}
	bob, err := srv.Local(godwit.LocalConfig{})
	if err != nil {
		log.Fatal(err)
	}
	for _, player := range []*godwit.Conn{ada, bob} {
		if _, err := player.Request(context.Background(), "join", nil); err != nil {
			log.Fatal(err)
		}
	}
	bob.Send(Chat, []byte("hello"))
	fmt.Println(room.Len(), <-heard)
	// Output: 2 hello
}

// What a log or a dashboard shows.
func ExampleServer_Stats() {
	srv, err := godwit.Listen(":7777", godwit.Config{Channels: channels})
	if err != nil {
		log.Fatal(err)
	}
	for range time.Tick(10 * time.Second) {
		s := srv.Stats()
		log.Printf("%d players, %d since the start, %d timed out, %d refused", s.Open, s.Begun, s.Closed[session.CloseTimeout], s.Refused)
		for c := range srv.Conns() {
			p := c.Stats()
			log.Printf("%v: round trip %v, %.1f %% lost on the way there, %d bytes wait", c.ID(), p.RTT, 100*p.LossOut, p.Queued)
		}
	}
}

// A native client. It resumes its session by itself, and with Renew it begins a new one
// when the server was away for longer than a session lasts, or was started again.
func Example_nativeClient() {
	s, err := client.Connect(context.Background(), "https://game.example/godwit/", client.Config{}, client.SessionConfig{
		Channels: channels,
		Token:    func(context.Context) (string, error) { return "a fresh token of the login service", nil },
		Renew:    true,
		Handler: client.SessionHandler{
			Open:        func(s *client.Session) { s.Send(Chat, []byte("here I am")) }, // of every session
			Message:     func(s *client.Session, ch godwit.ChannelID, b []byte) { fmt.Println(ch, b) },
			Interrupted: func(*client.Session) { log.Print("reconnecting") },
			Resumed:     func(*client.Session) { log.Print("nothing reliable was lost") },
			Renewing:    func(_ *client.Session, why session.CloseReason) { log.Print("starts over: ", why) },
			Close:       func(_ *client.Session, why session.CloseReason) { log.Print("over: ", why) },
		},
	})
	if err != nil {
		log.Fatal(err) // the first session must begin; those after it are tried for
	}
	defer s.Close(session.CloseNormal, "")
}
