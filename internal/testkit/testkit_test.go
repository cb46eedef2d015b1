package testkit

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// The stack of a goroutine that does not end has the name of its package, and the goroutine is
// counted while it is in a bubble.
func TestGoroutinesThatAreLeftAreFound(t *testing.T) {
	part := "/testkit.TestGoroutines"
	synctest.Test(t, func(t *testing.T) {
		before, end := BubbleGoroutines(), make(chan bool)
		go func() { <-end }()
		synctest.Wait()
		left := Stacks("/unknown.", part)
		if n := BubbleGoroutines() - before; n != 1 || !strings.Contains(strings.Join(left, "\n"), part) {
			t.Errorf("%d more goroutines, want 1; the stacks are %q", n, left)
		}
		if found := Stacks("/unknown."); len(found) != 0 {
			t.Errorf("stacks of an unknown package: %q, want none", found)
		}
		close(end)
	})
}

func TestMemoryIsMeasured(t *testing.T) {
	const size = 8 << 20
	before := HeapNow()
	var kept []byte
	allocated := Allocated(func() { kept = make([]byte, size) })
	// Other memory of the program may be freed meanwhile.
	if grown := HeapNow() - before; grown < size-size/8 || grown > size+size/2 || allocated < size || allocated > size+size/2 {
		t.Errorf("the heap grew by %d bytes and %d were allocated, want about %d", grown, allocated, size)
	}
	kept[0] = 1
}

func TestTransportServesWithoutANetwork(t *testing.T) {
	var log Log
	web := http.Client{Transport: Transport{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		log.Logger(slog.LevelInfo).Info("asked", "path", r.URL.Path)
		w.WriteHeader(http.StatusTeapot)
	})}}
	resp, err := web.Get("http://game.example/x")
	if err != nil || resp.StatusCode != http.StatusTeapot || !strings.Contains(log.String(), "msg=asked path=/x") {
		t.Errorf("%v, %v, logged %q; want status 418 and the request in the log", resp, err, &log)
	}
}

func TestAttributesOfSDP(t *testing.T) {
	offer := "v=0\r\na=ice-ufrag:abcd\r\na=setup:actpass\r\n"
	if got := Attribute(offer, "ice-ufrag"); got != "abcd" {
		t.Errorf("Attribute = %q, want abcd", got)
	}
	if got := Replace("actpass", "active")(offer); Attribute(got, "setup") != "active" {
		t.Errorf("Replace gives %q, want setup:active", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("Replace does not panic without a match")
		}
	}()
	Replace("passive", "active")(offer)
}

func TestFieldsAreFilledAndFound(t *testing.T) {
	type inner struct{ A, B int }
	type outer struct {
		A       int
		Name    string
		On      bool
		Timeout time.Duration
		Small   uint8
		Inner   inner
		To      *inner
		List    []inner
		Key     [2]byte
		F       func()
		hidden  int
	}
	var o outer
	if got, want := Unset(o), []string{"A", "Name", "On", "Timeout", "Small", "Inner", "To", "List", "Key", "F", "hidden"}; !slices.Equal(got, want) {
		t.Errorf("of the zero struct %q are unset, want all: %q", got, want)
	}
	Fill(&o)
	if got, want := Unset(o), []string{"F", "hidden"}; !slices.Equal(got, want) {
		t.Errorf("after Fill %q are unset, want %q", got, want)
	}
	numbers := []int{o.A, int(o.Timeout), int(o.Small), o.Inner.A, o.Inner.B, o.To.A, o.To.B, o.List[0].A, o.List[0].B, int(o.Key[0]), int(o.Key[1])}
	slices.Sort(numbers)
	if len(slices.Compact(numbers)) != 11 || o.hidden != 0 {
		t.Errorf("the numbers are %v, want 11 that differ", numbers)
	}
	o.Inner.B, o.To.A = 0, 0
	if got, want := Unset(o), []string{"Inner.B", "To.A", "F", "hidden"}; !slices.Equal(got, want) {
		t.Errorf("%q are unset, want %q", got, want)
	}
}

// What is written to the standard error is returned. A panic leaves neither a changed os.Stderr nor an open file.
func TestStandardErrorIsReturned(t *testing.T) {
	before := os.Stderr
	var during *os.File
	write := func() {
		during = os.Stderr
		fmt.Fprint(os.Stderr, "first, ")
	}
	if got := StandardError(write, func() { fmt.Fprint(during, "second") }); got != "first, second" {
		t.Errorf("%q was written, want both texts", got)
	}
	for where, construct := range map[string]func(){"construct": func() { write(); panic(1) }, "use": write} {
		func() {
			defer func() { recover() }()
			StandardError(construct, func() { panic(2) })
		}()
		if _, err := during.Write(nil); !errors.Is(err, os.ErrClosed) || os.Stderr != before {
			t.Errorf("after a panic of %s: the file is closed: %v, os.Stderr is the one before: %v", where, err, os.Stderr == before)
		}
	}
}
