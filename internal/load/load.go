package load

import (
	"cmp"
	"context"
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
	Flood  Mode = "flood"  // every client has Window messages in flight; the server returns each
	Idle   Mode = "idle"   // clients connect and send nothing
	Storm  Mode = "storm"  // all clients connect at the same time
	Fanout Mode = "fanout" // the first client sends at a rate; the server sends each message to all
	Play   Mode = "play"   // every client sends at a rate; the server sends any messages
)

// Config configures a run. The zero value is one second without load.
type Config struct {
	Mode    Mode
	Clients int

	// Rate is the number of messages per second on each channel: of each client in Echo and
	// Play, of the first client in Fanout.
	Rate float64

	// Tick is the interval at which messages are sent: those that are due are sent together.
	// Zero means 1 ms; the smallest value is 50 µs.
	Tick time.Duration

	// Size is the length of a message in bytes. Less than 16 means 16: the header.
	Size int

	// Duration is how long the load is measured.
	Duration time.Duration

	// Warmup is how long the load runs before the measurement.
	Warmup time.Duration

	// Window is the number of messages of a client that are in flight on each channel in
	// Flood. Zero means 8.
	Window int

	// Parallel limits the clients that connect at the same time. Zero means 32, and in Storm
	// all.
	Parallel int

	// DialTimeout limits the time in which a client connects. Zero means 30 s.
	DialTimeout time.Duration

	// PID, if not zero, is the process of the server. Its CPU time and memory are measured
	// (Linux).
	PID int

	// Progress, if not nil, gets a line every second.
	Progress io.Writer
}

// run is one run of load.
type run struct {
	config    Config
	transport Transport
	epoch     time.Time
	clients   []*Client // those that are connected
	lanes     []lane    // by number of the transport's channels

	begin, end atomic.Int64 // what is sent between them is measured
	flooding   atomic.Bool

	refused, foreign, closed, interrupted atomic.Uint64
	firstRefusal, lastEnd                 atomic.Pointer[string]

	spacing  Histogram // between what comes to one client, in Play
	connects Histogram
	report   Report
}

// A lane is what is measured of one channel.
type lane struct {
	sent, received atomic.Uint64
	latency        Histogram
}

// now returns the time since the run began, in nanoseconds.
func (r *run) now() int64 { return int64(time.Since(r.epoch)) }

// measured reports whether what is sent at t counts.
func (r *run) measured(t int64) bool { return t >= r.begin.Load() && t < r.end.Load() }

// sent and received return the sums of all channels.
func (r *run) sent() (n uint64) {
	for i := range r.lanes {
		n += r.lanes[i].sent.Load()
	}
	return n
}

func (r *run) received() (n uint64) {
	for i := range r.lanes {
		n += r.lanes[i].received.Load()
	}
	return n
}

// latency returns the latencies of all channels; of one, its own.
func (r *run) latency() *Histogram {
	if len(r.lanes) == 1 {
		return &r.lanes[0].latency
	}
	all := new(Histogram)
	for i := range r.lanes {
		all.Add(&r.lanes[i].latency)
	}
	return all
}

// Run connects the clients, makes the load, and returns the report. If ctx is done before the
// end, it returns the report of the time until then. It closes t.
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
	r := &run{config: c, transport: t, epoch: time.Now(), lanes: make([]lane, len(t.Channels()))}
	r.begin.Store(int64(1) << 62)
	r.report = Report{Mode: c.Mode, Clients: c.Clients, Size: c.Size}
	before, err := readProcess(c.PID)
	if err != nil {
		return nil, err
	}
	if err := r.connect(ctx, before); err != nil {
		return nil, err
	}
	rate := c.Rate * float64(len(r.lanes))
	switch c.Mode {
	case Echo, Play:
		r.paced(ctx, rate*float64(len(r.clients)), r.clients)
	case Fanout:
		r.paced(ctx, rate, r.clients[:1])
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
