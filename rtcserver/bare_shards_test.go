package rtcserver

import (
	"bytes"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
)

// A bareShards is a server whose loops do not run: the test passes datagrams to its shards, and
// sets the time.
type bareShards struct {
	*Server
	t     *testing.T
	now   time.Time
	conns int
}

func newBareShards(t *testing.T, shards int, of ...Config) *bareShards {
	t.Helper()
	var c Config
	if len(of) > 0 {
		c = of[0]
	}
	network := netsim.New(1)
	t.Cleanup(func() { network.Close() })
	var sockets []*udpio.Conn
	for i := range shards {
		pc := testkit.Listen(t, network, shardAddr(i))
		sockets = append(sockets, udpio.New(pc))
	}
	c.Certificate, c.Logger = serverCertificate, slog.New(slog.DiscardHandler)
	if err := c.setDefaults(); err != nil {
		t.Fatal(err)
	}
	c.Manual, c.Shards = true, shards
	return &bareShards{t: t, now: time.Now(), Server: start(sockets, c)}
}

// hand passes a datagram to shard i, and the datagrams for other shards to these.
func (x *bareShards) hand(i int, from netip.AddrPort, b []byte) {
	s := x.shards[i]
	s.loop.Lock()
	s.batch = []udpio.Datagram{{Remote: from, Local: serverAddr.Addr(), B: bytes.Clone(b)}}
	s.receive(x.now, &s.batch[0], 0)
	s.loop.Unlock()
	s.forwardAll()
	for _, o := range x.shards {
		o.loop.Lock()
		o.takeInbox(x.now)
		if n := len(o.forwards); n > 0 {
			x.t.Errorf("%d datagrams that were passed on are passed on again, want 0", n)
		}
		o.loop.Unlock()
	}
}

// A bareConn is a connection of bareShards that has begun to shake hands, and its page.
type bareConn struct {
	*Conn
	x       *bareShards
	pwd     string
	keys    *dtls.Keys
	records dtls.Conn // the page's
}

func (x *bareShards) bareConn(home int) *bareConn {
	x.t.Helper()
	local, err := peer.NewCredentials(rand.Reader)
	if err != nil {
		x.t.Fatal(err)
	}
	x.conns++
	random := make([]byte, 32)
	random[0] = byte(x.conns)
	a := &bareConn{x: x, pwd: local.Pwd, Conn: &Conn{ufrag: local.Ufrag, shard: x.shards[home], state: stateSecure}}
	if a.keys, err = dtls.DeriveKeys(dtls.ECDSAWithAES128GCM, make([]byte, 48), random, random); err != nil {
		x.t.Fatal(err)
	}
	a.records.Init(a.keys, true, uint64(1000*x.conns)) // numbers that no other has
	a.records.Done()
	a.engine = &testEngine{conn: a.Conn}
	a.peer = peer.New(x.now, x.peerConfig(a.Conn, local, peer.Credentials{Ufrag: "page"}, 0))
	a.peer.Begin()
	x.registry.byUfrag[a.ufrag] = a.Conn
	x.shards[home].conns[a.Conn] = struct{}{}
	return a
}

// check returns a check of the page.
func (a *bareConn) check() []byte { return checkFor(a.ufrag+":page", a.pwd, true) }

// record returns a record of the page.
func (a *bareConn) record() []byte {
	b, err := a.records.Seal(append(a.records.Reserve(nil), "not for SCTP"...), 0, dtls.TypeApplicationData)
	if err != nil {
		panic(err)
	}
	return b
}

// comes makes an address a path of the connection's, of which the shard does not know.
func (a *bareConn) comes(from netip.AddrPort) {
	a.x.t.Helper()
	var r peer.Request
	if why := r.Parse(a.check()); why != 0 {
		a.x.t.Fatal(why)
	}
	if _, granted := a.peer.Check(a.x.now, from, serverAddr.Addr(), &r, nil); !granted {
		a.x.t.Fatal("the check is not granted")
	}
}

// shakes completes the handshake. It is a proof of the page's address if our flight went
// there.
func (a *bareConn) shakes(flight bool) {
	now := a.x.now
	if flight {
		a.peer.ProcessHandshake(now, dtls.HandshakeEvent{Kind: dtls.Flight, First: true, Datagram: []byte("flight")}, nil)
		a.peer.Append(now, nil)
	}
	a.peer.ProcessHandshake(now, dtls.HandshakeEvent{Kind: dtls.KeysReady, Keys: a.keys}, nil)
	a.peer.ProcessHandshake(now, dtls.HandshakeEvent{Kind: dtls.Done}, nil)
	if a.peer.State() != peer.Secure {
		a.x.t.Fatalf("the state after the handshake is %v, want Secure", a.peer.State())
	}
}

// How a connection stands to an address.
const (
	stranger = "a stranger"           // it has never been there
	visitor  = "a visitor"            // it has checked from there, 5 s ago
	settles  = "one that settles"     // the same, 2 s ago
	speaks   = "one that speaks"      // it has sent a record from there just now
	holds    = "one that holds it"    // it has proved the address, and was heard there 5 s ago
	lives    = "one that lives there" // the same, 10 s ago
)

// become gives a the relation to an address that the text names.
func (a *bareConn) become(how string, at netip.AddrPort) {
	now := a.x.now
	defer func() { a.x.now = now }()
	if how == stranger {
		return
	}
	a.x.now = now.Add(-map[string]time.Duration{settles: 2 * time.Second, lives: 10 * time.Second}[how])
	if a.x.now == now {
		a.x.now = now.Add(-5 * time.Second)
	}
	a.comes(at)
	if how != visitor && how != settles {
		a.shakes(how != speaks)
	}
	if how == speaks {
		a.x.now = now.Add(-time.Second)
		a.peer.Receive(a.x.now, at, a.record(), nil)
	}
	if got := [...]bool{a.peer.Speaks(now, at), a.peer.Holds(now, at)}; got != map[string][2]bool{speaks: {true, false}, holds: {false, true}, lives: {false, true}}[how] {
		a.x.t.Fatalf("%s: speaks and holds are %v", how, got)
	}
}

// own makes a and others claimants of an address.
func (a *bareConn) own(at netip.AddrPort, others ...*bareConn) {
	s := a.shard
	if len(a.x.shards) > 1 {
		a.x.registry.addAddr(a.x.now, at, s, true)
	}
	for _, o := range append([]*bareConn{a}, others...) {
		s.claim(a.x.now, o.Conn, at)
	}
}

// wantClaimants expects that these are the claimants of an address, in all lists and in this
// order.
func (x *bareShards) wantClaimants(what string, at netip.AddrPort, s *shard, want ...*bareConn) {
	x.t.Helper()
	var conns []*Conn
	for _, a := range want {
		conns = append(conns, a.Conn)
	}
	for c := range s.conns {
		if has := slices.Contains(c.addrs, at); has != slices.Contains(conns, c) {
			x.t.Errorf("%s: the address is in the list of connection %s: %v, want %v", what, c.ufrag, has, !has)
		}
	}
	var got []*Conn
	if c := s.byAddr[at]; c != nil {
		got = append(got, c)
	}
	for i, c := range s.claimants[at] {
		if i == 0 && c != got[0] {
			x.t.Errorf("%s: the first claimant is not the connection in the table", what)
		}
		if i > 0 {
			got = append(got, c)
		}
	}
	if !slices.Equal(got, conns) || len(s.claimants[at]) == 1 || (len(conns) > 1) != (len(s.claimants[at]) > 0) {
		x.t.Errorf("%s: the claimants are %v, want %v", what, got, conns)
	}
}
