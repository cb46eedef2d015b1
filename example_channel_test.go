package godwit_test

import (
	"fmt"

	"github.com/godwit-rtc/godwit"
)

// A channel for one match: the server opens it in the sessions of the players, sends to it
// by its name, and closes it when the match is over.
func ExampleConn_OpenChannel() {
	opened, over := make(chan struct{}), make(chan struct{})
	srv, err := godwit.New(godwit.Config{Handler: godwit.Handler{
		Open: func(*godwit.Conn) { opened <- struct{}{} },
	}})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	join := func(name string) {
		_, err := srv.Local(godwit.LocalConfig{
			Identity: godwit.Identity{Name: name},
			Handler: godwit.Handler{
				Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) {
					fmt.Printf("%s, %s: %s\n", c.Identity().Name, c.Channels().Name(ch), b)
				},
				ChannelClosed: func(c *godwit.Conn, ch godwit.ChannelID) {
					fmt.Printf("%s, %s is over\n", c.Identity().Name, c.Channels().Name(ch))
					over <- struct{}{}
				},
			},
		})
		if err != nil {
			panic(err)
		}
	}
	for _, name := range []string{"ada", "bob"} {
		join(name)
		<-opened
	}
	for c := range srv.Conns() {
		if c.Identity().Name == "ada" { // bob does not play
			c.OpenChannel(godwit.Channel{Name: "match-7", Mode: godwit.ReliableOrdered})
		}
	}
	skipped, err := srv.BroadcastNamed(nil, "match-7", []byte("go"))
	for c := range srv.Conns() {
		if ch, ok := c.Channels().ID("match-7"); ok {
			c.CloseChannel(ch) // after "go" is delivered
		}
	}
	<-over
	fmt.Println(skipped, "has no such channel,", err)
	// Output:
	// ada, match-7: go
	// ada, match-7 is over
	// 1 has no such channel, <nil>
}
