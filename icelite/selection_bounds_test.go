package icelite

import (
	"math"
	"net/netip"
	"testing"
	"time"
)

// nominated is a check with USE-CANDIDATE.
func nominated() []byte { return aCheck().nominating().chromium() }

// wantMoves expects that the selection has moved want times, the first selection included.
func (a *testAgent) wantMoves(why string, want uint64) {
	a.t.Helper()
	if got := a.Stats().Moves; got != want {
		a.t.Errorf("%s: the selection has moved %d times, want %d", why, got, want)
	}
}

// The first check is selected whatever its local address. Another check of the same path does
// not count as a move.
func TestFirstCheckToAnUnknownAddress(t *testing.T) {
	a := newTestAgent(t)
	for _, want := range []Verdict{verdictMoved, verdictChecked, verdictChecked} {
		if _, v := a.deliver(home, netip.Addr{}, nominated()); v != want {
			t.Errorf("verdict %q, want %q", v, want)
		}
	}
	a.wantSelected("the only address", home)
	a.wantMoves("one address", 1)
}

// While the selected path is in use, its local address may change.
func TestSpeakingPathMovesToAnotherLocalAddress(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.prove("home", home)
	if _, v := a.deliver(home, server2, nominated()); v != verdictMoved {
		t.Errorf("verdict %q, want %q", v, verdictMoved)
	}
	if p, _ := a.Selected(); p.Remote != home || p.Local != server2 || !p.Proved() {
		t.Errorf("selected %v at %v, proved %v; want %v at %v, true", p.Remote, p.Local, p.Proved(), home, server2)
	}
}

// A path with a record in the last second, to the nanosecond, keeps the selection when a check
// arrives from another address, or a record from a path that was not nominated.
func TestARecordKeepsTheSelectionForASecond(t *testing.T) {
	for late, moves := range map[time.Duration]bool{0: false, 1: true} {
		a := newTestAgent(t)
		a.want("home", verdictMoved, home, nominated())
		a.prove("home", home)
		a.wait(silence + late)
		want := map[bool]Verdict{false: verdictChecked, true: verdictMoved}[moves]
		a.want("a nomination", want, mobile, nominated())

		a = newTestAgent(t)
		a.want("home", verdictMoved, home, nominated())
		a.want("a spare path", verdictChecked, mobile, aCheck().chromium())
		a.Heard(a.now, home, 100, true)
		a.wait(silence + late)
		a.Heard(a.now, mobile, 100, true)
		a.wantSelected("a record", map[bool]netip.AddrPort{false: home, true: mobile}[moves])
		a.wantMoves("a record", map[bool]uint64{false: 1, true: 2}[moves])
	}
}

// If two paths send records, and only one is proved, that one is selected.
func TestARecordFromAProvedPathTakesTheSelection(t *testing.T) {
	for _, proved := range []bool{false, true} {
		a := newTestAgent(t)
		a.want("home", verdictMoved, home, nominated())
		a.prove("home", home)
		a.want("a spare path", verdictChecked, mobile, aCheck().chromium())
		a.want("another", verdictChecked, cafe, nominated())
		if proved {
			a.Proved(a.now, mobile)
		}
		a.Heard(a.now, cafe, 100, true)
		a.wantSelected("a record from the nominated path", cafe)
		a.Heard(a.now, mobile, 100, true)
		a.wantSelected("a record from the other", map[bool]netip.AddrPort{false: cafe, true: mobile}[proved])
		a.wantMoves("a record from the other", map[bool]uint64{false: 2, true: 3}[proved])
	}
}

// A trial lasts a second. Its end is the deadline unless the agent expires before.
func TestTheEndOfATrialIsADeadline(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.prove("home", home)
	a.want("a nomination", verdictChecked, mobile, nominated())
	a.wait(defaultConsentTimeout - trial/2)
	a.Heard(a.now, mobile, 100, true)
	a.wantSelected("a record", mobile)
	if want := a.now.Add(trial / 2); !a.onTrial() || !a.Deadline().Equal(want) {
		t.Errorf("on trial %v, deadline %v, want %v, when the peer expires", a.onTrial(), a.Deadline(), want)
	}
	if a.wait(trial / 2); !a.Advance(a.now) {
		t.Error("the agent has not expired")
	}

	a = newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.prove("home", home)
	a.wait(2 * silence)
	a.want("a move", verdictMoved, mobile, nominated())
	a.wait(trial - 1)
	a.Advance(a.now)
	a.wantSelected("just before the end of the trial", mobile)
	a.wantMoves("just before the end of the trial", 2)
	a.wait(1)
	a.Advance(a.now)
	a.wantSelected("at its end", home)
	a.wantMoves("at its end", 3)
}

