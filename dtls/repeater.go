package dtls

import "time"

// Bounds and defaults of a Repeater.
const (
	repeatFirst = 25 * time.Millisecond
	repeatMax   = 400 * time.Millisecond
	repeatCount = 12 // about 3.6 s with the default intervals; pion's own timer goes on
	repeatParts = 8  // datagrams a flight may have
)

// A Repeater sends a stored flight again, byte for byte, at doubling intervals,
// until it is stopped: a datagram lost early then costs 25 ms instead of the
// peer's timer. Repeating the same bytes uses no record number twice for
// different plaintexts, and a peer that already has them drops them as replays.
//
// The zero value is idle. Fields may be set at any time and count from the next
// interval on. It belongs to whoever owns the peer.
//
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.4
type Repeater struct {
	First time.Duration // first interval; zero means 25 ms
	Max   time.Duration // longest interval; zero means 400 ms
	Limit int           // repetitions of one flight; zero means 12

	flight   [][]byte
	sent     int // datagrams of the current repetition that Append has given out
	count    int
	interval time.Duration
	due      time.Time
}

// Set stores a flight of one datagram, which has just been sent, in place of
// whatever was stored. The Repeater keeps the slice.
func (r *Repeater) Set(now time.Time, datagram []byte) {
	r.Stop()
	r.flight = append(r.flight, datagram)
	r.interval = or(r.First, repeatFirst)
	r.due = now.Add(r.interval)
}

// Add stores a further datagram of the flight given to Set. A flight has at most
// 8; one more is not repeated.
func (r *Repeater) Add(datagram []byte) {
	if len(r.flight) > 0 && len(r.flight) < repeatParts {
		r.flight = append(r.flight, datagram)
	}
}

// Stop forgets the flight.
func (r *Repeater) Stop() {
	clear(r.flight)
	*r = Repeater{First: r.First, Max: r.Max, Limit: r.Limit, flight: r.flight[:0]}
}

// Active reports whether a flight is stored and will be sent again.
func (r *Repeater) Active() bool { return !r.due.IsZero() }

// Deadline returns when Append has something to say; zero means never.
func (r *Repeater) Deadline() time.Time { return r.due }

// Append appends the next datagram that is due. Call it until b is unchanged.
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
	r.interval = min(2*r.interval, or(r.Max, repeatMax))
	r.due = now.Add(r.interval)
}

// or returns v, or def if v is zero.
func or[T ~int | ~int64](v, def T) T {
	if v == 0 {
		return def
	}
	return v
}
