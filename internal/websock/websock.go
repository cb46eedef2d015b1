// Package websock carries datagrams over a WebSocket, at either end: each binary message is
// one datagram.
//
// A [Conn] has a goroutine that reads: it gives each datagram to Handler.Receive, which may
// wait. Nobody waits for a write: what does not fit a short outbox stays with the caller of
// Send. While datagrams are in the outbox a second goroutine writes; it also does the closing
// handshake.
//
// At the server's end without TLS, if the system has calls that do not wait, a Conn has a wire. The
// caller of Send then writes the datagram itself, and only what the socket has no room for goes into
// the outbox. The reading goroutine reads the socket itself, and the library only what is not a
// datagram; it also does the closing handshake.
package websock

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
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

	outboxLen = 16               // datagrams that wait, besides the one that is being written
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
	wire    *wire         // nil if there is none
	library *bufio.Reader // with which the library reads the wire
	buffers Buffers
	group   *sync.WaitGroup
	handler Handler

	mu      sync.Mutex // guards the fields below
	out     [][]byte   // the outbox; the first is being written
	rest    bool       // the wire has the rest of a frame, which must leave before the outbox
	writing bool       // the writing goroutine runs, and will see what changes here
	full    bool       // Send has returned false
	over    bool       // nothing can be written any more
	closed  bool       // Close was called
	leaving bool       // after it: the outbox is empty, and the reading goroutine does the closing handshake
	leaveBy time.Time  // when the outbox must be empty; zero before Close
	text    string

	// Only the reading goroutine uses the fields below.
	pings   int
	pinged  time.Time // when pings was last increased
	flooded bool
	refused bool // Handler.Receive has returned false
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
		return make([]byte, 0, bufferSize) // more than the library reads
	}
}

func (p Buffers) put(b []byte) {
	select {
	case p <- b[:0]:
	default:
	}
}

func (c *Conn) init(ws *websocket.Conn, buffers Buffers) {
	c.ws, c.buffers = ws, buffers
	c.pings, c.pinged = maxPings, time.Now()
	ws.SetReadLimit(MaxDatagram)
}

// Start starts the reading goroutine in a group. The writing goroutine will be in the group,
// too.
func (c *Conn) Start(group *sync.WaitGroup, h Handler) {
	c.group, c.handler = group, h
	c.start(func() {
		err := c.read()
		if c.wire != nil {
			c.wire.release()
		}
		c.mu.Lock()
		c.over = true
		c.mu.Unlock()
		h.Ended(err)
	})
}

// start starts one of the two goroutines.
func (c *Conn) start(run func()) { c.group.Go(run) }

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote }

// Send writes a datagram, or copies it to the outbox, and does not wait. It returns false if
// the outbox is full, or the Conn is closed.
func (c *Conn) Send(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return false
	case c.over:
		return true // the caller will learn it from Handler.Ended
	case c.wire != nil && !c.writing && c.try(b):
		return true
	case len(c.out) > outboxLen:
		c.full = true
		return false
	}
	c.out = append(c.out, append(c.buffers.get(), b...))
	c.startWriting()
	return true
}

// try writes a datagram without waiting. It returns false if the socket takes nothing of it.
func (c *Conn) try(b []byte) bool {
	frame := appendFrame(c.buffers.get(), b)
	taken, whole := c.wire.try(frame)
	c.buffers.put(frame)
	if taken && !whole {
		c.rest = true
		c.startWriting()
	}
	return taken
}

// startWriting starts the writing goroutine, unless it runs.
func (c *Conn) startWriting() {
	if !c.writing {
		c.writing = true
		c.start(c.write)
	}
}

// Close ends the connection when the datagrams in the outbox have left, or have not left for
// the time of departure, and does not wait. A second Close does nothing.
func (c *Conn) Close(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.closed, c.text = true, text[:min(len(text), 100)]
	if c.over {
		return
	}
	c.leaveBy = time.Now().Add(departure)
	c.limit(c.leaveBy) // also for the write in progress
	c.startWriting()
}

// Abort ends a Conn that was not started.
func (c *Conn) Abort() { c.ws.CloseNow() }

