package fleet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
)

// Pings of NATS are 10 ms apart at least. One without an answer is over, and no mark follows. The end of the fleet ends the wait.
func TestTheTimeBetweenPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{}) // without NATS a ping fails at once
		l.nodes.missed = -1                        // what nats.go says without a subscription: no beat was dropped
		start := func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.startProof()
		}
		pinged := func(what string, want time.Time, runs int) {
			t.Helper()
			synctest.Wait()
			if got := l.nodes.pinged; !got.Equal(want) || l.proofs() != runs || len(l.in.beats) != 0 || !l.nodes.proven.IsZero() {
				t.Errorf("%s: NATS was pinged at %v, want %v; %d proofs run, want %d; %d marks", what, got, want, l.proofs(), runs, len(l.in.beats))
			}
		}
		begun := time.Now()
		start()
		pinged("the first one", begun, 0)
		start()
		time.Sleep(proofEvery - 1)
		pinged("too soon", begun, 1)
		time.Sleep(time.Nanosecond)
		pinged("the second one", begun.Add(proofEvery), 0)
		time.Sleep(time.Minute)
		start()
		last := time.Now()
		pinged("later", last, 0)
		start()
		close(l.stop)
		l.running.Wait()
		pinged("the end", last, 1)
	})
}

// For a moment after NATS was away, the others may not be back yet.
func TestNATSWasAwayLately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		lately := func(what string, want bool) {
			t.Helper()
			if got := l.backLately(); got != want {
				t.Errorf("%s: NATS was away lately: %v", what, got)
			}
		}
		lately("it never was", false)
		l.away.Store(true)
		lately("it is", true)
		l.natsBack()
		time.Sleep(deadAfter + beatEvery + 1)
		lately("a node without a bucket of rooms", false)
		l.rooms.kv = &bucket{}
		l.natsBack()
		time.Sleep(time.Minute)
		lately("no sweep has read the rooms since", true)
		l.rooms.unread, l.nodes.back = false, time.Now()
		time.Sleep(deadAfter + beatEvery)
		lately("just now", true)
		time.Sleep(time.Nanosecond)
		lately("later", false)
	})
}
