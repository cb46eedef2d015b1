package client

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// The browser client waits as long between its attempts to connect again:
// web/test/constants.test.ts reads the same file.
func TestConstantsAreThoseOfTheBrowserClient(t *testing.T) {
	text, err := os.ReadFile("../internal/conform/constants.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Client struct{ FirstBackoff, LongestBackoff time.Duration }
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	first, longest := want.Client.FirstBackoff*time.Millisecond, want.Client.LongestBackoff*time.Millisecond
	if firstBackoff != first || longestBackoff != longest {
		t.Errorf("the backoffs are %v and %v, in constants.json %v and %v", firstBackoff, longestBackoff, first, longest)
	}
}