// After a failed trial a check moves the selection once the selected path has been silent for
// longer than wariness, to the nanosecond.
func TestWarinessLastsExactly(t *testing.T) {
	for late, want := range map[time.Duration]Verdict{0: verdictChecked, 1: verdictMoved} {
		a := newTestAgent(t)
		failedTrial(a)
		a.want("the peer's own check", verdictChecked, home, aCheck().chromium())
		a.wait(wariness + late)
		a.want("a check from elsewhere", want, cafe, nominated())
	}
}

// failedTrial selects and proves home, and makes the trial of another path fail.
func failedTrial(a *testAgent) {
	a.t.Helper()
	a.want("home", verdictMoved, home, nominated())
	a.prove("home", home)
	a.wait(2 * silence)
	a.want("a replay", verdictMoved, mobile, nominated())
	a.wait(trial)
	a.Advance(a.now)
	a.wantSelected("the trial has failed", home)
	if a.onTrial() || !a.Deadline().After(a.now) {
		a.t.Errorf("on trial: %v, want false; deadline %v, want one after now", a.onTrial(), a.Deadline())
	}
}

// wantWary expects that a check from elsewhere, after two seconds of silence, does not move the
// selection if wary is true, and moves it otherwise.
func (a *testAgent) wantWary(why string, wary bool) {
	a.t.Helper()
	a.wait(2 * silence)
	a.want(why, map[bool]Verdict{true: verdictChecked, false: verdictMoved}[wary], netip.AddrPortFrom(cafe.Addr(), 9), nominated())
}

// The agent becomes wary if the path that a trial has left takes the selection back during the
// trial. It does not if another path does, or if the selection returns later.
func TestWhatMakesTheAgentWary(t *testing.T) {
	start := func() *testAgent { // home and cafe are proved, home is selected
		a := newTestAgent(t)
		a.want("home", verdictMoved, home, nominated())
		a.prove("home", home)
		a.want("café", verdictChecked, cafe, aCheck().chromium())
		a.Proved(a.now, cafe)
		a.wantSelected("home is proved", home)
		return a
	}
	trial := func(a *testAgent) {
		a.wait(2 * silence)
		a.want("a replay", verdictMoved, mobile, nominated())
		if !a.onTrial() {
			t.Fatal("there is no trial")
		}
	}

	a := start()
	a.wantWary("no trial", false)

	a = start()
	trial(a)
	a.want("the path that was left", verdictMoved, home, nominated())
	a.wantWary("the path that was left", true)

	a = start()
	trial(a)
	a.want("another proved path", verdictMoved, cafe, nominated())
	if a.onTrial() {
		t.Error("the trial continues though the selection has moved to another proved path")
	}
	a.wantWary("another proved path", false)

	a = start()
	trial(a)
	a.wait(time.Second)
	a.Advance(a.now)
	a.wantSelected("the trial has failed", home)
	a.Heard(a.now, home, 100, true) // a record of the peer
	a.want("the other path", verdictChecked, cafe, nominated())
	a.Heard(a.now, cafe, 100, true)
	a.wantSelected("the other path", cafe)
	a.want("back", verdictChecked, home, nominated())
	a.Heard(a.now, home, 100, true)
	a.wantSelected("back", home)
	a.wantWary("a return without a trial", false)
}

