package relay

import (
	"encoding/binary"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

func TestMain(m *testing.M) {
	if benchChild() {
		return
	}
	testkit.Main(m, "/relay.", "/client.", "/rtcserver.", "/godwit.")
}

var (
	node1    = Node{1, netip.MustParseAddrPort("10.0.0.5:7777")}
	node2    = Node{2, netip.MustParseAddrPort("10.0.0.6:7777")}
	node3    = Node{3, netip.MustParseAddrPort("[fd00::7]:7777")}
	node4    = Node{4, netip.MustParseAddrPort("10.0.0.8:7777")}
	node5    = Node{5, netip.MustParseAddrPort("10.0.0.10:7777")}
	asked    = netip.MustParseAddr("203.0.113.1") // address of the relay to which clients send
	record   = []byte("\x17\xfe\xfd a record")
	stranger = netip.MustParseAddrPort("203.0.113.66:6666")
)

// clientAt returns the address of client n.
func clientAt(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, byte(n >> 16), byte(n >> 8), byte(n)}), 40000)
}

// A script gives datagrams to a relay that has no sockets.
type script struct {
	t   testing.TB
	r   *Relay
	now time.Duration
	out []udpio.Datagram
}

func newScript(t testing.TB, c Config) *script {
	t.Helper()
	c.Logger = slog.New(slog.DiscardHandler)
	if c.Nodes == nil {
		c.Nodes = []Node{node1, node2, node3}
	}
	if err := c.setDefaults(); err != nil {
		t.Fatal(err)
	}
	return &script{t: t, r: newRelay(c), out: newBatch(maxClaims*batchLen, inLen+envelope.MaxLen)}
}

// client gives the relay a datagram of a client, and returns what leaves.
func (s *script) client(from netip.AddrPort, b []byte) []udpio.Datagram {
	d := udpio.Datagram{Remote: from, Local: asked, B: b}
	return s.r.fromClient(s.now, &d, s.out[:0])
}

// node gives the relay a datagram of a node for a client, and returns what leaves.
func (s *script) node(from netip.AddrPort, client netip.AddrPort, proved bool, b []byte) []udpio.Datagram {
	d := udpio.Datagram{Remote: from, B: append(envelope.Append(nil, client, proved), b...)}
	return s.r.fromNode(s.now, &d, s.out[:0])
}

// wantUp checks that a datagram of a client goes to these nodes.
func (s *script) wantUp(what string, client netip.AddrPort, b []byte, nodes ...Node) {
	s.t.Helper()
	var got, want []netip.AddrPort
	for _, d := range s.client(client, b) {
		got = append(got, d.Remote)
		if from, proved, inner, ok := envelope.Parse(d.B); !ok || from != client || proved || string(inner) != string(b) {
			s.t.Errorf("%s: %x leaves, want the datagram behind the header of %v", what, d.B, client)
		}
	}
	for _, n := range nodes {
		want = append(want, n.Addr)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("%s: it goes to %v, want %v", what, got, want)
	}
}

// wantDown checks whether a datagram of a node goes to its client.
func (s *script) wantDown(what string, n Node, client netip.AddrPort, proved bool, b []byte, want bool) {
	s.t.Helper()
	got := s.node(n.Addr, client, proved, b)
	if (len(got) == 1) != want {
		s.t.Errorf("%s: %d datagrams leave, want one: %v", what, len(got), want)
	}
	for _, d := range got {
		if d.Remote != client || string(d.B) != string(b) {
			s.t.Errorf("%s: %q goes to %v, want %q to %v", what, d.B, d.Remote, b, client)
		}
	}
}

// enter makes a client known by a check that a node answers.
func (s *script) enter(client netip.AddrPort, n Node) {
	s.t.Helper()
	b := check(n.Number)
	s.wantUp("a check", client, b, n)
	s.wantDown("its answer", n, client, false, answer(b), true)
}

// wantDrops checks the counters of drops.
func (s *script) wantDrops(want map[DropReason]uint64) {
	s.t.Helper()
	for why, n := range s.r.stats.drops {
		if n != want[DropReason(why)] {
			s.t.Errorf("%d datagrams are dropped as %v, want %d", n, DropReason(why), want[DropReason(why)])
		}
	}
}

var checks uint64 // makes transaction IDs

// check returns a check that names a node, with a password that nobody knows.
func check(node uint32) []byte {
	return checkOf(ufrag.ForOffer(node, "0000000000000000"))
}

// checkOf returns a check with a username fragment.
func checkOf(fragment string) []byte {
	m := stun.New()
	m.SetType(stun.BindingRequest)
	checks++
	binary.BigEndian.PutUint64(m.TransactionID[:], checks)
	m.WriteHeader()
	m.Add(stun.AttrUsername, []byte(fragment+":page"))
	if err := stun.NewShortTermIntegrity("a password of nobody").AddTo(m); err != nil {
		panic(err)
	}
	if err := stun.Fingerprint.AddTo(m); err != nil {
		panic(err)
	}
	return m.Raw
}

// answer returns what a node answers to a check that it grants.
func answer(check []byte) []byte {
	return append([]byte{0x01, 0x01, 0, 0}, check[4:stunLen]...)
}

// refusal returns what a node answers to a check that it refuses.
func refusal(check []byte) []byte {
	return append([]byte{0x01, 0x11, 0, 0}, check[4:stunLen]...)
}
