package game

import (
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A world is a game of one player whose position is where it was steered: a server with ticks, a
// client that draws frames, and a bad network between them, all in virtual time.
type world struct {
	t      *testing.T
	now    time.Time
	drawn  time.Time // when the next frame is drawn
	tick   time.Duration
	up     *netsim.Wire
	down   *netsim.Wire
	flight netsim.Timeline[func()]
	least  time.Duration // round trip without jitter, which the session has measured

	// The server.
	ticks  uint32
	begin  time.Time // of tick 0
	inputs *Inputs[float64]
	place  float64 // of the player
	past   *History[float64]

	// The client.
	clock  *Clock
	others *Snapshots[float64] // of a thing that moves one unit a tick
	own    *Prediction[float64, float64]
	steer  func(tick uint32) float64
	frame  func() // is called after each frame

	// What records the client's calls; may be nil.
	heard func(tick uint32, place float64, early int, tell bool)
	due   func(ticks []uint32)

	frameTime time.Duration
}

const frameTime = 16667 * time.Microsecond

func newWorld(t *testing.T, tick time.Duration, p netsim.Preset) *world {
	w := &world{
		t: t, tick: tick, now: time.Unix(1000, 0), drawn: time.Unix(1000, 0),
		up: netsim.NewWire(p.Up, 1), down: netsim.NewWire(p.Down, 2),
		least: p.Up.Delay + p.Down.Delay,
		ticks: 5000, inputs: NewInputs[float64](5000, InputsConfig[float64]{}), past: NewHistory[float64](64),
		clock: NewClock(ClockConfig{Tick: tick}),
		steer: func(uint32) float64 { return 1 },
		frame: func() {}, frameTime: frameTime,
	}
	w.begin = w.now.Add(-5000 * tick)
	w.others = NewSnapshots[float64](w.clock, SnapshotsConfig{})
	w.own = NewPrediction(w.clock, PredictionConfig[float64, float64]{
		Step: func(at, in float64) float64 { return at + in },
		Mix:  func(a, b, share float64) float64 { return a + (b-a)*share },
	})
	return w
}

// send sends a message over a wire.
func (w *world) send(wire *netsim.Wire, arrive func()) {
	for _, d := range wire.Send(w.now, 100, nil) {
		if d.Flip < 0 {
			w.flight.Push(d.At, arrive)
		}
	}
}

// run runs the game for a time.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		tick := w.begin.Add(time.Duration(w.ticks+1) * w.tick)
		arrival, ok := w.flight.Next()
		switch {
		case ok && !arrival.After(tick) && !arrival.After(w.drawn):
			w.now = arrival
			arrive, _ := w.flight.Pop(w.now)
			arrive()
		case !tick.After(w.drawn):
			w.now = tick
			w.serve()
		default:
			w.now = w.drawn
			w.drawn = w.drawn.Add(w.frameTime)
			w.play()
		}
	}
}

// serve is a tick of the server.
func (w *world) serve() {
	w.ticks++
	in, _ := w.inputs.Take(w.ticks)
	w.place += in
	w.past.Add(w.ticks, float64(w.ticks))
	tick, place := w.ticks, w.place
	var early int
	var tell bool
	if tick%10 == 0 {
		early, tell = w.inputs.Early()
	}
	w.send(w.down, func() {
		if w.heard != nil {
			w.heard(tick, place, early, tell)
		}
		w.clock.Hear(w.now, tick, w.least)
		if tell {
			w.clock.Early(early)
		}
		w.others.Add(w.now, tick, float64(tick))
		w.own.Correct(w.now, tick, place)
	})
}

// play is a frame of the client.
func (w *world) play() {
	due := slices.Collect(w.clock.Due(w.now))
	if w.due != nil {
		w.due(due)
	}
	for _, tick := range due {
		w.own.Input(tick, w.steer(tick))
	}
	if len(due) > 0 {
		newest, recent := w.own.Tick(), w.own.Recent(nil, 4)
		w.send(w.up, func() { w.inputs.Add(newest, recent) })
	}
	w.frame()
}

// serverTime is what the clock estimates.
func (w *world) serverTime() float64 { return w.now.Sub(w.begin).Seconds() / w.tick.Seconds() }
