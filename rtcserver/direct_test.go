package rtcserver

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

var directKey = ufrag.Key{1, 2, 3}

// A directState is what the program knows for connections that begin without an offer.
type directState struct {
	sessions map[[16]byte]bool
	spent    map[[8]byte]bool
	engines  []*testEngine
	last     Fragment // of the newest connection
}

// config returns a configuration with connections that begin without an offer.
func (d *directState) config(s Settings) Config {
	d.sessions, d.spent = make(map[[16]byte]bool), make(map[[8]byte]bool)
	return Config{Settings: s, Direct: &Direct{
		Key:   directKey,
		Known: func(m [16]byte) bool { return d.sessions[m] },
		Spent: func(id [8]byte) bool { return d.spent[id] },
		Engine: func(c *Conn, f *Fragment) Engine {
			e := &testEngine{conn: c}
			d.engines, d.last = append(d.engines, e), *f
			return e
		},
	}}
}

// inviteFor returns a fragment of an invite that expires after a time.
func inviteFor(n byte, lasts time.Duration) ufrag.Fragment {
	return ufrag.Fragment{Form: ufrag.Invite, Expires: time.Now().Add(lasts).Unix(), ID: [8]byte{n}, Subject: []byte("ada")}
}

// checkOf returns a check with a fragment and its password.
func checkOf(f ufrag.Fragment, theirs string) []byte {
	text := f.Text(&directKey)
	return checkFor(text+":"+theirs, directKey.Pwd(text), true)
}

// hostileChecks are checks with which nobody may begin a connection, by the drop that counts them.
func hostileChecks(d *directState) map[string]struct {
	why DropReason
	b   []byte
} {
	type check = struct {
		why DropReason
		b   []byte
	}
	good := inviteFor(1, time.Minute)
	text := good.Text(&directKey)
	pwd := directKey.Pwd(text)
	foreignKey := ufrag.Key{9}
	foreign := good.Text(&foreignKey)
	forged := []byte(text)
	if forged[20] = 'x'; text[20] == 'x' {
		forged[20] = 'y'
	}
	resume := ufrag.Fragment{Form: ufrag.Resume, Mark: [16]byte{1}}
	spent := inviteFor(2, time.Minute)
	d.spent[spent.ID] = true
	elsewhere := good
	elsewhere.Node = 1
	return map[string]check{
		"forged":                {DropForged, checkFor(string(forged)+":page", pwd, true)},
		"of another key":        {DropForged, checkFor(foreign+":page", foreignKey.Pwd(foreign), true)},
		"truncated":             {DropForged, checkFor(text[:len(text)-4]+":page", pwd, true)},
		"truncated to nothing":  {DropForged, checkFor("DAAAA:page", pwd, true)},
		"of the other form":     {DropForged, checkFor("R"+text[1:]+":page", pwd, true)},
		"of another node":       {DropForged, checkOf(elsewhere, "page")},
		"expired":               {DropExpired, checkOf(inviteFor(3, -2*time.Second), "page")},
		"of no session":         {DropNoSession, checkOf(resume, "page")},
		"with the tag 0":        {DropForged, checkFor(ufrag.WithInit(text, 0, 2)+":page", pwd, true)},
		"with another password": {DropBadCheck, checkFor(text+":page", "the password of nobody at all..", true)},
		"with a long password":  {DropBadCheck, checkFor(text+":page", pwd+"A", true)},
		"spent":                 {DropSpent, checkOf(spent, "page")},
	}
}

