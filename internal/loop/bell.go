package loop

import (
	"math"
	"os"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A Bell is the Socket of a loop that has no socket: it only waits for the deadline. Make
// it with NewBell.
type Bell struct {
	origin   time.Time    // deadlines are counted from here, with the monotonic clock
	deadline atomic.Int64 // in nanoseconds after origin; 0 means none
	until    atomic.Int64 // ReadBatch looks at the deadline again at this time; 0 means never, awake that it does not sleep
	rung     chan struct{}
	timer    *time.Timer // only ReadBatch uses it
}

// awake is a time before all deadlines.
const awake = math.MinInt64

// NewBell returns a Bell without a deadline.
func NewBell() *Bell {
	b := &Bell{origin: time.Now(), rung: make(chan struct{}, 1)}
	b.until.Store(awake)
	return b
}

// SetReadDeadline sets the time at which ReadBatch returns. Any goroutine may call it. It
// wakes the goroutine of ReadBatch only if that would sleep for too long.
func (b *Bell) SetReadDeadline(t time.Time) error {
	var d int64
	if !t.IsZero() {
		if d = int64(t.Sub(b.origin)); d <= 0 {
			d = -1 // all times that are over are one; ReadBatch could not subtract from the earliest
		}
	}
	b.deadline.Store(d)
	if until := b.until.Load(); d != 0 && (until == 0 || d < until) {
		select {
		case b.rung <- struct{}{}:
		default:
		}
	}
	return nil
}

// ReadBatch waits for the deadline. It returns 0 and os.ErrDeadlineExceeded.
func (b *Bell) ReadBatch([]udpio.Datagram) (int, error) {
	defer b.until.Store(awake)
	for {
		d := b.deadline.Load()
		if b.until.Store(d); b.deadline.Load() != d {
			continue // SetReadDeadline has not seen the new value of until
		}
		if d == 0 {
			<-b.rung
			continue
		}
		wait := time.Duration(d) - time.Since(b.origin)
		if wait <= 0 {
			return 0, os.ErrDeadlineExceeded
		}
		if b.timer == nil {
			b.timer = time.NewTimer(wait)
		} else {
			b.timer.Reset(wait)
		}
		select {
		case <-b.rung:
		case <-b.timer.C:
		}
	}
}

// WriteBatch sends nothing: a loop with a Bell has no datagrams.
func (b *Bell) WriteBatch([]udpio.Datagram) (int, error) { return 0, nil }
