package icectl

import (
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/icelite"
)

var (
	origin = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	front  = netip.MustParseAddrPort("192.0.2.1:7777")
	back   = netip.MustParseAddrPort("[2001:db8::1]:7777")
	us     = netip.MustParseAddrPort("198.51.100.7:40000")
	theirs = icelite.Credentials{Ufrag: "hJ3+/kf09Qaz", Pwd: "p0Zt6cX9L/4sB+uQe1YvWn2K"}
)

const ours = "Kx7e"

// A testAgent is an Agent with its own time. A real lite agent answers its checks.
type testAgent struct {
	t *testing.T
	*Agent
	now    time.Time
	lite   *icelite.Agent
	r      icelite.Request
	answer []byte // the lite agent's answer to the last check
	to     netip.AddrPort
}

func newTestAgent(t *testing.T, candidates ...netip.AddrPort) *testAgent {
	c := Config{
		LocalUfrag: ours, RemoteUfrag: theirs.Ufrag, RemotePwd: theirs.Pwd,
		Candidates: candidates, Secret: [32]byte{1, 2, 3},
	}
	lite := icelite.New(origin, icelite.Config{Local: theirs, Remote: icelite.Credentials{Ufrag: ours}})
	return &testAgent{t: t, Agent: New(origin, c), now: origin, lite: lite}
}

func (a *testAgent) wait(d time.Duration) { a.now = a.now.Add(d) }

// wantCheck expects that a check is due, and gives it to the lite agent.
func (a *testAgent) wantCheck(why string, to netip.AddrPort, nominates bool) {
	a.t.Helper()
	b, where := a.Append(a.now, nil)
	if len(b) == 0 || where != to {
		a.t.Fatalf("%s: a check of %d bytes to %v, want one to %v", why, len(b), where, to)
	}
	if d := a.r.Parse(b); d != icelite.DropNone {
		a.t.Fatalf("%s: the lite agent drops the check: %v\n%x", why, d, b)
	}
	if a.r.UseCandidate() != nominates {
		a.t.Fatalf("%s: nomination %v, want %v", why, a.r.UseCandidate(), nominates)
	}
	var v icelite.Verdict
	a.answer, v = a.lite.Answer(a.now, us, to.Addr(), &a.r, nil)
	if !v.Granted() {
		a.t.Fatalf("%s: the lite agent's verdict is %v, want Checked or Moved", why, v)
	}
	a.to = to
}

// wantIdle expects that no check is due.
func (a *testAgent) wantIdle(why string) {
	a.t.Helper()
	if b, to := a.Append(a.now, nil); len(b) > 0 {
		a.t.Fatalf("%s: a check to %v is due, want none", why, to)
	}
}

// want delivers the last answer and expects the verdict v.
func (a *testAgent) want(why string, v Verdict) {
	a.t.Helper()
	if got := a.Receive(a.now, a.to, a.answer); got != v {
		a.t.Fatalf("%s: verdict %d, want %d", why, got, v)
	}
}

func (a *testAgent) wantSelected(why string, want netip.AddrPort) {
	a.t.Helper()
	if got, ok := a.Selected(); got != want || ok != want.IsValid() {
		a.t.Fatalf("%s: selected %v, want %v", why, got, want)
	}
}

// wantDeadline expects the deadline after d.
func (a *testAgent) wantDeadline(why string, d time.Duration) {
	a.t.Helper()
	if got := a.Deadline().Sub(a.now); got != d {
		a.t.Fatalf("%s: deadline in %v, want %v", why, got, d)
	}
}
