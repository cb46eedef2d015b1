package loop

import (
	"slices"
	"testing"
)

// pull ranges over a Pull and returns what it yields; body says whether to go on.
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

// What a body that breaks off has not got is kept, and comes first in the next Pull.
func TestPullAfterABreak(t *testing.T) {
	var p Puller[string]
	p.Keep = func(e string) string { return e + " kept" }
	got, saved := pull(&p, func(e string) bool { return e != "b" }, "a", "b", "c", "d")
	if want := []string{"a", "b"}; saved || !slices.Equal(got, want) || p.Saved() != 2 || p.Running() {
		t.Errorf("%q, saved before: %v, saved now: %d, running: %v", got, saved, p.Saved(), p.Running())
	}
	got, saved = pull(&p, func(e string) bool { return e != "c kept" }, "e")
	if want := []string{"c kept"}; !saved || !slices.Equal(got, want) || p.Saved() != 2 {
		t.Errorf("%q, saved before: %v, saved now: %d", got, saved, p.Saved())
	}
	p.Keep = nil
	got, _ = pull(&p, func(string) bool { return false }, "f")
	if want := []string{"d kept kept"}; !slices.Equal(got, want) || p.Saved() != 2 {
		t.Errorf("%q, saved now: %d", got, p.Saved())
	}
	got, _ = pull(&p, nil, "g")
	if want := []string{"e kept", "f", "g"}; !slices.Equal(got, want) || p.Saved() != 0 {
		t.Errorf("%q, saved now: %d", got, p.Saved())
	}
}

// What is told while the body runs, or in a time that Start has begun, waits for the next Pull.
func TestWhatIsToldMeanwhileWaits(t *testing.T) {
	var p Puller[string]
	got, _ := pull(&p, func(e string) bool {
		if !p.Running() {
			t.Error("it does not run")
		}
		if e == "a" {
			p.Yield("of the body")
		}
		return true
	}, "a", "b")
	if want := []string{"a", "b"}; !slices.Equal(got, want) || p.Saved() != 1 {
		t.Errorf("%q, saved now: %d", got, p.Saved())
	}
	if !p.Start() || !p.Running() {
		t.Error("it does not run after Start")
	}
	p.Yield("of Start")
	if p.Start() || p.Pull(nil, nil) {
		t.Error("two goroutines are in it")
	}
	if p.End(); p.Running() {
		t.Error("it runs after its end")
	}
	if got, saved := pull(&p, nil, "c"); !saved || !slices.Equal(got, []string{"of the body", "of Start", "c"}) {
		t.Errorf("%q, saved before: %v", got, saved)
	}
}

// A body that panics does not get its event again; those behind it come first next time.
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
		t.Error("it runs")
	}
	p.Yield("later")
	if got, _ := pull(&p, nil); !slices.Equal(got, []string{"c", "of the body", "later"}) {
		t.Errorf("%q", got)
	}
}
