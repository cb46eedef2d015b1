package testkit

import (
	"fmt"
	"slices"
	"sync"
)

// Notes are lines that tell what happened, in order. Any goroutine may use them.
type Notes struct {
	mu    sync.Mutex
	lines []string
}

// Note appends a line.
func (n *Notes) Note(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

// All returns the lines.
func (n *Notes) All() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.lines)
}

// Take returns the lines and removes them.
func (n *Notes) Take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	lines := n.lines
	n.lines = nil
	return lines
}
