package rtcserver

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// offerFrom makes an offer from an address, of a page without a brain.
func (w *world) offerFrom(from netip.Addr) *offered {
	w.t.Helper()
	text := browserOffer(w.t)
	answer, err := w.signal(from, text)
	if err != nil {
		w.t.Fatal(err)
	}
	return w.offeredWith(text, string(answer))
}

// A few addresses post offers, check once and send nothing more. Each such handshake would have
// its place for HandshakeTimeout; a page from another address connects nevertheless.
func TestSilentHandshakesKeepNobodyOut(t *testing.T) {
	for _, attackers := range []int{3, 12} {
		t.Run(fmt.Sprint(attackers, " addresses"), func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				stop := make(chan struct{})
				for i := range attackers {
					go func() {
						from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 6666)
						tick := time.NewTicker(time.Second / 7)
						defer tick.Stop()
						for {
							select {
							case <-stop:
								return
							case <-tick.C:
								w.offerFrom(from.Addr()).check(from, "")
							}
						}
					}()
				}
				time.Sleep(12 * time.Second) // the places are as full as they get
				var worst time.Duration
				for range 8 {
					p := w.newPage(client.Config{})
					begin := time.Now()
					if err := p.connect(nil); err != nil {
						t.Fatalf("after %v the page does not connect: %v", time.Since(begin), err)
					}
					worst = max(worst, time.Since(begin))
					p.echoes("it talks")
					p.Close()
				}
				close(stop)
				synctest.Wait()
				st := w.server.Stats()
				t.Logf("a page connects within %v; %d places taken, %d handshakes yielded", worst, st.Handshakes, st.HandshakesYielded)
				if worst > 1500*time.Millisecond {
					t.Errorf("a page needed %v, want 1.5 s at most", worst)
				}
			})
		})
	}
}

// Players with sessions send checks for further links whose sources are forged: each handshake is one of another
// site, and many are of the site of a page. An offer of the page, and an invite, take turns with all of them
// together, and the checks count for neither.
func TestForgedSitesTakeTurns(t *testing.T) {
	const sessions = 128
	var d directState
	inWorld(t, d.config(Settings{}), func(w *world) {
		for i := range byte(sessions) {
			d.sessions[[16]byte{i}] = true
		}
		stop := make(chan struct{})
		go func() {
			for n := 0; ; {
				for i := range sessions * maxUnproved {
					n++
					from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(n >> 8), byte(n)}), 6666)
					if n%4 == 0 {
						from = netip.AddrPortFrom(victimAddr.Addr(), uint16(n))
					}
					check := checkOf(ufrag.Fragment{Form: ufrag.Resume, Mark: [16]byte{byte(i % sessions)}}, fmt.Sprint("page", n))
					w.network.Inject(from, serverAddr, check)
				}
				select {
				case <-stop:
					return
				case <-time.After(time.Second / 4):
				}
			}
		}()
		s := w.server.shards[0]
		begins := func(what string, begin func() *Conn) {
			at := time.Now()
			c := begin()
			if c == nil {
				t.Errorf("%s makes no connection", what)
				return
			}
			for waits := true; waits; {
				time.Sleep(10 * time.Millisecond)
				s.loop.Lock()
				waits = c.state <= stateQueued
				s.loop.Unlock()
			}
			if took := time.Since(at); took > 1500*time.Millisecond {
				t.Errorf("the handshake of %s waits for %v, want 1.5 s at most", what, took)
			}
		}
		time.Sleep(5*time.Second + 10*time.Millisecond)
		begins("an offer", func() *Conn {
			o := w.offerFrom(victimAddr.Addr())
			o.check(victimAddr, "")
			return o.conn
		})
		begins("an invite", func() *Conn {
			f := inviteFor(1, time.Minute)
			w.network.Inject(victimAddr, serverAddr, checkOf(f, "mine"))
			time.Sleep(time.Millisecond)
			synctest.Wait()
			return w.server.registry.find(f.Text(&directKey) + ":mine")
		})
		close(stop)
		synctest.Wait()
	})
}

