// Package websock carries datagrams over a WebSocket, at either end: each binary message is
// one datagram.
//
// A [Conn] has two goroutines. One reads: it gives each datagram to Handler.Receive, which
// may wait. One writes: it takes the datagrams from a short outbox. Nobody waits for it:
// what does not fit the outbox stays with the caller of Send. Where the system has a write
// that does not wait, at the server's end without TLS, the caller of Send writes the datagram
// itself, and the outbox is for what the socket has no room for.
package websock

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	// Protocol is the subprotocol that a server selects.
	Protocol = "godwit.1"
	// TicketPrefix begins the second subprotocol that a client names. The ticket follows.
	TicketPrefix = "ticket."

	// MaxDatagram is the size in bytes of the largest datagram. A larger one ends the
	// connection with the status 1009.
	MaxDatagram = 1150

	outboxLen = 16               // datagrams that wait for the writing goroutine
	patience  = 10 * time.Second // for one write, after which the connection ends
	departure = 2 * time.Second  // for the datagrams that are in the outbox at Close
	farewell  = time.Second      // for the closing handshake

	// A client may send maxPings pings at once, and one more every pingEvery: browsers send
	// none. More end the connection with the status 1008.
	maxPings  = 16
	pingEvery = time.Second
)

// A Handler is the set of funcs that a Conn calls, all without a lock. All must be set.
type Handler struct {
	// Receive gets a datagram, on the reading goroutine. The bytes are valid until it
	// returns. If it returns false the caller has called Close, or is about to: the Conn
	// discards what arrives until then.
	Receive func(b []byte) bool
	// Room is called when there is room again after a Send that returned false.
	Room func()
	// Ended is called once, when the connection is over. After it the caller calls Close.
	Ended func(error)
}

// A Conn is one end of a WebSocket.
type Conn struct {
	ws      *websocket.Conn
	nc      net.Conn // nil if it is not known
	remote  netip.AddrPort
	out     chan []byte
	full    atomic.Bool
	queued  atomic.Int32              // datagrams in the outbox, and the one that is being written
	wire    *wire                     // nil if Send cannot write
	leaveBy atomic.Pointer[time.Time] // when the outbox must be empty; nil before Close
	buffers Buffers

	// The caller of Send and Close guards the fields below.
	closed bool
	text   string

	// Only the reading goroutine uses the fields below.
	pings   int
	pinged  time.Time // when pings was last increased
	flooded bool
}

// Buffers is a pool of buffers that several Conns share. Make it with NewBuffers.
type Buffers chan []byte

// NewBuffers returns a pool that keeps at most n buffers.
func NewBuffers(n int) Buffers { return make(Buffers, n) }

func (p Buffers) get() []byte {
	select {
	case b := <-p:
		return b
	default:
		return make([]byte, 0, maxFrame) // more than the library reads
	}
}

func (p Buffers) put(b []byte) {
	select {
	case p <- b[:0]:
	default:
	}
}

func (c *Conn) init(ws *websocket.Conn, buffers Buffers) {
	c.ws, c.buffers, c.out = ws, buffers, make(chan []byte, outboxLen)
	c.pings, c.pinged = maxPings, time.Now()
	ws.SetReadLimit(MaxDatagram)
}

// Start starts the two goroutines in a group.
func (c *Conn) Start(group *sync.WaitGroup, h Handler) {
	for _, f := range []func(){
		func() { c.write(h.Room) },
		func() { h.Ended(c.read(h.Receive)) },
	} {
		group.Go(f)
	}
}

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// Send writes a datagram, or copies it to the outbox, and does not wait. It returns false if
// the outbox is full, or the Conn is closed. Calls of Send and Close must not overlap.
func (c *Conn) Send(b []byte) bool {
	if c.closed {
		return false
	}
	buf := c.buffers.get()
	if c.wire != nil && c.queued.Load() == 0 {
		buf = appendFrame(buf, b)
		taken, whole := c.wire.try(buf)
		if taken && !whole {
			c.push(nil) // the writing goroutine writes the rest of the frame; the outbox is empty
		}
		if taken {
			c.buffers.put(buf)
			return true
		}
	}
	buf = append(buf[:0], b...)
	if c.push(buf) {
		return true
	}
	c.full.Store(true)
	if c.push(buf) { // the writing goroutine has emptied the outbox before it could see full
		return true
	}
	c.buffers.put(buf)
	return false // the outbox has more datagrams, so the writing goroutine will see full
}

// push puts a datagram into the outbox, if it is not full.
func (c *Conn) push(b []byte) bool {
	c.queued.Add(1)
	select {
	case c.out <- b:
		return true
	default:
		c.queued.Add(-1)
		return false
	}
}

