package channel

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A crowd is both ends sending small messages, enough to fill large packets, and now
// and then fragments.
type crowd struct {
	*world
	ends    [2]*end
	ledgers [2]*ledger
	born    [2][]time.Duration // of the ordered messages
	slowest time.Duration      // of them, from Send to delivery
	stuck   int                // events
	narrow  int
}

func newCrowd(t *testing.T, l netsim.Link) (c *crowd, up, down *way) {
	c = &crowd{world: newWorld(t, 1)}
	up, down = c.both(l)
	client, server := c.connect(Config{Channels: testTable}, up, down)
	for i, e := range []*end{client, server} {
		l := newLedger()
		c.ends[i], c.ledgers[i], e.path = e, l, c.count
		e.peer.message = func(ch ID, b []byte) {
			l.deliver(ch, b)
			if ch == chat {
				c.slowest = max(c.slowest, c.now-c.born[i][l.inOrder-1])
			}
		}
	}
	return c, up, down
}

// talk sends for a while. Few messages wait when it is over.
func (c *crowd) talk(length time.Duration) {
	tick := 20 * time.Millisecond
	for i, e := range c.ends {
		c.every(tick, int(length/tick), func(k int) {
			for n := range 8 {
				for ch := effects; ch <= chat; ch++ {
					size := 20 + c.rng.IntN(60)
					if k%50 == 0 && n == 0 {
						size = 3000
					}
					l := c.ledgers[i]
					if c.send(e, ch, ledgerMessage(c.rng, ch, l.sent[ch], size), Options{}) != nil {
						continue
					}
					if l.sent[ch]++; ch == chat {
						c.born[i] = append(c.born[i], c.now)
					}
				}
			}
		})
	}
	c.run(length, nil)
}

func (c *crowd) count(ev Event) {
	switch ev.Type {
	case EventNarrow:
		c.narrow++
	case EventStuck:
		c.stuck++
	}
}

// settle waits until everything has arrived, and checks the promises.
func (c *crowd) settle() {
	c.t.Helper()
	c.run(20*time.Second, func() bool { return c.ledgers[0].reliableLeft()+c.ledgers[1].reliableLeft() == 0 })
	for i, l := range c.ledgers {
		if l.reliableLeft() > 0 || len(l.problems) > 0 {
			c.t.Errorf("end %d: %d of %d reliable messages are missing: %v", i, l.reliableLeft(), l.sent[loot]+l.sent[chat], l.problems)
		}
	}
}

func TestPacketsGetSmallerWhereLargeOnesDoNotArrive(t *testing.T) {
	for _, largest := range []int{leastBudget, 1075, 1100, 1140} {
		c, _, _ := newCrowd(t, netsim.Link{Delay: 25 * time.Millisecond, MTU: largest})
		c.talk(5 * time.Second)
		lost := c.ends[0].mux.Stats().PacketsLost + c.ends[1].mux.Stats().PacketsLost
		c.talk(20 * time.Second)
		c.settle()
		for i, e := range c.ends {
			st := e.mux.Stats()
			lost -= st.PacketsLost
			if st.PacketLimit != leastBudget || st.Fallbacks != 1 || st.PacketsLost < fallRun || st.PacketsLost > 200 {
				t.Errorf("%d bytes pass: end %d has packets of %d, after %d lost, and fell back %d times", largest, i, st.PacketLimit, st.PacketsLost, st.Fallbacks)
			}
		}
		if lost != 0 {
			t.Errorf("%d bytes pass: %d packets are lost after the fallback, want 0", largest, lost)
		}
		if c.narrow != 2 || c.stuck > 0 {
			t.Errorf("%d bytes pass: %d events narrow, want 2; %d stuck, want 0", largest, c.narrow, c.stuck)
		}
		if c.slowest > 2*time.Second {
			t.Errorf("%d bytes pass: a message took %v, want at most 2 s", largest, c.slowest)
		}
	}
}