// Waiting sites take turns, and one site does not get all places.
func TestPlacesAreSharedBySites(t *testing.T) {
	conn := func(site byte) *Conn { return &Conn{site: netip.AddrFrom4([4]byte{10, 0, 0, site})} }
	p := places{most: 16}
	start := func(c *Conn) bool {
		if !p.free(c.party(), nil) {
			p.wait(c)
			return false
		}
		c.handshake = &handshake{began: time.Unix(100, 0), last: time.Unix(100, 0)}
		p.add(c)
		return true
	}
	began := 0
	for range 20 {
		if start(conn(1)) {
			began++
		}
	}
	if began != 8 {
		t.Errorf("one site has %d of 16 places, want half", began)
	}
	for range 2 {
		if !start(conn(2)) {
			t.Error("another site has to wait")
		}
	}
	if start(conn(2)) {
		t.Error("a site has more than an eighth of the places while half of them are taken")
	}
	for site := range byte(3) { // the other six
		start(conn(10 + site))
		start(conn(10 + site))
	}
	if len(p.taken) != 16 || p.next() != nil {
		t.Fatalf("%d places are taken, want 16, and none is free", len(p.taken))
	}
	for range 3 {
		start(conn(20))
		start(conn(21))
	}
	var order []byte
	for c := p.mustYield(time.Unix(101, 0), false); c != nil; c = p.mustYield(time.Unix(101, 0), false) {
		p.remove(c)
		for c := p.next(); c != nil; c = p.next() {
			order = append(order, c.site.As4()[3])
			c.handshake = &handshake{began: time.Unix(101, 0), last: time.Unix(101, 0)}
			p.add(c)
		}
	}
	if got := fmt.Sprint(order); got != "[20 21 20 21]" {
		t.Errorf("the sites got their places in the order %v, want 20 21 20 21", order)
	}
	for _, c := range p.taken {
		c.handshake.ours = true
	}
	p.wait(conn(30))
	if c := p.mustYield(time.Unix(200, 0), true); c != nil {
		t.Error("a handshake that waits for its turn at the gate must yield")
	}
	if p.mustYield(time.Unix(200, 0), false) == nil {
		t.Error("no handshake must yield for a site without a place")
	}
	if p.yieldAt.Before(time.Unix(101, 0)) {
		t.Errorf("the next deadline is %v, in the past", p.yieldAt)
	}
}

// A handshake keeps its place while no other waits.
func TestHandshakesYieldOnlyToOthers(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.offer("").check(attackerAddr, "")
		time.Sleep(9 * time.Second)
		if st := w.server.Stats(); st.Handshakes != 1 || st.HandshakesYielded != 0 {
			t.Errorf("%d handshakes, want 1; %d yielded, want 0", st.Handshakes, st.HandshakesYielded)
		}
	})
}

// A byte that is repeated every 900 ms, a piece of a message that never comes whole,
// does not hold a handshake's place either.
func TestDrippingHandshakesKeepNobodyOut(t *testing.T) {
	const sites, each = 12, 16
	drip := record(22, 0, 0, []byte{2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe}) // a ServerHello's first byte of a hundred
	inWorld(t, Config{}, func(w *world) {
		stop := make(chan struct{})
		wait := func(d time.Duration) bool {
			select {
			case <-stop:
				return false
			case <-time.After(d):
				return true
			}
		}
		attack := func(from netip.AddrPort, pause time.Duration) {
			for wait(pause) {
				o := w.offerFrom(from.Addr())
				o.check(from, "")
				for range 12 { // longer than a handshake may last
					if !wait(900 * time.Millisecond) {
						return
					}
					o.check(from, "")
					w.network.Inject(from, serverAddr, drip)
				}
			}
		}
		for i := range sites {
			for j := range each {
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), uint16(6000+j))
				go attack(from, time.Duration(i*each+j)*3*time.Millisecond)
			}
		}
		time.Sleep(12500 * time.Millisecond)
		var worst time.Duration
		for range 5 {
			p := w.newPage(client.Config{})
			begin := time.Now()
			if err := p.connect(nil); err != nil {
				t.Fatalf("after %v the page does not connect: %v", time.Since(begin), err)
			}
			worst = max(worst, time.Since(begin))
			p.Close()
		}
		close(stop)
		synctest.Wait()
		t.Logf("a page connects within %v", worst)
		if worst > 4*time.Second {
			t.Errorf("a page needed %v, want 4 s at most", worst)
		}
	})
}

func TestWhenAHandshakeGivesItsPlaceUp(t *testing.T) {
	began := time.Unix(100, 0)
	at := func(d time.Duration) time.Time { return began.Add(d) }
	for name, c := range map[string]struct {
		h    handshake
		want time.Time
	}{
		"the page's turn":             {handshake{began: began, last: at(time.Second)}, at(2 * time.Second)},
		"our turn":                    {handshake{began: began, last: at(time.Second), ours: true}, at(4 * time.Second)},
		"the page's, at the very end": {handshake{began: began, last: at(4500 * time.Millisecond)}, at(5 * time.Second)},
		"ours, near the end":          {handshake{began: began, last: at(3 * time.Second), ours: true}, at(5 * time.Second)},
	} {
		if got := c.h.yields(); !got.Equal(c.want) {
			t.Errorf("%s: after %v, want %v", name, got.Sub(began), c.want.Sub(began))
		}
	}
}