// Broken reports whether a Conn has ended because the other end broke the protocol.
func Broken(err error) bool {
	_, network := errors.AsType[net.Error](err)
	return !network && websocket.CloseStatus(err) == -1 && !errors.Is(err, errRefused) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// write writes until the outbox is empty. After Close it then does the closing handshake.
func (c *Conn) write() {
	for {
		b, more := c.next()
		if !more {
			return
		}
		err := c.writeOne(b)
		c.limit(time.Time{}) // the library writes pongs, and has its own limit for them
		if c.written(b, err) {
			c.handler.Room()
		}
	}
}

// next returns what the writing goroutine writes next, nil for the rest of a frame, and false
// if there is nothing more.
func (c *Conn) next() (b []byte, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.over:
	case c.rest:
		c.limitWrite()
		return nil, true
	case len(c.out) > 0:
		c.limitWrite()
		return c.out[0], true
	case c.closed && c.wire != nil: // writing stays true: nobody else writes datagrams any more
		c.leaving = true
		c.nc.SetReadDeadline(time.Unix(1, 0)) // ends the call that reads
		return nil, false
	case c.closed:
		c.mu.Unlock() // writing stays true, too
		c.shut(websocket.StatusNormalClosure, c.text)
		c.mu.Lock()
		return nil, false
	}
	for _, b := range c.out {
		c.buffers.put(b)
	}
	c.out, c.writing = nil, false
	return nil, false
}

// writeOne writes a datagram, or only the rest of a frame if b is nil.
func (c *Conn) writeOne(b []byte) error {
	switch {
	case c.wire == nil:
		return c.ws.Write(context.Background(), websocket.MessageBinary, b)
	case b == nil:
		_, err := c.wire.Write(nil)
		return err
	}
	frame := appendFrame(c.buffers.get(), b)
	_, err := c.wire.Write(frame)
	c.buffers.put(frame)
	return err
}

// written notes that b was written, or that err has ended the connection. It reports whether
// to call Room.
func (c *Conn) written(b []byte, err error) (room bool) {
	if err != nil {
		c.ws.CloseNow() // the reading goroutine tells the owner
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if b == nil {
		c.rest = false
	} else {
		c.buffers.put(b)
		c.out = slices.Delete(c.out, 0, 1)
	}
	c.over = c.over || err != nil
	room = c.full && !c.over
	c.full = false
	return room
}

// limitWrite limits the time of the next write of a datagram.
func (c *Conn) limitWrite() {
	if c.closed {
		c.limit(c.leaveBy)
	} else {
		c.limit(time.Now().Add(patience))
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
func (c *Conn) read() error {
	for {
		b, ok, err := c.readWire()
		switch {
		case ok:
			c.receive(b)
		case err == nil:
			err = c.readLibrary()
		}
		if err != nil {
			return c.end(err)
		}
	}
}

// readWire reads one datagram, without the library. It returns false if the library must read what
// comes, or has the beginning of it.
func (c *Conn) readWire() (b []byte, ok bool, err error) {
	if c.wire == nil || c.library.Buffered() > 0 {
		return nil, false, nil
	}
	return c.wire.message()
}

// readLibrary reads one message with the library.
func (c *Conn) readLibrary() error {
	kind, r, err := c.ws.Reader(context.Background())
	switch {
	case err != nil:
		return err
	case kind != websocket.MessageBinary:
		return errText
	}
	b := c.buffers.get()
	defer func() { c.buffers.put(b) }()
	for {
		n, err := r.Read(b[len(b):cap(b)]) // the library's limit is less than the capacity
		b = b[:len(b)+n]
		if err == io.EOF {
			c.receive(b)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// receive gives a datagram to the owner, unless he has refused one.
func (c *Conn) receive(b []byte) {
	if c.refused || c.handler.Receive(b) {
		return
	}
	c.refused = true
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.nc != nil && !c.leaving {
		c.nc.SetReadDeadline(time.Now().Add(departure + farewell)) // Close ends the connection before
	}
}

// end ends the connection because of an error, and returns why it is over.
func (c *Conn) end(err error) error {
	c.mu.Lock()
	leaving := c.leaving
	c.mu.Unlock()
	switch {
	case err == errText:
		c.shut(websocket.StatusUnsupportedData, "only binary messages")
		return err
	case c.flooded:
		c.shut(websocket.StatusPolicyViolation, "too many pings")
		return errPings
	case leaving:
		c.shut(websocket.StatusNormalClosure, c.text)
		return errRefused
	}
	c.ws.CloseNow()
	if c.refused {
		return errRefused
	}
	return err
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
	n := int(now.Sub(c.pinged) / pingEvery)
	c.pings = min(maxPings, c.pings+n)
	c.pinged = c.pinged.Add(time.Duration(n) * pingEvery)
	if c.pings--; c.pings >= 0 {
		return true
	}
	if c.flooded = true; c.nc != nil {
		c.nc.SetReadDeadline(now) // ends the call that reads
	}
	return false
}
