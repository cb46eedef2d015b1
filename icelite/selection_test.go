package icelite

import (
	"net/netip"
	"slices"
	"testing"
	"time"
)

// The ClientHello is sent with the answer to the first check, so that check must select an
// address.
func TestFirstCheckIsSelected(t *testing.T) {
	a := newTestAgent(t)
	if p, ok := a.Selected(); ok {
		t.Fatalf("selected %v before any check, want nothing", p.Remote)
	}
	a.want("a check without USE-CANDIDATE", verdictMoved, home, aCheck().firefox())
	a.wantSelected("the only address", home)
	a.want("the same again", verdictChecked, home, aCheck().firefox())
}

// The latest nomination wins, also when every check carries one
// (aggressive nomination).
func TestNominationMovesTheSelection(t *testing.T) {
	a := newTestAgent(t)
	a.want("a check from home", verdictMoved, home, aCheck().chromium())
	a.want("a check from the café", verdictChecked, cafe, aCheck().chromium())
	a.wantSelected("a check alone moves nothing", home)
	a.want("a nomination from the café", verdictMoved, cafe, aCheck().nominating().chromium())
	a.wantSelected("the nominated address", cafe)
	a.want("a nomination again", verdictChecked, cafe, aCheck().nominating().chromium())
	a.want("a nomination from home", verdictMoved, home, aCheck().nominating().chromium())
	a.want("a nomination from a new address", verdictMoved, mobile, aCheck().nominating().chromium())
	a.wantSelected("the latest nominated address", mobile)
}

// Firefox nominates once. After its NAT has given it a new address, a check without
// USE-CANDIDATE moves the selection.
func TestRebindingMovesTheSelectionAfterSilence(t *testing.T) {
	a := newTestAgent(t)
	a.want("a nomination from home", verdictMoved, home, aCheck().nominating().firefox())
	a.wait(silence)
	a.want("one second is not silence yet", verdictChecked, mobile, aCheck().firefox())
	a.wantSelected("one second is not silence yet", home)
	a.wait(time.Millisecond)
	a.want("more than a second is", verdictMoved, mobile, aCheck().firefox())
	a.wantSelected("more than a second is", mobile)
}

// While checks or records arrive on the selected path, it stays selected. So the selection of a
// client with two networks does not move back and forth.
func TestHeardPathKeepsTheSelection(t *testing.T) {
	a := newTestAgent(t)
	a.want("a nomination from home", verdictMoved, home, aCheck().nominating().chromium())
	for range 20 {
		a.wait(900 * time.Millisecond)
		a.Heard(a.now, home, 100, true)
		a.wait(900 * time.Millisecond)
		a.want("a spare path is checked", verdictChecked, mobile, aCheck().chromium())
	}
	a.wait(900 * time.Millisecond)
	a.Heard(a.now, home, 100, false)
	a.want("a forged record keeps nothing", verdictMoved, mobile, aCheck().chromium())
}

// The selection includes the local address, for a server with two addresses. While the selected
// path is in use, a check at the other local address moves it only with a nomination.
func TestLocalAddressIsPartOfTheSelection(t *testing.T) {
	a := newTestAgent(t)
	wantLocal := func(why string, want netip.Addr) {
		t.Helper()
		if p, _ := a.Selected(); p.Local != want {
			t.Fatalf("%s: answers are sent from %v, want %v", why, p.Local, want)
		}
	}
	deliver := func(local netip.Addr, c check, want Verdict) {
		t.Helper()
		if _, v := a.deliver(home, local, c.chromium()); v != want {
			t.Fatalf("verdict %q, want %q", v, want)
		}
	}
	deliver(server, aCheck(), verdictMoved)
	deliver(server2, aCheck(), verdictChecked)
	wantLocal("a check at the other address", server)
	deliver(server2, aCheck().nominating(), verdictMoved)
	wantLocal("a nomination at the other address", server2)
	a.wait(2 * time.Second)
	deliver(server, aCheck(), verdictMoved)
	wantLocal("a check after silence", server)

	a.want("a spare path", verdictChecked, mobile, aCheck().chromium())
	a.deliver(mobile, server2, aCheck().chromium())
	if p := a.Path(mobile); p.Local != server2 {
		t.Errorf("the local address of a path that is not selected is %v, want %v", p.Local, server2)
	}
	wantLocal("a check on a spare path", server)
}

