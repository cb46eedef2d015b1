package rtcserver

import (
	"os"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
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

// inHandshake are parts of the stacks of goroutines in our package dtls or in pion's.
var inHandshake = []string{"/dtls.", "/dtls/v3."}

// ours are parts of the stacks of the goroutines that a test of this package starts.
var ours = append([]string{"/rtcserver.", "/client."}, inHandshake...)

func TestMain(m *testing.M) { testkit.Main(m, ours...) }
