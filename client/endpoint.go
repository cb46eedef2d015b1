package client

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/timers"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// Sizes of an endpoint's buffers: in datagrams, for one connection and for
// thousands, and in bytes.
const (
	fewDatagrams  = 8
	manyDatagrams = 64
	inLen         = 2048 // more than any server sends in one
	outLen        = 1536 // more than we do
)

// An Endpoint is one UDP socket and the connections that live on it. It has one
// goroutine, which calls all handlers; its methods may be called from any.
type Endpoint struct {
	// All of it, and all of its connections, belongs to whoever holds mu: the
	// endpoint's goroutine while it works through a batch, and a call such as
	// Conn.Send while it writes one message. Nobody holds mu while waiting, and no
	// user code runs while it is held. The fields below "loop" are the loop's own and
	// need no lock.

	config  Config
	socket  *udpio.Conn
	signal  httpSignal
	running sync.WaitGroup
	single  bool // Dial's: it ends with its connection

	mu       sync.Mutex
	conns    map[route]*Conn // by each of their routes
	live     int             // how many there are
	sessions map[*Session]struct{}
	scratch  [MaxMessage]byte
	sources  sources
	timers   timers.Heap[*Conn]
	touched  []*Conn // to be delivered, pumped and timed when the batch is over
	busy     bool    // the loop is in a batch and will flush: sends need not
	out      []udpio.Datagram
	outbox   []outboxed // what handshakes said
	deadline time.Time  // the socket's read deadline; zero means none
	closed   bool
	stats    Stats

	// loop
	in     []udpio.Datagram
	ready  []*Conn
	events []peer.Event
}

// A route is by what a datagram is known to be a connection's: the server's
// address and, with Config.Sources, ours.
type route struct {
	remote netip.AddrPort
	local  netip.Addr
}

// A PacketConn is a socket that [New] takes: a [net.UDPConn], or a connection of
// an in-memory network.
type PacketConn = udpio.PacketConn

// Listen opens an endpoint on the UDP port addr, "host:port". Without a host it
// reaches IPv4 and IPv6; port 0 means any. An empty addr is ":0".
func Listen(addr string, c Config) (*Endpoint, error) {
	if addr == "" {
		addr = ":0"
	}
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	sockets, err := udpio.Listen(addr, udpio.Config{})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return start(sockets[0], c, false), nil
}

// New is Listen for a socket that is open already. The endpoint closes it.
func New(pc PacketConn, c Config) (*Endpoint, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	socket, err := udpio.Take(pc, udpio.Config{})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return start(socket, c, false), nil
}

func start(socket *udpio.Conn, c Config, single bool) *Endpoint {
	n := fewDatagrams
	if c.Sources.IsValid() {
		n = manyDatagrams
	}
	e := &Endpoint{
		config:   c,
		socket:   socket,
		single:   single,
		conns:    make(map[route]*Conn),
		sessions: make(map[*Session]struct{}),
		sources:  newSources(c.Sources),
		in:       newBatch(n, inLen),
		out:      newBatch(n, outLen)[:0],
	}
	e.signal = newHTTPSignal(&e.config)
	e.running.Go(e.run)
	return e
}

func newBatch(n, size int) []udpio.Datagram {
	all := make([]byte, n*size)
	ds := make([]udpio.Datagram, n)
	for i := range ds {
		ds[i].B = all[i*size : i*size : (i+1)*size]
	}
	return ds
}

// Addr returns the address that the endpoint's socket is bound to.
func (e *Endpoint) Addr() netip.AddrPort { return e.socket.LocalAddr() }

// Close closes every session, every connection and the socket. When it returns,
// Handler.Close has run for all open connections, and SessionHandler.Close for all open
// sessions. In a handler it returns ErrInHandler and does nothing.
func (e *Endpoint) Close() error {
	if handling.Now() {
		return ErrInHandler
	}
	e.mu.Lock()
	now := time.Now()
	for s := range e.sessions {
		s.abandon(now)
	}
	for _, c := range e.conns {
		c.close(now)
	}
	e.closed = true
	e.wake()
	e.mu.Unlock()
	e.running.Wait()
	return nil
}

// run is the endpoint's goroutine.
func (e *Endpoint) run() {
	defer e.socket.Close()
	for {
		n, err := e.turn()
		if err != nil {
			break
		}
		if n == len(e.in) {
			runtime.Gosched() // the next turn will not wait; with one processor nobody else would run
		}
	}
	e.shutDown()
}

// shutDown ends the connections that are left when the loop has ended, and runs the
// last handlers.
func (e *Endpoint) shutDown() {
	e.mu.Lock()
	e.closed = true
	for s := range e.sessions {
		s.abandon(time.Now())
	}
	for _, c := range e.conns {
		c.end(&CloseError{Code: ClosedByUs})
		e.touch(c)
		e.remove(c)
	}
	e.handOver()
	e.mu.Unlock()
	e.deliver()
}

