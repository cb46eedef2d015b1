package testkit

import (
	"testing"
	"time"
)

// Patience is the limit for what must happen in real time. It only bounds a hang: on a busy machine
// what takes a millisecond may take seconds.
const Patience = 2 * time.Minute

// Next waits for an event and returns it. It fails the test if there is none within a
// minute; what says what the test waits for.
func Next[T any](t testing.TB, what string, events <-chan T) T {
	t.Helper()
	select {
	case event := <-events:
		return event
	case <-time.After(time.Minute):
		t.Fatalf("%s: nothing happened within a minute", what)
		panic("unreachable")
	}
}

// Want waits for an event, as Next, and fails the test if it is another than want.
func Want(t testing.TB, what string, events <-chan string, want string) {
	t.Helper()
	if got := Next(t, what, events); got != want {
		t.Fatalf("%s: %q happened, want %q", what, got, want)
	}
}

// WantNone fails the test if an event is in the channel. It does not wait.
func WantNone(t testing.TB, what string, events <-chan string) {
	t.Helper()
	select {
	case event := <-events:
		t.Fatalf("%s: %q happened", what, event)
	default:
	}
}
