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
