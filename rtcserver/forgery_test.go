package rtcserver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
)

// Records of every type and of epochs 0, 1 and 2, with every kind of body,
// from the addresses of live pages. Long form: a million.
func TestForgedRecordsCloseNoSession(t *testing.T) {
	total := count(20_000, 1_000_000)
	inWorld(t, Config{}, func(w *world) {
		var pages []*page
		for range 100 {
			pages = append(pages, w.open())
		}
		synctest.Wait()
		w.forget()
		rng := rand.New(rand.NewPCG(1, 2))
		before := testkit.HeapNow()
		for i := range total {
			w.network.Inject(pages[i%len(pages)].addr(), serverAddr, forgedRecord(rng, i/len(pages)))
			if i%len(pages) == 0 {
				synctest.Wait() // or the socket's buffer overflows
			}
		}
		synctest.Wait()
		grown := testkit.HeapNow() - before
		t.Logf("%d forged records: the heap grew by %d bytes", total, grown)
		if grown > 8<<20 {
			t.Errorf("the heap has grown by %d bytes, want at most 8 MiB", grown)
		}
		w.wantQuiet("nothing came out of forgeries")
		for _, p := range pages {
			p.echoes("the session lives")
		}
		if st := w.server.Stats(); st.Conns != 100 || st.HandshakesFailed != 0 || st.DatagramsIn < uint64(total) {
			t.Errorf("%+v, want 100 connections, no failed handshake, and %d datagrams in at least", st, total)
		}
	})
}

// forgedRecord is the nth: every type × epoch, then other bodies and numbers.
func forgedRecord(rng *rand.Rand, n int) []byte {
	kind, epoch := byte(20+n%44), uint16(n/44%3)
	number := uint64(n)
	switch rng.IntN(4) {
	case 0:
		number = 1<<48 - 1
	case 1:
		number = 0
	}
	var body []byte
	switch rng.IntN(6) {
	case 0:
		body = []byte{2, 0} // a fatal close_notify
	case 1:
		body = []byte{1, 0}
	case 2:
		body = []byte{1} // ChangeCipherSpec
	case 3: // ClientHello
		body = append([]byte{1, 0, 0, 40, 0, 0, 0, 0, 0, 0, 0, 40, 0xfe, 0xfd}, make([]byte, 38)...)
	default:
		body = make([]byte, rng.IntN(200))
		for i := range body {
			body[i] = byte(rng.Uint32())
		}
	}
	b := record(kind, epoch, number, body)
	if rng.IntN(10) == 0 {
		binary.BigEndian.PutUint16(b[11:], uint16(rng.Uint32())) // a length that is not so
	}
	return b
}

// Stages of a connection that a stranger's datagrams may meet.
var stages = []string{"fresh", "handshaking", "live"}

// at brings a connection of the given role to a stage and returns its address.
func (w *world) at(stage, setup string) netip.AddrPort {
	switch stage {
	case "fresh":
		w.offer(setup)
		return attackerAddr
	case "handshaking":
		w.offer(setup).check(attackerAddr, "")
		return attackerAddr
	}
	p, _ := w.openKnown(setup)
	p.echoes("it lives")
	return p.addr()
}

