package load

import (
	"context"
	"encoding/binary"
	"sync/atomic"
	"time"
)

// A Transport makes clients of one kind of server. Its methods may be called
// concurrently.
type Transport interface {
	// Dial connects c. From then on c.Receive gets its messages.
	Dial(ctx context.Context, c *Client) (Link, error)
	// Channels returns the channels on which messages are sent, at least one.
	Channels() []Channel
	// Drops returns the number of datagrams for clients that were dropped because this
	// process was too slow.
	Drops() uint64
	// Close closes all connections.
	Close() error
}

// A Channel is a channel on which messages are sent. It has no name if the transport has only
// one.
type Channel struct{ Name, Mode string }

// plain is the result of Channels of a transport without channels.
var plain = []Channel{{}}

// A Link is the connection of one client.
type Link interface {
	// Send sends one message on the transport's channel i, a copy of b. It does not
	// wait.
	Send(i int, b []byte) error
}

// headerLen is the length of the header of a message: when it was sent, in nanoseconds since
// the run began (64), the number of the client (32), and the number of the message (32).
const headerLen = 16

// A Client is one simulated client.
type Client struct {
	run   *run
	index int
	link  Link
	seq   atomic.Uint32
	heard atomic.Int64 // when the last message arrived, in ns of the run
	reply []byte       // used only by Receive
}

// Index returns the client's number, from 0.
func (c *Client) Index() int { return c.index }

// ClientOf returns the number of the client that sent the message b, or -1.
func ClientOf(b []byte) int {
	if len(b) < headerLen {
		return -1
	}
	return int(binary.BigEndian.Uint32(b[8:]))
}

// send sends the client's next message on channel i, built in buf.
func (c *Client) send(i int, buf []byte) {
	r := c.run
	now := r.now()
	binary.BigEndian.PutUint64(buf, uint64(now))
	binary.BigEndian.PutUint32(buf[8:], uint32(c.index))
	binary.BigEndian.PutUint32(buf[12:], c.seq.Add(1))
	if err := c.link.Send(i, buf); err != nil {
		if r.refused.Add(1) == 1 {
			why := err.Error()
			r.firstRefusal.Store(&why)
		}
		return
	}
	if r.measured(now) {
		r.lanes[i].sent.Add(1)
	}
}

// Receive processes a message that has arrived on the transport's channel i. Any other number
// means a channel on which clients do not send. Calls for one client must not overlap.
func (c *Client) Receive(i int, b []byte) {
	r := c.run
	now := r.now()
	last := c.heard.Swap(now)
	switch {
	case r.config.Mode == Play:
		if r.measured(now) {
			r.lanes[0].received.Add(1)
			if last != 0 {
				r.spacing.Record(time.Duration(now - last))
			}
		}
		return
	case len(b) < headerLen || i < 0 || i >= len(r.lanes):
		r.foreign.Add(1)
		return
	}
	if sent := int64(binary.BigEndian.Uint64(b)); r.measured(sent) {
		r.lanes[i].received.Add(1)
		r.lanes[i].latency.Record(time.Duration(now - sent))
	}
	if r.flooding.Load() {
		if c.reply == nil {
			c.reply = make([]byte, r.config.Size)
		}
		c.send(i, c.reply)
	}
}

// Closed counts that the client's connection has ended too early.
func (c *Client) Closed(why string) {
	c.run.closed.Add(1)
	c.run.lastEnd.Store(&why)
}

// Interrupted counts that the client's session was interrupted.
func (c *Client) Interrupted() { c.run.interrupted.Add(1) }
