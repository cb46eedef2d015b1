package godwit_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
)

// A wire is one direction of a link: a Carrier that puts datagrams into a channel, from which
// a goroutine of the program takes them. A real one writes to a relay or a serial line.
type wire chan []byte

func (w wire) Send(b []byte) bool {
	select {
	case w <- bytes.Clone(b):
		return true
	default:
		return false // no room: the datagram is lost, and the session sends its content again
	}
}

func (w wire) Close(string) { close(w) }

// deliver gives what the wire carries to the other end, until the wire is closed.
func (w wire) deliver(receive func([]byte) bool) {
	for b := range w {
		receive(b)
	}
}

// A program brings a link of its own to both ends of a session.
func ExampleServer_AddLink() {
	table := channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}}
	srv, err := godwit.New(godwit.Config{Channels: table, Handler: godwit.Handler{
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) {
			c.Send(ch, fmt.Appendf(nil, "%s says over %s: %s", c.Identity().Name, c.Link(), b))
		},
	}})
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()

	toServer, toClient := make(wire, 16), make(wire, 16)
	link, err := srv.AddLink(godwit.Identity{Name: "ada"}, godwit.LinkConfig{Name: "wire", Carrier: toClient})
	if err != nil {
		log.Fatal(err)
	}
	go toServer.deliver(link.Receive)

	e, err := client.Listen("", client.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer e.Close()
	answers := make(chan string, 1)
	s, err := e.JoinOver(context.Background(), client.LinkConfig{
		Name: "wire",
		Dial: func(_ context.Context, l *client.Link) (client.Carrier, error) {
			go toClient.deliver(l.Receive)
			return toServer, nil
		},
	}, client.SessionConfig{Channels: table, Handler: client.SessionHandler{
		Message: func(_ *client.Session, _ channel.ID, b []byte) { answers <- string(b) },
	}})
	if err != nil {
		log.Fatal(err)
	}
	s.Send(1, []byte("hello"))
	fmt.Println(<-answers)
	// Output: ada says over wire: hello
}
