package icelite

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// A ClientHello leaves with the answer to the first check,
// so there has to be an address to send it to.
func TestFirstCheckIsSelected(t *testing.T) {
	a := newTestAgent(t)
	if p, ok := a.Selected(); ok {
		t.Fatalf("selected %v before any check", p.Remote)
	}
	a.want("a check without USE-CANDIDATE", Moved, home, aCheck().firefox())
	a.wantSelected("the only address", home)
	a.want("the same again", Checked, home, aCheck().firefox())
}

// The latest nomination wins, also when every check carries one
// (aggressive nomination).
func TestNominationMovesTheSelection(t *testing.T) {
	a := newTestAgent(t)
	a.want("a check from home", Moved, home, aCheck().chromium())
	a.want("a check from the café", Checked, cafe, aCheck().chromium())
	a.wantSelected("a check alone moves nothing", home)
	a.want("a nomination from the café", Moved, cafe, aCheck().nominating().chromium())
	a.wantSelected("the nominated address", cafe)
	a.want("a nomination again", Checked, cafe, aCheck().nominating().chromium())
	a.want("a nomination from home", Moved, home, aCheck().nominating().chromium())
	a.want("a nomination from a new address", Moved, mobile, aCheck().nominating().chromium())
	a.wantSelected("the latest nominated address", mobile)
}

// Firefox nominates once; after its NAT gave it a new address, a bare check
// has to do.
func TestRebindingMovesTheSelectionAfterSilence(t *testing.T) {
	a := newTestAgent(t)
	a.want("a nomination from home", Moved, home, aCheck().nominating().firefox())
	a.wait(silence)
	a.want("one second is not silence yet", Checked, mobile, aCheck().firefox())
	a.wantSelected("one second is not silence yet", home)
	a.wait(time.Millisecond)
	a.want("more than a second is", Moved, mobile, aCheck().firefox())
	a.wantSelected("more than a second is", mobile)
}

// What is heard on the selected path keeps it, so that a client with two
// networks does not flap.
func TestHeardPathKeepsTheSelection(t *testing.T) {
	a := newTestAgent(t)
	a.want("a nomination from home", Moved, home, aCheck().nominating().chromium())
	for range 20 {
		a.wait(900 * time.Millisecond)
		a.Heard(a.now, home, 100, true)
		a.wait(900 * time.Millisecond)
		a.want("a spare path is checked", Checked, mobile, aCheck().chromium())
	}
	a.wait(900 * time.Millisecond)
	a.Heard(a.now, home, 100, false)
	a.want("a forged record keeps nothing", Moved, mobile, aCheck().chromium())
}

// A server with two addresses: the selection is a pair, and which address the
// last check happened to ask at does not move it.
func TestLocalAddressIsPartOfTheSelection(t *testing.T) {
	a := newTestAgent(t)
	wantLocal := func(why string, want netip.Addr) {
		t.Helper()
		if p, _ := a.Selected(); p.Local != want {
			t.Fatalf("%s: answers leave from %v", why, p.Local)
		}
	}
	deliver := func(local netip.Addr, c check, want Verdict) {
		t.Helper()
		if _, v := a.deliver(home, local, c.chromium()); v != want {
			t.Fatalf("verdict %q, want %q", v, want)
		}
	}
	deliver(server, aCheck(), Moved)
	deliver(server2, aCheck(), Checked)
	wantLocal("a check at the other address", server)
	deliver(server2, aCheck().nominating(), Moved)
	wantLocal("a nomination at the other address", server2)
	a.wait(2 * time.Second)
	deliver(server, aCheck(), Moved)
	wantLocal("a check after silence", server)

	a.want("a spare path", Checked, mobile, aCheck().chromium())
	a.deliver(mobile, server2, aCheck().chromium())
	if p := a.Path(mobile); p.Local != server2 {
		t.Errorf("a path that is not in use is asked at %v, answers from %v", server2, p.Local)
	}
	wantLocal("a check on a spare path", server)
}

