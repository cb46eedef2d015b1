package rtcserver

import (
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The states of a connection follow each other as the picture at connState shows, and in no
// other order.
func TestStatesOfAConnection(t *testing.T) {
	testkit.WalkStates(t, connStates, [][2]connState{
		{stateWaiting, stateQueued}, {stateWaiting, stateShaking}, {stateWaiting, stateClosing},
		{stateQueued, stateShaking}, {stateQueued, stateClosing},
		{stateShaking, stateSecure}, {stateShaking, stateClosing},
		{stateSecure, stateOpen}, {stateSecure, stateClosing},
		{stateOpen, stateClosing},
		{stateClosing, stateGone},
	}, func(from, to connState) (bool, connState) {
		c := Conn{state: from}
		return c.setState(to), c.state
	})
}
