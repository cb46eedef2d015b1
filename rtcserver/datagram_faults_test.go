package rtcserver

import (
	"bytes"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// Each datagram of a connect, in turn, is dropped, doubled, doubled later, or
// changes places with the next one of its direction.
var damages = map[string]func(w *world, p *netsim.Packet) (passes bool, later func()){
	"dropped": func(*world, *netsim.Packet) (bool, func()) { return false, nil },
	"doubled": func(w *world, p *netsim.Packet) (bool, func()) {
		w.network.Inject(p.From, p.To, p.Payload)
		return true, nil
	},
	"doubled later": func(w *world, p *netsim.Packet) (bool, func()) {
		from, to, b := p.From, p.To, bytes.Clone(p.Payload)
		time.AfterFunc(300*time.Millisecond, func() { w.network.Inject(from, to, b) })
		return true, nil
	},
	"swapped": func(w *world, p *netsim.Packet) (bool, func()) {
		from, to, b := p.From, p.To, bytes.Clone(p.Payload)
		return false, func() { w.network.Inject(from, to, b) }
	},
}

func TestConnectsWhateverHappensToOneDatagram(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			for _, setup := range roles {
				for nth := range 40 {
					inWorld(t, Config{}, func(w *world) {
						n := 0
						var later func()
						var direction bool
						w.network.SetTap(func(p *netsim.Packet) (passes bool) {
							up := p.To == serverAddr
							if n++; n == nth+1 {
								passes, later = damage(w, p)
								direction = up
								return passes
							}
							if later != nil && up == direction {
								// This one goes first.
								w.network.Inject(p.From, p.To, p.Payload)
								later()
								later = nil
								return false
							}
							return true
						})
						p := w.newPage(client.Config{})
						begin := time.Now()
						if err := p.connect(testkit.Replace("a=setup:actpass", setup)); err != nil {
							w.t.Fatalf("datagram %d is damaged, %s: %v", nth, setup, err)
						}
						if d := time.Since(begin); d > time.Second {
							w.t.Errorf("datagram %d is damaged, %s: connected after %v, want at most 1 s", nth, setup, d)
						}
						w.network.SetTap(nil)
						p.echoes("it works")
					})
				}
			}
		})
	}
}

// Firefox may check once and not again for 5 s. That check pays for three ClientHellos,
// so two of them may be lost.
func TestOneCheckPaysForThreeHellos(t *testing.T) {
	for _, from := range []netip.AddrPort{attackerAddr, netip.MustParseAddrPort("[2001:db8::66]:6666")} {
		inWorld(t, Config{}, func(w *world) {
			hellos := 0
			w.network.SetTap(func(p *netsim.Packet) bool {
				if p.From == serverAddr && p.Payload[0] == 22 {
					hellos++
				}
				return true
			})
			w.offer("").check(from, "")
			time.Sleep(4 * time.Second)
			synctest.Wait()
			if hellos != 3 {
				t.Errorf("%d ClientHellos went to %v, want 3", hellos, from)
			}
		})
	}
}

// An observer replays a nominating check of the page from another address, ten times a second,
// while both sides send.
func TestReplayedChecksRedirectNothing(t *testing.T) {
	inBothRoles(t, Config{}, func(w *world, setup string) {
		p, o := w.openKnown(setup)
		l := w.ledger()
		replayed := o.request("", true)
		lost := 0
		for i := range 600 {
			if i%6 == 0 {
				l.inject(attackerAddr, replayed)
			}
			p.send("x")
			synctest.Wait()
			if len(p.events) != 1 {
				lost++
			}
			for len(p.events) > 0 {
				<-p.events
			}
			time.Sleep(16 * time.Millisecond)
		}
		if lost > 0 {
			t.Errorf("%d of 600 echoes are lost, want 0", lost)
		}
		l.want("the replayer", attackerAddr, 1) // the answers to its checks
	})
}

// An observer does the same for two minutes while both sides are idle: the selection is on trial
// once, for a second.
func TestReplayedChecksRedirectAnIdlePageForASecond(t *testing.T) {
	inBothRoles(t, Config{}, func(w *world, setup string) {
		p, o := w.openKnown(setup)
		replayed := o.request("", true)
		time.Sleep(5 * time.Second)
		away := 0
		for range 1200 {
			w.network.Inject(attackerAddr, serverAddr, replayed)
			synctest.Wait()
			if o.conn.RemoteAddr() != p.addr() {
				away++
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Logf("redirected for %d ms of 120,000", away*100)
		if away > 11 {
			t.Errorf("redirected for %d ms, want at most 1100 ms", away*100)
		}
		p.echoes("it lives")
	})
}

// An idle page that moves is asked at its new address, and not left there.
func TestIdlePageProvesItsNewAddress(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, o := w.openKnown("a=setup:actpass")
		time.Sleep(10 * time.Second)
		if err := p.socket.Rebind(victimAddr); err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if got := o.conn.RemoteAddr(); got != victimAddr {
			t.Errorf("the page is known at %v, want %v", got, victimAddr)
		}
		// A proved address may be sent more than three times what came from there.
		for range 20 {
			if err := o.conn.Send(0, Binary, make([]byte, MaxMessage)); err != nil {
				w.t.Fatal(err)
			}
		}
	})
}
