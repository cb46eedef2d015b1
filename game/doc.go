// Package game has what every game with a tick writes again: at the server, numbered inputs
// ([Inputs]) and past states for lag compensation ([History]); at a client, an estimate of the
// server's time ([Clock]), the states of others a little late ([Snapshots]), and the own player at
// once ([Prediction]). docs/game.md shows the use of it. For pages,
// @godwit/client/game has the same client side; a test gives both the same calls and compares what
// they return.
//
// A time of the game is a number of ticks: the server's time is 40.5 in the middle between the
// ticks 40 and 41. An input has the number of the tick that shall use it. So a state of tick 40 has
// all inputs up to 40, and acknowledges them: one message with the state is right for all players.
//
// Ticks only go up, and do not begin again at 0: at 60 a second 2³² of them are more than two years. A
// client makes new values for each new session, because another server, or one that was started again, has
// other ticks. A session that resumes has the same ones.
//
// No value of this package has a goroutine, a lock or a clock: the local time is an argument. None
// is safe for concurrent use. Every list has a limit, which its field in the Config names. Inputs
// and History take whatever a hostile client sends: they count it, and it has no effect.
//
// The package knows nothing of connections and of bytes. A program sends the values in its own
// messages, such as those of package typed.
package game

import "math"

// Finite reports whether no value is NaN or infinite. A func for [InputsConfig.Valid] needs it if
// inputs have floating-point numbers that their format does not limit.
func Finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// between returns v, but at least low and at most high.
func between(v, low, high float64) float64 { return min(max(v, low), high) }
