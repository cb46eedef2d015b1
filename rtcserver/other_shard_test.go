package rtcserver

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
)

// withAnotherShard gives a world's server a second shard, to which the test hands
// datagrams as the kernel would.
func (w *world) withAnotherShard() (home, other *shard, hand func(from netip.AddrPort, b []byte)) {
	w.t.Helper()
	pc := testkit.Listen(w.t, w.network, netip.AddrPortFrom(serverAddr.Addr(), serverAddr.Port()+1))
	socket, err := udpio.Take(pc, udpio.Config{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { socket.Close() })
	home, other = w.server.shards[0], newShard(w.server, socket)
	w.server.shards = append(w.server.shards, other)
	return home, other, func(from netip.AddrPort, b []byte) {
		other.loop.Lock()
		other.batch = []udpio.Datagram{{Remote: from, Local: serverAddr.Addr(), B: bytes.Clone(b)}}
		other.receive(time.Now(), &other.batch[0], 0)
		other.loop.Unlock()
		other.forwardAll()
		synctest.Wait()
	}
}

// A datagram that reaches another shard than a connection's home is processed nevertheless, and
// is passed on once.
func TestDatagramsThatReachAnotherShard(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		home, other, hand := w.withAnotherShard()
		p := w.open()
		p.echoes("it is open")
		synctest.Wait()
		var c *Conn
		for c = range w.server.Conns() {
		}
		drops := func(s *shard) [dropReasons]uint64 {
			s.loop.Lock()
			defer s.loop.Unlock()
			return s.stats.drops
		}

		hand(p.addr(), checkFor(c.ufrag+":page", "wrong password of whoever", true))
		if drops(home)[DropBadCheck] != 1 || drops(other)[DropBadCheck] != 0 {
			t.Errorf("a bad check is counted as %v at its own shard, want once, and %v at the other", drops(home), drops(other))
		}
		before := c.Stats().Dropped
		hand(p.addr(), record(23, 1, 7, make([]byte, 40)))
		if n := c.Stats().Dropped - before; n != 1 || drops(other)[DropUnknownAddr] != 0 {
			t.Errorf("a forged record is counted %d times at the connection, want once, and as %v at the other shard", n, drops(other))
		}
		hand(attackerAddr, record(23, 1, 7, make([]byte, 40)))
		if drops(home)[DropUnknownAddr] != 0 || drops(other)[DropUnknownAddr] != 1 {
			t.Errorf("a record from an unknown address is counted as %v at the connection's shard, and %v at the other, want once", drops(home), drops(other))
		}
		if len(other.forwards) != 0 {
			t.Errorf("%d datagrams would be passed on again, want 0", len(other.forwards))
		}
		// What was left for a connection that is gone since is not left again.
		home.loop.Lock()
		home.addToInbox(&udpio.Datagram{Remote: attackerAddr, B: record(23, 1, 7, make([]byte, 40))}, false)
		home.addToInbox(&udpio.Datagram{Remote: attackerAddr, B: checkFor("nobody:page", "wrong password of whoever", true)}, false)
		home.loop.Unlock()
		synctest.Wait()
		if d := drops(home); d[DropUnknownAddr] != 1 || d[DropUnknownUfrag] != 1 || home.inbox.Len() != 0 {
			t.Errorf("datagrams for no connection: drops %v, %d are in the inbox; want 2 drops, 0", d, home.inbox.Len())
		}
		p.echoes("it goes on")
		p.conn.Close()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if len(w.server.registry.byAddr) != 0 {
			t.Errorf("%d addresses without a connection are in the shared table, want 0", len(w.server.registry.byAddr))
		}
	})
}

// The first check of a page with two addresses comes from one of them, and its handshake goes
// by the other, whose datagrams reach another shard. They count as they do at home: a page that
// checks once in 5 s (Firefox) does not wait for its next check.
func TestAHandshakeGoesByAnotherShard(t *testing.T) {
	for name, setup := range roles {
		inShards(t, 2, func(w *world) {
			p := w.newPage(client.Config{})
			first, checked := true, time.Time{}
			w.network.SetTap(func(q *netsim.Packet) bool {
				switch {
				case q.To != serverAddr:
				case first:
					first = false
					w.network.Inject(attackerAddr, serverAddr, slices.Clone(q.Payload))
					return false
				case icelite.IsSTUN(q.Payload) && time.Since(checked) < 5*time.Second:
					return false
				default:
					if icelite.IsSTUN(q.Payload) {
						checked = time.Now()
					}
					w.network.Inject(q.From, shardAddr(1), slices.Clone(q.Payload))
					return false
				}
				return true
			})
			begin := time.Now()
			if err := p.connect(testkit.Replace("a=setup:actpass", setup)); err != nil {
				t.Fatal(err)
			}
			if d := time.Since(begin); d > time.Second {
				t.Errorf("%s: connected after %v, want at most 1 s", name, d)
			}
			synctest.Wait()
			if s := w.server.shards; len(s[0].conns) != 1 || len(s[1].conns) != 0 {
				t.Error("the connection is not at the shard of its first check")
			}
		})
	}
}
