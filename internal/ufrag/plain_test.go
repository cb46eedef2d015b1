package ufrag

import (
	"strings"
	"testing"
)

// A fragment that is too short for the end with an INIT stays as it is, and one of any form has its
// node if it is long enough for that.
func TestTheShortestFragments(t *testing.T) {
	end := strings.Repeat("A", initLen)
	for fragment, want := range map[string]string{
		"": "", "d": "d", "r" + end[1:]: "r" + end[1:], "D" + end: "D" + end,
		"d" + end: "D", "r" + "AAAA" + end: "RAAAA", WithInit("DAAAA", 7, 9): "DAAAA",
	} {
		if got := Plain(fragment); got != want {
			t.Errorf("%q without its INIT is %q, want %q", fragment, got, want)
		}
	}
	r := NewReader(&testKey)
	if plain, tag, tsn, ok := r.Plain([]byte(WithInit("D", 7, 9))); !ok || string(plain) != "D" || tag != 7 || tsn != 9 {
		t.Errorf("%q, tag %d, TSN %d, %v", plain, tag, tsn, ok)
	}
	for fragment, want := range map[string]uint32{"PAAAB": 1, "DAAAC": 2, "rAAAD": 3} {
		if node, ok := Node([]byte(fragment)); !ok || node != want {
			t.Errorf("the node of %q is %d, %v; want %d", fragment, node, ok, want)
		}
	}
	if node, ok := Node([]byte("PAAA")); ok {
		t.Errorf("a fragment without a whole node has the node %d", node)
	}
}
