package client

import (
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The states of a connection follow each other as the picture at connState shows, and in no
// other order.
func TestStatesOfAConn(t *testing.T) {
	testkit.WalkStates(t, connStates, [][2]connState{
		{connOpening, connOpen}, {connOpening, connClosing},
		{connOpen, connClosing},
		{connClosing, connGone},
	}, func(from, to connState) (bool, connState) {
		c := Conn{state: from}
		return c.setState(to), c.state
	})
}
