package icelite

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

var (
	ours    = Credentials{Ufrag: "hJ3+/kf09Qaz", Pwd: "p0Zt6cX9L/4sB+uQe1YvWn2K"}
	theirs  = Credentials{Ufrag: "Kx7e", Pwd: "4sXk0dJw8tVb1nQz7mLc5rHf"}
	origin  = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	server  = netip.MustParseAddr("192.0.2.1")
	server2 = netip.MustParseAddr("192.0.2.2")
	home    = netip.MustParseAddrPort("198.51.100.7:40000")
	mobile  = netip.MustParseAddrPort("203.0.113.9:50000")
	cafe    = netip.MustParseAddrPort("[2001:db8::5]:60000")
)

// An attribute of Chromium's checks that STUN does not define.
const attrNetworkCost = stun.AttrType(0xc057) // Chromium

// A check is a Binding request that a test builds.
type check struct {
	username   string
	pwd        string
	nominate   bool
	controlled bool
	extra      []stun.RawAttribute // before MESSAGE-INTEGRITY
	after      []stun.RawAttribute // after MESSAGE-INTEGRITY
}

func aCheck() check {
	return check{username: ours.Ufrag + ":" + theirs.Ufrag, pwd: ours.Pwd}
}

func (c check) nominating() check { c.nominate = true; return c }

// chromium returns the check with the attributes of Chromium, in its order.
func (c check) chromium() []byte {
	m := newRequest(stun.BindingRequest)
	m.Add(stun.AttrUsername, []byte(c.username))
	m.Add(attrNetworkCost, []byte{0, 1, 0, 10})
	c.addRole(m)
	if c.nominate {
		m.Add(stun.AttrUseCandidate, nil)
	}
	m.Add(stun.AttrPriority, []byte{0x6e, 0x7f, 0x1e, 0xff})
	return c.sign(m)
}

// firefox returns the check with the attributes of Firefox, in its order.
func (c check) firefox() []byte {
	m := newRequest(stun.BindingRequest)
	m.Add(stun.AttrUsername, []byte(c.username))
	m.Add(stun.AttrPriority, []byte{0x6e, 0x7f, 0xff, 0xff})
	if c.nominate {
		m.Add(stun.AttrUseCandidate, nil)
	}
	c.addRole(m)
	return c.sign(m)
}