// Each address with a valid check is a path at once.
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
			t.Errorf("Path(%v) is not the path that Paths yields", p.Remote)
		}
	}
	if !slices.Equal(got, []netip.AddrPort{home, cafe, mobile}) {
		t.Errorf("paths %v, want home, cafe, mobile", got)
	}
	a.wantSelected("order is not selection", home)
	for p := range a.Paths() {
		if p.Remote != home {
			t.Errorf("the first path is %v, want %v", p.Remote, home)
		}
		break
	}
	if a.Path(netip.MustParseAddrPort("192.0.2.77:1")) != nil {
		t.Error("an address without a check is a path")
	}
}

func TestPathsAreBounded(t *testing.T) {
	a := newTestAgent(t)
	a.want("the true one", verdictMoved, home, aCheck().nominating().chromium())
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
			t.Fatalf("the check from port %d: verdict %v, want a granted check", port, v)
		}
		if n := len(a.paths); n > defaultMaxPaths {
			t.Fatalf("%d paths after port %d, want at most %d", n, port, defaultMaxPaths)
		}
		if p, _ := a.Selected(); a.Path(p.Remote) == nil {
			t.Fatalf("the selected path was removed at port %d", port)
		}
	}
	if p := a.Path(home); p == nil || !p.Proved() {
		t.Error("unproved addresses have displaced the proved one")
	}
	if got, want := a.Stats().Evicted, uint64(10_001-defaultMaxPaths); got != want {
		t.Errorf("%d evictions counted, want %d", got, want)
	}
}

// If all paths are proved, the oldest one is removed, but never the selected one.
func TestEvictionSparesTheSelectedPath(t *testing.T) {
	a := newTestAgentWith(t, Config{Local: ours, Remote: theirs, MaxPaths: 3})
	port := func(n uint16) netip.AddrPort { return netip.AddrPortFrom(home.Addr(), n) }
	for n := range uint16(3) {
		a.deliver(port(n), server, aCheck().chromium())
		a.Proved(a.now, port(n))
	}
	a.wantSelected("the first", port(0))
	a.want("a fourth", verdictChecked, port(3), aCheck().chromium())
	if a.Path(port(0)) == nil || a.Path(port(1)) != nil || a.Path(port(2)) == nil || a.Path(port(3)) == nil {
		t.Error("want that only the oldest path that is not selected is removed: port 1 of 0 to 3")
	}
	a.wantSelected("eviction moved nothing", port(0))

	least := newTestAgentWith(t, Config{Local: ours, Remote: theirs, MaxPaths: 1})
	least.want("home", verdictMoved, home, aCheck().chromium())
	least.want("a spare", verdictChecked, mobile, aCheck().chromium())
	least.want("another", verdictChecked, cafe, aCheck().chromium())
	least.wantSelected("two places are the least", home)
}

func TestStatsCount(t *testing.T) {
	a := newTestAgent(t)
	a.want("a check", verdictMoved, home, aCheck().chromium())
	a.want("a check", verdictChecked, home, aCheck().chromium())
	a.want("a nomination", verdictMoved, mobile, aCheck().nominating().chromium())
	wrong := aCheck()
	wrong.pwd = theirs.Pwd
	a.want("a stranger", verdictWrongIntegrity, home, wrong.chromium())
	a.wantMaySend("an address without a check", cafe, 1, false)
	if got, want := a.Stats(), (Stats{Checks: 3, Moves: 2, Refused: 1}); got != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
}
