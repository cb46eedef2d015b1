package godwit

import (
	"net/netip"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/timers"
)

// A loop serves the links in this process, as a shard serves WebRTC links: it has their
// lock, goroutine and timer. mu guards the loop, its ends and the sessions on its links.
type loop struct {
	server  *Server
	wake    chan struct{} // holds one token when a turn is due
	timer   *time.Timer   // used only by wait
	running sync.WaitGroup

	mu      sync.Mutex
	ends    []*localEnd
	timers  timers.Heap[*localEnd]
	touched []*localEnd // ends that the next turn looks at
	until   time.Time   // latest end of the wait for the next turn
	free    [][]byte    // empty buffers
	busy    bool        // a turn runs, and will send the pending datagrams
	refused bool
	stopped bool

	// Only the turn uses the fields below.
	turned []*localEnd // ends that it looks at
	ready  []*localEnd // ends of turned that have news
	told   int         // ends of ready whose handlers have run
	looked int         // ends that turns have looked at, for tests
}

// A localEnd is one end of a link in this process.
type localEnd struct {
	loop   *loop
	anchor *anchor
	peer   *localEnd
	in     [][]byte // datagrams for the next turn
	taken  [][]byte // datagrams of this turn; the bytes that handlers get lie in them
	closed bool

	timer   timers.Slot
	place   int  // index in the loop's ends, plus one; 0 if the end is not in the loop
	touched bool // in the loop's list
}

func newLoop(s *Server) *loop {
	return &loop{server: s, wake: make(chan struct{}, 1)}
}

func (l *loop) start() {
	if l.server.config.Manual {
		return
	}
	l.running.Go(func() {
		for l.turn(time.Hour) == nil {
		}
	})
}

// connect makes a link between two ends, and opens it. If the session has another link,
// it moves when the client has sent a datagram on this one. connect returns false if the
// server has begun to shut down.
func (l *loop) connect(ours, theirs *Conn) bool {
	a, b := &localEnd{loop: l}, &localEnd{loop: l}
	a.peer, b.peer = b, a
	a.anchor = &anchor{conn: ours, link: a, reliable: true}
	b.anchor = &anchor{conn: theirs, link: b, reliable: true}
	ours.home.CompareAndSwap(nil, a.anchor)
	theirs.home.CompareAndSwap(nil, b.anchor)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused {
		return false
	}
	now := time.Now()
	for _, e := range []*localEnd{a, b} {
		l.add(e)
		e.anchor.open(now)
	}
	l.poke()
	return true
}

// add adds an end to the loop.
func (l *loop) add(e *localEnd) {
	l.ends = append(l.ends, e)
	e.place = len(l.ends)
	l.touch(e)
}

// remove removes an end from the loop.
func (l *loop) remove(e *localEnd) {
	last := len(l.ends) - 1
	moved := l.ends[last]
	l.ends[e.place-1], moved.place = moved, e.place
	l.ends[last] = nil
	l.ends, e.place = l.ends[:last], 0
	l.timers.Remove(&e.timer)
}

// touch makes sure that the next turn looks at e.
func (l *loop) touch(e *localEnd) {
	if !e.touched && e.place > 0 {
		e.touched = true
		l.touched = append(l.touched, e)
	}
}

