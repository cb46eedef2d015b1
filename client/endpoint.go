package client

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/websock"
	"github.com/godwit-rtc/godwit/session"
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
	// The loop's lock guards the endpoint and all its connections and sessions, except the
	// fields above loop, which do not change, and those below "turn", which only the
	// loop's turn uses. The goroutine holds the lock while it processes a batch. A call
	// such as Conn.Send holds the lock while it writes one message.

	config  Config
	socket  *udpio.Conn
	signal  httpSignal
	running sync.WaitGroup

	loop     *loop.Loop[member]
	conns    map[route]*Conn // by each of their routes
	live     int             // number of connections
	single   bool            // the endpoint ends with its last connection
	sessions map[*Session]struct{}
	scratch  [MaxMessage]byte
	sources  sources
	outbox   loop.Inbox[outboxed] // events of handshakes
	arrivals loop.Inbox[arrival]  // datagrams of WebSockets
	buffers  websock.Buffers
	fell     fallen
	polling  loop.Puller[Event] // with Config.Manual; the goroutine of Poll uses it
	stats    Stats

	// turn
	events []peer.Event
}

// A member of the loop: a connection, or a session, which lives longer than its links.
// The endpoint's lock is held, except in deliver.
type member interface {
	loopEntry() *loop.Entry
	advance(now time.Time)
	ready() bool
	deliver()
	settle(now time.Time)
	deadline() time.Time
}

// A route identifies the connection of a datagram: the address of the server and, with
// Config.Sources, the local address.
type route struct {
	remote netip.AddrPort
	local  netip.Addr
}

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

// Serve is Listen for an open socket, which the endpoint closes: a [net.UDPConn], or any other
// PacketConn with addresses of an IP and a port, such as one of an in-memory network. If it has
// the methods ReadFromUDPAddrPort and WriteToUDPAddrPort of a UDPConn, datagrams cost no
// allocation.
func Serve(pc net.PacketConn, c Config) (*Endpoint, error) {
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
		buffers:  websock.NewBuffers(maxWaiting),
	}
	e.loop = loop.New(host{e}, socket, loop.Config{Batch: n, InSize: inLen, OutSize: outLen, Manual: c.Manual})
	e.polling.Keep, e.polling.After, e.polling.Ended, e.polling.Turn = keep, yielded, endedEvent, e.turns
	e.signal = newHTTPSignal(&e.config)
	e.loop.Start(&e.running, e.ended)
	return e
}

// Addr returns the address that the endpoint's socket is bound to.
func (e *Endpoint) Addr() netip.AddrPort { return e.socket.LocalAddr() }

// Close closes every session, every connection and the socket, and does not deliver the
// messages in the queues. When Close returns, Handler.Close has run for all open
// connections, and SessionHandler.Close for all open sessions. In a handler Close
// returns session.ErrInHandler and does nothing; otherwise it returns nil.
func (e *Endpoint) Close() error {
	if handling.Now() || e.config.Manual && !e.polling.Start() {
		return session.ErrInHandler
	}
	if e.config.Manual {
		defer e.polling.End()
	}
	e.loop.Lock()
	now := time.Now()
	for s := range e.sessions {
		s.abandon(now)
	}
	for _, c := range e.conns {
		c.close(now)
	}
	e.loop.Close()
	e.loop.Unlock()
	if e.config.Manual {
		e.ended(e.loop.Run())
	}
	e.running.Wait()
	return nil
}

// ended closes the endpoint after its loop has ended.
func (e *Endpoint) ended(error) {
	defer e.socket.Close()
	e.shutDown()
}

// shutDown ends the remaining connections after the loop has ended, and runs their
// handlers.
func (e *Endpoint) shutDown() {
	e.loop.Lock()
	e.loop.Close()
	for s := range e.sessions {
		s.abandon(time.Now())
	}
	for _, c := range e.conns {
		c.end(&CloseError{Code: CloseByClient})
		e.loop.Touch(c)
		e.remove(c)
	}
	e.loop.Unlock()
	e.loop.Drain()
}

