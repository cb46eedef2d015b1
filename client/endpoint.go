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

// Sizes of an endpoint's buffers.
const (
	fewDatagrams  = 8    // datagrams of a batch without Config.Sources
	manyDatagrams = 64   // datagrams of a batch with Config.Sources
	inLen         = 2048 // bytes; larger than any datagram of a server
	outLen        = 1536 // bytes; larger than any datagram of this end
)

// An Endpoint is one UDP socket and its connections. Its goroutine runs all handlers.
// Its methods may be called from any goroutine.
type Endpoint struct {
	// mu guards the endpoint and all its connections, except the fields above mu, which
	// do not change, and those below "loop", which only the endpoint's goroutine uses.
	// The goroutine holds mu while it works through a batch. A call such as Conn.Send
	// holds mu while it writes one message. Nobody holds mu while waiting or while code
	// of the program runs.

	config  Config
	socket  *udpio.Conn
	signal  httpSignal
	running sync.WaitGroup
	single  bool // the endpoint ends with its last connection; guarded by mu

	mu       sync.Mutex
	conns    map[route]*Conn // by each of their routes
	live     int             // number of connections
	sessions map[*Session]struct{}
	scratch  [MaxMessage]byte
	sources  sources
	timers   timers.Heap[*Conn]
	touched  []*Conn // connections that the next turn delivers and settles
	busy     bool    // the loop works through a batch and will flush
	out      []udpio.Datagram
	outbox   []outboxed // events of handshakes for the next turn
	deadline time.Time  // the socket's read deadline; zero means none
	closed   bool
	stats    Stats

	// loop
	in     []udpio.Datagram
	ready  []*Conn
	events []peer.Event
}

// A route identifies the connection of a datagram: the address of the server and, with
// Config.Sources, the local address.
type route struct {
	remote netip.AddrPort
	local  netip.Addr
}

// A PacketConn is a socket for [New]: a [net.UDPConn], or a connection of an in-memory
// network.
type PacketConn = udpio.PacketConn

// Listen opens an endpoint on the UDP address addr, "host:port". Without a host it sends
// over IPv4 and IPv6. Port 0 means that the system chooses a port. An empty addr means
// ":0".
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

// New makes an endpoint of an open socket. The endpoint closes the socket.
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

// Close closes every session, every connection and the socket, and does not deliver the
// messages in the queues. When Close returns, Handler.Close has run for all open
// connections, and SessionHandler.Close for all open sessions. In a handler Close
// returns ErrInHandler and does nothing; otherwise it returns nil.
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
			runtime.Gosched() // the next turn will not wait; with one processor no other goroutine would run
		}
	}
	e.shutDown()
}

// shutDown ends the remaining connections after the loop has ended, and runs their
// handlers.
func (e *Endpoint) shutDown() {
	e.mu.Lock()
	e.closed = true
	for s := range e.sessions {
		s.abandon(time.Now())
	}
	for _, c := range e.conns {
		c.end(&CloseError{Code: CloseByProgram})
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

// turn waits for datagrams or the first deadline, and processes them. This is the whole
// loop: wait, lock, receive, unlock, run handlers, lock, send, unlock. It returns the
// number of datagrams that arrived.
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

// handOver takes the touched connections, and their news, for the handlers of this turn.
// A connection that is touched later waits for the next turn.
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
		// The server's ClientHello may overtake the answer to this end's check.
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

// route returns the route of a datagram with these addresses.
func (e *Endpoint) route(remote netip.AddrPort, local netip.Addr) route {
	if !e.config.Sources.IsValid() {
		local = netip.Addr{}
	}
	return route{remote, local}
}

// advance calls Advance of every connection and session whose deadline has come.
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

// settle sends the pending datagrams of c and sets its timer.
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

// time sets the timer of c, and wakes the loop if it would wake too late.
func (e *Endpoint) time(c *Conn) {
	e.timers.Set(c, &c.timer, c.peer.Deadline())
	if !e.busy {
		e.arm()
	}
}

// remove removes c from the endpoint's tables.
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
	Conns int // connections that are open, being opened, or being closed

	MessagesIn, MessagesOut   uint64
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64 // of UDP payload
	Batches                   uint64 // turns of the loop

	Opened, Closed uint64 // connections that opened; connections that ended, including those that never opened
	Strangers      uint64 // datagrams from an address without a connection

	Socket udpio.Stats // counters of the socket
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
