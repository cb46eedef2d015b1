package loop

import (
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// enter puts a member into the inbox and calls Enter.
func (r *recorder) enter(m int) {
	r.loop.Lock()
	*r.inbox.Add() = m
	r.loop.Enter()
}

// Who calls Enter takes a turn itself, with all that waits, and the goroutine of Turn sleeps.
func TestEnterTakesATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, NewBell(), sizes)
		var running sync.WaitGroup
		r.loop.Start(&running, nil)
		synctest.Wait()
		r.news[2] = true
		r.enter(2)
		r.want("Enter", "inbox 2", "deliver 2", "settle 2")
		synctest.Wait()
		if r.want("later"); r.loop.Stats.Turns != 1 {
			t.Errorf("%d turns, want 1", r.loop.Stats.Turns)
		}
		r.locked(r.loop.Close)
		running.Wait()
	})
}

// While a turn runs, Enter leaves the work to the turn after it, and the goroutine of Turn
// waits for the end of a turn of Enter.
func TestOneTurnAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, NewBell(), sizes)
		var running sync.WaitGroup
		r.loop.Start(&running, nil)
		goOn := make(chan bool)
		r.news[1], r.news[2] = true, true
		r.deliver = func(m int) {
			if m == 1 {
				r.locked(r.loop.Wake) // the goroutine of Turn must not take a turn beside this one
				<-goOn
			}
		}
		go r.enter(1)
		synctest.Wait()
		r.enter(2)
		synctest.Wait()
		r.want("during the turn", "inbox 1", "deliver 1")
		goOn <- true
		synctest.Wait()
		r.want("after it", "settle 1", "inbox 2", "deliver 2", "settle 2")
		r.locked(r.loop.Close)
		running.Wait()
	})
}

// A Turn that was woken while a turn of Enter runs takes its own turn after it.
func TestTurnWaitsForTheTurnOfEnter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, NewBell(), sizes)
		goOn := make(chan bool)
		r.news[1] = true
		r.deliver = func(int) { <-goOn }
		go r.enter(1)
		synctest.Wait()
		ended := false
		go func() {
			r.loop.socket.SetReadDeadline(Past)
			r.turn()
			ended = true
		}()
		synctest.Wait()
		if r.want("before", "inbox 1", "deliver 1"); ended {
			t.Error("Turn has not waited")
		}
		close(goOn)
		synctest.Wait()
		if r.want("after", "settle 1"); !ended || r.loop.Stats.Turns != 2 {
			t.Errorf("ended %v after %d turns", ended, r.loop.Stats.Turns)
		}
	})
}

// With Manual, and after Close, Enter takes no turn.
func TestEnterLeavesTheTurnToOthers(t *testing.T) {
	manual := sizes
	manual.Manual = true
	r := newRecorder(t, NewBell(), manual)
	r.enter(1)
	r.want("Manual")
	r.turn()
	r.want("the turn of Manual", "inbox 1", "settle 1")

	r = newRecorder(t, NewBell(), sizes)
	r.locked(r.loop.Close)
	r.enter(1)
	r.want("closed")
	if err := r.turn(); err != ErrEnded {
		t.Errorf("Turn after Close: %v", err)
	}
	r.want("the last turn", "inbox 1", "settle 1")
}

// A deadline wakes ReadBatch only if that would sleep for longer.
func TestWhenABellRings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBell()
		start := time.Now()
		at := func(d time.Duration) time.Time { return start.Add(d) }
		woken := func(what string, want int) {
			t.Helper()
			if len(b.rung) != want {
				t.Errorf("%s: rung %d times, want %d", what, len(b.rung), want)
			}
		}
		b.SetReadDeadline(at(time.Second))
		woken("nobody waits", 0)
		var returned time.Duration
		go func() {
			if _, err := b.ReadBatch(nil); err != os.ErrDeadlineExceeded {
				t.Error(err)
			}
			returned = time.Since(start)
		}()
		synctest.Wait()
		b.SetReadDeadline(time.Time{})
		b.SetReadDeadline(at(3 * time.Second))
		b.SetReadDeadline(at(2 * time.Second))
		woken("it looks again before", 0)
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if returned != 0 {
			t.Errorf("returned after %v", returned)
		}
		b.SetReadDeadline(at(1700 * time.Millisecond))
		time.Sleep(time.Second)
		synctest.Wait()
		if returned != 1700*time.Millisecond {
			t.Errorf("returned after %v, want 1.7 s", returned)
		}
		b.SetReadDeadline(Past)
		woken("it has returned", 0)
	})
}
