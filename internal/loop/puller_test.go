package loop

import (
	"slices"
	"testing"
	"time"
)

// pull runs a Pull and returns the events that it yields; body reports whether to continue.
func pull(p *Puller[string], body func(string) bool, told ...string) (got []string, saved bool) {
	p.Pull(func(e string) bool {
		got = append(got, e)
		return body == nil || body(e)
	}, func(s bool) {
		saved = s
		for _, e := range told {
			p.Yield(e)
		}
	})
	return got, saved
}

// If a body breaks, the events that it has not got are saved, and come first in the next Pull.
func TestPullAfterABreak(t *testing.T) {
	var p Puller[string]
	p.Keep = func(e string) string { return e + " kept" }
	got, saved := pull(&p, func(e string) bool { return e != "b" }, "a", "b", "c", "d")
	if want := []string{"a", "b"}; saved || !slices.Equal(got, want) || p.Saved() != 2 || p.Running() {
		t.Errorf("%q, want %q; saved before: %v, want false; saved now: %d, want 2; running: %v, want false", got, want, saved, p.Saved(), p.Running())
	}
	got, saved = pull(&p, func(e string) bool { return e != "c kept" }, "e")
	if want := []string{"c kept"}; !saved || !slices.Equal(got, want) || p.Saved() != 2 {
		t.Errorf("%q, want %q; saved before: %v, want true; saved now: %d, want 2", got, want, saved, p.Saved())
	}
	p.Keep = nil
	got, _ = pull(&p, func(string) bool { return false }, "f")
	if want := []string{"d kept kept"}; !slices.Equal(got, want) || p.Saved() != 2 {
		t.Errorf("%q, want %q; saved now: %d, want 2", got, want, p.Saved())
	}
	got, _ = pull(&p, nil, "g")
	if want := []string{"e kept", "f", "g"}; !slices.Equal(got, want) || p.Saved() != 0 {
		t.Errorf("%q, want %q; saved now: %d, want 0", got, want, p.Saved())
	}
}

// Events that come while the body runs, or after Start, wait for the next Pull.
func TestWhatIsToldMeanwhileWaits(t *testing.T) {
	var p Puller[string]
	got, _ := pull(&p, func(e string) bool {
		if !p.Running() {
			t.Error("Running() = false in the body")
		}
		if e == "a" {
			p.Yield("of the body")
		}
		return true
	}, "a", "b")
	if want := []string{"a", "b"}; !slices.Equal(got, want) || p.Saved() != 1 {
		t.Errorf("%q, want %q; saved now: %d, want 1", got, want, p.Saved())
	}
	if !p.Start() || !p.Running() {
		t.Error("Start returns false, or Running() = false after it")
	}
	p.Yield("of Start")
	if p.Start() || p.Pull(nil, nil) {
		t.Error("a second Start or a Pull succeeds after Start")
	}
	if p.End(); p.Running() {
		t.Error("Running() = true after End")
	}
	if got, saved := pull(&p, nil, "c"); !saved || !slices.Equal(got, []string{"of the body", "of Start", "c"}) {
		t.Errorf("%q, want the saved events and then c; saved before: %v, want true", got, saved)
	}
}

// A body that panics does not get its event again. The events after it come first in the next
// Pull.
func TestPullAfterAPanic(t *testing.T) {
	var p Puller[string]
	for _, e := range []string{"a", "b", "c"} {
		p.Yield(e)
	}
	func() {
		defer func() { recover() }()
		pull(&p, func(e string) bool {
			if e == "b" {
				p.Yield("of the body")
				panic("a body")
			}
			return true
		})
	}()
	if p.Running() {
		t.Error("Running() = true after the panic")
	}
	p.Yield("later")
	if got, _ := pull(&p, nil); !slices.Equal(got, []string{"c", "of the body", "later"}) {
		t.Errorf("%q, want c, of the body, later", got)
	}
}

// A program may range over one sequence of a Poll several times: each range waits, but one that
// has saved events to yield first.
func TestPollTwice(t *testing.T) {
	var waits []time.Duration
	p := Puller[string]{
		Turn:  func(d time.Duration) error { waits = append(waits, d); return nil },
		Ended: func(err error) string { return err.Error() },
	}
	poll := p.Poll(time.Second, nil)
	p.Yield("saved")
	var got []string
	for range 3 {
		for e := range poll {
			got = append(got, e)
		}
	}
	if want := []time.Duration{0, time.Second, time.Second}; !slices.Equal(waits, want) || !slices.Equal(got, []string{"saved"}) {
		t.Errorf("the turns wait %v, want %v; the events are %q, want only saved", waits, want, got)
	}
}
