package relay_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/relay"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

var (
	publicAddr  = netip.MustParseAddrPort("203.0.113.1:7777")
	publicAddr6 = netip.MustParseAddrPort("[2001:db8::1]:7777")
	innerAddr   = netip.MustParseAddrPort("10.0.0.2:7776")
	pageHost    = netip.MustParseAddr("198.51.100.7")
	pageHost6   = netip.MustParseAddr("2001:db8:1::7")

	certificate = testkit.Must(dtls.GenerateCertificate(time.Now().Add(-time.Hour)))
	inviteKey   = testkit.Must(auth.NewInviteKey(rand.Reader))
)

// table has the channels of a testkit.Ledger.
var table = channel.Channels{
	{Name: "unreliable", Mode: channel.Unreliable},
	{Name: "sequenced", Mode: channel.Sequenced},
	{Name: "unordered", Mode: channel.ReliableUnordered},
	{Name: "ordered", Mode: channel.ReliableOrdered},
}

// A fleet is nodes behind a relay, on a network in memory.
type fleet struct {
	t       *testing.T
	network *netsim.Network
	public  netip.AddrPort // of the relay
	page    netip.Addr     // of all clients
	nodes   []*godwit.Server
	relay   *relay.Relay
	opened  chan *godwit.Conn
	players sync.Map // *godwit.Conn to *player, of those who play a ledger
}

func nodeAddr(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(10 + n)}), 7777)
}

// inFleet runs a test with nodes 1 to n and a relay. The network has a delay of 20 ms between clients and
// the relay.
func inFleet(t *testing.T, n int, test func(f *fleet)) {
	t.Helper()
	inFleetAt(t, n, publicAddr, pageHost, test)
}

// inFleetAt is inFleet for a relay and clients at these addresses.
func inFleetAt(t *testing.T, n int, public netip.AddrPort, page netip.Addr, test func(f *fleet)) {
	t.Helper()
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		f := &fleet{t: t, network: network, public: public, page: page, opened: make(chan *godwit.Conn, 100)}
		network.SetDefault(netsim.Link{Delay: 200 * time.Microsecond})
		for _, way := range [][2]netip.Addr{{page, public.Addr()}, {public.Addr(), page}} {
			network.SetLink(way[0], way[1], netsim.Link{Delay: 20 * time.Millisecond})
		}
		for i := range n {
			c := godwit.Config{
				Channels: table, Invites: inviteKey,
				Handler: godwit.Handler{
					Open:    func(c *godwit.Conn) { f.opened <- c },
					Message: f.take,
					Receipt: func(c *godwit.Conn, _ channel.MessageID, _ channel.Fate) {
						if l := f.ledgers(c); l != nil {
							l[1].Fate()
						}
					},
				},
				RTC: rtcserver.Settings{
					Node: uint32(i + 1), Public: []netip.AddrPort{public}, Certificate: certificate,
					TrustedRelays: []netip.Prefix{netip.PrefixFrom(innerAddr.Addr(), 32)},
				},
			}
			f.nodes = append(f.nodes, testkit.Must(godwit.Serve(testkit.Listen(t, network, nodeAddr(i+1)), c)))
		}
		f.serve()
		defer func() {
			for _, s := range f.nodes {
				s.Close()
			}
			f.relay.Close()
		}()
		test(f)
	})
}

// serve starts the relay, also again after it was closed.
func (f *fleet) serve() {
	f.t.Helper()
	c := relay.Config{MaxClients: 256, Logger: slog.New(slog.DiscardHandler)}
	for i := range f.nodes {
		c.Nodes = append(c.Nodes, relay.Node{Number: uint32(i + 1), Addr: nodeAddr(i + 1)})
	}
	f.relay = testkit.Must(relay.Serve(testkit.Listen(f.t, f.network, f.public), testkit.Listen(f.t, f.network, innerAddr), c))
}

// take gives a message of a client to its ledger, or echoes it.
func (f *fleet) take(c *godwit.Conn, ch godwit.ChannelID, b []byte) {
	if l := f.ledgers(c); l != nil {
		l[0].Take(int(ch), b)
	} else {
		c.Send(ch, b)
	}
}

