package client

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

// The browser client waits as long between its attempts to connect again, and races its links alike:
// web/test/constants.test.ts reads the same file.
func TestConstantsAreThoseOfTheBrowserClient(t *testing.T) {
	text, err := os.ReadFile("../internal/conform/constants.json")
	if err != nil {
		t.Fatal(err)
	}
	var want struct {
		Client struct {
			FirstBackoff, LongestBackoff, HeadStart, FallenFor, FirstSeek, LongestSeek time.Duration
			Settled, UnknownBackoff                                                    time.Duration
			HeadTrips, MaxMoves                                                        int
		}
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	first, longest := want.Client.FirstBackoff*time.Millisecond, want.Client.LongestBackoff*time.Millisecond
	if firstBackoff != first || longestBackoff != longest {
		t.Errorf("the backoffs are %v and %v, in constants.json %v and %v", firstBackoff, longestBackoff, first, longest)
	}
	c := want.Client
	if unknownBackoff != c.UnknownBackoff*time.Millisecond {
		t.Errorf("the longest wait after a server that does not know the session is %v, in constants.json %d ms", unknownBackoff, c.UnknownBackoff)
	}
	if maxMoves != c.MaxMoves || settled != c.Settled*time.Millisecond {
		t.Errorf("a session follows %d moves, in constants.json %d; a row ends after %v, in constants.json %d ms", maxMoves, c.MaxMoves, settled, c.Settled)
	}
	race := [4]time.Duration{headStart, fallenFor, firstBetter, longerBetter}
	if theirs := [4]time.Duration{c.HeadStart, c.FallenFor, c.FirstSeek, c.LongestSeek}; c.HeadTrips != raceTrips ||
		race != [4]time.Duration{theirs[0] * time.Millisecond, theirs[1] * time.Millisecond, theirs[2] * time.Millisecond, theirs[3] * time.Millisecond} {
		t.Errorf("the times of the race are %v and %d, in constants.json %v ms and %d", race, raceTrips, theirs, c.HeadTrips)
	}
}