// Checks with fragments that are forged, truncated, expired, of another key, of no session, spent, or
// whose sender does not know the password, cost no allocation in a shard, and make nothing.
func TestHostileFragmentsAllocateNothing(t *testing.T) {
	var d directState
	x := newBareShards(t, 1, d.config(Settings{MaxOffers: -1}))
	s := x.shards[0]
	for name, c := range hostileChecks(&d) {
		datagram := udpio.Datagram{Remote: attackerAddr, Local: serverAddr.Addr(), B: c.b}
		before := s.stats.drops[c.why]
		if n := testing.AllocsPerRun(100, func() { s.receive(x.now, &datagram, 0) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", name, n)
		}
		if n := s.stats.drops[c.why] - before; n != 101 {
			t.Errorf("%s: %d are counted as %v, want 101", name, n, c.why)
		}
	}
	if len(d.engines) != 0 || len(s.conns) != 0 || len(x.registry.byUfrag) != 0 || len(x.registry.begunPerIP) != 0 {
		t.Errorf("%d engines, %d connections, want none", len(d.engines), len(s.conns))
	}
}

// A check that a page repeats finds the connection of the first one; the same fragment with another
// fragment of a page is another connection, of which four wait at a time.
func TestChecksFindTheirConnection(t *testing.T) {
	var d directState
	c := d.config(Settings{MaxPerIP: 6, MaxPending: 8})
	inWorld(t, c, func(w *world) {
		s := w.server.shards[0]
		good := inviteFor(1, time.Minute)
		from := func(n byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, n}), 6666) }
		send := func(n byte, f ufrag.Fragment, theirs string) {
			w.network.Inject(from(n), serverAddr, checkOf(f, theirs))
			synctest.Wait()
		}
		want := func(what string, conns int, limited uint64) {
			t.Helper()
			if st := w.server.Stats(); st.Conns != conns || len(d.engines) != conns || st.Drops[DropLimited] != limited {
				t.Errorf("%s: %d connections and %d engines, want %d; %d checks dropped for a limit, want %d", what, st.Conns, len(d.engines), conns, st.Drops[DropLimited], limited)
			}
		}
		for range 3 {
			send(1, good, "page")
		}
		want("one page", 1, 0)
		if d.last.Ufrag != good.Text(&directKey) || d.last.Pwd != directKey.Pwd(d.last.Ufrag) || d.last.Resume || d.last.ID != good.ID || d.last.Until.Unix() != good.Expires {
			t.Errorf("the engine gets %+v", d.last)
		}
		send(9, good, "page") // a replay from elsewhere
		want("a replay", 1, 0)
		for i := range 5 {
			send(byte(40+i), good, fmt.Sprintf("other%d", i))
		}
		want("four of one invite", 4, 2)
		// One that is admitted does not count for the invite any more, but for its address.
		first := d.engines[0].conn
		first.Acquire()
		first.Admit(&testEngine{conn: first})
		first.Release(true, false)
		send(1, good, "more")
		want("after one is admitted", 5, 2)
		send(1, inviteFor(2, time.Minute), "page")
		d.sessions[[16]byte{7}] = true
		send(1, ufrag.Fragment{Form: ufrag.Resume, Mark: [16]byte{7}}, "page")
		want("another invite, and a session", 7, 2)
		if !d.last.Resume || d.last.Mark != [16]byte{7} {
			t.Errorf("the engine gets %+v, want the mark of the session", d.last)
		}
		for i := range byte(4) { // MaxPending: 6 wait, and two more may
			send(20+i, inviteFor(30+i, time.Minute), "page")
		}
		want("too many that wait", 9, 4)
		if n, _ := waitingChecks(w, victimAddr.Addr()); n != 8 {
			t.Errorf("%d connections wait, want 8", n)
		}
		time.Sleep(45 * time.Second) // no handshake succeeds
		synctest.Wait()
		s.loop.Lock()
		left := len(s.conns)
		s.loop.Unlock()
		r := w.server.registry
		r.mu.RLock()
		defer r.mu.RUnlock()
		if left != 0 || r.unproved != [beginnings]int{} || len(r.byFragment) != 0 || len(r.perIP) != 0 || len(r.begunPerIP) != 0 {
			t.Errorf("%d connections are left, %v wait, %d fragments, %d addresses; want none", left, r.unproved, len(r.byFragment), len(r.perIP))
		}
	})
}