func (c check) addRole(m *stun.Message) {
	role := stun.AttrICEControlling
	if c.controlled {
		role = stun.AttrICEControlled
	}
	m.Add(role, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	for _, a := range c.extra {
		m.Add(a.Type, a.Value)
	}
}

func (c check) sign(m *stun.Message) []byte {
	if err := stun.NewShortTermIntegrity(c.pwd).AddTo(m); err != nil {
		panic(err)
	}
	for _, a := range c.after {
		m.Add(a.Type, a.Value)
	}
	return fingerprinted(m.Raw)
}

func newRequest(t stun.MessageType) *stun.Message {
	m := stun.New()
	m.SetType(t)
	m.TransactionID = [12]byte{'t', 'r', 'a', 'n', 's', 'a', 'c', 't', 'i', 'o', 'n', '1'}
	m.WriteHeader()
	return m
}

// fingerprinted returns b with FINGERPRINT after it. Its length and capacity are equal, so that
// a read beyond the end panics.
func fingerprinted(b []byte) []byte {
	out := make([]byte, len(b)+8)
	copy(out, b)
	binary.BigEndian.PutUint16(out[2:], uint16(len(out)-headerLen))
	binary.BigEndian.PutUint16(out[len(b):], uint16(stun.AttrFingerprint))
	binary.BigEndian.PutUint16(out[len(b)+2:], 4)
	binary.BigEndian.PutUint32(out[len(b)+4:], stun.FingerprintValue(out[:len(b)]))
	return out
}

// A testAgent is an Agent with its own time and its last answer.
type testAgent struct {
	t *testing.T
	*Agent
	r      Request
	now    time.Time
	answer []byte
}

func newTestAgent(t *testing.T) *testAgent {
	return newTestAgentWith(t, Config{Local: ours, Remote: theirs, Secret: &[32]byte{1}})
}

func newTestAgentWith(t *testing.T, c Config) *testAgent {
	return &testAgent{t: t, Agent: New(origin, c), now: origin}
}

func (a *testAgent) wait(d time.Duration) { a.now = a.now.Add(d) }

// prove makes the selected path answer a challenge and send a record.
func (a *testAgent) prove(why string, from netip.AddrPort) {
	a.t.Helper()
	a.wantSelected(why, from)
	a.Heard(a.now, from, 100, true)
	a.Ask()
	b, ok := a.Challenge(a.now, 81)
	if !ok || !a.Answered(a.now, b[:]) || !a.Path(from).Proved() {
		a.t.Fatalf("%s: the path is not proved by its answer", why)
	}
}

// deliver gives the agent a datagram and returns the result.
func (a *testAgent) deliver(from netip.AddrPort, local netip.Addr, b []byte) (Drop, Verdict) {
	a.answer = nil
	if d := a.r.Parse(b); d != DropNone {
		return d, verdicts
	}
	var v Verdict
	a.answer, v = a.Answer(a.now, from, local, &a.r, nil)
	return DropNone, v
}

// want delivers b and expects the verdict v.
func (a *testAgent) want(why string, v Verdict, from netip.AddrPort, b []byte) {
	a.t.Helper()
	d, got := a.deliver(from, server, b)
	if d != DropNone || got != v {
		a.t.Fatalf("%s: got drop %q, verdict %q; want %q", why, d, got, v)
	}
}

// wantDrop delivers b and expects the reason d and no answer.
func (a *testAgent) wantDrop(why string, d Drop, b []byte) {
	a.t.Helper()
	got, _ := a.deliver(home, server, b)
	if got != d || len(a.answer) > 0 {
		a.t.Fatalf("%s: got drop %q and a %d-byte answer; want %q and silence", why, got, len(a.answer), d)
	}
}

func (a *testAgent) wantSilence(why string) {
	a.t.Helper()
	if len(a.answer) > 0 {
		a.t.Fatalf("%s: answered %x, want no answer", why, a.answer)
	}
}

func (a *testAgent) wantSelected(why string, remote netip.AddrPort) {
	a.t.Helper()
	if p, ok := a.Selected(); !ok || p.Remote != remote {
		a.t.Fatalf("%s: selected %v (%v), want %v", why, p.Remote, ok, remote)
	}
}

func (a *testAgent) wantMaySend(why string, to netip.AddrPort, n int, want bool) {
	a.t.Helper()
	if got := a.MaySend(a.now, to, n); got != want {
		a.t.Fatalf("%s: MaySend(%v, %d) = %v, want %v", why, to, n, got, want)
	}
}

// wantResponse decodes the last answer and checks the rules for all responses.
func (a *testAgent) wantResponse(class stun.MessageClass) *stun.Message {
	a.t.Helper()
	m := new(stun.Message)
	if err := stun.Decode(a.answer, m); err != nil {
		a.t.Fatalf("the response does not decode: %v", err)
	}
	if m.Type != stun.NewType(stun.MethodBinding, class) {
		a.t.Fatalf("the response has type %v, want %v", m.Type, stun.NewType(stun.MethodBinding, class))
	}
	if m.TransactionID != [12]byte(a.r.msg.Raw[8:]) {
		a.t.Fatalf("the response has transaction ID %x, want %x", m.TransactionID, a.r.msg.Raw[8:headerLen])
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		a.t.Fatalf("FINGERPRINT of the response: %v", err)
	}
	if err := stun.NewShortTermIntegrity(ours.Pwd).Check(m); err != nil {
		a.t.Fatalf("MESSAGE-INTEGRITY of the response: %v", err)
	}
	return m
}