// A path becomes narrower, and wide again, while a session lasts.
func TestPacketsGetSmallerAndLargeAgain(t *testing.T) {
	c, up, down := newCrowd(t, netsim.Link{Delay: 25 * time.Millisecond})
	narrow := func(mtu int) {
		for _, l := range []*way{up, down} {
			l.change(func(l *netsim.Link) { l.MTU = mtu })
		}
	}
	limits := func(when string, want int) {
		t.Helper()
		for i, e := range c.ends {
			if got := e.mux.Stats().PacketLimit; got != want {
				t.Errorf("%s: end %d has packets of %d bytes, want %d", when, i, got, want)
			}
		}
	}
	c.talk(3 * time.Second)
	limits("at first", MaxPacket)
	narrow(1100)
	c.talk(5 * time.Second)
	limits("after it became narrow", leastBudget)
	c.talk(100 * time.Second)
	limits("after a try", leastBudget)
	if c.slowest > 2*time.Second {
		t.Errorf("a message took %v, want at most 2 s", c.slowest)
	}
	lost := c.ends[0].mux.Stats().PacketsLost
	c.talk(20 * time.Second)
	if n := c.ends[0].mux.Stats().PacketsLost - lost; n > 1 {
		t.Errorf("a try cost %d packets, want at most 1", n)
	}
	narrow(0)
	c.talk(retryWide)
	limits("a minute after it became wide", MaxPacket)
	c.settle()
	for i, e := range c.ends {
		if n := e.mux.Stats().Fallbacks; n != 1 {
			t.Errorf("end %d fell back %d times, want once", i, n)
		}
	}
	// A new link is a new path.
	narrow(1100)
	c.talk(5 * time.Second)
	limits("after it became narrow again", leastBudget)
	for _, e := range c.ends {
		e.mux.Relink(c.time(), false, 0)
	}
	limits("on a new link", MaxPacket)
}

// Loss that does not depend on the size leaves packets as they are: a run is very unlikely, also
// in bursts.
func TestRandomLossDoesNotMakePacketsSmaller(t *testing.T) {
	length := 20 * time.Second
	if *matrix {
		length = time.Hour
	}
	for _, l := range []netsim.Link{{Loss: 0.05}, {Loss: 0.3}, {Loss: 0.3, Burst: 5}, {Loss: 0.3, Jitter: 40 * time.Millisecond}, {Outage: 300 * time.Millisecond, OutageEvery: time.Second}} {
		l.Delay = 25 * time.Millisecond
		c, _, _ := newCrowd(t, l)
		c.talk(length)
		c.settle()
		for i, e := range c.ends {
			if st := e.mux.Stats(); st.Fallbacks > 0 || st.PacketLimit != MaxPacket {
				t.Errorf("%+v: end %d fell back %d times after %d lost packets, want never", l, i, st.Fallbacks, st.PacketsLost)
			}
		}
		if c.narrow+c.stuck > 0 {
			t.Errorf("%+v: %d events narrow and %d stuck, want 0", l, c.narrow, c.stuck)
		}
	}
}

// Where fragments do not arrive, the Mux can only report it.
func TestStuck(t *testing.T) {
	for _, tt := range []struct {
		name string
		mtu  int
		send func(w *world, e *end)
		want uint64 // bytes of the smallest packet that does not arrive; 0 if all do
	}{
		{"one fragment", 900, func(w *world, e *end) { w.send(e, chat, make([]byte, 1000), Options{}) }, 1007},
		{"fragments", 900, func(w *world, e *end) { w.send(e, chat, make([]byte, 100_000), Options{}) }, 901},
		{"fragments that pass", leastBudget, func(w *world, e *end) { w.send(e, chat, make([]byte, 100_000), Options{}) }, 0},
		{"fragments among others", 700, func(w *world, e *end) {
			w.send(e, loot, make([]byte, 3000), Options{})
			w.every(10*time.Millisecond, 5000, func(int) { w.send(e, positions, make([]byte, 100), Options{}) })
		}, 701},
	} {
		w := newWorld(t, 1)
		up, down := w.both(netsim.Link{Delay: 25 * time.Millisecond, MTU: tt.mtu})
		c, _ := w.connect(Config{Channels: testTable}, up, down)
		var got []uint64
		var at time.Duration
		c.path = func(ev Event) {
			if ev.Type == EventStuck {
				got, at = append(got, ev.Code), w.now
			}
		}
		tt.send(w, c)
		w.run(40*time.Second, nil)
		t.Log(tt.name, got, at, c.mux.path)
		if tt.want == 0 && len(got) == 0 {
			continue
		}
		if len(got) != 1 || got[0] < tt.want || got[0] > leastBudget || at < stuckTime || at > 30*time.Second {
			t.Errorf("%s: events with sizes %d after %v, want one of %d at least, between %v and 30 s", tt.name, got, at, tt.want, stuckTime)
		}
	}
}