// One address may have as many connections that begin without an offer as MaxPerIP says, and make as
// many as MaxOffers says.
func TestLimitsOfAnAddress(t *testing.T) {
	var d directState
	inWorld(t, d.config(Settings{MaxPerIP: 2, MaxOffers: 1}), func(w *world) {
		for i := range byte(3) {
			w.network.Inject(attackerAddr, serverAddr, checkOf(inviteFor(i, time.Minute), "page"))
		}
		synctest.Wait()
		if len(d.engines) != 2 {
			t.Errorf("%d connections of one address, want 2", len(d.engines))
		}
		w.network.Inject(victimAddr, serverAddr, checkOf(inviteFor(9, time.Minute), "page"))
		synctest.Wait()
		if len(d.engines) != 3 {
			t.Errorf("%d connections, want one more of another address", len(d.engines))
		}
		for i := range byte(10) {
			w.network.Inject(attackerAddr, serverAddr, checkOf(inviteFor(20+i, time.Minute), "page"))
		}
		synctest.Wait()
		if n := w.server.Stats().Drops[DropLimited]; n != 11 || len(d.engines) != 3 {
			t.Errorf("%d checks are dropped for a limit, want 11", n)
		}
		w.server.Refuse()
		w.network.Inject(victimAddr, serverAddr, checkOf(inviteFor(50, time.Minute), "page"))
		synctest.Wait()
		if n := w.server.Stats().Drops[DropLimited]; n != 12 || len(d.engines) != 3 {
			t.Errorf("%d checks are dropped when the server refuses offers, want 12", n)
		}
	})
}

// waitingChecks returns the number of connections that began with a check and are not admitted, and that
// of those which are not open and whose first check came from a site.
func waitingChecks(w *world, site netip.Addr) (all, of int) {
	r := w.server.registry
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.unproved[byInvite] + r.unproved[byResume], r.begunPerIP[party{site, byInvite}] + r.begunPerIP[party{site, byResume}]
}

// Checks of players with invites and sessions, whose sources are forged, take nothing from the address
// that they name: pages there make offers as before. An invite that was used, and one that has four
// connections, take nothing from its invites either.
func TestForgedSourcesTakeNoOffers(t *testing.T) {
	var d directState
	inWorld(t, d.config(Settings{MaxPerIP: 8, MaxOffers: 2, MaxPending: 8}), func(w *world) {
		send := func(f ufrag.Fragment, theirs int) {
			w.network.Inject(victimAddr, serverAddr, checkOf(f, fmt.Sprintf("page%d", theirs)))
			synctest.Wait()
		}
		spent := inviteFor(100, time.Minute)
		d.spent[spent.ID] = true
		for i := range 20 {
			send(spent, i)
			send(inviteFor(0, time.Minute), i)
		}
		if len(d.engines) != 4 {
			t.Errorf("%d connections of an invite, want 4", len(d.engines))
		}
		send(inviteFor(1, time.Minute), 0)
		if len(d.engines) != 5 {
			t.Errorf("%d connections, want one more with another invite", len(d.engines))
		}
		for i := range byte(20) {
			d.sessions[[16]byte{i}] = true
			send(ufrag.Fragment{Form: ufrag.Resume, Mark: [16]byte{i}}, 0)
		}
		if _, n := waitingChecks(w, victimAddr.Addr()); n != 8 {
			t.Errorf("%d connections count for the address, want 8", n) // 2 per second, and 8 at once
		}
		if _, err := w.signal(victimAddr.Addr(), browserOffer(t)); err != nil {
			t.Errorf("an offer from the address: %v, want an answer", err)
		}
	})
}

// A check that arrives at another shard than the first one is passed on.
func TestADirectConnectionHasOneShard(t *testing.T) {
	var d directState
	x := newBareShards(t, 2, d.config(Settings{MaxOffers: -1, MaxPerIP: -1}))
	check := checkOf(inviteFor(1, time.Minute), "page")
	x.hand(1, attackerAddr, check)
	x.hand(0, attackerAddr, check)
	t.Cleanup(func() { // ends the handshake
		s := x.shards[1]
		s.loop.Lock()
		defer s.loop.Unlock()
		s.endConns("")
	})
	if len(d.engines) != 1 || len(x.shards[0].conns) != 0 || len(x.shards[1].conns) != 1 {
		t.Errorf("%d engines; %d and %d connections of the shards, want none and one", len(d.engines), len(x.shards[0].conns), len(x.shards[1].conns))
	}
	// A shard has looked for it just before the other one made it.
	s := x.shards[0]
	if why := s.request.Parse(check); why != 0 {
		t.Fatal(why)
	}
	if c := s.beginDirect(x.now, &udpio.Datagram{Remote: attackerAddr, Local: serverAddr.Addr(), B: check}, true); len(d.engines) != 1 || c != d.engines[0].conn {
		t.Errorf("%d engines, want that the shard finds the connection of the other one", len(d.engines))
	}
	// Both shards have found none, and one was faster.
	r := x.registry
	if why := s.request.Parse(checkOf(inviteFor(2, time.Minute), "page")); why != 0 {
		t.Fatal(why)
	}
	var both [2]*Conn
	for i := range both {
		if c, ok := r.reserveDirect(s.request.Username(), s.request.LocalUfrag(), party{attackerAddr.Addr(), byInvite}, -1); c != nil || !ok {
			t.Fatalf("%v, %v: no place", c, ok)
		}
		both[i] = s.newDirect(x.now, attackerAddr.Addr(), &Fragment{Ufrag: "DAAAA", Pwd: "pwd"}, 0, 0)
	}
	if r.addDirect(both[0]) != both[0] || r.addDirect(both[1]) != both[0] || r.unproved[byInvite] != 2 || r.begunPerIP[party{attackerAddr.Addr(), byInvite}] != 2 {
		t.Errorf("the second one is entered, too; %v wait, %d count for the address, want 2", r.unproved, r.begunPerIP[party{attackerAddr.Addr(), byInvite}])
	}
}