// Every length, with first bytes of everything there is. The page's own
// address sends them, so they come as far as a stranger's can. Long form: every
// length; short: every seventh.
func TestRandomDatagramsGetNoAnswer(t *testing.T) {
	first := []byte{0, 1, 2, 3, 4, 19, 20, 21, 22, 23, 24, 25, 26, 63, 64, 127, 128, 191, 192, 255}
	step := count(7, 1)
	for _, stage := range stages {
		inBothRoles(t, Config{Settings: Settings{HandshakeTimeout: time.Minute}}, func(w *world, setup string) {
			from := w.at(stage, setup)
			time.Sleep(4 * time.Second) // flights have been repeated to their end
			synctest.Wait()
			w.forget()
			answers := 0
			rng := rand.New(rand.NewPCG(3, 4))
			begin := time.Now()
			w.network.SetTap(func(p *netsim.Packet) bool {
				if p.From == serverAddr && time.Now().Equal(begin) {
					answers++
				}
				return true
			})
			before := testkit.HeapNow()
			for n := 0; n <= 1500; n += step {
				for _, b0 := range first {
					w.network.Inject(from, serverAddr, noise(rng, n, b0))
				}
				synctest.Wait()
			}
			if grown := testkit.HeapNow() - before; grown > 1<<20 {
				t.Errorf("%s: the heap has grown by %d bytes, want at most 1 MiB", stage, grown)
			}
			// While it shakes hands, what waits to be sent may go as the bytes come in.
			if stage != "handshaking" && answers != 0 || answers > 8 {
				t.Errorf("%s: %d answers, want at most 8 in the handshake and otherwise 0", stage, answers)
			}
			w.wantQuiet("nothing happens")
			if stage == "live" {
				if n := len(w.server.allConns()); n != 1 {
					t.Errorf("%d connections, want 1", n)
				}
			}
		})
	}
}

// noise returns a random datagram; half of the DTLS and of the STUN datagrams have a valid
// header, if they are long enough.
func noise(rng *rand.Rand, n int, first byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	if n == 0 {
		return b
	}
	b[0] = first
	switch {
	case rng.IntN(2) == 0:
	case first < 4 && n >= 20:
		binary.BigEndian.PutUint16(b[2:], uint16(n-20))
		binary.BigEndian.PutUint32(b[4:], 0x2112a442)
	case first >= 20 && n >= 13:
		copy(b[1:], []byte{0xfe, 0xfd, 0, byte(rng.IntN(2)), 0, 0, 0, 0, 0, byte(rng.IntN(100))})
		binary.BigEndian.PutUint16(b[11:], uint16(n-13))
	}
	return b
}

// ClientHellos and noise in handshake records, from other addresses and
// spoofed from the servers of others, while pages connect in both roles. (The
// page's own address is that of the test after this one.)
func TestClientHelloRaceDuringConnects(t *testing.T) {
	connects := 200
	inWorld(t, Config{Settings: Settings{MaxHandshakes: connects}}, func(w *world) {
		hello := w.recordHello()
		w.network.SetTap(nil)
		w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		over := make(chan struct{})
		var attack sync.WaitGroup
		attack.Go(func() {
			for port := uint16(1); ; port++ {
				select {
				case <-over:
					return
				case <-time.After(time.Millisecond):
				}
				w.network.Inject(netip.AddrPortFrom(attackerAddr.Addr(), port), serverAddr, hello)
				// The same host as a page, another port.
				w.network.Inject(netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(port)}), 40001), serverAddr, hello)
			}
		})
		var all sync.WaitGroup
		for i := range connects {
			all.Go(func() {
				p := w.newPage(client.Config{})
				edit := passive
				if i%2 == 0 {
					edit = nil
				}
				begin := time.Now()
				if err := p.connect(edit); err != nil {
					t.Errorf("page %d: %v", i, err)
					return
				}
				if d := time.Since(begin); d > 500*time.Millisecond {
					t.Errorf("page %d connected after %v, want at most 500 ms", i, d)
				}
				p.echoes("it works")
			})
		}
		all.Wait()
		close(over)
		attack.Wait()
		st := w.server.Stats()
		if st.Opened != uint64(connects)+1 || st.HandshakesFailed != 0 || st.Drops[DropUnknownAddr] == 0 {
			t.Errorf("%+v, want %d opened, no failed handshake, and some drops", st, connects+1)
		}
	})
}

