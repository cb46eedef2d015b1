package godwit

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/session"
)

// A LocalConfig is a client in the same process.
type LocalConfig struct {
	Identity Identity
	Hello    []byte  // the connect message, at most MaxHello bytes
	Handler  Handler // the client's
	User     any     // of the client's end
}

// Local connects a client in the same process, for a game with one player and for
// tests. It returns the client's end, which is a Conn like the server's: what it
// sends goes to the server's Handler, what the server sends to its own. Nothing of
// it leaves the process, and nothing is lost. Nobody is asked for authorization,
// and MaxConns counts it but does not refuse it. With Config.Manual, [Server.Poll]
// runs both ends, and yields what either has no func for.
func (s *Server) Local(lc LocalConfig) (*Conn, error) {
	ours, err := s.newConn(lc.Identity, InProcess, math.MaxInt, netip.Addr{})
	if err != nil {
		return nil, err
	}
	theirs := &Conn{server: s, handler: &lc.Handler, identity: lc.Identity, kind: InProcess, made: ours.made, User: lc.User}
	theirs.session, err = session.New(theirs.made, session.Config{
		Channel: channel.Config{Channels: s.config.Channels, Ceiling: -1, Rate: 1 << 20},
		Hello:   lc.Hello,
	})
	if err != nil {
		s.forget(ours)
		return nil, err
	}
	if !s.local.connect(ours, theirs) {
		s.forget(ours)
		return nil, ErrClosed
	}
	return theirs, nil
}

// A loop is what a shard is for WebRTC: the lock, the goroutine and the timer of the
// links in this process. All of it, and the sessions on its links, belongs to
// whoever holds mu.
type loop struct {
	server  *Server
	wake    chan struct{} // holds one token when a turn is due
	timer   *time.Timer   // the turn's own
	running sync.WaitGroup

	mu      sync.Mutex
	ends    []*localEnd
	ready   []*anchor
	told    int      // how many of ready have been told their news; the turn's own
	free    [][]byte // buffers
	busy    bool     // a turn will send what there is to send
	refused bool
	stopped bool
}

// A localEnd is one end of a link.
type localEnd struct {
	loop   *loop
	anchor *anchor
	peer   *localEnd
	in     [][]byte // datagrams that came
	taken  [][]byte // those of this turn, which handlers look at
	closed bool
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

// connect makes a link between two ends, and opens it. A session that has another
// link moves when the client has sent something on this one.
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
		l.ends = append(l.ends, e)
		e.anchor.open(now)
	}
	l.poke()
	return true
}

// poke makes a turn due.
func (l *loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// turn waits at most d until there is something to do, and does it: everything in,
// handlers, everything out.
func (l *loop) turn(d time.Duration) error {
	l.wait(d)
	l.mu.Lock()
	l.busy = true
	last := l.stopped
	now := time.Now()
	l.ready = l.ready[:0]
	for _, e := range l.ends {
		e.receive(now)
		if e.anchor.Ready() {
			l.ready = append(l.ready, e.anchor)
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
		l.ready[l.told].Deliver()
	}
}

// afterPanic ends the turn in which a handler has panicked, for a program that
// recovers around Poll. The event that the handler had counts as told; the rest is
// told in the next turn.
func (l *loop) afterPanic() {
	if l.told == len(l.ready) {
		return
	}
	l.mu.Lock()
	for _, e := range l.ends {
		e.taken = nil // what is not told yet lies there
	}
	l.poke()
	l.mu.Unlock()
	l.finish(false)
}

// finish lets everybody say what there is to say. last says that the loop was stopped
// before the turn; then the error is ErrClosed when all handlers have run.
func (l *loop) finish(last bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = false
	for _, e := range l.ends {
		l.free = append(l.free, e.taken...)
		e.taken = e.taken[:0]
	}
	l.speak(time.Now())
	told := len(l.ready) > 0
	clear(l.ready)     // or it would keep sessions that are over
	if last && !told { // a turn that had begun before has not told the end
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
	for _, e := range l.ends {
		if t := e.anchor.Deadline(); !t.IsZero() {
			d = min(d, time.Until(t))
		}
	}
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
	l.timer.Stop()
}

// receive takes what came to one end, and what is due.
func (e *localEnd) receive(now time.Time) {
	e.taken, e.in = e.in, e.taken[:0]
	for _, b := range e.taken {
		e.anchor.datagram(now, b)
	}
	if t := e.anchor.Deadline(); !t.IsZero() && !now.Before(t) {
		e.anchor.Advance(now)
	}
}

// speak lets every end say what it has to say, and forgets links that are over.
func (l *loop) speak(now time.Time) {
	kept := l.ends[:0]
	said := false
	for _, e := range l.ends {
		if !e.closed {
			said = e.pump(now) || said
		}
		if !e.closed || e.anchor.due || e.anchor.isHome() && (!e.anchor.conn.forgotten || e.anchor.conn.left) {
			kept = append(kept, e)
		}
	}
	clear(l.ends[len(kept):])
	l.ends = kept
	if said {
		l.poke()
	}
}

// pump moves an end's datagrams to the other.
func (e *localEnd) pump(now time.Time) (said bool) {
	l := e.loop
	for {
		n := len(l.free)
		if n == 0 {
			l.free, n = append(l.free, make([]byte, 0, channel.MaxPacket)), 1
		}
		b := e.anchor.Append(now, l.free[n-1][:0], channel.MaxPacket)
		if len(b) == 0 {
			return said
		}
		l.free = l.free[:n-1]
		e.peer.in = append(e.peer.in, b)
		said = true
	}
}

// Acquire takes the loop's lock.
func (e *localEnd) Acquire() { e.loop.mu.Lock() }

// Release gives it back; see rtcserver.Conn.Release.
func (e *localEnd) Release(later, news bool) {
	l := e.loop
	defer l.mu.Unlock()
	if l.busy {
		return
	}
	said := !later && !l.server.config.Manual && !e.closed && e.pump(time.Now())
	if said || news || later {
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
		}
	}
	l.poke()
}

// RemoteAddr returns no address.
func (e *localEnd) RemoteAddr() netip.AddrPort { return netip.AddrPort{} }

func (l *loop) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.busy {
		l.speak(time.Now())
	}
}

// pending reports whether there is something to do at once.
func (l *loop) pending() bool { return len(l.wake) > 0 }

// refuse lets no more links be made.
func (l *loop) refuse() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = true
}

// stop ends every session and the goroutine, when the last handlers have run. Sessions
// of the server's are over; a client's may not have heard of it.
func (l *loop) stop() {
	l.mu.Lock()
	now := time.Now()
	for _, e := range l.ends {
		if a := e.anchor; a.isHome() {
			a.conn.seat(a)
			a.conn.session.Close(now, ShutDown, "the server is closed", true)
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
