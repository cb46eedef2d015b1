package channel

import (
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A world runs Muxes against each other in virtual time, over wires of netsim: without
// goroutines and clocks, and with one source of random numbers. Equal seeds give equal runs.
type world struct {
	t          testing.TB
	start      time.Time
	now        time.Duration
	rng        *rand.Rand
	ends       []*end
	pending    netsim.Timeline[pending]
	deliveries []netsim.Delivery // reused
	spare      [][]byte
}

// An end is a Mux, the way to its peer, and its state for the test.
type end struct {
	name    string
	mux     *Mux
	out     *way
	peer    *end
	limit   int
	events  []Event
	down    bool // the link is closed: nothing leaves, nothing comes
	message func(ch ID, b []byte)
	receipt func(ev Event)
	closed  func(ev Event)
	path    func(ev Event)
	leaving func(b []byte) // every packet that is sent
	passed  func(b []byte) // every packet that the way does not drop
	via     func(b []byte) // takes every packet in place of out, if not nil
}

// A way is one direction of a path. Several ends may share one.
type way struct {
	*netsim.Wire
	waited []time.Duration // how long each packet waited for the rate
}

// change changes the link for packets sent from now on.
func (l *way) change(f func(l *netsim.Link)) {
	link := l.Link()
	f(&link)
	l.SetLink(link)
}

// queue is how long a packet sent now would wait for the rate.
func (l *way) queue(now time.Time) time.Duration {
	rate := l.Link().Rate
	if rate == 0 {
		return 0
	}
	return time.Duration(float64(l.Backlog(now)) / float64(rate) * float64(time.Second))
}

// pending is a packet under way, or something to do.
type pending struct {
	to  *end
	b   []byte
	run func()
}

// shift changes the seeds of all worlds: no result should depend on a lucky seed.
var shift = flag.Uint64("shift", 0, "added to the seed of every simulated world")

func newWorld(t testing.TB, seed uint64) *world {
	seed += *shift
	return &world{t: t, start: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), rng: rand.New(rand.NewPCG(seed, 1))}
}

// both returns the two directions of a path that are alike.
func (w *world) both(l netsim.Link) (up, down *way) {
	return &way{Wire: netsim.NewWire(l, w.rng.Uint64())}, &way{Wire: netsim.NewWire(l, w.rng.Uint64())}
}

// blackout drops the packets on the ways for d, from a time on.
func (w *world) blackout(from, d time.Duration, ways ...*way) {
	w.after(from, func() {
		for _, l := range ways {
			l.Blackout(w.time().Add(d))
		}
	})
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

// after runs f in a while.
func (w *world) after(d time.Duration, f func()) {
	w.pending.Push(w.time().Add(d), pending{run: f})
}

// every runs f n times, evenly.
func (w *world) every(d time.Duration, n int, f func(i int)) {
	for i := range n {
		w.after(time.Duration(i)*d, func() { f(i) })
	}
}

// send passes a message to an end and lets it leave.
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
			w.t.Fatalf("%s: a packet of %d bytes, want at most %d", e.name, len(b), e.limit)
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
		case (ev.Type == EventNarrow || ev.Type == EventStuck) && e.path != nil:
			e.path(ev)
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
	if e.via != nil {
		e.via(b)
		return
	}
	wait := e.out.queue(w.time())
	w.deliveries = e.out.Send(w.time(), len(b), w.deliveries[:0])
	if len(w.deliveries) == 0 {
		w.spare = append(w.spare, b)
		return
	}
	if e.out.Link().Rate > 0 {
		e.out.waited = append(e.out.waited, wait)
	}
	if e.passed != nil {
		e.passed(b)
	}
	for i, d := range w.deliveries {
		if i > 0 {
			b = append(w.buffer(), b...)
		}
		w.pending.Push(d.At, pending{to: e.peer, b: b})
	}
}

// run advances the time by d, or less if done returns true.
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
		if at, ok := w.pending.Next(); ok && at.Sub(w.start) <= next {
			w.now = at.Sub(w.start)
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
	p, _ := w.pending.Pop(w.time())
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
