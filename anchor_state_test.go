package godwit

import "testing"

// The states of an anchor follow each other as the picture at anchorState shows, and in no
// other order.
func TestStatesOfAnAnchor(t *testing.T) {
	edges := map[[2]anchorState]bool{
		{anchorWaiting, anchorHome}: true, {anchorWaiting, anchorEnding}: true, {anchorWaiting, anchorLost}: true,
		{anchorHome, anchorEnding}: true, {anchorHome, anchorUnlinked}: true, {anchorHome, anchorLeft}: true, {anchorHome, anchorWaiting}: true,
		{anchorEnding, anchorUnlinked}: true,
		{anchorUnlinked, anchorLeft}:   true,
		{anchorLost, anchorUnlinked}:   true,
	}
	names := make(map[string]bool)
	for from := range anchorState(anchorStates) {
		names[from.String()] = true
		for to := range anchorState(anchorStates) {
			a := anchor{state: from}
			want := from
			if edges[[2]anchorState{from, to}] {
				want = to
			}
			if ok := a.setState(to); ok != (want != from) || a.state != want {
				t.Errorf("setState from %v to %v = %v, and the state is %v, want %v", from, to, ok, a.state, want)
			}
		}
		if a := (anchor{state: from}); a.closed() != (from == anchorUnlinked || from == anchorLost) {
			t.Errorf("%v: closed() = %v, want %v", from, a.closed(), !a.closed())
		}
	}
	if len(names) != anchorStates || names[""] {
		t.Errorf("the states have the names %v", names)
	}
}