// deliver runs the handlers. No lock is held.
func (e *Endpoint) deliver() {
	for _, c := range e.ready {
		c.deliver()
	}
}

// turn waits for datagrams, or for the first deadline, and does what there is to
// do. This is the whole loop: wait, lock, everything in, unlock, handlers, lock,
// everything out, unlock. It returns how many datagrams came.
func (e *Endpoint) turn() (int, error) {
	n, err := e.socket.ReadBatch(e.in)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, err
	}
	now := time.Now()
	e.mu.Lock()
	e.busy = true
	e.stats.Batches++
	e.stats.DatagramsIn += uint64(n)
	e.takeOutbox(now)
	for i := range n {
		e.receive(now, &e.in[i])
	}
	e.advance(now)
	e.handOver()
	e.mu.Unlock()

	e.deliver()

	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.ready) > 0 {
		now = time.Now()
	}
	for i, c := range e.ready {
		e.settle(now, c)
		e.ready[i] = nil
	}
	e.busy = false
	e.flush()
	if e.closed && len(e.touched) == 0 {
		return n, net.ErrClosed
	}
	e.arm()
	return n, nil
}

// handOver takes the connections that were touched, and their news, for the
// handlers. What comes later waits for the next turn.
func (e *Endpoint) handOver() {
	e.touched, e.ready = e.ready[:0], e.touched
	for _, c := range e.ready {
		c.touched = false
		c.news, c.telling = c.telling[:0], c.news
		if c.isCarrier() {
			c.session.ready()
		}
	}
}

// touch makes sure that the loop looks at c before it waits again.
func (e *Endpoint) touch(c *Conn) {
	if !c.touched {
		c.touched = true
		e.touched = append(e.touched, c)
	}
}

// receive takes one datagram of the batch.
func (e *Endpoint) receive(now time.Time, d *udpio.Datagram) {
	c := e.conns[e.route(d.Remote, d.Local)]
	if c == nil {
		e.stats.Strangers++
		return
	}
	e.stats.BytesIn += uint64(len(d.B))
	switch peer.Classify(d.B) {
	case peer.STUN:
		if c.peer.Answered(now, d.Remote, d.B) && c.peer.State() == peer.Waiting {
			e.beginHandshake(c)
		}
	case peer.DTLS:
		// The server's ClientHello may overtake the answer to our check.
		if c.peer.State() == peer.Waiting {
			e.beginHandshake(c)
		}
		events, forHandshake := c.peer.Receive(now, d.Remote, d.B, e.events[:0])
		e.events = events
		if len(forHandshake) > 0 && c.handshake != nil {
			c.handshake.Receive(forHandshake)
		}
		c.happened(events)
	}
	e.touch(c)
}

// route returns by what a datagram is known.
func (e *Endpoint) route(remote netip.AddrPort, local netip.Addr) route {
	if !e.config.Sources.IsValid() {
		local = netip.Addr{}
	}
	return route{remote, local}
}

// advance looks at everything whose time has come.
func (e *Endpoint) advance(now time.Time) {
	for c, ok := e.timers.Due(now); ok; c, ok = e.timers.Due(now) {
		e.touch(c)
		if c.isCarrier() {
			c.session.advance(now)
			continue
		}
		e.events = c.peer.Advance(now, e.events[:0])
		c.happened(e.events)
	}
}

// settle lets c say what it has to say and sets its timer.
func (e *Endpoint) settle(now time.Time, c *Conn) {
	if c.isCarrier() {
		c.session.settle(now)
		return
	}
	if c.gone {
		return
	}
	c.peer.Flush(now)
	c.pump(now)
	if c.peer.State() == peer.Gone {
		e.remove(c)
		return
	}
	e.time(c)
}

// time sets c's timer, and wakes the loop if it would come too late.
func (e *Endpoint) time(c *Conn) {
	e.timers.Set(c, &c.timer, c.peer.Deadline())
	if !e.busy {
		e.arm()
	}
}

// remove forgets c.
func (e *Endpoint) remove(c *Conn) {
	if c.gone {
		return
	}
	c.gone = true
	e.timers.Remove(&c.timer)
	endHandshake(c)
	for _, r := range c.routes {
		if e.conns[r] == c {
			delete(e.conns, r)
		}
	}
	e.live--
	e.sources.giveBack(c.local)
	if e.single {
		e.closed = true
	}
}

// Stats are the counters of an endpoint since it was made.
type Stats struct {
	Conns int // connections that are open, opening, or closing

	MessagesIn, MessagesOut   uint64
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64 // of UDP payload
	Batches                   uint64 // turns of the loop

	Opened, Closed uint64 // connections that became open, and that ended
	Strangers      uint64 // datagrams of no connection

	Socket udpio.Stats
}

// Stats returns the counters as they are now.
func (e *Endpoint) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := e.stats
	s.Conns = e.live
	s.Socket = e.socket.Stats()
	return s
}
