package game

import (
	"slices"
	"time"
)

// SnapshotsConfig are the limits of a [Snapshots]. The zero value has the defaults.
type SnapshotsConfig struct {
	// MinDelay and MaxDelay limit how late the states are shown. Zero means 20 ms and 500 ms; the limit of
	// both is 56 ticks, for which there are states even if each tick has one.
	MinDelay, MaxDelay time.Duration

	// Beyond is for how long after the newest state things go on straight. Zero means 100 ms, a
	// negative value not at all.
	Beyond time.Duration
}

const (
	maxSnapshots = 64 // states that are kept
	maxDelay     = 56 // ticks by which they are shown late at most
	delaySamples = 40 // states from which the delay is computed
	lateStates   = 2  // of these, how many may be too late
	firstSamples = 3  // states from which the first delay is computed; until then the first state is shown
)

// A Snapshots has the last states that a client got from the server. It shows them a little late, so
// that the state before and the state after the time that it shows are there. The delay adapts: it is
// such that of the last 40 states at most two came too late. It depends on jitter and losses, not on
// the length of the path, and changes slowly, so that nothing that is shown jumps.
type Snapshots[S any] struct {
	clock     *Clock
	low, high float64 // limits of the delay, in ticks
	beyond    float64
	delay     float64
	at        float64    // the server's time of the last At
	shown     float64    // time that At has shown last
	states    []state[S] // by tick
	needs     []float64  // for each of the last states, the delay with which it had come in time; a ring
	next      int        // index of the next of needs
	wanted    float64    // the delay to which At slews
	begun     bool       // delay is set
}

// NewSnapshots returns an empty Snapshots with the time of a Clock, which must hear each message
// before the Snapshots gets the message's state.
func NewSnapshots[S any](clock *Clock, c SnapshotsConfig) *Snapshots[S] {
	d := func(v, usual time.Duration) float64 {
		if v == 0 {
			v = usual
		}
		return max(clock.ticks(v), 0)
	}
	s := &Snapshots[S]{
		clock:  clock,
		low:    min(d(c.MinDelay, 20*time.Millisecond), maxDelay),
		high:   min(d(c.MaxDelay, 500*time.Millisecond), maxDelay),
		beyond: d(c.Beyond, 100*time.Millisecond),
	}
	s.high = max(s.high, s.low)
	s.wanted = s.low
	return s
}

// Add adds the state after a tick, which has arrived now. States may come in any order; one that is
// there already, or is older than all 64 that are kept, is ignored.
func (s *Snapshots[S]) Add(now time.Time, tick uint32, value S) {
	t := float64(tick)
	i := len(s.states)
	for i > 0 && s.states[i-1].tick >= t {
		i--
	}
	if i < len(s.states) && s.states[i].tick == t {
		return
	}
	if i > 0 && i == len(s.states) {
		s.note(s.clock.Now(now) - s.states[i-1].tick)
	}
	s.states = slices.Insert(s.states, i, state[S]{t, value})
	if len(s.states) > maxSnapshots {
		s.states = slices.Delete(s.states, 0, 1)
	}
}

// note notes the delay with which a state had come in time: the state is needed as soon as the time
// that is shown is after the state before it.
func (s *Snapshots[S]) note(need float64) {
	if len(s.needs) < delaySamples {
		s.needs = append(s.needs, need)
	} else {
		s.needs[s.next] = need
		s.next = (s.next + 1) % delaySamples
	}
	var sorted [delaySamples]float64
	n := copy(sorted[:], s.needs)
	slices.Sort(sorted[:n])
	s.wanted = between(sorted[n-1-n*lateStates/delaySamples], s.low, s.high)
}

// At returns the states before and after the time to show, and what share of the way from the first
// to the second one that time is: from 0 to 1, or more than 1 if the next state is missing, for at
// most the time Beyond. The states are equal and the share is 0 until four have come, from which the
// delay is computed. ok is false without any state.
func (s *Snapshots[S]) At(now time.Time) (from, to S, share float64, ok bool) {
	n := len(s.states)
	if n == 0 {
		return from, to, 0, false
	}
	time := s.clock.Now(now)
	if !s.begun {
		s.begun, s.delay = len(s.needs) >= firstSamples, s.wanted
	} else if d := time - s.at; d > 0 {
		s.delay += between(s.wanted-s.delay, -s.clock.slew*d, s.clock.slew*d)
	}
	s.at = time
	s.shown = min(time-s.delay, s.states[n-1].tick+s.beyond)
	i := n - 1 // of the state after
	for i > 1 && s.states[i-1].tick > s.shown {
		i--
	}
	b := &s.states[i]
	if !s.begun || s.shown < s.states[i-1].tick { // begun: there are four states
		a := &s.states[0]
		s.shown = a.tick
		return a.value, a.value, 0, true
	}
	a := &s.states[i-1]
	return a.value, b.value, (s.shown - a.tick) / (b.tick - a.tick), true
}

// Shown returns the time that At has shown last, in ticks. A client sends it with an input that aims
// at something, for [History.At].
func (s *Snapshots[S]) Shown() float64 { return s.shown }

// Delay returns by how many ticks the states are shown late.
func (s *Snapshots[S]) Delay() float64 { return s.delay }
