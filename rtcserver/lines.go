package rtcserver

import (
	"context"
	"log/slog"
	"time"
)

// A line is a line for the Logger, which gets it when the shard's lock is free: a Logger
// may write to a slow disk, or call Server.Stats.
type line struct {
	level slog.Level
	msg   string
	args  []any
}

// log adds a line, which the loop writes later. Events that a page can cause are logged a
// limited number of times for each connection and reason; others of them are only counted.
// The lock is held.
func (s *shard) log(level slog.Level, msg string, args ...any) {
	s.lines = append(s.lines, line{level, msg, args})
	s.unwritten.Store(true)
}

// logs reports whether the Logger takes lines of a level.
func (s *shard) logs(level slog.Level) bool {
	return s.server.config.Logger.Enabled(context.Background(), level)
}

// linesAMinute is the largest number of lines for one reason in a minute: enough for the
// author of a page, and a page that connects again and again does not fill the disk.
const linesAMinute = 20

// An allowance counts the lines for one reason.
type allowance struct {
	since time.Time // begin of the present minute
	lines int       // lines in it
}

// due reports whether one more line is allowed. If so it counts the line.
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

// takeLines takes the lines for the loop to write. No lock is held.
func (s *shard) takeLines() {
	if !s.unwritten.CompareAndSwap(true, false) {
		return
	}
	s.loop.Lock()
	defer s.loop.Unlock()
	s.writing = append(s.writing, s.lines...)
	s.lines = nil
}

// writeLines gives the Logger the lines. No lock is held.
func (s *shard) writeLines() {
	s.takeLines()
	for len(s.writing) > 0 {
		l := s.writing[0]
		s.writing = s.writing[1:] // before Log, so that a Logger that panics does not get the line again
		s.server.config.Logger.Log(context.Background(), l.level, l.msg, l.args...)
	}
	s.writing = nil
}
