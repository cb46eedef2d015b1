package rtcserver

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
)

// A movingPage is a page behind a NAT whose bindings change, and its server with four
// shards, over real sockets: it is the kernel that spreads addresses.
type movingPage struct {
	t      *testing.T
	server *Server
	relay  *netsim.Relay
	page   *client.Conn
	echo   chan string
	conn   *Conn // the server's side
}

func newMovingPage(t *testing.T) *movingPage {
	server, err := Listen("127.0.0.1:0", Config{
		Settings: unhurried(Settings{Shards: 4, Certificate: serverCertificate, MaxPerIP: -1, MaxOffers: -1}),
		Handler:  Handler{Message: func(c *Conn, m Message) { c.Send(m.Stream, m.Kind, m.Data) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	relay, err := netsim.ListenRelay(netsim.RelayConfig{Target: server.Addr()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { relay.Close() })
	r := &movingPage{t: t, server: server, relay: relay, echo: make(chan string, 100)}
	e, err := client.Listen("127.0.0.1:0", unhurriedPage(client.Handler{
		Message: func(_ *client.Conn, m client.Message) { r.echo <- string(m.Data) },
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	w := &world{server: server}
	r.page, err = e.Connect(t.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
		answer, err := w.signal(netip.MustParseAddr("127.0.0.1"), string(offer))
		port := func(a netip.AddrPort) string { return fmt.Sprintf(" %d typ host", a.Port()) }
		return []byte(strings.Replace(string(answer), port(server.Addr()), port(relay.Addr()), 1)), err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.echoes() // both sides are open
	for r.conn = range server.Conns() {
	}
	return r
}

// strangers returns how many records each shard got from addresses that it did not know.
func (r *movingPage) strangers() (n [4]uint64) {
	for i, sh := range r.server.shards {
		sh.loop.Lock()
		n[i] = sh.stats.drops[DropUnknownAddr]
		sh.loop.Unlock()
	}
	return n
}

// leaveHome gives the page another port, until the kernel takes that to another
// shard than the page's home, which it returns.
func (r *movingPage) leaveHome() *shard {
	r.t.Helper()
	for range 100 {
		before, old := r.strangers(), r.conn.RemoteAddr()
		if err := r.relay.Rebind(); err != nil {
			r.t.Fatal(err)
		}
		r.page.Send(0, client.Text, []byte("where am I?"))
		for r.strangers() == before && r.conn.RemoteAddr() == old { // or a check of its own was there first
			runtime.Gosched()
		}
		for i, n := range r.strangers() {
			if s := r.server.shards[i]; n > before[i] && s != r.conn.shard {
				return s
			}
		}
	}
	r.t.Fatal("every port leads to the same shard: the test tests nothing")
	return nil
}

// echoes waits until a message comes back.
func (r *movingPage) echoes() {
	for len(r.echo) > 0 {
		<-r.echo
	}
	for {
		r.page.Send(0, client.Text, []byte("x"))
		select {
		case <-r.echo:
			return
		case <-time.After(100 * time.Millisecond): // its next check tells the server
		}
	}
}

// A page moves to a port whose datagrams reach another shard than its home. That shard passes
// the page's messages and checks on, and those of no other page.
func TestAPageMovesToAnotherShard(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("needs Linux: one shard elsewhere")
		return
	}
	r := newMovingPage(t)
	home, old := r.conn.shard, r.conn.RemoteAddr()
	away := r.leaveHome()
	r.echoes()
	if r.conn.shard != home || r.conn.RemoteAddr() == old {
		t.Errorf("the page was at %v and is at %v, want another address and the same shard", old, r.conn.RemoteAddr())
	}
	if st := r.server.Stats(); st.Conns != 1 || st.Opened != 1 || st.Drops[DropInbox] != 0 {
		t.Errorf("%+v, want 1 connection and no drops of the inbox", st)
	}

	// A valid check of another connection, with a forged source, was answered by a
	// third shard, where nobody knew that the address is in use. The page's next
	// check wins it back.
	third := slices.IndexFunc(r.server.shards, func(s *shard) bool { return s != home && s != away })
	r.server.registry.addAddr(time.Now(), r.conn.RemoteAddr(), r.server.shards[third], true)
	r.echoes()
}
