package rtcserver

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

func TestSites(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1":              "192.0.2.1",
		"::ffff:192.0.2.1":       "192.0.2.1",
		"2001:db8:1:2:3:4:5:6":   "2001:db8:1:2::",
		"fe80::1%eth0":           "fe80::",
		"2001:db8::1%eth0":       "2001:db8::",
		"2001:db8:0:1::":         "2001:db8:0:1::",
		"2001:db8:0:1:ffff::1%z": "2001:db8:0:1::",
	} {
		if got := site(netip.MustParseAddr(addr)); got != netip.MustParseAddr(want) {
			t.Errorf("%s counts as %v, want %s", addr, got, want)
		}
	}
	if got := site(netip.Addr{}); got.IsValid() {
		t.Errorf("the site of no address is %v, want none", got)
	}
}

// A register is a registry with named connections of one site.
type register struct {
	*registry
	t *testing.T
}

func newRegister(t *testing.T, limit int) register {
	return register{newRegistry(limit, 30*time.Second), t}
}

func (r register) conn(name string) *Conn {
	return &Conn{ufrag: name, site: netip.MustParseAddr("192.0.2.1")}
}

func (r register) reserved(name string) *Conn {
	r.t.Helper()
	c := r.conn(name)
	if no := r.reserve(c, remote{}, -1); no != nil {
		r.t.Fatalf("%s: reserve: %v, want nil", name, no)
	}
	return c
}

func (r register) added(name string, now time.Time) *Conn {
	r.t.Helper()
	c := r.reserved(name)
	if _, ok := r.add(c, now); !ok {
		r.t.Fatalf("%s is not added", name)
	}
	return c
}

func (r register) want(what string, all, waiting, ofSite int) {
	r.t.Helper()
	a, w := r.count()
	if n := r.perIP[netip.MustParseAddr("192.0.2.1")]; a != all || w != waiting || n != ofSite {
		r.t.Errorf("%s: %d connections, %d wait, %d of the site; want %d, %d, %d", what, a, w, n, all, waiting, ofSite)
	}
	if ofSite == 0 && len(r.perIP) > 0 {
		r.t.Errorf("%s: the site is still stored", what)
	}
}

func TestReservationsAreLimitedAndGivenBack(t *testing.T) {
	r := newRegister(t, 3)
	a, b := r.reserved("a"), r.reserved("b")
	r.want("two are reserved", 0, 2, 2)
	for most, want := range map[int]int{2: http.StatusTooManyRequests, 3: 0, 0: 0, -1: 0} {
		c := r.conn("c")
		no := r.reserve(c, remote{addr: c.site}, most)
		if (no == nil) != (want == 0) || no != nil && no.Status != want {
			t.Errorf("a third connection with a limit of %d: %v, want status %d", most, no, want)
		}
		if no == nil {
			r.release(c)
		}
	}
	c := r.conn("c")
	if no := r.reserve(c, remote{addr: c.site, free: true}, 1); no != nil {
		t.Errorf("a connection without a limit: %v, want nil", no)
	}
	if no := r.reserve(r.conn("d"), remote{}, -1); no == nil || no.Status != http.StatusServiceUnavailable {
		t.Errorf("one pending connection too many: %v, want status 503", no)
	}
	r.release(c)
	r.release(b)
	r.want("one is left", 0, 1, 1)
	for range 3 { // a session has three links at most
		resumed := r.conn("resumed")
		resumed.resume = true
		want := r.perIP[c.site] < 3
		if no := r.reserve(resumed, remote{addr: c.site}, 1); (no == nil) != want {
			t.Errorf("a resume with %d others of the site: %v, want that it is allowed: %v", r.perIP[c.site], no, want)
		}
	}
	r.want("three times the most", 0, 3, 3)
	r.release(a)
	r.release(a)
	r.release(a)
	r.want("all are given back", 0, 0, 0)
}

