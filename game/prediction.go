package game

import (
	"math"
	"time"
)

// PredictionConfig says how the own player moves. S is the player's state, and I an input.
type PredictionConfig[S, I any] struct {
	// Step returns the state after one tick with an input. It must do what the server does, and
	// change nothing else.
	Step func(S, I) S

	// Mix returns the state between a and b: a for the share 0, b for 1.
	Mix func(a, b S, share float64) S

	// Jump reports whether a correction is so large that it is shown at once, such as a new place
	// after a death. Nil means never.
	Jump func(shown, right S) bool

	// HalfLife is the time in which a correction is half done. Zero means 50 ms, a negative value
	// that each correction is shown at once.
	HalfLife time.Duration

	// MaxPending is how many inputs may wait for a state of the server that has them. If there are
	// more, the oldest is forgotten, and the prediction is wrong until the server's next state. Zero
	// and less mean 128.
	MaxPending int
}

// doneShare is the share of a correction that may be missing when it counts as done.
const doneShare = 0.01

// A Prediction shows the own player at a client without waiting for the server: it applies each input
// at once. When a state of the server arrives, the Prediction applies the inputs that the state does
// not have yet to it. If the result is another one than before, what is shown goes there smoothly.
type Prediction[S, I any] struct {
	config  PredictionConfig[S, I]
	clock   *Clock
	pending []I    // the inputs of the last ticks up to tick
	tick    uint32 // of the newest input or, if that is later, of the server's state
	acked   uint32 // of the server's state
	ready   bool   // there is a server's state

	before, after S // the predicted states before and after tick

	// While a correction is shown, what was shown before goes on, too, and has a falling share.
	correcting          bool
	oldBefore, oldAfter S
	since               time.Time
}

// NewPrediction returns a Prediction with the time of a Clock.
func NewPrediction[S, I any](clock *Clock, c PredictionConfig[S, I]) *Prediction[S, I] {
	if c.HalfLife == 0 {
		c.HalfLife = 50 * time.Millisecond
	}
	c.MaxPending = orDefault(c.MaxPending, 128)
	return &Prediction[S, I]{config: c, clock: clock}
}

// Input applies the input of a tick, one of those that [Clock.Due] returns. If ticks are missing
// before it, the inputs before them are forgotten. A tick that is not after [Prediction.Tick] is
// ignored.
func (p *Prediction[S, I]) Input(tick uint32, in I) {
	if tick <= p.tick {
		return
	}
	if tick != p.tick+1 {
		p.pending = p.pending[:0]
	}
	if len(p.pending) == p.config.MaxPending {
		p.pending = p.pending[:copy(p.pending, p.pending[1:])]
	}
	p.tick, p.pending = tick, append(p.pending, in)
	p.before, p.after = p.after, p.step(p.after, in)
	if p.correcting {
		p.oldBefore, p.oldAfter = p.oldAfter, p.step(p.oldAfter, in)
	}
}

func (p *Prediction[S, I]) step(s S, in I) S {
	if !p.ready {
		return s
	}
	return p.config.Step(s, in)
}

// Recent appends the newest inputs that no state of the server has yet to b, at most n, the newest
// first: what a message has for the server's [Inputs.Add], with the tick of the newest, Tick.
func (p *Prediction[S, I]) Recent(b []I, n int) []I {
	for i := len(p.pending) - 1; i >= max(len(p.pending)-n, 0); i-- {
		b = append(b, p.pending[i])
	}
	return b
}

// Tick returns the tick of the newest input.
func (p *Prediction[S, I]) Tick() uint32 { return p.tick }

// Correct takes the server's state after a tick. An older state than one before is ignored.
func (p *Prediction[S, I]) Correct(now time.Time, tick uint32, s S) {
	if p.ready && tick <= p.acked {
		return
	}
	oldBefore, oldAfter, shown := p.before, p.after, p.ready
	if share := p.share(now); share > 0 {
		oldBefore = p.config.Mix(p.before, p.oldBefore, share)
		oldAfter = p.config.Mix(p.after, p.oldAfter, share)
	}
	if tick > p.tick && shown { // the inputs end before this tick: what is shown goes on from where it is
		oldBefore = p.config.Mix(oldBefore, oldAfter, p.part(now))
		oldAfter = oldBefore
	}
	keep := len(p.pending)
	if ahead := int64(p.tick) - int64(tick); ahead < int64(keep) {
		keep = max(int(ahead), 0)
	}
	p.pending = p.pending[:copy(p.pending, p.pending[len(p.pending)-keep:])]
	p.ready, p.acked, p.tick = true, tick, max(p.tick, tick)
	p.before, p.after = s, s
	for _, in := range p.pending {
		p.before, p.after = p.after, p.config.Step(p.after, in)
	}
	p.correcting = shown && (p.config.Jump == nil || !p.config.Jump(oldAfter, p.after))
	p.oldBefore, p.oldAfter, p.since = oldBefore, oldAfter, now
}

// share returns the share that the state before the correction still has.
func (p *Prediction[S, I]) share(now time.Time) float64 {
	if !p.correcting {
		return 0
	}
	share := 0.0
	if p.config.HalfLife > 0 {
		share = math.Exp2(-max(now.Sub(p.since).Seconds(), 0) / p.config.HalfLife.Seconds())
	}
	if share < doneShare {
		p.correcting, share = false, 0
	}
	return share
}

// part returns how much of the way from the state before the newest input to the one after it is done.
func (p *Prediction[S, I]) part(now time.Time) float64 {
	return between(p.clock.Ahead(now)-float64(p.tick), 0, 1)
}

// At returns the state to show: that between the states before and after the newest input, so an
// input has its whole effect after one tick. ok is false before the first state of the server.
func (p *Prediction[S, I]) At(now time.Time) (s S, ok bool) {
	if !p.ready {
		return s, false
	}
	part := p.part(now)
	s = p.config.Mix(p.before, p.after, part)
	if share := p.share(now); share > 0 {
		s = p.config.Mix(s, p.config.Mix(p.oldBefore, p.oldAfter, part), share)
	}
	return s, true
}
