package dtls

import "time"

// Bounds and defaults of a Repeater.
const (
	repeatFirst = 25 * time.Millisecond
	repeatMax   = 400 * time.Millisecond
	repeatCount = 12 // about 3.6 s with the default intervals; pion's own timer continues
	repeatParts = 8  // largest number of datagrams of a flight
)

// A Repeater sends a stored flight again, byte for byte, at intervals that double up to
// 400 ms, until it is stopped. So a lost datagram costs 25 ms instead of the peer's timeout.
// The same bytes do not use a record number for different plaintexts, and a peer that
// has them drops them as replays.
//
// The zero value is idle. The fields may be set at any time, and have an effect from
// the next interval on. A Repeater is not safe for concurrent use.
//
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.4
type Repeater struct {
	First   time.Duration // first interval; zero means 25 ms
	longest time.Duration // longest interval; zero means 400 ms
	Limit   int           // repetitions of one flight; zero means 12

	flight   [][]byte
	sent     int // datagrams of the current repetition that Append has returned
	count    int
	interval time.Duration
	due      time.Time
}

// Set replaces the stored flight by a flight of one datagram, which was sent just
// before. The Repeater keeps the slice.
func (r *Repeater) Set(now time.Time, datagram []byte) {
	r.Stop()
	r.flight = append(r.flight, datagram)
	r.interval = or(r.First, repeatFirst)
	r.due = now.Add(r.interval)
}

// Add stores a further datagram of the flight of Set. A flight has at most 8 datagrams;
// further ones are not repeated.
func (r *Repeater) Add(datagram []byte) {
	if len(r.flight) > 0 && len(r.flight) < repeatParts {
		r.flight = append(r.flight, datagram)
	}
}

// Stop removes the flight: nothing is repeated any more.
func (r *Repeater) Stop() {
	clear(r.flight)
	*r = Repeater{First: r.First, longest: r.longest, Limit: r.Limit, flight: r.flight[:0]}
}

// Active reports whether a flight is stored and will be sent again.
func (r *Repeater) Active() bool { return !r.due.IsZero() }

// Deadline returns when the next datagram is due; zero means never.
func (r *Repeater) Deadline() time.Time { return r.due }

// Append appends the next datagram that is due to b. Call it until it returns b unchanged.
func (r *Repeater) Append(now time.Time, b []byte) []byte {
	if r.due.IsZero() || now.Before(r.due) {
		return b
	}
	b = append(b, r.flight[r.sent]...)
	if r.sent++; r.sent == len(r.flight) {
		r.schedule(now)
	}
	return b
}

func (r *Repeater) schedule(now time.Time) {
	r.sent = 0
	if r.count++; r.count >= or(r.Limit, repeatCount) {
		r.Stop()
		return
	}
	r.interval = min(2*r.interval, or(r.longest, repeatMax))
	r.due = now.Add(r.interval)
}

// or returns v, or def if v is zero.
func or[T ~int | ~int64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