// Every authenticated address is known at once.
func TestPathsAreNewestFirst(t *testing.T) {
	a := newTestAgent(t)
	for _, from := range []netip.AddrPort{home, mobile, cafe, home} {
		a.wait(time.Millisecond)
		a.deliver(from, server, aCheck().chromium())
	}
	var got []netip.AddrPort
	for p := range a.Paths() {
		got = append(got, p.Remote)
		if a.Path(p.Remote) != p {
			t.Errorf("Path(%v) is another one", p.Remote)
		}
	}
	if !slices.Equal(got, []netip.AddrPort{home, cafe, mobile}) {
		t.Errorf("paths %v", got)
	}
	a.wantSelected("order is not selection", home)
	for p := range a.Paths() {
		if p.Remote != home {
			t.Errorf("the first is %v", p.Remote)
		}
		break
	}
	if a.Path(netip.MustParseAddrPort("192.0.2.77:1")) != nil {
		t.Error("an address without a check is a path")
	}
}

func TestPathsAreBounded(t *testing.T) {
	a := newTestAgent(t)
	a.want("the true one", Moved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	bare, nominating := aCheck().chromium(), aCheck().nominating().chromium()
	for port := range 10_000 {
		b := bare
		if port%3 == 0 {
			b = nominating
		}
		a.wait(time.Millisecond)
		from := netip.AddrPortFrom(mobile.Addr(), uint16(1+port))
		if _, v := a.deliver(from, server, b); !v.Granted() {
			t.Fatalf("port %d: %v", port, v)
		}
		if n := len(a.paths); n > defaultMaxPaths {
			t.Fatalf("%d paths after port %d", n, port)
		}
		if p, _ := a.Selected(); a.Path(p.Remote) == nil {
			t.Fatalf("the selected path was evicted at port %d", port)
		}
	}
	if p := a.Path(home); p == nil || !p.Proved() {
		t.Error("unproved addresses evicted the proved one")
	}
	if got, want := a.Stats().Evicted, uint64(10_001-defaultMaxPaths); got != want {
		t.Errorf("%d evictions counted, want %d", got, want)
	}
}

// When all are proved, the oldest one goes, but never the selected one.
func TestEvictionSparesTheSelectedPath(t *testing.T) {
	a := newTestAgentWith(t, Config{Local: ours, Remote: theirs, MaxPaths: 3})
	port := func(n uint16) netip.AddrPort { return netip.AddrPortFrom(home.Addr(), n) }
	for n := range uint16(3) {
		a.deliver(port(n), server, aCheck().chromium())
		a.Proved(a.now, port(n))
	}
	a.wantSelected("the first", port(0))
	a.want("a fourth", Checked, port(3), aCheck().chromium())
	if a.Path(port(0)) == nil || a.Path(port(1)) != nil || a.Path(port(2)) == nil || a.Path(port(3)) == nil {
		t.Error("not the oldest one that is not selected was evicted")
	}
	a.wantSelected("eviction moved nothing", port(0))

	least := newTestAgentWith(t, Config{Local: ours, Remote: theirs, MaxPaths: 1})
	least.want("home", Moved, home, aCheck().chromium())
	least.want("a spare", Checked, mobile, aCheck().chromium())
	least.want("another", Checked, cafe, aCheck().chromium())
	least.wantSelected("two places are the least", home)
}

func TestStatsCount(t *testing.T) {
	a := newTestAgent(t)
	a.want("a check", Moved, home, aCheck().chromium())
	a.want("a check", Checked, home, aCheck().chromium())
	a.want("a nomination", Moved, mobile, aCheck().nominating().chromium())
	wrong := aCheck()
	wrong.pwd = theirs.Pwd
	a.want("a stranger", WrongIntegrity, home, wrong.chromium())
	a.wantMaySend("an address without a check", cafe, 1, false)
	if got, want := a.Stats(), (Stats{Checks: 3, Moves: 2, Refused: 1}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}