func TestConnectionsThatWaitExpireInTheirOrder(t *testing.T) {
	r, s := newRegister(t, 8), &shard{}
	t0 := time.Unix(1000, 0)
	at := func(n int) time.Time { return t0.Add(time.Duration(n) * time.Second) }
	wantDue := func(what string, c *Conn, now, want time.Time) {
		t.Helper()
		if due, ok := r.add(c, now); !ok || !due.Equal(want) {
			t.Errorf("%s: the first is due at %v, want %v", what, due.Sub(t0), want.Sub(t0))
		}
	}
	wantDue("one", r.reserved("a"), at(0), at(30))
	wantDue("two", r.reserved("b"), at(1), at(30))
	if c, full := r.connFor([]byte("a"), s, true); c == nil || c.ufrag != "a" || full {
		t.Fatalf("connFor(a) = %v, %v; want a, false", c, full)
	}
	wantDue("the first has come", r.reserved("c"), at(2), at(31))
	r.added("d", at(3))
	r.added("e", at(3))
	r.want("half of the places are taken", 5, 4, 5)
	if all, due := r.expire(at(6), s, nil); len(all) != 0 || !due.Equal(at(31)) {
		t.Errorf("%d have expired, want 0; the next at %v, want 31 s", len(all), due.Sub(t0))
	}
	wantDue("more than half: they have 5 s", r.reserved("f"), at(4), at(6))
	all, due := r.expire(at(6), s, nil)
	if len(all) != 1 || all[0].ufrag != "b" || !due.Equal(at(32)) {
		t.Errorf("%d have expired, want b; the next at %v, want 32 s", len(all), due.Sub(t0))
	}
	r.want("one has expired", 6, 4, 6)
	all, due = r.expire(at(33), s, nil)
	if got := names(all); got != "[c d e]" || !due.Equal(at(34)) {
		t.Errorf("%s have expired, want c, d, e; the next at %v, want 34 s", got, due.Sub(t0))
	}
	if got := names(r.popAllWaiting(s)); got != "[f]" {
		t.Errorf("%s waited, want f", got)
	}
	if all, due := r.expire(at(99), s, nil); len(all) != 0 || !due.IsZero() {
		t.Errorf("%d have expired, want 0; the next at %v, want none", len(all), due)
	}
	r.want("none waits", 6, 0, 6)
}

func names(all []*Conn) string {
	var list []string
	for _, c := range all {
		list = append(list, c.ufrag)
	}
	return fmt.Sprint(list)
}

// If one connection waits and many later ones come at once, these are forgotten, too.
func TestThoseThatHaveComeAreForgotten(t *testing.T) {
	r, s := newRegister(t, 8), &shard{}
	r.added("slow", time.Unix(1000, 0))
	most := 0
	for i := range 1000 {
		name := fmt.Sprint(i)
		r.added(name, time.Unix(1000, 0))
		most = max(most, len(r.pending))
		r.connFor([]byte(name), s, true)
	}
	if most != 2*2+minPending {
		t.Errorf("%d are remembered while two wait, want %d at most, and no fewer looks through the list than that gives", most, 2*2+minPending)
	}
}

func TestAConnectionHasOneHome(t *testing.T) {
	r, first, second := newRegister(t, 8), &shard{}, &shard{}
	c := r.added("a", time.Unix(1000, 0))
	if got, full := r.connFor([]byte("a"), first, false); got != nil || !full {
		t.Errorf("connFor at a full shard = %v, %v; want nil, true", got, full)
	}
	r.want("it waits", 1, 1, 1)
	if got, full := r.connFor([]byte("nobody"), first, false); got != nil || full {
		t.Errorf("connFor of an unknown fragment = %v, %v; want nil, false", got, full)
	}
	if r.setShard([]byte("a"), first) != c || c.shard != first {
		t.Error("setShard does not set the shard")
	}
	if r.setShard([]byte("a"), second) != c || c.shard != first { // both had seen that it had none
		t.Error("a second setShard changes the shard")
	}
	if got, full := r.connFor([]byte("a"), second, false); got != c || full || c.shard != first {
		t.Errorf("connFor of a connection with a shard = %v, %v", got, full)
	}
	if r.setShard([]byte("nobody"), first) != nil {
		t.Error("setShard of an unknown fragment returns a connection")
	}
	r.want("it has come", 1, 0, 1)
	if r.find("a") != c || r.find("nobody") != nil {
		t.Error("find does not find a, or finds an unknown fragment")
	}
	r.remove(c)
	r.remove(c)
	r.want("it is removed", 0, 0, 0)
}

