package rtcserver

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// long makes the tests take the counts and times of their long forms, whose
// figures are in docs/security.md: GODWIT_LONG=1 go test ./rtcserver
var long = os.Getenv("GODWIT_LONG") != ""

// count returns how often a test does something: in its short form, or in its
// long one.
func count(short, full int) int {
	if long {
		return full
	}
	return short
}

// TestMain fails if a goroutine of the server outlives the tests, each of which
// closes what it opens.
func TestMain(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if leaked := leaks(time.Now().Add(5 * time.Second)); leaked != "" {
			fmt.Fprintln(os.Stderr, "goroutines left behind:\n"+leaked)
			code = 1
		}
	}
	os.Exit(code)
}

// leaks returns the stacks of the goroutines that are still in the server or in
// a handshake at the deadline.
func leaks(deadline time.Time) string {
	b := make([]byte, 1<<20)
	for {
		var left []string
		for _, stack := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n")[1:] {
			if strings.Contains(stack, "/rtcserver.") || inHandshake(stack) || strings.Contains(stack, "/client.") {
				left = append(left, stack)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return strings.Join(left, "\n\n")
		}
		runtime.Gosched()
	}
}

// inHandshake reports whether a stack is in our package dtls or in pion's, whatever the
// names of the directories that they are in.
func inHandshake(stack string) bool {
	return strings.Contains(stack, "/dtls.") || strings.Contains(stack, "/dtls/v3.")
}