// Of several handshakes that must yield, the one yields that was due first. A handshake does not
// yield to a connection of its own site. The next look is at the next time when one is due.
func TestWhoGivesItsPlaceUpFirst(t *testing.T) {
	t0 := time.Unix(100, 0)
	at := func(d time.Duration) time.Time { return t0.Add(d) }
	conn := func(site byte, last time.Duration, ours bool) *Conn {
		return &Conn{site: netip.AddrFrom4([4]byte{10, 0, 0, site}), handshake: &handshake{began: t0, last: at(last), ours: ours}}
	}
	late, early, ours := conn(1, 200*time.Millisecond, false), conn(2, 100*time.Millisecond, false), conn(3, 0, true)
	p := places{most: 3}
	for _, c := range []*Conn{late, early, ours} {
		p.add(c)
	}
	look := func(after time.Duration, busy bool, want *Conn, next time.Duration) {
		t.Helper()
		if got := p.mustYield(at(after), busy); got != want {
			t.Errorf("after %v %+v must yield, want %+v", after, got, want)
		}
		if want == nil && !(p.yieldAt.IsZero() && next == 0) && !p.yieldAt.Equal(at(next)) {
			t.Errorf("after %v the next look is after %v, want %v", after, p.yieldAt.Sub(t0), next)
		}
	}
	look(2*time.Second, false, nil, 0) // nobody waits
	p.yieldsBy(at(0))
	if !p.yieldAt.IsZero() {
		t.Error("there is a deadline though no connection waits")
	}
	waits := conn(9, 0, false)
	p.wait(waits)
	if !p.yieldAt.Equal(at(1100 * time.Millisecond)) {
		t.Errorf("the first deadline is after %v, want 1.1 s", p.yieldAt.Sub(t0))
	}
	p.wait(conn(8, 0, false)) // the time stands
	p.yieldsBy(at(1050 * time.Millisecond))
	p.yieldsBy(at(1070 * time.Millisecond))
	if !p.yieldAt.Equal(at(1050 * time.Millisecond)) {
		t.Errorf("the first deadline is after %v, want 1.05 s", p.yieldAt.Sub(t0))
	}
	look(1099*time.Millisecond, false, nil, 1199*time.Millisecond) // a tenth of a second later at the earliest
	look(900*time.Millisecond, false, nil, 1100*time.Millisecond)
	look(1100*time.Millisecond, false, early, 0)
	look(1300*time.Millisecond, false, early, 0)
	p.remove(late)
	p.add(late)
	look(1300*time.Millisecond, false, early, 0) // whichever began first
	p.remove(early)
	p.add(conn(2, 1300*time.Millisecond, false))
	look(1300*time.Millisecond, true, late, 0)
	p.remove(late)
	look(3*time.Second, true, p.taken[1], 0)
	p.remove(p.taken[1])
	look(3*time.Second, true, nil, 3100*time.Millisecond) // it waits for its turn to compute
	look(3*time.Second, false, ours, 0)

	// A crowd behind one address waits for itself.
	crowd := places{most: 1}
	crowd.add(conn(1, 0, false))
	crowd.wait(conn(1, 0, false))
	p = crowd
	look(2*time.Second, false, nil, 2100*time.Millisecond)
}

// Connections leave the queue of a site in any order, and a site without a queue is forgotten.
func TestWaitingLinesAreLeftInAnyOrder(t *testing.T) {
	conn := func(site byte) *Conn { return &Conn{site: netip.AddrFrom4([4]byte{10, 0, 0, site})} }
	p := places{most: 2}
	a, b, c, other := conn(1), conn(1), conn(1), conn(2)
	for _, w := range []*Conn{a, b, c, other} {
		p.wait(w)
	}
	p.remove(b)
	p.remove(b)
	p.remove(conn(3))
	var order []*Conn
	for w := p.next(); w != nil; w = p.next() {
		order = append(order, w)
	}
	if len(order) != 3 || order[0] != a || order[1] != other || order[2] != c {
		t.Errorf("%v", order)
	}
	if len(p.waiting) != 0 || len(slices.Concat(p.orders[:]...)) != 0 || p.next() != nil {
		t.Errorf("%d sites are stored, want 0", len(p.waiting))
	}
}
