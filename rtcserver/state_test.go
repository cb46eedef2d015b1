package rtcserver

import "testing"

// The states of a connection follow each other as the picture at connState shows, and in no
// other order.
func TestStatesOfAConnection(t *testing.T) {
	edges := map[[2]connState]bool{
		{stateWaiting, stateQueued}: true, {stateWaiting, stateShaking}: true, {stateWaiting, stateClosing}: true,
		{stateQueued, stateShaking}: true, {stateQueued, stateClosing}: true,
		{stateShaking, stateSecure}: true, {stateShaking, stateClosing}: true,
		{stateSecure, stateOpen}: true, {stateSecure, stateClosing}: true,
		{stateOpen, stateClosing}: true,
		{stateClosing, stateGone}: true,
	}
	names := make(map[string]bool)
	for from := range connState(connStates) {
		names[from.String()] = true
		for to := range connState(connStates) {
			c := Conn{state: from}
			want := from
			if edges[[2]connState{from, to}] {
				want = to
			}
			if ok := c.setState(to); ok != (want != from) || c.state != want {
				t.Errorf("from %v to %v: %v, and it is %v", from, to, ok, c.state)
			}
		}
	}
	if len(names) != connStates || names[""] {
		t.Errorf("the states have the names %v", names)
	}
	if c := (Conn{}); c.state != stateWaiting {
		t.Errorf("a new connection is %v", c.state)
	}
}
