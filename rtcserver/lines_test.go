package rtcserver

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"
)

// Each line is written once, in order, and the memory of a burst is freed.
func TestLinesAreSaidOnceAndInOrder(t *testing.T) {
	j := new(lineLog)
	x := newBareShards(t, 1)
	x.config.Logger = slog.New(j)
	s := x.shards[0]
	s.log(slog.LevelInfo, "first", "n", 1)
	s.takeLines()
	s.log(slog.LevelWarn, "second")
	s.writeLines()
	s.writeLines()
	if want := []string{"INFO first n=1", "WARN second"}; !slices.Equal(j.lines, want) {
		t.Errorf("%q, want %q", j.lines, want)
	}
	const burst = 640
	for i := range burst {
		s.log(slog.LevelInfo, fmt.Sprint(i))
	}
	s.takeLines()
	if s.lines != nil {
		t.Errorf("%d lines are kept, want none", len(s.lines))
	}
	s.writeLines()
	if s.writing != nil || len(j.lines) != 2+burst {
		t.Errorf("%d lines are written, want %d", len(j.lines), 2+burst)
	}
}

func TestAllowanceOfLines(t *testing.T) {
	var a allowance
	due := func(after time.Duration) (n int) {
		for range 100 {
			if a.due(time.Unix(1000, 0).Add(after)) {
				n++
			}
		}
		return n
	}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, linesAMinute}, {time.Minute - 1, 0}, {time.Minute, linesAMinute}, {2*time.Minute - 1, 0}} {
		if n := due(c.after); n != c.want {
			t.Errorf("after %v: %d lines, want %d", c.after, n, c.want)
		}
	}
}
