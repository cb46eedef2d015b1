package rtcserver

import (
	"crypto/rand"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// What the server sends to an address, in bytes of UDP payload, against what
// it got from there: no more than that without a valid check, and no more than
// three times that until the address is proved (DTLS that answers ours).

// An account counts the bytes from and to one address.
type account struct{ in, out int }

// ledger keeps accounts of all addresses.
type ledger struct {
	w  *world
	of map[netip.AddrPort]*account
}

func (w *world) ledger() *ledger {
	l := &ledger{w, make(map[netip.AddrPort]*account)}
	w.network.SetTap(func(p *netsim.Packet) bool {
		if p.From == serverAddr {
			l.at(p.To).out += len(p.Payload)
		} else {
			l.at(p.From).in += len(p.Payload)
		}
		return true
	})
	return l
}

func (l *ledger) at(a netip.AddrPort) *account {
	if l.of[a] == nil {
		l.of[a] = new(account)
	}
	return l.of[a]
}

// inject sends a datagram from an address that need not be anybody's.
func (l *ledger) inject(from netip.AddrPort, b []byte) {
	synctest.Wait() // the tap writes the ledger too
	l.at(from).in += len(b)
	l.w.network.Inject(from, serverAddr, b)
}

// want checks that the bytes to an address are at most factor times the bytes from it.
func (l *ledger) want(what string, a netip.AddrPort, factor float64) {
	l.w.t.Helper()
	synctest.Wait()
	c := *l.at(a)
	l.w.t.Logf("%s: %d bytes in, %d out: %.2f", what, c.in, c.out, float64(c.out)/float64(max(c.in, 1)))
	if float64(c.out) > factor*float64(c.in) {
		l.w.t.Errorf("%s: more than %.1f", what, factor)
	}
}

// during calls f every interval, for half a minute.
func during(interval time.Duration, f func()) {
	for end := time.Now().Add(time.Duration(count(30, 60)) * time.Second); time.Now().Before(end); {
		f()
		time.Sleep(interval)
	}
}

var roles = map[string]string{"active": "a=setup:actpass", "passive": insistsOnActive}

func inBothRoles(t *testing.T, c Config, test func(w *world, setup string)) {
	for name, setup := range roles {
		t.Run(name, func(t *testing.T) { inWorld(t, c, func(w *world) { test(w, setup) }) })
	}
}

func TestNothingLeavesWithoutAValidCheck(t *testing.T) {
	inBothRoles(t, Config{}, func(w *world, setup string) {
		l := w.ledger()
		o := w.offer(setup)
		hello := record(22, 0, 0, append([]byte{1, 0, 0, 200, 0, 0, 0, 0, 0, 0, 0, 200}, make([]byte, 200)...))
		during(100*time.Millisecond, func() {
			l.inject(attackerAddr, o.request("not the password of anybody", true))
			l.inject(attackerAddr, checkFor("unknownfrag1:abcd", o.pwd, true))
			l.inject(attackerAddr, checkFor(o.ours+":"+"someone", o.pwd, true))
			l.inject(attackerAddr, hello)
			l.inject(attackerAddr, record(23, 1, 1, make([]byte, 100)))
		})
		l.want("no valid check", attackerAddr, 0)
	})
}

// A refused check gets an answer only if its sender knows the password.
func TestRefusalsAreNoLongerThanRequests(t *testing.T) {
	inBothRoles(t, Config{}, func(w *world, setup string) {
		l := w.ledger()
		o := w.offer(setup)
		conflict := signedCheck(o.ours+":"+o.theirs, o.pwd, attribute16{0x8029, 8}) // ICE-CONTROLLED
		unknown := signedCheck(o.ours+":"+o.theirs, o.pwd, attribute16{0x7f01, 0}, attribute16{0x7f02, 0}, attribute16{0x7f03, 0})
		during(100*time.Millisecond, func() {
			l.inject(attackerAddr, conflict)
			l.inject(victimAddr, unknown)
		})
		l.want("role conflict", attackerAddr, 1)
		l.want("unknown attributes", victimAddr, 1)
		if l.at(attackerAddr).out == 0 || l.at(victimAddr).out == 0 {
			t.Error("no refusal was answered: the test tests nothing")
		}
	})
}

// The source address of every check is a victim's, which sends nothing.
func TestChecksAloneDrawThreeTimesTheirBytesAtMost(t *testing.T) {
	for _, interval := range []time.Duration{5 * time.Millisecond, 50 * time.Millisecond, 2500 * time.Millisecond} {
		inBothRoles(t, Config{}, func(w *world, setup string) {
			l := w.ledger()
			o := w.offer(setup)
			during(interval, func() { l.inject(victimAddr, o.request("", true)) })
			l.want("a check every "+interval.String(), victimAddr, 3)
		})
	}
}

// Handshake datagrams from the victim's address answer nothing of ours: a
// ClientHello, fragments, noise in handshake records.
func TestAHandshakeThatProvesNothing(t *testing.T) {
	inBothRoles(t, Config{}, func(w *world, setup string) {
		hello := w.recordHello()
		l := w.ledger()
		o := w.offer(setup)
		number := uint64(1)
		during(200*time.Millisecond, func() {
			l.inject(victimAddr, o.request("", true))
			l.inject(victimAddr, hello)
			noise := make([]byte, 60)
			rand.Read(noise)
			l.inject(victimAddr, record(22, 0, number, noise))
			number++
		})
		l.want("spoofed handshake", victimAddr, 3)
		if n := w.server.Stats().RolesYielded; (n == 1) != (setup == roles["active"]) {
			t.Errorf("%d roles yielded to the spoofed ClientHello with %s", n, setup)
		}
	})
}

// recordHello returns the ClientHello of a page.
func (w *world) recordHello() (hello []byte) {
	w.t.Helper()
	w.network.SetTap(func(p *netsim.Packet) bool {
		if p.To == serverAddr && hello == nil && len(p.Payload) > 13 && p.Payload[0] == 22 && p.Payload[13] == 1 {
			hello = append(hello, p.Payload...)
		}
		return true
	})
	p := w.newPage(client.Config{})
	if err := p.connect(passive); err != nil {
		w.t.Fatal(err)
	}
	p.Close()
	time.Sleep(5 * time.Second)
	return hello
}

// A page that falls silent after each of its first datagrams, in turn.
func TestAPageThatFallsSilent(t *testing.T) {
	for silentAfter := range 12 {
		inBothRoles(t, Config{}, func(w *world, setup string) {
			p := w.newPage(client.Config{AnswerTimeout: time.Second, HandshakeTimeout: time.Second})
			var known atomic.Pointer[Conn]
			var in, out, sent int
			w.network.SetTap(func(packet *netsim.Packet) bool {
				if packet.From != serverAddr {
					if sent++; sent > silentAfter {
						return false
					}
					in += len(packet.Payload)
					return true
				}
				out += len(packet.Payload)
				// The tap runs under the shard's lock.
				if conn := known.Load(); conn != nil && conn.peer.State() < peer.Keyed && out > 3*in {
					t.Errorf("silent after %d datagrams: %d bytes in, %d out in state %d, want at most three times as many", silentAfter, in, out, conn.peer.State())
				}
				return true
			})
			edit := testkit.Replace("a=setup:actpass", setup)
			go p.connect(func(offer string) string { return edit(offer) })
			time.Sleep(time.Millisecond)
			for c := range w.server.allConns() {
				known.Store(c)
			}
			time.Sleep(40 * time.Second)
		})
	}
}

// allConns yields all connections that have a home, open or not.
func (s *Server) allConns() map[*Conn]struct{} {
	all := make(map[*Conn]struct{})
	for _, sh := range s.shards {
		sh.loop.Lock()
		for c := range sh.conns {
			all[c] = struct{}{}
		}
		sh.loop.Unlock()
	}
	return all
}

// A live connection under load whose check is spoofed or replayed from a victim's
// address, again and again.
func TestAMoveToAVictimDrawsThreeTimesItsBytesAtMost(t *testing.T) {
	for name, alive := range map[string]bool{"the page goes on": true, "the page is gone": false} {
		t.Run(name, func(t *testing.T) {
			inBothRoles(t, Config{}, func(w *world, setup string) {
				p, o := w.openKnown(setup)
				l := w.ledger()
				if !alive {
					w.network.BlackoutFor(p.addr().Addr(), serverAddr.Addr(), time.Hour)
				}
				replayed := o.request("", true)
				n := 0
				during(16*time.Millisecond, func() {
					if n++; n%30 == 0 {
						l.inject(victimAddr, o.request("", true))
						l.inject(attackerAddr, replayed)
					}
					for c := range w.server.Conns() {
						c.Send(0, Binary, make([]byte, 1000))
					}
				})
				l.want("new checks", victimAddr, 3)
				l.want("one check, replayed", attackerAddr, 3)
			})
		})
	}
}

// openKnown opens a page whose secrets the attacker knows.
func (w *world) openKnown(setup string) (*page, *offered) {
	w.t.Helper()
	p := w.newPage(client.Config{})
	var offer string
	err := p.connect(func(text string) string {
		offer = testkit.Replace("a=setup:actpass", setup)(text)
		return offer
	})
	if err != nil {
		w.t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	o := &offered{w: w, theirs: testkit.Attribute(offer, "ice-ufrag")}
	for c := range w.server.Conns() {
		if c.RemoteAddr() == p.addr() {
			o.conn, o.ours = c, c.ufrag
			o.pwd = w.passwords[c.ufrag]
		}
	}
	if o.pwd == "" {
		w.t.Fatal("the attacker does not have the password: the test tests nothing")
	}
	return p, o
}
