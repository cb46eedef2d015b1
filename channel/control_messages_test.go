package channel

import (
	"slices"
	"testing"
	"time"
)

// The whole messages of the Control channel in a packet can be read before a Mux receives it, and
// those before the place where it was cut.
func TestControlMessages(t *testing.T) {
	now := time.Unix(0, 0)
	m, err := New(now, Config{Channels: Channels{{Name: "chat", Mode: ReliableOrdered}}})
	if err != nil {
		t.Fatal(err)
	}
	for ch, text := range []string{"one", "not this"} {
		m.Send(now, ID(ch), []byte(text), Options{})
	}
	m.Send(now, Control, []byte("two"), Options{})
	b := m.Append(now, nil, MaxPacket)
	read := func(b []byte) (got []string) {
		for m := range ControlMessages(b) {
			got = append(got, string(m))
		}
		return got
	}
	if got := read(b); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%q", got)
	}
	for range ControlMessages(b) {
		break
	}
	others := append(appendHeader(nil, 0), controlPadding)
	others = append(append(others, bare(Control, "bare")...), part(Control, 2, 1500, 0)...)
	if got := read(append(others, whole(Control, 3, "whole")...)); !slices.Equal(got, []string{"whole"}) {
		t.Errorf("among frames of other kinds: %q, want the whole message", got)
	}
	for n := range b {
		if got := read(b[:n]); len(got) > 2 || !slices.Equal(got, []string{"one", "two"}[:len(got)]) {
			t.Errorf("the first %d of %d bytes have %q", n, len(b), got)
		}
	}
}
