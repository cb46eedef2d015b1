package testkit

import (
	"log/slog"
	"strings"
	"sync"
)

// A Log is the text that a Logger writes. Any goroutine may use it.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Logger returns a Logger that writes lines of at least that level to l.
func (l *Log) Logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: level}))
}

// Write appends b to the text.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns the text so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
