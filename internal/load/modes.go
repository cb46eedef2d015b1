package load

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// drain is how long answers to the last messages are waited for.
const drain = 500 * time.Millisecond

// stall is how long a flooding client waits before it takes what is under way for
// lost.
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
		return fmt.Sprintf("%s: %d messages/s, p50 %v, p99 %v, server CPU %.0f %%", r.config.Mode,
			s.received-last.received, r.latency.Quantile(0.5), r.latency.Quantile(0.99),
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

// paced has clients send in turn, rate messages a second in all.
func (r *run) paced(ctx context.Context, rate float64, clients []*Client) {
	r.measure(ctx, func(ctx context.Context) {
		buf := make([]byte, r.config.Size)
		i := 0
		pace(ctx, rate, r.config.Tick, func() {
			clients[i].send(buf)
			if i++; i == len(clients) {
				i = 0
			}
		})
	})
	time.Sleep(drain)
	r.report.Rate = rate
}

// flood keeps Window messages of every client under way.
func (r *run) flood(ctx context.Context) {
	r.measure(ctx, func(ctx context.Context) {
		r.flooding.Store(true)
		for _, c := range r.clients {
			c.heard.Store(r.now() - int64(stall)) // nothing is under way yet
		}
		buf := make([]byte, r.config.Size)
		for ctx.Err() == nil {
			for _, c := range r.clients {
				if now := r.now(); now-c.heard.Load() >= int64(stall) {
					c.heard.Store(now)
					for range r.config.Window {
						c.send(buf)
					}
				}
			}
			sleep(ctx, stall/4)
		}
		r.flooding.Store(false)
	})
	time.Sleep(drain)
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
	return counts{r.now(), r.received.Load(), p, ownCPU()}
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
