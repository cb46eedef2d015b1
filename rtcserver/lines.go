package rtcserver

import (
	"context"
	"log/slog"
	"time"
)

// A line is what the Logger gets as soon as the shard's lock is free: a Logger may
// write to a slow disk, or ask the server for its Stats.
type line struct {
	level slog.Level
	msg   string
	args  []any
}

// log leaves a line for the loop. What a page can cause is logged once for each
// connection and reason, or so many times; the rest is only counted. The lock is held.
func (s *shard) log(level slog.Level, msg string, args ...any) {
	s.lines = append(s.lines, line{level, msg, args})
}

// linesAMinute is how many connections a minute have a line for the same reason: enough
// for whoever mends a page, and a page that connects again and again fills no disk.
const linesAMinute = 20

// An allowance is of lines for one reason.
type allowance struct {
	since time.Time // begin of the minute that lines are counted in
	lines int
}

// due reports whether there may be one more line, and counts it.
func (a *allowance) due(now time.Time) bool {
	if now.Sub(a.since) >= time.Minute {
		*a = allowance{since: now}
	}
	if a.lines == linesAMinute {
		return false
	}
	a.lines++
	return true
}

// takeLines takes the lines for the loop to write. The lock is held.
func (s *shard) takeLines() {
	s.said = append(s.said, s.lines...)
	clear(s.lines)
	s.lines = s.lines[:0]
	if cap(s.lines) > keptLines {
		s.lines = nil
	}
}

// keptLines is how much room for lines a shard keeps.
const keptLines = 64

// writeLines gives the Logger the lines that were taken. No lock is held.
func (s *shard) writeLines() {
	for len(s.said) > 0 {
		l := s.said[0]
		s.said = s.said[1:] // first, lest a Logger that panics be given it again
		s.server.config.Logger.Log(context.Background(), l.level, l.msg, l.args...)
	}
	s.said = nil
}