// The attacker spoofs the page's address, and knows when the handshake runs. It can make a
// handshake fail, because the first messages are not authenticated. It cannot make a handshake
// succeed, and it leaves no state behind.
func TestForgedHandshakeRecordsFromThePagesAddress(t *testing.T) {
	for name, setup := range roles {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{Settings: Settings{HandshakeTimeout: 5 * time.Second}}, func(w *world) {
				hello := w.recordHello()
				w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
				failed := 0
				for i := range 50 {
					p := w.newPage(client.Config{HandshakeTimeout: 5 * time.Second})
					rng := rand.New(rand.NewPCG(uint64(i), 1))
					w.network.SetTap(func(packet *netsim.Packet) bool {
						if packet.From == p.addr() {
							w.network.Inject(p.addr(), serverAddr, forgedRecord(rng, rng.IntN(132)))
							if i%2 == 0 {
								w.network.Inject(p.addr(), serverAddr, hello)
							}
						}
						return true
					})
					if err := p.connect(testkit.Replace("a=setup:actpass", setup)); err != nil {
						failed++
					} else {
						p.echoes("one that connects works")
					}
					p.Close()
				}
				t.Logf("%d of 50 failed", failed)
				time.Sleep(time.Minute)
				wantNothing(w.t, w.server)
				w.network.SetTap(nil)
				w.open().echoes("the server lives")
			})
		})
	}
}

// Valid checks from ten thousand ports.
func TestFewAddressesAreRemembered(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p, o := w.openKnown("a=setup:actpass")
		before := testkit.HeapNow()
		for i := range 10_000 {
			w.network.Inject(netip.AddrPortFrom(attackerAddr.Addr(), uint16(1000+i)), serverAddr, o.request("", false))
			if i%50 == 0 {
				synctest.Wait()
				p.send("x") // the page's own address is the one that lives
				synctest.Wait()
			}
		}
		synctest.Wait()
		if grown := testkit.HeapNow() - before; grown > 1<<20 {
			t.Errorf("the heap has grown by %d bytes, want at most 1 MiB", grown)
		}
		known := 0
		for i := range 10_000 {
			if o.conn.peer.Knows(netip.AddrPortFrom(attackerAddr.Addr(), uint16(1000+i))) {
				known++
			}
		}
		if known > 32 || len(o.conn.addrs) > 64 || len(w.server.shards[0].byAddr) > 64 {
			t.Errorf("%d paths, want at most 32; %d addresses and %d in the shard's table, want at most 64", known, len(o.conn.addrs), len(w.server.shards[0].byAddr))
		}
		for len(p.events) > 0 {
			<-p.events
		}
		p.echoes("the page is where it was")
	})
}

// Two connections of one page send valid checks in turn, all from one address or from two. The
// address belongs to one connection at a time, and is in no list twice.
func TestAnAddressIsInOneListOnce(t *testing.T) {
	for _, stage := range []string{"waiting", "live"} {
		inWorld(t, Config{}, func(w *world) {
			both := []*offered{w.offer(""), w.offer("")}
			if stage == "live" {
				for i := range both {
					_, both[i] = w.openKnown("a=setup:actpass")
				}
			}
			before := testkit.HeapNow()
			for i := range 1000 {
				other := netip.AddrPortFrom(attackerAddr.Addr(), uint16(1000+i%2))
				for _, o := range both {
					w.network.Inject(attackerAddr, serverAddr, o.request("", false))
					w.network.Inject(other, serverAddr, o.request("", false))
				}
				synctest.Wait()
			}
			if grown := testkit.HeapNow() - before; grown > 64<<10 {
				t.Errorf("%s: the heap has grown by %d bytes, want at most 64 KiB", stage, grown)
			}
			sh := w.server.shards[0]
			listed, stale, known := 0, 0, len(sh.byAddr)
			for _, all := range sh.claimants {
				known += len(all) - 1
			}
			for c := range sh.conns {
				listed += len(c.addrs)
				for _, a := range c.addrs {
					if sh.byAddr[a] != c && !slices.Contains(sh.claimants[a], c) {
						stale++
					}
				}
			}
			if listed != known || len(sh.byAddr) > 5 || known > 8 || stale > 0 {
				t.Errorf("%s: %d addresses are listed, %d claims are known, of %d in the table; %d entries are of others", stage, listed, known, len(sh.byAddr), stale)
			}
		})
	}
}