// Wariness ends with a record of the selected path that does not answer a challenge, or when
// this path loses its proof.
func TestWhatEndsWariness(t *testing.T) {
	a := newTestAgent(t)
	failedTrial(a)
	a.wantWary("nothing came", true)

	a = newTestAgent(t)
	failedTrial(a)
	a.Heard(a.now, home, 100, true)
	a.wantWary("a record", false)

	a = newTestAgent(t)
	failedTrial(a)
	if !a.Answered(a.now, a.challenge("a question")) {
		t.Fatal("the answer is not accepted")
	}
	a.Heard(a.now, home, 100, true)
	a.wantWary("a record with the answer to our question", true)

	a = newTestAgent(t)
	failedTrial(a)
	a.challenge("a question")
	a.wait(defaultConsentTimeout / 2)
	a.want("a check", verdictChecked, home, aCheck().chromium())
	a.Advance(a.now)
	if a.Path(home).Proved() {
		t.Fatal("a path that does not answer is still proved")
	}
	a.wantWary("an unproved path", false)

	a = newTestAgent(t)
	failedTrial(a)
	a.challenge("a question")
	a.wait(defaultConsentTimeout / 2)
	a.want("a check", verdictChecked, home, aCheck().chromium())
	a.Advance(a.now)
	a.Heard(a.now, home, 100, true)
	a.prove("home again", home)
	a.wantWary("a record while the path was not proved", true)
}

// If two proved paths send records, the selection does not move.
func TestARecordFromAnotherProvedPathMovesNothing(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.prove("home", home)
	a.want("a spare path", verdictChecked, mobile, aCheck().chromium())
	a.Proved(a.now, mobile)
	a.Heard(a.now, mobile, 100, true)
	a.wantSelected("a record from the spare path", home)
	a.wantMoves("a record from the spare path", 1)
}

// A path with a recent record is in use, even if its last check is old. Then a check from
// another address does not nominate its path.
func TestARecordCountsAsHeard(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.prove("home", home)
	a.wait(wariness)
	a.Heard(a.now, home, 100, true)
	a.want("a check from elsewhere", verdictChecked, mobile, aCheck().chromium())
	a.Heard(a.now, mobile, 100, true)
	a.wantSelected("a record from there", home)
	a.wait(wariness)
	if !a.Holds(a.now, home) || a.Speaks(a.now, home) {
		t.Errorf("an address with a record: Holds = %v, want true; Speaks = %v, want false", a.Holds(a.now, home), a.Speaks(a.now, home))
	}
	if a.Holds(a.now, cafe) || a.Speaks(a.now, cafe) {
		t.Error("Holds or Speaks = true for an address without a check")
	}
}

// A path whose consent has ended begins again at its next check: bytes, records and proofs from
// before do not count.
func TestAPathThatComesBackIsNew(t *testing.T) {
	for late, proved := range map[time.Duration]bool{-1: true, 0: false} {
		a := newTestAgent(t)
		a.want("home", verdictMoved, home, nominated())
		a.prove("home", home)
		a.wait(defaultConsentTimeout + late)
		a.deliver(home, server, nominated())
		if p := a.Path(home); p.Proved() != proved || (p.recorded == never) == proved {
			t.Errorf("a check %v after the last one: proved %v, last record %v; want proved %v", defaultConsentTimeout+late, p.Proved(), p.recorded, proved)
		}
	}
}

// The largest time of consent never ends, and a trial that ends in the moment in which the agent was made is a trial like others.
func TestLimitsOfTimes(t *testing.T) {
	var r Request
	check := func(a *Agent, now time.Time, from netip.AddrPort) {
		r.Parse(aCheck().nominating().chromium())
		a.Answer(now, from, server, &r, nil)
	}
	a := New(origin, Config{Local: ours, Remote: theirs, ConsentTimeout: math.MaxInt64})
	now := origin.Add(time.Second)
	check(a, now, home)
	if a.Advance(now) || !a.Deadline().After(now.AddDate(50, 0, 0)) {
		t.Errorf("consent for ever ends at %v", a.Deadline())
	}

	a = New(origin, Config{Local: ours, Remote: theirs})
	now = origin.Add(-trial)
	check(a, now, home)
	a.Proved(now.Add(-2*time.Second), home)
	check(a, now, mobile)
	if !a.onTrial() || !a.Deadline().Equal(origin) {
		t.Errorf("a trial: %v, until %v; want one until %v", a.onTrial(), a.Deadline(), origin)
	}
	if a.Advance(origin); a.onTrial() || a.paths[a.selected].Remote != home {
		t.Errorf("the trial goes on: %v; %v is selected, want %v", a.onTrial(), a.paths[a.selected].Remote, home)
	}
}