// Close ends the connection when the datagrams in the outbox have left, or have not left for
// the time of departure, and does not wait. A second Close does nothing.
func (c *Conn) Close(text string) {
	if c.closed {
		return
	}
	c.closed, c.text = true, text[:min(len(text), 100)]
	by := time.Now().Add(departure)
	c.leaveBy.Store(&by)
	c.limit(by) // also for the write in progress
	close(c.out)
}

// Abort ends a Conn that was not started.
func (c *Conn) Abort() { c.ws.CloseNow() }

// Broken reports whether a Conn has ended because the other end broke the protocol.
func Broken(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return !network && websocket.CloseStatus(err) == -1 && !errors.Is(err, errRefused) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// write writes the datagrams of the outbox until Close.
func (c *Conn) write(room func()) {
	ctx := context.Background()
	for b := range c.out {
		c.limitWrite()
		var err error
		if b == nil {
			_, err = c.wire.Write(nil)
		} else {
			err = c.ws.Write(ctx, websocket.MessageBinary, b)
			c.buffers.put(b)
		}
		c.limit(time.Time{}) // the library writes pongs, and has its own limit for them
		c.queued.Add(-1)
		if err != nil {
			c.ws.CloseNow() // the reading goroutine tells the owner, which calls Close
		}
		if c.full.Swap(false) {
			room()
		}
	}
	c.shut(websocket.StatusNormalClosure, c.text)
}

// limitWrite limits the time of the next write of a datagram.
func (c *Conn) limitWrite() {
	c.limit(time.Now().Add(patience))
	if by := c.leaveBy.Load(); by != nil { // after the line above: Close may have set its own limit before it
		c.limit(*by)
	}
}

// limit limits the time of the next writes. It works only where the socket is known.
func (c *Conn) limit(until time.Time) {
	if c.nc != nil {
		c.nc.SetWriteDeadline(until)
	}
}

// shut does the closing handshake, for at most farewell where the socket is known.
func (c *Conn) shut(code websocket.StatusCode, text string) {
	if c.nc != nil {
		c.nc.SetDeadline(time.Now().Add(farewell))
	}
	c.ws.Close(code, text)
}

var (
	errText    = errors.New("a message is not binary")
	errPings   = errors.New("too many pings")
	errRefused = errors.New("closed at this end")
)

// read reads datagrams until the connection is over, and returns why it is.
func (c *Conn) read(receive func([]byte) bool) error {
	ctx := context.Background()
	refused := false // receive has returned false
	for {
		kind, r, err := c.ws.Reader(ctx)
		if err == nil && kind != websocket.MessageBinary {
			c.shut(websocket.StatusUnsupportedData, "only binary messages")
			return errText
		}
		if err == nil && refused {
			_, err = io.Copy(io.Discard, r)
		} else if err == nil {
			refused, err = c.readMessage(r, receive)
			if refused && c.nc != nil {
				c.nc.SetReadDeadline(time.Now().Add(departure + farewell)) // the writing goroutine ends the connection before
			}
		}
		if c.flooded {
			c.shut(websocket.StatusPolicyViolation, "too many pings")
			return errPings
		}
		if err != nil {
			c.ws.CloseNow()
			if refused {
				err = errRefused
			}
			return err
		}
	}
}

// readMessage reads one message and gives it to receive. It returns true if receive refuses it.
func (c *Conn) readMessage(r io.Reader, receive func([]byte) bool) (refused bool, err error) {
	b := c.buffers.get()
	defer func() { c.buffers.put(b) }()
	for {
		n, err := r.Read(b[len(b):cap(b)]) // the library's limit is less than the capacity
		b = b[:len(b)+n]
		if err == io.EOF {
			return !receive(b), nil
		}
		if err != nil {
			return false, err
		}
	}
}

// An unended is a connection whose end is io.ErrUnexpectedEOF. The library takes the io.EOF of a
// connection that ends within a message for the end of the message.
type unended struct{ net.Conn }

func (u unended) Read(b []byte) (int, error) { return unexpected(u.Conn.Read(b)) }

func unexpected(n int, err error) (int, error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// ping reports whether to answer a ping.
func (c *Conn) ping(context.Context, []byte) bool {
	now := time.Now()
	if n := int(now.Sub(c.pinged) / pingEvery); n > 0 {
		c.pings = min(maxPings, c.pings+n)
		c.pinged = c.pinged.Add(time.Duration(n) * pingEvery)
	}
	if c.pings--; c.pings >= 0 {
		return true
	}
	if c.flooded = true; c.nc != nil {
		c.nc.SetReadDeadline(now) // ends the call that reads
	}
	return false
}
