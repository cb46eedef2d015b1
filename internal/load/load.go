package load

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"
)

// A Mode is a kind of load.
type Mode string

const (
	Echo   Mode = "echo"   // every client sends at a rate; the server returns each message
	Flood  Mode = "flood"  // every client has Window messages under way; the server returns each
	Idle   Mode = "idle"   // clients connect and say nothing
	Storm  Mode = "storm"  // clients connect all at once
	Fanout Mode = "fanout" // the first client sends at a rate; the server sends each message to all
)

// Config says what load to make. The zero value is one second of nothing.
type Config struct {
	Mode    Mode
	Clients int

	// Rate is messages a second: of each client in Echo, of the first in Fanout.
	Rate float64

	// Tick is how often messages are sent at a rate: those that are due go out
	// together. Zero means 1 ms; less than 50 µs means that.
	Tick time.Duration

	// Size is the length of a message in bytes. Less than 16 means 16: the header.
	Size int

	// Duration is how long the load is measured.
	Duration time.Duration

	// Warmup is how long the load runs before it is measured.
	Warmup time.Duration

	// Window is how many messages of a client are under way in Flood. Zero means 8.
	Window int

	// Parallel limits the clients that connect at once. Zero means 32, and all in
	// Storm.
	Parallel int

	// DialTimeout limits one connecting. Zero means 30 s.
	DialTimeout time.Duration

	// PID, if not zero, is the server's process, whose CPU time and memory are
	// measured (Linux).
	PID int

	// Progress gets a line every second. Nil means no one.
	Progress io.Writer
}

// A Transport makes clients of one kind of server. Its methods may be called
// concurrently.
type Transport interface {
	// Dial connects c, whose messages go to c.Receive from then on.
	Dial(ctx context.Context, c *Client) (Link, error)
	// Drops returns how many datagrams came to this machine's clients and were
	// dropped because this process was too slow.
	Drops() uint64
	// Close closes all that was dialled.
	Close() error
}

// A Link is the connection of one client.
type Link interface {
	// Send sends one message, a copy of b. It does not wait.
	Send(b []byte) error
}

// headerLen is the part of a message that says what it is: when it was sent, in
// nanoseconds since the run began (64), which client sent it (32), and which of its
// messages it is (32).
const headerLen = 16

// A Client is one simulated client.
type Client struct {
	run   *run
	index int
	link  Link
	seq   atomic.Uint32
	heard atomic.Int64 // when the last message came, in ns of the run
	reply []byte       // Receive's own buffer
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

// send sends the client's next message, built in buf.
func (c *Client) send(buf []byte) {
	r := c.run
	now := r.now()
	binary.BigEndian.PutUint64(buf, uint64(now))
	binary.BigEndian.PutUint32(buf[8:], uint32(c.index))
	binary.BigEndian.PutUint32(buf[12:], c.seq.Add(1))
	if c.link.Send(buf) != nil {
		r.refused.Add(1)
		return
	}
	if r.measured(now) {
		r.sent.Add(1)
	}
}

// Receive takes a message that came to the client. Calls for one client do not
// overlap.
func (c *Client) Receive(b []byte) {
	r := c.run
	if len(b) < headerLen {
		r.foreign.Add(1)
		return
	}
	now := r.now()
	sent := int64(binary.BigEndian.Uint64(b))
	c.heard.Store(now)
	if r.measured(sent) {
		r.received.Add(1)
		r.latency.Record(time.Duration(now - sent))
	}
	if r.flooding.Load() {
		if c.reply == nil {
			c.reply = make([]byte, r.config.Size)
		}
		c.send(c.reply)
	}
}

// run is one run of load.
type run struct {
	config    Config
	transport Transport
	epoch     time.Time
	clients   []*Client // those that are connected

	begin, end atomic.Int64 // what is sent between them is measured
	flooding   atomic.Bool

	sent, received, refused, foreign atomic.Uint64

	latency  Histogram
	connects Histogram
	report   Report
}

// now returns the time since the run began, in nanoseconds.
func (r *run) now() int64 { return int64(time.Since(r.epoch)) }

// measured reports whether what is sent at t counts.
func (r *run) measured(t int64) bool { return t >= r.begin.Load() && t < r.end.Load() }

// Run connects the clients, makes the load, and reports. It returns early with the
// report of what was when ctx is done. It closes t.
func Run(ctx context.Context, t Transport, c Config) (*Report, error) {
	c.Size = max(c.Size, headerLen)
	c.Tick = max(cmp.Or(c.Tick, time.Millisecond), 50*time.Microsecond)
	c.Window = cmp.Or(c.Window, 8)
	c.DialTimeout = cmp.Or(c.DialTimeout, 30*time.Second)
	if c.Parallel == 0 {
		c.Parallel = 32
		if c.Mode == Storm {
			c.Parallel = c.Clients
		}
	}
	defer t.Close()
	r := &run{config: c, transport: t, epoch: time.Now()}
	r.begin.Store(int64(1) << 62)
	r.report = Report{Mode: c.Mode, Clients: c.Clients, Size: c.Size}
	before, err := readProcess(c.PID)
	if err != nil {
		return nil, err
	}
	if err := r.connect(ctx, before); err != nil {
		return nil, err
	}
	switch c.Mode {
	case Echo:
		r.paced(ctx, c.Rate*float64(len(r.clients)), r.clients)
	case Fanout:
		r.paced(ctx, c.Rate, r.clients[:1])
	case Flood:
		r.flood(ctx)
	case Idle:
		r.measure(ctx, func(ctx context.Context) { <-ctx.Done() })
	case Storm:
	default:
		return nil, fmt.Errorf("load: no mode %q", c.Mode)
	}
	r.finish(before)
	return &r.report, nil
}

// errNone is the error of a run in which no client could connect.
var errNone = errors.New("load: no client could connect")
