package rtcserver

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/netsim"
)

// An observer has a connection and can send from the page's address: checks, and records under
// the observer's keys, so that both connections have the address. The page keeps the address and
// loses nothing; the observer's records count for the observer's connection.
func TestAnObserverWithAConnectionDoesNotCutAPageOff(t *testing.T) {
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	inWorld(t, Config{Settings: Settings{KeyLog: tap}}, func(w *world) {
		w.network.SetTap(tap.see)
		victim := w.open()
		victim.echoes("the page talks")
		observer := w.control(tap)
		second := w.control(tap)
		for _, h := range []*controlledPage{observer, second} {
			h.inject = func(b []byte) { w.network.Inject(victim.addr(), serverAddr, b) }
		}
		before := w.server.Stats()
		w.forget()
		for len(victim.events) > 0 {
			<-victim.events
		}
		const echoes = 600
		for i := range echoes {
			for _, h := range []*controlledPage{observer, second} {
				h.inject(h.offered.request("", true))
				h.packet(data(7, h.tsn, 3, 0, 51, []byte("not the page")))
				h.tsn++
			}
			victim.send("ping")
			time.Sleep(time.Second / 60)
			if i%60 == 0 {
				synctest.Wait()
				w.forget()
			}
		}
		time.Sleep(time.Second)
		if n := len(victim.events); n != echoes {
			t.Errorf("%d of %d echoes have reached the page", n, echoes)
		}
		st := w.server.Stats()
		t.Logf("%d datagrams were tried under the other's keys", st.Contested-before.Contested)
		if n := observer.offered.conn.Stats().MessagesIn; n < echoes/2 && second.offered.conn.Stats().MessagesIn < echoes/2 {
			t.Errorf("%d of the observer's own messages have arrived, want %d at least", n, echoes/2)
		}
		for c := range w.server.Conns() {
			if c.RemoteAddr() == victim.addr() && c.Stats().MessagesIn != echoes+1 {
				t.Logf("a connection at the page's address has %d messages", c.Stats().MessagesIn)
			}
		}
	})
}