// poke makes a turn due.
func (l *loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// turn waits at most d until a turn is due. Then it receives the datagrams of all ends,
// runs the handlers, and sends the pending datagrams. It returns ErrClosed when the loop
// is stopped and all handlers have run.
func (l *loop) turn(d time.Duration) error {
	l.wait(d)
	l.mu.Lock()
	l.busy = true
	last := l.stopped
	now := time.Now()
	for e, ok := l.timers.Due(now); ok; e, ok = l.timers.Due(now) {
		l.touch(e)
	}
	l.touched, l.turned = l.turned[:0], l.touched
	l.ready = l.ready[:0]
	for _, e := range l.turned {
		e.touched = false
		if e.place == 0 {
			continue // its link is over
		}
		l.looked++
		e.receive(now)
		if e.anchor.Ready() {
			l.ready = append(l.ready, e)
		}
	}
	l.mu.Unlock()
	l.deliver()
	return l.finish(last)
}

// deliver runs the handlers. No lock is held.
func (l *loop) deliver() {
	defer l.afterPanic()
	for l.told = 0; l.told < len(l.ready); l.told++ {
		l.ready[l.told].anchor.Deliver()
	}
}

// afterPanic ends a turn in which a handler has panicked, for a program that recovers
// around Poll. The event of the handler that panicked is not repeated. The next turn
// delivers the events after it.
func (l *loop) afterPanic() {
	if l.told == len(l.ready) {
		return
	}
	l.mu.Lock()
	for _, e := range l.turned {
		e.taken = nil // the bytes of events that are not delivered yet lie in these buffers
	}
	l.poke()
	l.mu.Unlock()
	l.finish(false)
}

// finish sends the pending datagrams of all ends that the turn looked at, and sets their
// timers. last says that the loop was stopped before the turn; then finish returns
// ErrClosed.
func (l *loop) finish(last bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	for _, e := range l.turned {
		l.free = append(l.free, e.taken...)
		e.taken = e.taken[:0]
	}
	now := time.Now()
	l.settleAll(now, l.turned)
	l.settleTouched(now)
	if len(l.touched) > 0 {
		l.poke()
	}
	for _, e := range l.ready {
		l.touch(e) // the next turn gives back the memory of the events that handlers got
	}
	clear(l.ready) // or the slice would keep sessions that are over
	clear(l.turned)
	if last { // stop has ended all sessions, and this turn has delivered that
		return ErrClosed
	}
	return nil
}

// wait waits at most d for a turn to be due.
func (l *loop) wait(d time.Duration) {
	l.mu.Lock()
	if l.stopped {
		d = 0
	}
	now := time.Now()
	if t := l.timers.Next(); !t.IsZero() {
		d = min(d, t.Sub(now))
	}
	l.until = now.Add(d)
	l.mu.Unlock()
	if d <= 0 {
		select {
		case <-l.wake:
		default:
		}
		return
	}
	if l.timer == nil {
		l.timer = time.NewTimer(d)
	} else {
		l.timer.Reset(d)
	}
	select {
	case <-l.wake:
	case <-l.timer.C:
	}
}

// receive processes the datagrams of one end, and its deadline if it has come.
func (e *localEnd) receive(now time.Time) {
	e.taken, e.in = e.in, e.taken[:0]
	for _, b := range e.taken {
		e.anchor.datagram(now, b)
	}
	if t := e.anchor.Deadline(); !t.IsZero() && !now.Before(t) {
		e.anchor.Advance(now)
	}
}

// settle sends the pending datagrams of an end and sets its timer, or removes an end that
// is closed and has nothing left to do.
func (l *loop) settle(now time.Time, e *localEnd) {
	switch {
	case e.place == 0:
		return
	case !e.closed:
		e.pump(now)
	case !e.anchor.due && !(e.anchor.isHome() && (!e.anchor.conn.forgotten || e.anchor.conn.left)):
		l.remove(e)
		return
	}
	l.time(e)
}

// time sets the timer of an end, and ends a wait that would be too long.
func (l *loop) time(e *localEnd) {
	t := e.anchor.Deadline()
	l.timers.Set(e, &e.timer, t)
	if !l.busy && !t.IsZero() && t.Before(l.until) {
		l.poke()
	}
}

func (l *loop) settleAll(now time.Time, ends []*localEnd) {
	for _, e := range ends {
		l.settle(now, e)
	}
}

// settleTouched settles the ends that were touched since the turn began. Settling an end
// may touch further ends, which it settles, too.
func (l *loop) settleTouched(now time.Time) {
	for i := 0; i < len(l.touched); i++ {
		l.settle(now, l.touched[i])
	}
}

// pump moves the pending datagrams of an end to the other end of the link.
func (e *localEnd) pump(now time.Time) {
	l := e.loop
	for {
		n := len(l.free)
		if n == 0 {
			l.free, n = append(l.free, make([]byte, 0, channel.MaxPacket)), 1
		}
		b := e.anchor.Append(now, l.free[n-1][:0], channel.MaxPacket)
		if len(b) == 0 {
			return
		}
		l.free = l.free[:n-1]
		e.peer.in = append(e.peer.in, b)
		l.touch(e.peer)
		l.poke()
	}
}

// Acquire locks the loop.
func (e *localEnd) Acquire() { e.loop.mu.Lock() }

// Release unlocks the loop; see rtcserver.Conn.Release. In this process a datagram costs no
// system call, so nothing is sent later except with Config.Manual.
func (e *localEnd) Release(_, news bool) {
	l := e.loop
	defer l.mu.Unlock()
	switch {
	case l.busy:
		l.touch(e)
		return
	case l.server.config.Manual:
		l.touch(e)
		l.time(e)
	default:
		l.settle(time.Now(), e)
	}
	if news {
		l.touch(e)
		l.poke()
	}
}

// Close ends the link for both ends.
func (e *localEnd) Close(string) {
	l := e.loop
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut(e)
}

func (l *loop) cut(e *localEnd) {
	now := time.Now()
	for _, x := range []*localEnd{e, e.peer} {
		if !x.closed {
			x.closed = true
			x.anchor.gone(now)
			l.touch(x)
		}
	}
	l.poke()
}

// RemoteAddr returns the zero AddrPort: a link in this process has no address.
func (e *localEnd) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }

func (l *loop) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.busy {
		l.settleTouched(time.Now())
	}
}

// pending reports whether a turn is due.
func (l *loop) pending() bool { return len(l.wake) > 0 }

// refuse makes connect fail from now on.
func (l *loop) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = true
}

// stop ends every session and the goroutine, and waits until the last handlers have run.
// The server's ends are over before; the clients' ends may still be open.
func (l *loop) stop() {
	l.mu.Lock()
	now := time.Now()
	for _, e := range l.ends {
		if a := e.anchor; a.isHome() {
			a.conn.seat(a)
			a.conn.session.Close(now, CloseShutdown, "the server is closed", true)
		}
	}
	for _, e := range l.ends {
		l.cut(e)
	}
	l.stopped = true
	l.poke()
	l.mu.Unlock()
	if l.server.config.Manual {
		for l.turn(0) == nil {
		}
	}
	l.running.Wait()
}
