package load

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
)

// After the last message was sent, a run waits until all reliable messages have arrived, and nothing
// else for silence, but at most for drain: reliable messages may be sent many times.
const (
	silence = time.Second
	drain   = 10 * time.Second
)

// stall is how long a client of Flood waits before the messages in flight count as lost.
const stall = 200 * time.Millisecond

// measure runs a load, first for the warm-up and then for the time that counts.
func (r *run) measure(ctx context.Context, load func(context.Context)) {
	warmup := r.config.Warmup
	begin := r.now() + int64(warmup)
	r.end.Store(begin + int64(r.config.Duration))
	r.begin.Store(begin)
	ctx, cancel := context.WithTimeout(ctx, warmup+r.config.Duration)
	defer cancel()

	last := r.counts()
	stop := r.progress(func() string {
		s := r.counts()
		defer func() { last = s }()
		h, what := r.latency(), "latency"
		if r.config.Mode == Play {
			h, what = &r.spacing, "spacing"
		}
		return fmt.Sprintf("%s: %d messages/s, %s p50 %v, p99 %v, server CPU %.0f %%", r.config.Mode,
			s.received-last.received, what, h.Quantile(0.5), h.Quantile(0.99),
			100*(s.process.cpu-last.process.cpu).Seconds())
	})
	defer stop()

	var meters sync.WaitGroup
	var from, to counts
	meters.Go(func() {
		sleep(ctx, warmup)
		from = r.counts()
		<-ctx.Done()
		to = r.counts()
	})
	load(ctx)
	meters.Wait()
	r.figures(from, to)
}

// paced has clients send in turn, on one channel after the other, rate messages a
// second in all.
func (r *run) paced(ctx context.Context, rate float64, clients []*Client) {
	r.measure(ctx, func(ctx context.Context) {
		buf := make([]byte, r.config.Size)
		n := 0
		pace(ctx, rate, r.config.Tick, func() {
			clients[n%len(clients)].send(n/len(clients), buf)
			if n++; n == len(clients)*len(r.lanes) {
				n = 0
			}
		})
	})
	r.drain(ctx)
	r.report.Rate = rate
}

// drain waits for what is still under way.
func (r *run) drain(ctx context.Context) {
	if r.config.Mode == Play {
		return // nobody knows what is to come
	}
	const pauses = 100 // counted: a process that gets no processor for long has as many left
	n, begin := r.received(), r.now()
	for idle := 0; n < r.expected(r.sent()) && (idle < pauses || r.expectsReliable()) && r.now()-begin < int64(drain) && ctx.Err() == nil; idle++ {
		sleep(ctx, silence/pauses)
		if m := r.received(); m > n {
			n, idle = m, 0
		}
	}
}

// expectsReliable reports whether reliable messages are under way.
func (r *run) expectsReliable() bool {
	for i, c := range r.transport.Channels() {
		l := &r.lanes[i]
		if strings.HasPrefix(c.Mode, "reliable") && l.received.Load() < r.expected(l.sent.Load()) {
			return true
		}
	}
	return false
}

// expected returns how many messages come of n that were sent, if none is lost.
func (r *run) expected(n uint64) uint64 {
	if r.config.Mode == Fanout {
		n *= uint64(len(r.clients))
	}
	return n
}

// flood keeps Window messages of every client under way on every channel.
func (r *run) flood(ctx context.Context) {
	r.measure(ctx, func(ctx context.Context) {
		r.flooding.Store(true)
		for _, c := range r.clients {
			c.heard.Store(r.now() - int64(stall)) // nothing is under way yet
		}
		buf := make([]byte, r.config.Size)
		for ctx.Err() == nil {
			for _, c := range r.clients {
				r.refill(c, buf)
			}
			sleep(ctx, stall/4)
		}
		r.flooding.Store(false)
	})
	r.drain(ctx)
}

// refill sends a window of messages for a client that has received none for long.
func (r *run) refill(c *Client, buf []byte) {
	now := r.now()
	if now-c.heard.Load() < int64(stall) {
		return
	}
	c.heard.Store(now)
	for i := range r.lanes {
		for range r.config.Window {
			c.send(i, buf)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// counts are what moves during a run.
type counts struct {
	at       int64
	received uint64
	process  process
	own      time.Duration // CPU time of this process
}

func (r *run) counts() counts {
	p, _ := readProcess(r.config.PID)
	return counts{r.now(), r.received(), p, ownCPU()}
}

// progress writes a line every second until the func that it returns is called.
func (r *run) progress(line func() string) (stop func()) {
	w := r.config.Progress
	if w == nil {
		return func() {}
	}
	done := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				fmt.Fprintln(w, line())
			case <-done:
				return
			}
		}
	})
	return func() { close(done); writer.Wait() }
}
