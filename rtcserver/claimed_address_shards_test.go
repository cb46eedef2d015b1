package rtcserver

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
)

// shardAddr is where in memory the datagrams come to that the kernel would give to a
// shard: it is the test that spreads them.
func shardAddr(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(1 + i)}), serverAddr.Port())
}

// inShards is inWorld with n shards.
func inShards(t *testing.T, n int, test func(w *world)) {
	t.Helper()
	inShardsWith(t, n, Config{}, test)
}

// inShardsWith is inShards with a configuration.
func inShardsWith(t *testing.T, n int, c Config, test func(w *world)) {
	t.Helper()
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		w := &world{t: t, network: network, events: make(chan string, 10_000)}
		var sockets []*udpio.Conn
		for i := range n {
			sockets = append(sockets, udpio.New(testkit.Listen(t, network, shardAddr(i))))
		}
		w.serveShards(sockets, c)
		defer w.server.Close()
		test(w)
	})
}

// reach makes the datagrams of an address reach shard i.
func (w *world) reach(a netip.AddrPort, i int) {
	w.network.SetTap(func(p *netsim.Packet) bool {
		if p.From != a || p.To != serverAddr {
			return true
		}
		w.network.Inject(a, shardAddr(i), slices.Clone(p.Payload))
		return false
	})
}

// A page has moved, and its datagrams reach another shard than its home. An
// attacker that has an offer at that shard, or at a third one, and forges checks from the
// page's address, does not take its datagrams.
func TestForgedChecksTakeNothingFromAPageAtAnotherShard(t *testing.T) {
	for name, homes := range map[string][]int{"there": {1}, "at a third": {2}, "everywhere": {0, 1, 2, 3, 1, 2, 3}} {
		t.Run(name, func(t *testing.T) {
			inShards(t, 4, func(w *world) {
				victim := w.open()
				victim.echoes("the page talks")
				w.reach(victim.addr(), 1)
				victim.echoes("it talks to another shard")
				w.forget()
				var forgers []*offered
				for i, home := range homes {
					o := w.offer("")
					own := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}), 6000)
					w.network.Inject(own, shardAddr(home), o.request("", true))
					synctest.Wait()
					if o.conn.shard != w.server.shards[home] {
						t.Fatal("the forger's shard is another one: the test tests nothing")
					}
					forgers = append(forgers, o)
				}
				for len(victim.events) > 0 {
					<-victim.events
				}
				const echoes = 300
				for range echoes {
					for _, o := range forgers {
						w.network.Inject(victim.addr(), shardAddr(1), o.request("", true))
					}
					synctest.Wait()
					victim.send("ping")
					time.Sleep(30 * time.Millisecond)
					w.forget()
				}
				time.Sleep(time.Second)
				if n := len(victim.events); n != echoes {
					t.Errorf("%d of %d echoes have reached the page", n, echoes)
				}
			})
		})
	}
}

// A forger at the shard that the page's datagrams reach does not keep them either when
// another forger, at a third shard, has gone.
func TestAForgerThatGoesTakesNothingFromAPage(t *testing.T) {
	inShards(t, 4, func(w *world) {
		victim := w.open()
		victim.echoes("the page talks")
		w.reach(victim.addr(), 1)
		victim.echoes("it talks to another shard")
		forge := func(home int) *offered {
			o := w.offer("")
			own := netip.AddrPortFrom(attackerAddr.Addr(), uint16(6000+home))
			w.network.Inject(own, shardAddr(home), o.request("", true))
			synctest.Wait()
			if o.conn.shard != w.server.shards[home] {
				t.Fatal("the forger's shard is another one: the test tests nothing")
			}
			w.network.Inject(victim.addr(), shardAddr(1), o.request("", true))
			synctest.Wait()
			return o
		}
		goes := forge(2)
		forge(1)
		goes.conn.Close("")
		w.forget()
		for len(victim.events) > 0 {
			<-victim.events
		}
		const echoes = 10
		for range echoes {
			victim.send("ping")
			time.Sleep(30 * time.Millisecond)
		}
		time.Sleep(time.Second)
		if n := len(victim.events); n != echoes {
			t.Errorf("%d of %d echoes have reached the page", n, echoes)
		}
	})
}

// An observer puts a plaintext record before a copy of the page's datagram, which arrives first.
// The observer's sessions claim the page's address, at its shard and at another. The record is
// the page's. A record that is opened in place cannot be restored for the other shard: the
// program would get the encrypted bytes.
func TestPlaintextBeforeARecordSpoilsNoMessage(t *testing.T) {
	inShards(t, 2, func(w *world) {
		victim := w.open()
		victim.echoes("the page talks")
		_, here := w.openKnown("a=setup:actpass")
		there := w.offer("")
		w.network.Inject(attackerAddr, shardAddr(1), there.request("", true))
		synctest.Wait()
		for _, o := range []*offered{here, there} {
			w.network.Inject(victim.addr(), serverAddr, o.request("", true))
			synctest.Wait()
		}
		if n := w.server.registry.shared.Load(); n != 1 || len(w.server.shards[0].claimants[victim.addr()]) != 2 {
			t.Fatalf("%d addresses are shared, and the test tests nothing", n)
		}
		w.forget()
		w.network.SetTap(func(p *netsim.Packet) bool {
			if p.From == victim.addr() && p.To == serverAddr && p.Payload[0] == 23 {
				w.network.Inject(p.From, serverAddr, append(record(22, 0, 0, []byte{0}), p.Payload...))
			}
			return true
		})
		victim.send("ping")
		w.want("the page has sent a message", "message 1: 3 0 ping")
		victim.want("the page is answered", "3 0 ping")
	})
}
