package icelite

import (
	"net/netip"
	"testing"
	"time"
)

// Anyone who has seen a check can send it again from any address. Nobody can replay the peer's
// records.

// If records arrive on the selected path, only records from the nominated path move the
// selection.
func TestReplayedCheckDoesNotMoveALivingSelection(t *testing.T) {
	a := newTestAgent(t)
	seen := aCheck().nominating().chromium()
	a.want("home", verdictMoved, home, seen)
	for range 600 {
		a.wait(100 * time.Millisecond)
		a.Heard(a.now, home, 100, true)
		a.want("a replay", verdictChecked, cafe, seen)
		a.wantSelected("a replay moves nothing", home)
	}
}

// The first record from the nominated path moves the selection.
func TestRecordFromTheNominatedPathMovesTheSelection(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	a.want("a spare path", verdictChecked, cafe, aCheck().chromium())
	a.want("a nomination", verdictChecked, mobile, aCheck().nominating().chromium())
	a.Heard(a.now, cafe, 100, true)
	a.wantSelected("a record from a spare path moves nothing", home)
	a.Heard(a.now, mobile, 100, true)
	a.wantSelected("one from the nominated path does", mobile)
	a.prove("and it answers", mobile)
	a.Heard(a.now, home, 100, true)
	a.wantSelected("a late one from the old path does not", mobile)
}

// While no records arrive, a replayed check moves the selection, but only for one second, and
// only once.
func TestReplayedCheckMovesAnIdleSelectionForASecond(t *testing.T) {
	a := newTestAgent(t)
	seen := aCheck().nominating().chromium()
	a.want("home", verdictMoved, home, seen)
	a.prove("home", home)
	a.wait(1500 * time.Millisecond)
	a.want("a replay", verdictMoved, cafe, seen)
	if !a.onTrial() || !a.Deadline().Equal(a.now.Add(trial)) {
		t.Fatalf("on trial: %v, want true; deadline %v, want %v", a.onTrial(), a.Deadline(), a.now.Add(trial))
	}
	a.want("to yet another address", verdictMoved, mobile, seen)
	if a.wait(trial); a.Advance(a.now) {
		t.Fatal("the agent has expired at the end of a trial")
	}
	a.wantSelected("the trial has failed", home)
	moved := 0
	for i := range 600 {
		a.wait(100 * time.Millisecond)
		if i%25 == 0 {
			a.want("the peer's own check", verdictChecked, home, aCheck().chromium())
		}
		from := netip.AddrPortFrom(cafe.Addr(), uint16(1+i))
		if _, v := a.deliver(from, server, seen); v == verdictMoved {
			moved++
		}
		a.Advance(a.now)
	}
	if moved > 0 {
		t.Errorf("the selection moved %d more times while checks of the peer arrived, want 0", moved)
	}
}

// A record from the peer's own address moves the selection back before the trial is over.
func TestRecordEndsATrial(t *testing.T) {
	a := newTestAgent(t)
	seen := aCheck().nominating().chromium()
	a.want("home", verdictMoved, home, seen)
	a.prove("home", home)
	a.wait(1500 * time.Millisecond)
	a.want("a replay", verdictMoved, cafe, seen)
	a.wait(100 * time.Millisecond)
	a.Heard(a.now, home, 100, true)
	a.wantSelected("the peer speaks", home)
	if a.onTrial() {
		t.Error("the trial continues after the record")
	}
}

// A check from the peer's own address does so, too. After that a replay does not move the
// selection.
func TestCheckEndsATrial(t *testing.T) {
	a := newTestAgent(t)
	seen := aCheck().nominating().chromium()
	a.want("home", verdictMoved, home, seen)
	a.prove("home", home)
	a.wait(2400 * time.Millisecond)
	a.want("a replay", verdictMoved, cafe, seen)
	a.wait(100 * time.Millisecond)
	a.want("the peer's own check", verdictMoved, home, aCheck().nominating().chromium())
	a.wait(100 * time.Millisecond)
	a.want("another replay", verdictChecked, cafe, seen)
	a.wantSelected("the trial has failed", home)
}

// An idle peer whose network has changed proves its new address with the answer to a challenge.
// This ends the trial.
func TestTrialThatSucceeds(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	a.wait(3 * time.Second)
	a.want("a check from elsewhere", verdictMoved, mobile, aCheck().chromium())
	a.wait(100 * time.Millisecond)
	a.prove("the answer", mobile)
	a.wait(time.Minute / 3)
	if a.onTrial() || a.Advance(a.now) {
		t.Error("the trial continues after the answer, or the agent has expired")
	}
	a.wantSelected("it stays", mobile)
}

// After a failed trial the selection follows the peer to a new address once the old one has
// been silent for longer than wariness.
func TestWarinessEnds(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	a.wait(3 * time.Second)
	a.want("a check from elsewhere", verdictMoved, mobile, aCheck().chromium())
	a.wait(trial)
	a.Advance(a.now)
	a.wantSelected("no record came", home)
	a.wait(2500 * time.Millisecond)
	a.want("its next check is soon after", verdictMoved, mobile, aCheck().chromium())
}

func TestHolds(t *testing.T) {
	a := newTestAgent(t)
	if a.Holds(a.now, home) {
		t.Error("Holds = true for an address without a check")
	}
	a.want("home", verdictMoved, home, aCheck().chromium())
	if a.Holds(a.now, home) || a.Speaks(a.now, home) {
		t.Error("Holds or Speaks = true for an unproved address without a record")
	}
	a.Heard(a.now, home, 10, true)
	a.wait(speaking)
	if a.Holds(a.now, home) || !a.Speaks(a.now, home) {
		t.Errorf("an unproved address with a record: Holds = %v, want false; Speaks = %v, want true", a.Holds(a.now, home), a.Speaks(a.now, home))
	}
	if a.wait(1); a.Speaks(a.now, home) {
		t.Error("Speaks = true more than two seconds after the last record")
	}
	a.prove("home", home)
	a.wait(defaultConsentTimeout / 2)
	if !a.Holds(a.now, home) || a.Speaks(a.now, home) {
		t.Errorf("a proved address without a recent record: Holds = %v, want true; Speaks = %v, want false", a.Holds(a.now, home), a.Speaks(a.now, home))
	}
	if a.wait(1); a.Holds(a.now, home) {
		t.Error("Holds = true though the address has been silent for more than half of ConsentTimeout")
	}
}

// Since returns the time of the first check from an address, whatever arrives after it.
func TestSince(t *testing.T) {
	a := newTestAgent(t)
	a.wait(25 * time.Millisecond)
	began := a.now.Add(-5 * time.Millisecond) // rounded to a tick
	a.want("home", verdictMoved, home, nominated())
	a.wait(time.Second)
	a.want("home again", verdictChecked, home, aCheck().chromium())
	a.wait(time.Second)
	a.want("elsewhere", verdictChecked, mobile, aCheck().chromium())
	if at := a.Since(home); !at.Equal(began) {
		t.Errorf("the first check came at %v, want %v", at, began)
	}
	if at := a.Since(mobile); !at.Equal(began.Add(2 * time.Second)) {
		t.Errorf("the first check from elsewhere came at %v, want %v", at, began.Add(2*time.Second))
	}
	if at := a.Since(cafe); !at.IsZero() {
		t.Errorf("Since = %v for an address without a check, want zero", at)
	}
}