// The server never asks.
func TestNoStunRequestLeaves(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		asked := 0
		w.network.SetTap(func(p *netsim.Packet) bool {
			if p.From == serverAddr && len(p.Payload) > 1 && p.Payload[0] == 0 {
				asked++
			}
			return true
		})
		p := w.open()
		time.Sleep(time.Minute)
		p.echoes("it lives")
		if asked != 0 {
			t.Errorf("%d requests or indications are sent, want 0", asked)
		}
	})
}

// A hostile page with a session spoofs checks from the address of another page, to get the other
// page's datagrams.
func TestAnAddressIsNotStolen(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		hostile := w.offer("")
		lost := 0
		for i := range 300 {
			if i%3 == 0 {
				hostile.check(p.addr(), "")
			}
			p.send(fmt.Sprint(i))
			synctest.Wait()
			select {
			case <-p.events:
			default:
				lost++
			}
			time.Sleep(100 * time.Millisecond)
		}
		if lost > 0 {
			t.Errorf("%d of 300 echoes are lost, want 0", lost)
		}
	})
}

// A native client that has lost its connection may make another from the same address while the
// server still has the old one.
func TestASecondConnectionFromOneAddressTakesOver(t *testing.T) {
	for name, setup := range roles {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				p := w.open()
				p.echoes("it lives")
				// Its farewell is lost.
				w.network.BlackoutFor(p.addr().Addr(), serverAddr.Addr(), 100*time.Millisecond)
				p.conn.Close()
				time.Sleep(time.Second)
				p.want("the page has closed it", "close: closed by the client")
				time.Sleep(1500 * time.Millisecond)
				begin := time.Now()
				if err := p.connect(testkit.Replace("a=setup:actpass", setup)); err != nil {
					w.t.Fatal(err)
				}
				if d := time.Since(begin); d > 300*time.Millisecond {
					t.Errorf("connected after %v, want at most 300 ms", d)
				}
				for range 20 {
					p.echoes("the new one works")
					time.Sleep(time.Second)
				}
			})
		})
	}
}

// The same, but the datagrams of the page now reach another shard, which puts them into this
// shard's inbox. DTLS from an address that is unknown there is counted.
func TestASecondConnectionTakesOverByTheInbox(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		p.echoes("it lives")
		// Its farewell is lost.
		w.network.BlackoutFor(p.addr().Addr(), serverAddr.Addr(), 2100*time.Millisecond)
		p.conn.Close()
		time.Sleep(2200 * time.Millisecond)
		p.want("the page has closed it", "close: closed by the client")

		if n := w.server.Stats().Conns; n != 1 {
			t.Errorf("%d connections, want the old one", n)
		}
		sh := w.server.shards[0]
		left := make(chan *udpio.Datagram, 100)
		defer close(left)
		go func() {
			for d := range left {
				sh.loop.Lock()
				sh.addToInbox(d, false)
				sh.loop.Unlock()
			}
		}()
		w.network.SetTap(func(packet *netsim.Packet) bool {
			if packet.To == serverAddr {
				left <- &udpio.Datagram{B: bytes.Clone(packet.Payload), Remote: packet.From, Local: serverAddr.Addr()}
			}
			return packet.To != serverAddr
		})
		begin := time.Now()
		if err := p.connect(nil); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(begin); d > 300*time.Millisecond {
			t.Errorf("connected after %v, want at most 300 ms", d)
		}
		p.echoes("the new one works")
		w.network.SetTap(nil)
		before := w.server.Stats().Drops[DropUnknownAddr]
		left <- &udpio.Datagram{B: record(23, 1, 1, make([]byte, 40)), Remote: attackerAddr, Local: serverAddr.Addr()}
		synctest.Wait()
		if n := w.server.Stats().Drops[DropUnknownAddr] - before; n != 1 {
			t.Errorf("%d drops are counted, want 1", n)
		}
	})
}
