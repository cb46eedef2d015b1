package testkit

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

const (
	pathSegment = 1400 // bytes that are lost, or arrive, together
	pathWindow  = 32   // segments of one direction that are on their way at once

	firstResend  = 250 * time.Millisecond
	longestPause = 8 * time.Second // between two of them; TCP waits up to 2 minutes
)

// A Path is what the connections of Pipes cross: as TCP, they deliver in order what a bad link
// carries, and send a lost segment again after a time, which doubles.
type Path struct {
	over chan struct{} // closed at the end of the test

	mu   sync.Mutex // guards the fields below
	link netsim.Link
	seed uint64
	dark time.Time
}

// NewPath returns a path that delays nothing, until the test ends.
func NewPath(t testing.TB) *Path {
	p := &Path{over: make(chan struct{})}
	t.Cleanup(func() { close(p.over) })
	return p
}

// SetLink changes the link of all connections.
func (p *Path) SetLink(l netsim.Link, seed uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link, p.seed = l, seed
}

// BlackoutFor makes everything that is sent in the time d from now on get lost.
func (p *Path) BlackoutFor(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dark = time.Now().Add(d)
}

// Over returns a dialer whose connections cross the path.
func (p *Path) Over(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		far, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		ours, near := net.Pipe()
		go p.carry(far, near)
		go p.carry(near, far)
		return ours, nil
	}
}

// carry carries what is read from one connection to another one, and then closes both.
func (p *Path) carry(to, from net.Conn) {
	type segment struct {
		at time.Time
		b  []byte
	}
	line := make(chan segment, pathWindow)
	go func() {
		defer to.Close()
		for s := range line {
			select {
			case <-time.After(time.Until(s.at)):
			case <-p.over:
				from.Close()
			}
			if _, err := to.Write(s.b); err != nil {
				from.Close()
			}
		}
	}()
	defer close(line)
	p.mu.Lock()
	p.seed++
	w := netsim.NewWire(p.link, p.seed)
	p.mu.Unlock()
	var last time.Time
	for {
		b := make([]byte, pathSegment)
		n, err := from.Read(b)
		if n > 0 {
			if at := p.arrival(w, n); at.After(last) {
				last = at
			}
			line <- segment{last, b[:n]}
		}
		if err != nil {
			from.Close()
			return
		}
	}
}

// arrival returns when a segment that is sent now arrives.
func (p *Path) arrival(w *netsim.Wire, size int) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.SetLink(p.link)
	w.Blackout(p.dark)
	t := time.Now()
	for pause := firstResend; ; pause = min(2*pause, longestPause) {
		if ds := w.Send(t, size, nil); len(ds) > 0 {
			return ds[0].At
		}
		t = t.Add(pause)
	}
}