func TestWithdrawnConnections(t *testing.T) {
	r, s := newRegister(t, 8), &shard{}
	early := r.reserved("early")
	if r.withdraw(early) != nil {
		t.Error("withdraw of a connection that was not added returns a shard")
	}
	r.want("not entered yet", 0, 1, 1)
	if _, ok := r.add(early, time.Unix(1000, 0)); ok {
		t.Error("a withdrawn connection is added")
	}
	r.release(early)
	waits, has := r.added("waits", time.Unix(1000, 0)), r.added("has come", time.Unix(1000, 0))
	r.connFor([]byte("has come"), s, true)
	for range 2 {
		if r.withdraw(waits) != nil {
			t.Error("withdraw of a pending connection returns a shard")
		}
		r.want("one waited", 1, 0, 1)
	}
	if r.withdraw(has) != s {
		t.Error("withdraw of a connection with a shard does not return the shard")
	}
	r.want("it is the shard's to end", 1, 0, 1)
}

// At most two shards have a claim to an address. A third gets a claim when no datagram has
// reached another claimant for a while. All shards with a connection there count.
func TestClaimsOfAnAddress(t *testing.T) {
	r := newRegistry(8, time.Second)
	a, b, c, d := &shard{}, &shard{}, &shard{}, &shard{}
	addr, t0 := netip.MustParseAddrPort("192.0.2.1:1"), time.Unix(1000, 0)
	want := func(what string, shards int, first, second *shard) {
		t.Helper()
		shared := int32(0)
		if shards > 1 {
			shared = 1
		}
		if all := r.byAddr[addr]; all.of[0].shard != first || all.of[1].shard != second || all.shards != shards || r.shared.Load() != shared {
			t.Errorf("%s: %+v, want %d shards; %d addresses are shared, want %d", what, all, shards, r.shared.Load(), shared)
		}
		for _, s := range []*shard{a, b, c, d, nil} {
			want := [2]*shard{first, second}
			for i := range want {
				if want[i] == s {
					want[i] = nil
				}
			}
			if got := r.others(addr, s); got != want {
				t.Errorf("%s: others than %p are %v, want %v", what, s, got, want)
			}
		}
	}
	r.addAddr(t0, addr, a, true)
	want("one", 1, a, nil)
	r.addAddr(t0, addr, b, true)
	want("two", 2, a, b)
	r.addAddr(t0.Add(claimLasts), addr, c, true)
	want("a third gets no claim", 3, a, b)
	r.addAddr(t0.Add(10*time.Second), addr, a, false)
	r.addAddr(t0.Add(claimLasts+1), addr, c, false)
	want("the second was not heard", 3, a, c)
	r.removeAddr(addr, b)
	want("one without a claim leaves", 2, a, c)
	r.addAddr(t0.Add(claimLasts+1), addr, d, true)
	r.removeAddr(addr, a)
	r.removeAddr(addr, c)
	want("one without a claim is left", 1, nil, nil)
	r.addAddr(t0, addr, b, true)
	want("and another comes", 2, b, nil)
	r.addAddr(t0, addr, d, false)
	want("it is heard again", 2, b, d)
	r.removeAddr(addr, b)
	want("one is left", 1, nil, d)
	r.removeAddr(addr, d)
	want("none is left", 0, nil, nil)
	r.addAddr(t0, addr, a, true)
	r.addAddr(t0.Add(2*claimLasts), addr, b, true)
	want("where there is room, one that was not heard stays", 2, a, b)
	r.removeAddr(addr, a)
	r.removeAddr(addr, b)
	r.removeAddr(addr, b) // of a server with one shard, which enters nobody
	if len(r.byAddr) != 0 {
		t.Error("an address without a claim is stored")
	}
}
