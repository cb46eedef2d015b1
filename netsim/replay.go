package netsim

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Replay repeats the fates of a recorded path; see Link.Replay. It never changes, so any
// number of links may use the same one.
//
// A datagram gets the fate of the recorded datagram that was sent at the nearest time; both
// times count from the first datagram of the path. Datagrams that were recorded at the same
// time are used one after the other. So the same traffic has the same fates, and other
// traffic finds the path as it was at that time. If the traffic is denser than the recorded
// one, several datagrams get the fate of one lost datagram. After the last datagram the
// recording starts again.
type Replay struct {
	fates  []Fate // by At, the first at 0
	period time.Duration
}

// NewReplay returns a Replay of the datagrams that were recorded with the name path. An
// empty name means all datagrams, for traces with one path. It returns an error if the
// trace has no such datagram, or one is malformed.
func NewReplay(trace []Fate, path string) (*Replay, error) {
	r := &Replay{}
	for _, f := range trace {
		if path != "" && f.Path != path {
			continue
		}
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("netsim: datagram at %v: %w", f.At, err)
		}
		r.fates = append(r.fates, f)
	}
	if len(r.fates) == 0 {
		return nil, fmt.Errorf("netsim: the trace has no datagram of path %q; it has %q", path, Paths(trace))
	}
	slices.SortStableFunc(r.fates, func(a, b Fate) int { return cmp.Compare(a.At, b.At) })
	first := r.fates[0].At
	for i := range r.fates {
		r.fates[i].At -= first
	}
	// The next round begins one mean distance after the last datagram.
	end := r.fates[len(r.fates)-1].At
	r.period = end + max(time.Nanosecond, end/time.Duration(max(1, len(r.fates)-1)))
	return r, nil
}

// Paths returns the names of the paths in a trace, in the order in which they
// appear.
func Paths(trace []Fate) (names []string) {
	for _, f := range trace {
		if !slices.Contains(names, f.Path) {
			names = append(names, f.Path)
		}
	}
	return names
}

// Len returns the number of recorded datagrams.
func (r *Replay) Len() int { return len(r.fates) }

// Duration returns the time after which the recording starts again.
func (r *Replay) Duration() time.Duration { return r.period }

// index returns the index of the fate for a datagram that is sent since after the first.
// last is the index for the datagram before it, or -1.
func (r *Replay) index(since time.Duration, last int) int {
	since %= r.period
	i := r.search(since)
	if i == len(r.fates) || i > 0 && since-r.fates[i-1].At <= r.fates[i].At-since {
		i--
	}
	at := r.fates[i].At
	switch {
	case last < 0 || r.fates[last].At != at:
		return r.search(at)
	case last+1 < len(r.fates) && r.fates[last+1].At == at:
		return last + 1
	}
	return last
}

// search returns the first fate that is not before at.
func (r *Replay) search(at time.Duration) int {
	i, _ := slices.BinarySearchFunc(r.fates, at, func(f Fate, at time.Duration) int { return cmp.Compare(f.At, at) })
	return i
}

// repeat gives a datagram the recorded fate for the time now.
func (w *Wire) repeat(now time.Time, size int, ds []Delivery) ([]Delivery, Drop) {
	if now.Before(w.dark) {
		return ds, DropLost
	}
	w.replay = w.link.Replay.index(max(0, now.Sub(w.first)), w.replay)
	f := &w.link.Replay.fates[w.replay]
	for i, after := range f.After {
		d := Delivery{At: now.Add(after), Flip: -1}
		if i < len(f.Flip) && f.Flip[i] >= 0 && size > 0 {
			w.stats.Corrupted++
			d.Flip = f.Flip[i] % (8 * size)
		}
		if i > 0 {
			w.stats.Duplicated++
		}
		ds = append(ds, d)
	}
	return ds, f.Drop
}