// ledgers returns the ledgers of a session; nil if it plays none.
func (f *fleet) ledgers(c *godwit.Conn) *[2]*testkit.Ledger {
	p, _ := f.players.Load(c)
	if p == nil {
		return nil
	}
	return p.(*player).ledgers.Load()
}

// A player is a session at both ends.
type player struct {
	*client.Session
	conn   *godwit.Conn
	socket *netsim.Conn
	events chan string

	ledgers atomic.Pointer[[2]*testkit.Ledger] // of what the client sends, and of what the node sends; nil if messages are events
}

// join opens a session at a node.
func (f *fleet) join(node int) *player {
	return f.enter(node, func(e *client.Endpoint, sc client.SessionConfig) (*client.Session, error) {
		return e.Join(f.t.Context(), "http://game.example/godwit/", sc)
	})
}

// enter opens a session at a node as open does.
func (f *fleet) enter(node int, open func(e *client.Endpoint, sc client.SessionConfig) (*client.Session, error)) *player {
	f.t.Helper()
	p := &player{events: make(chan string, 1000)}
	p.socket = testkit.Listen(f.t, f.network, netip.AddrPortFrom(f.page, 0))
	e := testkit.Must(client.Serve(p.socket, client.Config{HTTP: &http.Client{Transport: toNode{f, node}}}))
	f.t.Cleanup(func() { e.Close() })
	note := func(format string, args ...any) { p.events <- fmt.Sprintf(format, args...) }
	sc := client.SessionConfig{Channels: table, Links: []string{session.LinkWebRTC}, Handler: client.SessionHandler{
		Message: func(_ *client.Session, ch channel.ID, b []byte) {
			if l := p.ledgers.Load(); l != nil {
				l[1].Take(int(ch), b)
			} else {
				note("%d: %s", ch, b)
			}
		},
		Receipt: func(*client.Session, channel.MessageID, channel.Fate) {
			if l := p.ledgers.Load(); l != nil {
				l[0].Fate()
			}
		},
		Interrupted: func(*client.Session) { note("interrupted") },
		Resumed:     func(*client.Session) { note("resumed") },
		Renewing:    func(_ *client.Session, why session.CloseReason) { note("%v", why.Code) },
		Close:       func(_ *client.Session, why session.CloseReason) { note("%v", why) },
	}}
	var err error
	if p.Session, err = open(e, sc); err != nil {
		f.t.Fatal(err)
	}
	p.conn = testkit.Next(f.t, "the session", f.opened)
	return p
}

// toNode is HTTP to a node, without a network.
type toNode struct {
	*fleet
	node int
}

func (n toNode) RoundTrip(r *http.Request) (*http.Response, error) {
	if n.node == 0 {
		return nil, errors.New("no route to host")
	}
	w := httptest.NewRecorder()
	r.RemoteAddr = netip.AddrPortFrom(n.page, 1).String()
	n.nodes[n.node-1].ServeHTTP(w, r)
	return w.Result(), nil
}

// echoes checks that the node answers.
func (f *fleet) echoes(what string, p *player) {
	f.t.Helper()
	if err := p.Send(testkit.LedgerOrdered, []byte("hello")); err != nil {
		f.t.Fatalf("%s: %v", what, err)
	}
	testkit.Want(f.t, what, p.events, "4: hello")
}

// Clients reach the node whose answer they have, through one port. A node knows their true addresses,
// and serves those that send to it directly, too.
func TestFleet(t *testing.T) {
	inFleet(t, 3, func(f *fleet) {
		for node := 1; node <= 3; node++ {
			p := f.join(node)
			f.echoes("through the relay", p)
			if got, want := p.conn.RemoteAddr(), p.socket.PublicAddr(); got != want {
				t.Errorf("node %d: the address of the client is %v, want %v", node, got, want)
			}
			if st := f.nodes[node-1].Stats(); st.Open != 1 || st.RTC.Drops[rtcserver.DropRelay] != 0 {
				t.Errorf("node %d: %d sessions, want 1; drops %v", node, st.Open, st.RTC.Drops)
			}
		}
		if err := f.nodes[0].RTC().SetPublic(nodeAddr(1)); err != nil {
			t.Fatal(err)
		}
		p := f.join(1)
		f.echoes("directly", p)
		if got, want := p.conn.RemoteAddr(), p.socket.PublicAddr(); got != want {
			t.Errorf("directly: the address of the client is %v, want %v", got, want)
		}
		if st := f.relay.Stats(); st.Clients != 3 || st.Proved != 3 || st.Up.Datagrams == 0 || st.Down.Datagrams == 0 {
			t.Errorf("%+v, want three proved clients", st)
		}
	})
}