// An observer with several connections does not cut off a page that sends little.
func TestAnObserverWithConnectionsDoesNotCutAQuietPageOff(t *testing.T) {
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	inWorld(t, Config{Settings: Settings{KeyLog: tap}}, func(w *world) {
		w.network.SetTap(tap.see)
		victim := w.open()
		victim.echoes("the page talks")
		var observers []*controlledPage
		for range 3 {
			h := w.control(tap)
			h.inject = func(b []byte) { w.network.Inject(victim.addr(), serverAddr, b) }
			observers = append(observers, h)
		}
		speak := func(h *controlledPage) {
			h.inject(h.offered.request("", true))
			h.packet(data(7, h.tsn, 3, 0, 51, []byte("not the page")))
			h.tsn++
			synctest.Wait()
			w.forget()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(5 * time.Second)
		for i := range 3000 {
			switch {
			case i < 300 || i >= 1200:
				speak(observers[0])
				speak(observers[1])
			case i >= 900: // those two were silent
				speak(observers[2])
			}
			time.Sleep(10 * time.Millisecond)
		}
		for len(victim.events) > 0 {
			<-victim.events
		}
		const echoes = 100
		for range echoes {
			speak(observers[0])
			speak(observers[1])
			speak(observers[2])
			victim.send("ping")
			time.Sleep(100 * time.Millisecond)
			w.forget()
		}
		time.Sleep(time.Second)
		if n := len(victim.events); n != echoes {
			t.Errorf("%d of %d echoes have reached the page", n, echoes)
		}
	})
}

// The page loses nothing when the connection that claims its address ends, whose own address is
// contested, too.
func TestAPageOutlivesWhoClaimsItsAddress(t *testing.T) {
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	inWorld(t, Config{Settings: Settings{KeyLog: tap}}, func(w *world) {
		w.network.SetTap(tap.see)
		victim := w.open()
		victim.echoes("the page talks")
		observer, third := w.control(tap), w.control(tap)
		take := func(h *controlledPage, a netip.AddrPort) {
			h.inject = func(b []byte) { w.network.Inject(a, serverAddr, b) }
			h.inject(h.offered.request("", true))
			h.packet(data(7, h.tsn, 3, 0, 51, []byte("not the page")))
			h.inject(h.offered.request("", true))
			h.tsn++
			synctest.Wait()
			w.forget()
		}
		time.Sleep(5 * time.Second)
		take(observer, victim.addr())
		take(third, observer.addr())
		take(third, observer.addr())
		sh := w.server.shards[0]
		sh.loop.Lock()
		there := slices.Contains(sh.claimants[victim.addr()], observer.offered.conn)
		sh.loop.Unlock()
		if !there {
			t.Fatal("the observer does not claim the address, and the test tests nothing")
		}
		for len(victim.events) > 0 {
			<-victim.events
		}
		const echoes = 250
		for i := range echoes {
			if i == 50 {
				observer.offered.conn.Close("")
			}
			victim.send("ping")
			time.Sleep(10 * time.Millisecond)
			w.forget()
		}
		time.Sleep(time.Second)
		if n := len(victim.events); n != echoes {
			t.Errorf("%d of %d echoes have reached the page", n, echoes)
		}
	})
}

// Two connections of one page that pass addresses to each other, one as the rival of the other,
// have no more addresses than other connections: the tables are bounded.
func TestInheritedAddressesAreBounded(t *testing.T) {
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	inWorld(t, Config{Settings: Settings{KeyLog: tap}}, func(w *world) {
		w.network.SetTap(tap.see)
		owner, heir := w.control(tap), w.control(tap)
		from := func(h *controlledPage, i int) {
			a := netip.AddrPortFrom(attackerAddr.Addr(), uint16(1000+i))
			h.inject = func(b []byte) { w.network.Inject(a, serverAddr, b) }
			h.inject(h.offered.request("", false))
			h.packet(data(7, h.tsn, 3, 0, 51, []byte("here")))
			h.tsn++
			synctest.Wait()
			w.forget()
		}
		inherited := 0
		for i := range 1000 {
			from(owner, i)
			if i%33 == 32 { // it has used all places of its list, and forgets most
				for j := range 28 {
					from(heir, i-28+j)
				}
			}
			inherited = max(inherited, len(heir.offered.conn.addrs))
		}
		if n := len(w.server.shards[0].byAddr); inherited > 100 || n > 200 || inherited < 30 {
			t.Errorf("one connection has inherited %d addresses, want 30 to 100; %d are in the table, want at most 200", inherited, n)
		}
	})
}

// A page has moved, and needs a round trip to prove its new address. Before that, an observer
// who has seen the page's check sends checks and records from the new address, of all sessions
// of the observer. The offers of these sessions came from other hosts, or from the host of the
// new address.
func TestAnObserverDoesNotCutAPageOffThatMoves(t *testing.T) {
	for _, o := range []observer{{1, false, true}, {2, false, true}, {8, false, true}, {4, true, false}, {8, true, true}} {
		tap := newWiretap()
		inWorld(t, Config{Settings: Settings{KeyLog: tap}}, func(w *world) {
			w.network.SetTap(tap.see)
			victim := w.open()
			victim.echoes("the page talks")
			old, moved := victim.addr(), netip.MustParseAddrPort("198.51.100.77:4444")
			speak := w.speakers(tap, o, moved)
			w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
			seen := false
			w.network.SetTap(func(p *netsim.Packet) bool {
				switch {
				case p.From == old && p.To == serverAddr:
					w.network.Inject(moved, serverAddr, slices.Clone(p.Payload))
					if !seen && icelite.IsSTUN(p.Payload) { // its first check from there
						seen = true
						speak()
					}
					return false
				case p.From == serverAddr && p.To == moved:
					w.network.Inject(serverAddr, old, slices.Clone(p.Payload))
					return false
				}
				return true
			})
			for i := range 600 { // nothing arrives before the page's next check
				if seen && i%60 == 0 {
					speak()
				}
				victim.send("ping")
				time.Sleep(time.Second / 60)
				w.forget()
			}
			for len(victim.events) > 0 {
				<-victim.events
			}
			const echoes = 300
			for i := range echoes {
				if i%30 == 0 {
					speak()
				}
				victim.send("ping")
				time.Sleep(time.Second / 60)
				synctest.Wait()
				w.forget()
			}
			time.Sleep(time.Second)
			if n := len(victim.events); n != echoes {
				t.Errorf("%d of %d echoes have reached the page, with the other sessions of %+v", n, echoes, o)
			}
		})
	}
}

// A native client has one port for all connections. It connects again while other sessions send
// from its address. The offers of these sessions came from other hosts or from the client's
// host; in the latter case the client's offer came from another host.
func TestAClientConnectsWhereOthersSpeak(t *testing.T) {
	for _, o := range []observer{{1, false, true}, {2, false, true}, {8, false, true}, {4, true, false}, {8, true, true}} {
		tap := newWiretap()
		inWorld(t, Config{Settings: Settings{KeyLog: tap}}, func(w *world) {
			w.network.SetTap(tap.see)
			victim := w.open()
			speak := w.speakers(tap, o, victim.addr())
			victim.conn.Close()
			done := make(chan struct{})
			go func() {
				for {
					select {
					case <-done:
						return
					case <-time.After(time.Second):
						speak()
						synctest.Wait()
						w.forget()
					}
				}
			}()
			time.Sleep(40 * time.Second)
			for i := range 5 {
				from := victim.addr().Addr()
				if o.home {
					from = netip.MustParseAddr("203.0.113.50")
				}
				var err error
				victim.conn, err = victim.Connect(w.t.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
					return w.signal(from, string(offer))
				}, nil)
				if err != nil {
					t.Errorf("attempt %d, with the other sessions of %+v: %v", i, o, err)
					continue
				}
				victim.conn.Close()
				time.Sleep(10 * time.Second)
			}
			close(done)
			time.Sleep(2 * time.Second)
		})
	}
}

// An observer has sessions, and sends checks of them from an address that is not theirs.
type observer struct {
	sessions int
	home     bool // the offers came from the host of that address, and nobody else's did
	records  bool // it sends records, too
}

// speakers makes the sessions of an observer. The func sends a check of each from an address.
func (w *world) speakers(tap *wiretap, o observer, from netip.AddrPort) (speak func()) {
	var all []*controlledPage
	for range o.sessions {
		h := w.control(tap)
		h.inject = func(b []byte) { w.network.Inject(from, serverAddr, b) }
		all = append(all, h)
	}
	if o.home {
		w.cameFrom(from.Addr(), all)
	}
	return func() {
		for _, h := range all {
			h.inject(h.offered.request("", true))
			if o.records {
				h.packet(data(7, h.tsn, 3, 0, 51, []byte("not the page")))
				h.tsn++
			}
		}
	}
}

// cameFrom makes it so that the offers of these sessions came from an address.
func (w *world) cameFrom(a netip.Addr, all []*controlledPage) {
	s := w.server.shards[0]
	s.loop.Lock()
	defer s.loop.Unlock()
	w.server.registry.mu.Lock()
	defer w.server.registry.mu.Unlock()
	for _, h := range all {
		c := h.offered.conn
		w.server.registry.perIP[c.site]--
		c.site = site(a)
		w.server.registry.perIP[c.site]++
	}
}