// A host is the endpoint's part of the loop; see loop.Host.
type host struct{ *Endpoint }

func (h host) Receive(now time.Time, batch []udpio.Datagram) {
	h.takeOutbox(now)
	h.takeArrivals()
	for i := range batch {
		h.receive(now, &batch[i])
	}
}

func (host) Entry(m member) *loop.Entry      { return m.loopEntry() }
func (host) Advance(now time.Time, m member) { m.advance(now) }
func (host) Ready(m member) bool             { return m.ready() }
func (host) Unlocked()                       {}
func (host) Deliver(m member)                { m.deliver() }
func (h host) Abandon()                      { h.arrivals.Abandon() }
func (host) Settle(now time.Time, m member)  { m.settle(now) }
func (host) Send(now time.Time, m member)    { m.settle(now) }
func (host) Deadline(m member) time.Time     { return m.deadline() }
func (host) NextDeadline() time.Time         { return time.Time{} }

// receive takes one datagram of the batch.
func (e *Endpoint) receive(now time.Time, d *udpio.Datagram) {
	c := e.conns[e.route(d.Remote, d.Local)]
	if c == nil {
		e.stats.Strangers++
		return
	}
	switch peer.Classify(d.B) {
	case peer.STUN:
		if c.peer.Answered(now, d.Remote, d.B) && c.peer.State() == peer.Waiting {
			e.beginHandshake(c)
		}
	case peer.DTLS:
		// The server's ClientHello may overtake the answer to this end's check.
		if c.peer.State() == peer.Waiting {
			if c.succeeds || dtls.ContentType(d.B[0]) != dtls.TypeHandshake {
				break // it may be the ClientHello, or a record, for the connection before
			}
			e.beginHandshake(c)
		}
		events, forHandshake := c.peer.Receive(now, d.Remote, d.B, e.events[:0])
		e.events = events
		if c.handshake != nil {
			c.handshake.Receive(forHandshake)
		}
		c.processEvents(events)
	}
	e.loop.Touch(c)
}

// route returns the route of a datagram with these addresses.
func (e *Endpoint) route(remote netip.AddrPort, local netip.Addr) route {
	if !e.config.Sources.IsValid() {
		local = netip.Addr{}
	}
	return route{remote, local}
}

// remove removes c, which is over, from the endpoint's tables.
func (e *Endpoint) remove(c *Conn) {
	if !c.setState(connGone) {
		return
	}
	e.loop.Remove(c)
	endHandshake(c)
	for _, r := range c.routes {
		if e.conns[r] == c {
			delete(e.conns, r)
		}
	}
	if s := c.session; s != nil && s.opening == c {
		s.opening = nil
	}
	e.live--
	e.sources.release(c.local)
	if e.single {
		e.loop.Close()
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

	KernelDrops uint64 // received datagrams dropped by the kernel because the socket's buffer was full (Linux)
	ReadErrors  uint64 // errors of reads, mostly about datagrams sent earlier
	SendFailed  uint64 // datagrams of DatagramsOut that the system did not send: no room in the buffer, no route, a firewall
}

// Stats returns the counters as they are now.
func (e *Endpoint) Stats() Stats {
	e.loop.Lock()
	defer e.loop.Unlock()
	s, l := e.stats, &e.loop.Stats
	s.DatagramsIn, s.DatagramsOut = l.DatagramsIn, l.DatagramsOut
	s.BytesIn, s.BytesOut, s.Batches = l.BytesIn, l.BytesOut, l.Turns
	s.Conns = e.live
	s.addSocket(e.socket.Stats())
	return s
}

func (s *Stats) addSocket(u udpio.Stats) {
	s.KernelDrops, s.ReadErrors = u.KernelDrops, u.ReadErrors
	s.SendFailed = u.SendFull + u.SendTooLarge + u.SendUnreachable + u.SendDenied + u.SendFailed
}