// A relay with IPv6 has nodes that are reached over IPv4.
func TestClientsWithIPv6(t *testing.T) {
	inFleetAt(t, 2, publicAddr6, pageHost6, func(f *fleet) {
		p := f.join(2)
		f.play(p, func() {})
		if got, want := p.conn.RemoteAddr(), p.socket.PublicAddr(); got != want {
			t.Errorf("the address of the client is %v, want %v", got, want)
		}
	})
}

// An invite leads to its node without a request, and so does the next link of a session.
func TestInvitesThroughARelay(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		p := f.enter(0, func(e *client.Endpoint, sc client.SessionConfig) (*client.Session, error) {
			sc.Invite = func(context.Context) (auth.Invite, error) {
				return f.nodes[1].Invite(auth.InviteClaims{Subject: "ada", For: time.Minute})
			}
			return e.Join(f.t.Context(), "", sc)
		})
		f.echoes("with an invite", p)
		for c := range f.nodes[1].RTC().Conns() {
			c.Close("unheard")
		}
		testkit.Want(t, "the end of the link", p.events, "interrupted")
		testkit.Want(t, "the next link", p.events, "resumed")
		f.echoes("over the next link", p)
		if a, b := f.nodes[0].Stats(), f.nodes[1].Stats(); a.Begun != 0 || b.Direct.Resumed != 1 || b.RTC.Offers != 0 {
			t.Errorf("%d sessions at the other node, want none; %d links without a request resumed, want 1; %d offers, want none", a.Begun, b.Direct.Resumed, b.RTC.Offers)
		}
	})
}

// The address of a client changes while it is in play. Its node follows.
func TestClientsBehindARelayMove(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		p := f.join(2)
		f.echoes("before", p)
		moved := netip.AddrPortFrom(f.page, 50_000)
		if err := p.socket.Rebind(moved); err != nil {
			t.Fatal(err)
		}
		f.echoes("after", p)
		time.Sleep(10 * time.Second)
		f.echoes("later", p)
		if got := p.conn.RemoteAddr(); got != moved {
			t.Errorf("the address of the client is %v, want %v", got, moved)
		}
		testkit.WantNone(t, "the session was interrupted", p.events)
	})
}

// A node moves a client to another node, and back. The client has one socket, so both nodes have it at one address
// through one relay.
func TestANodeMovesAClientToAnother(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		open := make(chan struct{}, 10)
		p := f.enter(1, func(e *client.Endpoint, sc client.SessionConfig) (*client.Session, error) {
			sc.Renew, sc.Handler.Open = true, func(*client.Session) { open <- struct{}{} }
			return e.Join(f.t.Context(), "http://game.example/godwit/", sc)
		})
		testkit.Next(t, "the client's end", open)
		for i, node := range []int{2, 1, 2} {
			f.echoes("before the move", p)
			invite := testkit.Must(f.nodes[node-1].Invite(auth.InviteClaims{Subject: "ada", For: time.Minute}))
			before := time.Now()
			if err := p.conn.Move(auth.Seat{Invite: &invite}); err != nil {
				t.Fatal(err)
			}
			testkit.Want(t, "the end of the session", p.events, "moved")
			p.conn = testkit.Next(t, "the session at the other node", f.opened)
			testkit.Next(t, "the client's end", open)
			if wait := time.Since(before); wait > 2*time.Second {
				t.Errorf("move %d has taken %v, want less than 2 s", i, wait)
			}
			if n := f.nodes[node-1].Len(); n != 1 {
				t.Errorf("move %d: node %d has %d sessions, want 1", i, node, n)
			}
		}
		f.echoes("after the moves", p)
		if st := f.relay.Stats(); st.Clients != 1 || st.Drops[relay.DropTaken] != 0 {
			t.Errorf("%+v: want one client, whom both nodes have", st)
		}
	})
}