// Hostile checks, and authentic ones that are replayed from any address, get at most three times their
// bytes, and open nothing. Live pages lose nothing.
func TestHostileFragments(t *testing.T) {
	var d directState
	inWorld(t, d.config(Settings{}), func(w *world) {
		p := w.open()
		l := w.ledger()
		all := hostileChecks(&d)
		var names []string
		for name := range all {
			names = append(names, name)
		}
		replayed := [][]byte{checkOf(inviteFor(100, time.Hour), "page"), checkOf(inviteFor(101, time.Hour), "page")}
		rng := rand.New(rand.NewPCG(1, 2))
		n := count(20_000, 1_000_000)
		for i := range n {
			b := replayed[i/10%2]
			if i%10 > 0 {
				b = all[names[rng.IntN(len(names))]].b
			}
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(rng.Uint32()), 1}), uint16(1000+rng.IntN(4)))
			l.inject(from, b)
			if i%100 == 0 {
				time.Sleep(time.Millisecond)
			}
			if i%1000 == 0 {
				p.echoes("a live page")
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		worst := 0.0
		for a, c := range l.of {
			if a != p.addr() {
				worst = max(worst, float64(c.out)/float64(max(1, c.in)))
			}
		}
		opened := 0
		for _, e := range d.engines {
			for _, h := range e.heard {
				if h == LinkOpened.String() {
					opened++
				}
			}
		}
		st := w.server.Stats()
		t.Logf("%d checks from %d addresses: at most %.2f times the bytes; %d connections were begun, %d opened; drops %v", n, len(l.of), worst, len(d.engines), opened, st.Drops)
		if worst > 3 || opened != 0 || st.Opened != 1 {
			t.Errorf("an address gets %.2f times its bytes, want 3 at most; %d links open, want none", worst, opened)
		}
	})
}

// An authentic check gets its answer and ClientHellos, at most three times the bytes of the checks, also if
// it comes once, with the shortest fragment, or again and again.
func TestAuthenticFragmentsGetThreeTimesTheirBytes(t *testing.T) {
	var d directState
	inWorld(t, d.config(Settings{}), func(w *world) {
		l := w.ledger()
		shortest := inviteFor(1, time.Hour)
		shortest.Subject = nil
		longest := inviteFor(2, time.Hour)
		longest.Subject, longest.Data = make([]byte, ufrag.MaxSubject), make([]byte, ufrag.MaxData)
		again := checkOf(inviteFor(3, time.Hour), "page")
		d.sessions[[16]byte{9}] = true
		from := func(n byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, n}), 6666) }
		l.inject(from(1), checkOf(shortest, "page"))
		l.inject(from(2), checkOf(longest, "page"))
		l.inject(from(4), checkOf(ufrag.Fragment{Form: ufrag.Resume, Mark: [16]byte{9}}, "page"))
		during(time.Second, func() { l.inject(from(3), again) })
		if len(d.engines) < 4 {
			t.Errorf("%d connections have begun, want one for each", len(d.engines))
		}
		for n, what := range []string{"the shortest", "the longest", "again and again", "a resume"} {
			l.want(what, from(byte(1+n)), 3)
		}
	})
}
