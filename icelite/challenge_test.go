package icelite

import (
	"testing"
	"time"
)

// wantNext expects the time of the next challenge, from now on; negative means never.
func (a *testAgent) wantNext(why string, d time.Duration) {
	a.t.Helper()
	next := a.NextChallenge()
	if d < 0 && next.IsZero() {
		return
	}
	if next.IsZero() || d < 0 || max(next.Sub(a.now), 0) != d {
		a.t.Fatalf("%s: the next challenge is at %v, %v from now; want %v", why, next, next.Sub(a.now), d)
	}
}

func (a *testAgent) challenge(why string) []byte {
	a.t.Helper()
	b, ok := a.Challenge(a.now, 81)
	if !ok {
		a.t.Fatalf("%s: no challenge may be sent", why)
	}
	return b[:]
}

// Only an answer to a datagram that was sent to an address proves the address; other
// datagrams from there do not.
func TestOnlyAnAnswerProves(t *testing.T) {
	a := newTestAgent(t)
	a.wantNext("no path", -1)
	a.want("home", Moved, home, aCheck().chromium())
	a.wantNext("the session cannot carry it yet", -1)
	a.Ask()
	a.wantNext("at once", 0)
	b := a.challenge("the first")
	a.wantNext("and again", askInterval)
	wrong := append([]byte(nil), b...)
	wrong[3] ^= 1
	if a.Answered(a.now, wrong) || a.Answered(a.now, b[:15]) || a.Answered(a.now, nil) {
		t.Error("a guess is an answer")
	}
	if a.Heard(a.now, home, 100, true); a.Path(home).Proved() {
		t.Error("a record proves the address")
	}
	if !a.Answered(a.now, b) || !a.Path(home).Proved() {
		t.Error("the answer does not prove the address")
	}
	if a.Answered(a.now, b) {
		t.Error("an answer counts twice")
	}
}

// A challenge that was sent to one address proves no other address, and an old one proves
// nothing.
func TestAnAnswerIsOfOneAddressAndOneTime(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", Moved, home, aCheck().nominating().chromium())
	a.Ask()
	first := a.challenge("home")
	a.want("mobile", Moved, mobile, aCheck().nominating().chromium())
	second := a.challenge("mobile")
	if string(first) == string(second) {
		t.Fatal("two addresses are asked the same")
	}
	if a.Answered(a.now, first) || a.Path(mobile).Proved() || a.Path(home).Proved() {
		t.Error("an answer from an address that was left proves something")
	}
	for range 20 {
		a.wait(askInterval)
		a.Heard(a.now, mobile, 30, false)
		if string(a.challenge("again")) != string(second) {
			t.Fatal("a question that may have arrived is asked in other words")
		}
	}
	a.wait(askInterval)
	a.Heard(a.now, mobile, 30, false)
	third := a.challenge("in a while")
	if string(third) == string(second) {
		t.Error("the same is asked for ever")
	}
	if a.Answered(a.now, second) {
		t.Error("an old answer counts")
	}
	a.wait(stale + 1)
	if a.Answered(a.now, third) {
		t.Error("a late answer counts")
	}
	other := newTestAgentWith(t, Config{Local: Credentials{Ufrag: "anotherOne12"}, Secret: &[32]byte{1}})
	stranger := newTestAgentWith(t, Config{Local: ours, Remote: theirs, Secret: &[32]byte{2}})
	for _, o := range []*testAgent{other, stranger} {
		if o.draw(1, home) == a.draw(1, home) {
			t.Error("two agents ask the same")
		}
	}
}

// The challenge leaves before anything else, within three times the bytes that arrived.
func TestTheChallengeHasRoom(t *testing.T) {
	a := newTestAgent(t)
	b := aCheck().chromium()
	a.want("home", Moved, home, b)
	a.Ask()
	room := 3*len(b) - len(a.answer)
	a.wantMaySend("what would leave no room", home, room-reserve+1, false)
	a.wantMaySend("what leaves it", home, room-reserve, true)
	a.challenge("there is room")
	a.wantMaySend("the rest", home, reserve-81, true)
	a.wait(askInterval)
	if _, ok := a.Challenge(a.now, 81); ok {
		t.Error("a challenge beyond three times what came")
	}
	a.wantNext("not before something comes", -1)
	a.Heard(a.now, home, 27, false)
	a.wantNext("now", 0)
	a.challenge("81 bytes for 27")
}

// A proof is asked for again while the address is used, and ends without an answer.
func TestAProofIsRenewed(t *testing.T) {
	a := newTestAgent(t)
	check := aCheck().nominating().chromium()
	a.want("home", Moved, home, check)
	a.prove("home", home)
	for range 100 { // an idle one is not asked
		a.wait(2500 * time.Millisecond)
		a.want("a check", Checked, home, check)
		a.wantNext("nothing is sent", defaultConsentTimeout/2)
	}
	a.wantMaySend("a message", home, 1200, true)
	a.wantNext("at once", 0)
	b := a.challenge("the first question")
	a.wantNext("and again", defaultConsentTimeout/askShare)
	if !a.Answered(a.now, b) {
		t.Fatal("the answer is not taken")
	}
	a.wantMaySend("a message", home, 1200, true)
	a.wait(10 * time.Second)
	a.want("a check", Checked, home, check)
	a.wantNext("half of the consent's time after the answer", 5*time.Second)
	a.wait(5 * time.Second)
	a.challenge("again")
	for range 5 {
		a.wait(defaultConsentTimeout / askShare)
		a.want("a check", Checked, home, check)
		a.Heard(a.now, home, 100, true)
		a.Advance(a.now)
		a.challenge("again")
		a.wantMaySend("it is proved yet", home, 1200, true)
	}
	a.wait(defaultConsentTimeout / askShare)
	a.want("a check", Checked, home, check)
	if a.Advance(a.now) || a.Path(home).Proved() {
		t.Error("checks and records prolong a proof")
	}
	a.wantMaySend("three times what comes", home, 1200, false)
	a.Heard(a.now, home, 100, false)
	a.prove("an answer at last", home)
}

// A peer whose checks do not get through is alive as long as it answers.
func TestAnswersAreConsent(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", Moved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	for range 100 {
		a.wait(defaultConsentTimeout / 2)
		if a.Advance(a.now) {
			t.Fatal("it expired")
		}
		a.wantNext("it is time to ask", 0)
		b := a.challenge("a question")
		a.wait(time.Second)
		if !a.Answered(a.now, b) || !a.LastCheck().Equal(a.now) {
			t.Fatal("the answer is not taken")
		}
		a.wantMaySend("it consents", home, 1200, true)
	}
	for range 40 {
		a.Heard(a.now, home, 100, true)
		a.wait(time.Second)
	}
	if !a.Advance(a.now) {
		t.Error("records alone are consent")
	}
}

func TestChallengesDoNotAllocate(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", Moved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	if n := testing.AllocsPerRun(100, func() {
		a.wait(time.Second)
		a.paths[0].checked, a.checked = a.now, a.now
		b, _ := a.Challenge(a.now, 81)
		a.Answered(a.now, b[:])
		a.NextChallenge()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