// play plays a ledger in each direction, and calls amid in the middle.
func (f *fleet) play(p *player, amid func()) {
	f.t.Helper()
	ledgers := &[2]*testkit.Ledger{testkit.NewLedger(1), testkit.NewLedger(2)}
	p.ledgers.Store(ledgers)
	f.players.Store(p.conn, p)
	var others sync.WaitGroup
	others.Go(func() {
		time.Sleep(3 * time.Second)
		amid()
	})
	sendTo := func(end session.End) func(ch int, b []byte, receipt bool) bool {
		return func(ch int, b []byte, receipt bool) bool {
			_, err := end.SendWith(channel.ID(ch), b, channel.Options{Receipt: receipt})
			return err == nil
		}
	}
	testkit.PlayBoth(10*time.Second, 20*time.Second, *ledgers, [2]func(int, []byte, bool) bool{sendTo(p.Session), sendTo(p.conn)})
	others.Wait()
	for i, l := range ledgers {
		for _, problem := range l.Problems() {
			f.t.Errorf("direction %d: %s", i, problem)
		}
		if came, sent := l.Arrived(testkit.LedgerSequenced); came < sent/2 {
			f.t.Errorf("direction %d: %d sequenced messages of %d have arrived, want half", i, came, sent)
		}
	}
	p.ledgers.Store(nil)
}

// The relay is started again amid play. Nobody loses a session, or a reliable message, and the gap is short:
// the first datagram of a node to a proved address teaches the new relay.
func TestTheRelayIsRestarted(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		p, idle := f.join(1), f.join(2)
		f.play(p, func() {
			f.relay.Close()
			time.Sleep(time.Second)
			f.serve()
			before := time.Now()
			for f.relay.Stats().Up.Datagrams == 0 {
				time.Sleep(time.Millisecond)
			}
			gap := time.Since(before)
			t.Logf("%v after its start the relay passes datagrams of clients on", gap)
			if gap > 5*time.Second {
				t.Errorf("the relay has passed nothing on for %v", gap)
			}
		})
		testkit.WantNone(t, "the session was interrupted", p.events)
		// Only the next check of a client to whom nobody sends anything teaches the relay.
		for len(idle.events) > 0 {
			if e := <-idle.events; e != "interrupted" && e != "resumed" {
				t.Errorf("the idle session: %s", e)
			}
		}
		f.echoes("the idle session", idle)
		if n := len(f.opened); n > 0 {
			t.Errorf("%d more sessions were opened, want none", n)
		}
	})
}

// Somebody forges checks and records of thousands of addresses, and headers of the relay and of nodes, amid
// play. Nobody notices, and no table grows.
func TestForgedFloods(t *testing.T) {
	inFleet(t, 2, func(f *fleet) {
		p := f.join(1)
		f.play(p, func() { f.flood(p) })
		synctest.Wait()
		if st := f.relay.Stats(); st.Clients != 1 || st.Drops[relay.DropUnknownClient] == 0 || st.Drops[relay.DropForeign] == 0 {
			t.Errorf("%+v: want one client, and drops of both kinds", st)
		}
		for i, s := range f.nodes {
			st := s.Stats()
			if st.RTC.Drops[rtcserver.DropUnknownUfrag] == 0 || st.RTC.Drops[rtcserver.DropRelay] == 0 || st.RTC.Conns != 1-i {
				t.Errorf("node %d: %d connections, want %d; drops %v", i+1, st.RTC.Conns, 1-i, st.RTC.Drops)
			}
		}
		testkit.WantNone(t, "the session was interrupted", p.events)
	})
}

// flood sends what a forger can send: checks and records of other addresses, and of the client's own, and
// headers as if it was the relay or a node.
func (f *fleet) flood(p *player) {
	header := func() []byte { return append(envelope.Append(nil, p.socket.PublicAddr(), true), relay.Record...) }
	for n := range 4000 {
		from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}), uint16(1000+n))
		node := 1 + n%2
		f.network.Inject(from, publicAddr, relay.CheckFor(uint32(node)))
		f.network.Inject(from, publicAddr, relay.Record)
		f.network.Inject(p.socket.PublicAddr(), publicAddr, relay.CheckFor(uint32(node)))
		f.network.Inject(p.socket.PublicAddr(), publicAddr, relay.Record)
		f.network.Inject(from, innerAddr, header())
		f.network.Inject(from, nodeAddr(node), header())
		if n%20 == 0 {
			time.Sleep(10 * time.Millisecond)
		}
	}
}
