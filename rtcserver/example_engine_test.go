package rtcserver_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A board is an engine that sends one text to its page: the newest. A text that is replaced
// before it was sent is not sent. The fields are guarded by the lock of conn.
type board struct {
	conn  *rtcserver.Conn
	text  string
	fresh bool // text must be sent

	received, news []string // messages of the page; those that Deliver handles
	said           chan<- string
}

// Set is called by the program, so it locks the connection.
func (b *board) Set(text string) {
	b.conn.Acquire()
	b.text, b.fresh = text, true
	b.conn.Release(false, false)
}

func (b *board) Receive(_ time.Time, ev rtcserver.LinkEvent) {
	if ev.Type == rtcserver.LinkMessage {
		b.received = append(b.received, string(ev.Message.Data))
	}
}

func (b *board) Append(_ time.Time, packet []byte, limit int) []byte {
	if !b.fresh || len(b.text) > limit {
		return packet
	}
	b.fresh = false
	return append(packet, b.text...)
}

func (b *board) Deadline() time.Time { return time.Time{} }
func (b *board) Advance(time.Time)   {}
func (b *board) Preload(int)         {}

func (b *board) Ready() bool {
	b.news, b.received = b.received, nil
	return len(b.news) > 0
}

func (b *board) Deliver() { // without a lock: this is the place of a program's handlers
	for _, text := range b.news {
		b.said <- text
	}
}

// A package that builds another protocol than datagrams on this server has an engine for each
// connection.
func ExampleEngine() {
	said := make(chan string)
	var b *board
	srv, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Engine: func(c *rtcserver.Conn, _ *http.Request) (rtcserver.Engine, error) {
			b = &board{conn: c, text: "round 1", fresh: true, said: said}
			return b, nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer srv.Close()

	seen := make(chan string)
	endpoint, err := client.Listen("127.0.0.1:0", client.Config{
		Handler: client.Handler{Message: func(_ *client.Conn, m client.Message) { seen <- string(m.Data) }},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer endpoint.Close()
	page, err := endpoint.Connect(context.Background(), func(ctx context.Context, offer []byte) ([]byte, error) {
		return srv.Answer(ctx, offer, netip.MustParseAddr("127.0.0.1"))
	}, nil)
	if err != nil {
		fmt.Println(err)
		return
	}

	fmt.Println("the page sees", <-seen)
	page.Send(0, client.Binary, []byte("ready"))
	fmt.Println("the page says", <-said)
	b.Set("round 2")
	fmt.Println("the page sees", <-seen)
	// Output:
	// the page sees round 1
	// the page says ready
	// the page sees round 2
}
