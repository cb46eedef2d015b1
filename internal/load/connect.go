package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// connect connects the clients, Parallel at a time.
func (r *run) connect(ctx context.Context, before process) error {
	clients := make([]*Client, r.config.Clients)
	var next, failed atomic.Int64
	var lastErr atomic.Pointer[error]
	stop := r.progress(func() string {
		return fmt.Sprintf("connecting: %d of %d, %d failed", r.connects.Count(), len(clients), failed.Load())
	})
	begin := time.Now()
	var workers sync.WaitGroup
	for range min(r.config.Parallel, len(clients)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(clients) && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				c := &Client{run: r, index: i}
				if err := r.dial(ctx, c); err != nil {
					lastErr.Store(&err)
					failed.Add(1)
					continue
				}
				clients[i] = c
			}
		})
	}
	workers.Wait()
	took := time.Since(begin)
	stop()
	for _, c := range clients {
		if c != nil {
			r.clients = append(r.clients, c)
		}
	}
	n := len(r.clients)
	r.report.Connected, r.report.Failed = n, int(failed.Load())
	r.report.ConnectSeconds = took.Seconds()
	r.report.ConnectsPerSecond = float64(n) / took.Seconds()
	r.report.Connect = r.connects.Latency()
	if err := lastErr.Load(); err != nil {
		r.report.LastError = (*err).Error()
	}
	if n == 0 && len(clients) > 0 {
		if err := lastErr.Load(); err != nil {
			return fmt.Errorf("%w: %w", errNone, *err)
		}
		return errNone
	}
	after, err := readProcess(r.config.PID)
	if err == nil && n > 0 && r.config.PID != 0 {
		r.report.Server.CPUPerConnect = millis(after.cpu-before.cpu) / float64(n)
	}
	return err
}

// dial connects one client.
func (r *run) dial(ctx context.Context, c *Client) error {
	ctx, cancel := context.WithTimeout(ctx, r.config.DialTimeout)
	defer cancel()
	begin := time.Now()
	link, err := r.transport.Dial(ctx, c)
	if err != nil {
		return err
	}
	c.link = link
	r.connects.Record(time.Since(begin))
	return nil
}
