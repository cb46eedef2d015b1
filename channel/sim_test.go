package channel

import (
	"container/heap"
	"flag"
	"math/rand/v2"
	"testing"
	"time"
)

// A world runs Muxes against each other in virtual time: no goroutine, no clock,
// one source of chance. Equal seeds give equal runs.
type world struct {
	t       testing.TB
	start   time.Time
	now     time.Duration
	rng     *rand.Rand
	ends    []*end
	pending pendingHeap
	order   int
	spare   [][]byte
}

// An end is a Mux, the way to its peer, and what a test wants to see of it.
type end struct {
	name    string
	mux     *Mux
	out     *way
	peer    *end
	limit   int
	events  []Event
	down    bool // the link is gone: nothing leaves, nothing comes
	message func(ch ID, b []byte)
	receipt func(ev Event)
	closed  func(ev Event)
	leaving func(b []byte) // every packet that is sent
	passed  func(b []byte) // every packet that the way does not drop
}

// A way is one direction of a path. Several ends may share one.
type way struct {
	loss, burst, duplicate, reorder float64
	hold                            time.Duration // of reordered packets
	delay, jitter                   time.Duration
	rate, queue                     int // bytes per second; bytes
	dark                            [2]time.Duration

	losing     bool
	free, last time.Duration
	waited     []time.Duration // how long each packet waited for the rate
}

type pending struct {
	at    time.Duration
	order int
	to    *end
	b     []byte
	run   func()
}

type pendingHeap []pending

func (h pendingHeap) Len() int { return len(h) }
func (h pendingHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].order < h[j].order
}
func (h pendingHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *pendingHeap) Push(x any)   { *h = append(*h, x.(pending)) }
func (h *pendingHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// shift runs every world with another seed: nothing should hang on a lucky one.
var shift = flag.Uint64("shift", 0, "added to the seed of every simulated world")

func newWorld(t testing.TB, seed uint64) *world {
	seed += *shift
	return &world{t: t, start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), rng: rand.New(rand.NewPCG(seed, 1))}
}

// connect adds two ends that are joined by two ways.
func (w *world) connect(c Config, up, down *way) (client, server *end) {
	w.t.Helper()
	add := func(name string, server bool, out *way) *end {
		c.Server = server
		m, err := New(w.time(), c)
		if err != nil {
			w.t.Fatal(err)
		}
		e := &end{name: name, mux: m, out: out, limit: MaxPacket}
		w.ends = append(w.ends, e)
		return e
	}
	client, server = add("client", false, up), add("server", true, down)
	client.peer, server.peer = server, client
	return client, server
}

func (w *world) time() time.Time { return w.start.Add(w.now) }

func (w *world) push(p pending) {
	w.order++
	p.order = w.order
	heap.Push(&w.pending, p)
}

// after runs f in a while.
func (w *world) after(d time.Duration, f func()) { w.push(pending{at: w.now + d, run: f}) }

// every runs f n times, evenly.
func (w *world) every(d time.Duration, n int, f func(i int)) {
	for i := range n {
		w.push(pending{at: w.now + time.Duration(i)*d, run: func() { f(i) }})
	}
}

// send gives a message to an end and lets it leave.
func (w *world) send(e *end, ch ID, b []byte, o Options) error {
	_, err := e.mux.Send(w.time(), ch, b, o)
	w.flush(e)
	return err
}

// flush drains an end: packets out, events to the test.
func (w *world) flush(e *end) {
	for !e.down {
		b := e.mux.Append(w.time(), w.buffer(), e.limit)
		if len(b) == 0 {
			w.spare = append(w.spare, b)
			break
		}
		if len(b) > e.limit {
			w.t.Fatalf("%s: a packet of %d bytes", e.name, len(b))
		}
		w.carry(e, b)
	}
	e.events = e.mux.Events(e.events[:0])
	for _, ev := range e.events {
		switch {
		case ev.Type == EventMessage && e.message != nil:
			e.message(ev.Channel, ev.Payload)
		case ev.Type == EventReceipt && e.receipt != nil:
			e.receipt(ev)
		case ev.Type == EventClosed && e.closed != nil:
			e.closed(ev)
		}
	}
	e.mux.Release(e.events)
}

func (w *world) buffer() []byte {
	if n := len(w.spare); n > 0 {
		b := w.spare[n-1]
		w.spare = w.spare[:n-1]
		return b[:0]
	}
	return make([]byte, 0, MaxPacket)
}

// carry sends a packet on its way.
func (w *world) carry(e *end, b []byte) {
	if e.leaving != nil {
		e.leaving(b)
	}
	leaves, ok := e.out.transmit(w.now, len(b))
	if !ok || e.out.loses(w.rng, w.now) {
		w.spare = append(w.spare, b)
		return
	}
	if e.passed != nil {
		e.passed(b)
	}
	if w.rng.Float64() < e.out.duplicate {
		w.push(pending{at: e.out.arrival(w.rng, leaves), to: e.peer, b: append(w.buffer(), b...)})
	}
	w.push(pending{at: e.out.arrival(w.rng, leaves), to: e.peer, b: b})
}

func (l *way) transmit(now time.Duration, n int) (time.Duration, bool) {
	if l.rate == 0 {
		return now, true
	}
	l.free = max(l.free, now)
	wait := l.free - now
	if wait.Seconds()*float64(l.rate)+float64(n) > float64(l.queue) {
		return 0, false
	}
	l.waited = append(l.waited, wait)
	l.free += time.Duration(float64(n) / float64(l.rate) * 1e9)
	return l.free, true
}

func (l *way) loses(rng *rand.Rand, now time.Duration) bool {
	draw := rng.Float64()
	if now >= l.dark[0] && now < l.dark[1] {
		return true
	}
	p := l.loss
	if l.burst > 1 && 0 < p && p < 1 && l.burst*(1-p) > 1 {
		p = l.loss / (l.burst * (1 - l.loss))
		if l.losing {
			p = 1 - 1/l.burst
		}
	}
	l.losing = draw < p
	return l.losing
}

func (l *way) arrival(rng *rand.Rand, leaves time.Duration) time.Duration {
	at := max(l.last, leaves+l.delay+time.Duration(rng.Float64()*float64(l.jitter)))
	if rng.Float64() < l.reorder {
		return at + l.hold
	}
	l.last = at
	return at
}

// run lets d pass, or less if done says so.
func (w *world) run(d time.Duration, done func() bool) {
	stop := w.now + d
	for _, e := range w.ends {
		w.flush(e)
	}
	for done == nil || !done() {
		next, due := stop, (*end)(nil)
		for _, e := range w.ends {
			if at := e.mux.Deadline(); !at.IsZero() && !e.down && at.Sub(w.start) < next {
				next, due = max(w.now, at.Sub(w.start)), e
			}
		}
		if len(w.pending) > 0 && w.pending[0].at <= next {
			w.step()
			continue
		}
		w.now = next
		if due == nil {
			return
		}
		due.mux.Advance(w.time())
		w.flush(due)
	}
}

func (w *world) step() {
	p := heap.Pop(&w.pending).(pending)
	w.now = p.at
	switch {
	case p.run != nil:
		p.run()
	case !p.to.down:
		p.to.mux.Receive(w.time(), p.b)
		w.flush(p.to)
		w.spare = append(w.spare, p.b)
	default:
		w.spare = append(w.spare, p.b)
	}
}
