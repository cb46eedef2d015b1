package godwit_test

import (
	"fmt"

	"github.com/godwit-rtc/godwit"
)

// A channel for one match: the server opens it in the sessions of the players, sends to it
// by its name, and closes it when the match is over.
func ExampleConn_OpenChannel() {
	srv, err := godwit.New(godwit.Config{})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	opened, over := make(chan struct{}), make(chan struct{})
	join := func(name string) {
		_, err := srv.Local(godwit.LocalConfig{
			Identity: godwit.Identity{Name: name},
			Handler: godwit.Handler{
				Open: func(*godwit.Conn) { opened <- struct{}{} },
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
	fmt.Println(skipped, err)
	for c := range srv.Conns() {
		if ch, ok := c.Channel("match-7"); ok {
			c.CloseChannel(ch) // after "go" is delivered
		}
	}
	<-over
	// Output:
	// 1 <nil>
	// ada, match-7: go
	// ada, match-7 is over
}
