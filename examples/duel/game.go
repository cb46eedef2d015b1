package main

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"time"
)

// The board, in units.
const width, height = 1600, 900

const (
	rate      = 30 // ticks a second
	speed     = 22 // of the player, in units a tick
	hareSpeed = 16
	reach     = 60       // distance at which the hare is caught
	turns     = 20       // ticks from one turn of the hare to the next
	stale     = rate * 2 // ticks after which an input does not count
)

// A point is a place on the board.
type point struct{ x, y float64 }

// A game is one board: a player who runs to where the last input says, and a hare that turns at random. Each player has
// one for each link. Its dice depend only on the tick, so that both links get the same ones.
type game struct {
	you, hare point
	target    point
	heard     uint32 // tick of the last input
	caught    uint32
}

func newGame(tick uint32) *game {
	middle := point{width / 2, height / 2}
	return &game{you: middle, target: middle, hare: burrow(tick)}
}

// dice returns a random source for a tick.
func dice(tick uint32) *rand.Rand { return rand.New(rand.NewPCG(uint64(tick), 1)) }

// burrow returns where a hare of this tick begins.
func burrow(tick uint32) point {
	d := dice(tick)
	return point{width * (0.1 + 0.8*d.Float64()), height * (0.1 + 0.8*d.Float64())}
}

// steer takes an input.
func (g *game) steer(tick uint32, to point) {
	g.target = point{min(max(to.x, 0), width), min(max(to.y, 0), height)}
	g.heard = tick
}

// step runs one tick.
func (g *game) step(tick uint32) {
	angle := dice(tick/turns).Float64() * 2 * math.Pi
	g.hare.x = bounce(g.hare.x, hareSpeed*math.Cos(angle), width)
	g.hare.y = bounce(g.hare.y, hareSpeed*math.Sin(angle), height)
	if tick-g.heard <= stale {
		dx, dy := g.target.x-g.you.x, g.target.y-g.you.y
		f := min(1, speed/max(math.Hypot(dx, dy), 1))
		g.you = point{g.you.x + dx*f, g.you.y + dy*f}
	}
	if math.Hypot(g.hare.x-g.you.x, g.hare.y-g.you.y) < reach {
		g.caught++
		g.hare = burrow(tick)
	}
}

// bounce moves v by d. A step that would leave the board goes the other way.
func bounce(v, d, most float64) float64 {
	if v+d < 0 || v+d > most {
		d = -d
	}
	return v + d
}

// stateSize is the number of bytes of a state.
const stateSize = 24

// append appends the state, which both links carry: the time at which it was made, in ms of the server's clock; the tick;
// the hare, the player, and the number of hares that were caught.
func (g *game) append(b []byte, made time.Duration, tick uint32) []byte {
	b = binary.LittleEndian.AppendUint64(b, math.Float64bits(float64(made)/float64(time.Millisecond)))
	b = binary.LittleEndian.AppendUint32(b, tick)
	for _, v := range []float64{g.hare.x, g.hare.y, g.you.x, g.you.y} {
		b = binary.LittleEndian.AppendUint16(b, uint16(math.Round(v)))
	}
	return binary.LittleEndian.AppendUint32(b, g.caught)
}

// parseInput reads an input, which is the point where the player wants to go. It is false if b is no input.
func parseInput(b []byte) (to point, ok bool) {
	if len(b) != 4 {
		return to, false
	}
	return point{float64(binary.LittleEndian.Uint16(b)), float64(binary.LittleEndian.Uint16(b[2:]))}, true
}
