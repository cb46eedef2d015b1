package channel

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// TestSameSeedSameBytes runs a bad link twice and compares every byte that left.
func TestSameSeedSameBytes(t *testing.T) {
	run := func(seed uint64) string {
		w := newWorld(t, seed)
		up, down := w.both(netsim.Link{Delay: 20 * time.Millisecond, Jitter: 30 * time.Millisecond, Loss: 0.1, Burst: 3,
			Duplicate: 0.05, Reorder: 0.1, ReorderDelay: 30 * time.Millisecond, Rate: 60_000, Queue: 30_000})
		c, s := w.connect(Config{Channels: testTable}, up, down)
		sum := sha256.New()
		for i, e := range []*end{c, s} {
			e.leaving = func(b []byte) { record(sum, byte(i), w.now, b) }
			w.every(16*time.Millisecond, 1000, func(k int) {
				for ch := effects; ch <= chat; ch++ {
					w.send(e, ch, make([]byte, w.rng.IntN(40)*w.rng.IntN(40)), Options{Receipt: k%5 == 0, Key: uint64(k % 3)})
				}
			})
		}
		w.run(20*time.Second, nil)
		return fmt.Sprintf("%x after %d packets", sum.Sum(nil), c.mux.Stats().PacketsOut)
	}
	a, b, other := run(1), run(1), run(2)
	if a != b {
		t.Errorf("the same seed gives two results:\n%s\n%s", a, b)
	}
	if a == other {
		t.Error("two seeds give the same result")
	}
}

func record(h hash.Hash, who byte, at time.Duration, b []byte) {
	var head [13]byte
	head[0] = who
	binary.BigEndian.PutUint64(head[1:], uint64(at))
	binary.BigEndian.PutUint32(head[9:], uint32(len(b)))
	h.Write(head[:])
	h.Write(b)
}

// TestScripts plays random scripts of FuzzTwoEngines.
func TestScripts(t *testing.T) {
	for seed := range uint64(150) {
		rng := rand.New(rand.NewPCG(seed, 5))
		script := make([]byte, 2+rng.IntN(398))
		for i := range script {
			script[i] = byte(rng.Uint32())
		}
		playScript(t, seed, script)
	}
}

// TestEveryCounterWraps begins where the numbers of packets and messages change
// their length, and far beyond.
func TestEveryCounterWraps(t *testing.T) {
	for _, at := range []uint64{1<<15 - 100, 1<<16 - 100, 1<<24 - 100, 1<<32 - 100, 1<<40 - 100} {
		w := newWorld(t, at)
		up, down := w.both(netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.2, Reorder: 0.2, ReorderDelay: 30 * time.Millisecond, Duplicate: 0.1})
		c, s := w.connect(Config{Channels: testTable}, up, down)
		for _, e := range []*end{c, s} {
			m := e.mux
			m.flight.base, m.flight.next = at, at
			m.received.next, m.received.floor, m.received.spanStart = at, at, at
			for i := range m.senders {
				m.senders[i].nextID, m.receivers[i].base = at, at
			}
		}
		l := newLedger()
		s.message = l.deliver
		w.every(10*time.Millisecond, 600, func(i int) {
			for ch := effects; ch <= chat; ch++ {
				size := 100
				if i%50 == 0 {
					size = 3000
				}
				w.send(c, ch, ledgerMessage(w.rng, ch, uint32(i), size), Options{})
				l.sent[ch]++
			}
		})
		w.run(60*time.Second, func() bool { return l.sent[chat] == 600 && l.reliableLeft() == 0 })
		if l.reliableLeft() != 0 || len(l.problems) > 0 || len(l.got[positions]) < 300 || len(l.got[effects]) < 300 {
			t.Errorf("from %d on: %d reliable messages are missing, %q", at, l.reliableLeft(), l.problems)
		}
	}
}

// TestSoak runs for ten simulated minutes, or 72 hours with SOAK=72h, and compares
// the heap at a quarter of it with the heap at the end.
func TestSoak(t *testing.T) {
	length := 10 * time.Minute
	if s := os.Getenv("SOAK"); s != "" {
		var err error
		if length, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, 1)
	up, down := w.both(netsim.Link{Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.03, Burst: 3, Duplicate: 0.01, Reorder: 0.01, ReorderDelay: 40 * time.Millisecond})
	c, s := w.connect(Config{Channels: testTable}, up, down)
	var got [bulk + 1]uint64
	s.message = func(ch ID, b []byte) {
		if n := binary.BigEndian.Uint64(b); ch >= chat && n != got[ch] {
			t.Fatalf("channel %d: %d, want %d", ch, n, got[ch])
		}
		got[ch]++
	}
	var sent [bulk + 1]uint64
	buf := make([]byte, 6000)
	var tick func()
	tick = func() {
		for ch := effects; ch <= chat; ch++ {
			binary.BigEndian.PutUint64(buf, sent[ch])
			n := 20 + w.rng.IntN(100)
			if w.rng.IntN(100) == 0 {
				n = len(buf)
			}
			if w.send(c, ch, buf[:n], Options{Receipt: sent[ch]%4 == 0}) == nil {
				sent[ch]++
			}
		}
		if w.now < length {
			w.after(50*time.Millisecond, tick)
		}
	}
	tick()
	w.run(length/4, nil)
	first := testkit.HeapNow()
	w.run(length*3/4, nil)
	grown := testkit.HeapNow() - first
	w.run(time.Minute, c.mux.Idle)
	st := c.mux.Stats()
	t.Logf("%v: %d packets, %d messages, %d sent again, %d copies, heap grew by %d bytes", length, st.PacketsOut, sent[chat]+sent[loot]+sent[positions]+sent[effects], st.Retransmits, st.Copies, grown)
	if got[chat] != sent[chat] || got[loot] != sent[loot] {
		t.Errorf("%d of %d and %d of %d messages have arrived", got[chat], sent[chat], got[loot], sent[loot])
	}
	if grown > 256<<10 {
		t.Errorf("the heap has grown by %d bytes, want at most 256 KiB", grown)
	}
	c.mux.check(t)
	s.mux.check(t)
}
