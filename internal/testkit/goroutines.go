package testkit

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// Main runs the tests of a package and exits. It fails if Patience after the tests a goroutine
// has a stack that contains one of the parts, such as "/client.": the tests must close everything that
// they open. Call it in TestMain.
func Main(m *testing.M, parts ...string) {
	code := m.Run()
	if code == 0 {
		deadline := time.Now().Add(Patience)
		left := Stacks(parts...)
		for len(left) > 0 && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond) // a look at all stacks stops the program
			left = Stacks(parts...)
		}
		if len(left) > 0 {
			fmt.Fprintln(os.Stderr, "goroutines left behind:\n"+strings.Join(left, "\n\n"))
			code = 1
		}
	}
	os.Exit(code)
}

// Stacks returns the stacks of all goroutines, except the caller's, that contain one of the
// parts.
func Stacks(parts ...string) (found []string) {
	for _, stack := range strings.Split(allStacks(), "\n\n")[1:] { // the first is the caller's
		if slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(stack, part) }) {
			found = append(found, stack)
		}
	}
	return found
}

// BubbleGoroutines returns the number of goroutines in synctest bubbles. It does not count
// the goroutines that the runtime starts for itself at any time.
func BubbleGoroutines() int { return strings.Count(allStacks(), ", synctest bubble ") }

// allStacks returns the stacks of all goroutines, beginning with the caller's.
func allStacks() string {
	for size := 1 << 20; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, true); n < size {
			return string(b[:n])
		}
	}
}
