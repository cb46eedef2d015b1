package rtcserver

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// An observer has a connection of his own and can send from the page's address: checks,
// and records under his own keys, so that both hold the address. The page keeps it, and
// loses nothing; what the observer sends is taken for his own.
func TestAnObserverWithAConnectionDoesNotCutAPageOff(t *testing.T) {
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	inWorld(t, Config{KeyLog: tap}, func(w *world) {
		w.network.SetTap(tap.see)
		victim := w.open()
		victim.echoes("the page talks")
		observer := w.possess(tap)
		second := w.possess(tap)
		for _, h := range []*possessed{observer, second} {
			h.inject = func(b []byte) { w.network.Inject(victim.addr(), serverAddr, b) }
		}
		before := w.server.Stats()
		w.forget()
		for len(victim.events) > 0 {
			<-victim.events
		}
		const echoes = 600
		for i := range echoes {
			for _, h := range []*possessed{observer, second} {
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
			t.Errorf("%d of %d echoes reached the page", n, echoes)
		}
		st := w.server.Stats()
		t.Logf("%d datagrams were tried under the other's keys", st.Contested-before.Contested)
		if n := observer.offered.conn.Stats().MessagesIn; n < echoes/2 && second.offered.conn.Stats().MessagesIn < echoes/2 {
			t.Errorf("%d of the observer's own messages arrived", n)
		}
		for c := range w.server.Conns() {
			if c.RemoteAddr() == victim.addr() && c.Stats().MessagesIn != echoes+1 {
				t.Logf("a connection at the page's address has %d messages", c.Stats().MessagesIn)
			}
		}
	})
}

// Neither does one with several connections, to whom a page that says little leaves the
// address for a while: the page is the rival then, and stays it as long as it lives.
func TestAnObserverWithConnectionsDoesNotCutAQuietPageOff(t *testing.T) {
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	inWorld(t, Config{KeyLog: tap}, func(w *world) {
		w.network.SetTap(tap.see)
		victim := w.open()
		victim.echoes("the page talks")
		var observers []*possessed
		for range 3 {
			h := w.possess(tap)
			h.inject = func(b []byte) { w.network.Inject(victim.addr(), serverAddr, b) }
			observers = append(observers, h)
		}
		speak := func(h *possessed) {
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
			t.Errorf("%d of %d echoes reached the page", n, echoes)
		}
	})
}

// When the one that took the address ends, or its own address is contested too, the page
// loses nothing either.
func TestAPageOutlivesWhoTookItsAddress(t *testing.T) {
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	inWorld(t, Config{KeyLog: tap}, func(w *world) {
		w.network.SetTap(tap.see)
		victim := w.open()
		victim.echoes("the page talks")
		observer, third := w.possess(tap), w.possess(tap)
		take := func(h *possessed, a netip.AddrPort) {
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
		sh.mu.Lock()
		if sh.byAddr[victim.addr()] != observer.offered.conn {
			t.Fatal("the observer has not got the address, and the test tests nothing")
		}
		sh.mu.Unlock()
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
			t.Errorf("%d of %d echoes reached the page", n, echoes)
		}
	})
}

// Two connections of one page that hand addresses on, one as the rival of the other, have
// no more of them than others: the tables are bounded.
func TestInheritedAddressesAreBounded(t *testing.T) {
	tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
	inWorld(t, Config{KeyLog: tap}, func(w *world) {
		w.network.SetTap(tap.see)
		owner, heir := w.possess(tap), w.possess(tap)
		from := func(h *possessed, i int) {
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
			t.Errorf("one has inherited %d addresses, and %d are in the table", inherited, n)
		}
	})
}
