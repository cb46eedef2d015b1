package icelite

import (
	"net/netip"
	"testing"
	"time"
)

// Without a path, or before Ask, the agent makes no challenge and accepts no answer.
func TestNothingIsAskedBeforeItCanBe(t *testing.T) {
	a := newTestAgent(t)
	silent := func(why string) {
		t.Helper()
		a.wantNext(why, -1)
		if b, ok := a.Challenge(a.now, 81); ok || b != [ChallengeLen]byte{} {
			t.Errorf("%s: Challenge = %x, %v, want zero and false", why, b, ok)
		}
		if a.Answered(a.now, make([]byte, ChallengeLen)) {
			t.Errorf("%s: Answered accepts 16 zero bytes", why)
		}
	}
	silent("no path")
	a.Ask()
	silent("no path, though it may ask")
	a.wantMaySend("an address without a check", home, 1, false)

	a = newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	silent("a path that may not be asked yet")
	a.Ask()
	if b := a.challenge("home"); !a.Answered(a.now, b) {
		t.Error("the answer to the challenge is not accepted")
	}
}

// A challenge depends on the agent, a number and the address.
func TestWhatAChallengeIsMadeOf(t *testing.T) {
	a := newTestAgent(t)
	seen := map[[ChallengeLen]byte]string{}
	for name, b := range map[string][ChallengeLen]byte{
		"the first":       a.draw(1, home),
		"the next":        a.draw(2, home),
		"a later":         a.draw(1<<40+1, home),
		"another address": a.draw(1, netip.AddrPortFrom(mobile.Addr(), home.Port())),
		"another port":    a.draw(1, netip.AddrPortFrom(home.Addr(), home.Port()+1)),
	} {
		if other, ok := seen[b]; ok {
			t.Errorf("the challenge of %s equals that of %s", name, other)
		}
		seen[b] = name
	}
	if first, again := a.draw(1, home), a.draw(1, home); first != again {
		t.Errorf("the same number and address give two challenges: %x and %x", first, again)
	}
}

// Each path gets a challenge of its own, also if the caller's time is before the start of the agent: the time of a turn may be older.
func TestChallengesBeforeTheStart(t *testing.T) {
	for _, before := range []time.Duration{0, 5 * time.Second, time.Hour} {
		a := newTestAgent(t)
		a.wait(-before)
		a.want("home", verdictMoved, home, nominated())
		a.Ask()
		first := [ChallengeLen]byte(a.challenge("home"))
		again := [ChallengeLen]byte(a.challenge("home, once more"))
		a.want("mobile", verdictMoved, mobile, nominated())
		other := [ChallengeLen]byte(a.challenge("mobile"))
		if first == [ChallengeLen]byte{} || first != again || first == other {
			t.Errorf("%v before the start: %x, %x and for another path %x", before, first, again, other)
		}
	}
}

// An answer counts for ten seconds after the challenge was sent last, and only while its path
// is stored.
func TestHowLongAnAnswerCounts(t *testing.T) {
	for late, want := range map[time.Duration]bool{0: true, 1: false} {
		a := newTestAgent(t)
		a.want("home", verdictMoved, home, nominated())
		a.Ask()
		b := a.challenge("home")
		a.wait(stale + late)
		if got := a.Answered(a.now, b); got != want || a.Path(home).Proved() != want {
			t.Errorf("%v after the question: taken %v, want %v", stale+late, got, want)
		}
	}
	a := newTestAgentWith(t, Config{Local: ours, Remote: theirs, Secret: &[32]byte{1}, MaxPaths: 2})
	a.want("home", verdictMoved, home, nominated())
	a.Ask()
	b := a.challenge("home")
	a.want("mobile", verdictMoved, mobile, nominated())
	a.want("a third", verdictChecked, cafe, aCheck().chromium())
	if a.Path(home) != nil {
		t.Fatal("the path of home is not removed")
	}
	if before := a.LastCheck(); a.Answered(a.now.Add(time.Second), b) || !a.LastCheck().Equal(before) {
		t.Error("an answer for a path that was removed counts")
	}
}

// A challenge for which the credit is too small waits for a datagram, which may be a check.
// Such challenges are counted.
func TestAQuestionThatHadToWait(t *testing.T) {
	a := newTestAgent(t)
	check := aCheck().chromium()
	a.want("home", verdictMoved, home, check)
	a.Ask()
	a.wantMaySend("what leaves no room", home, 3*len(check), false)
	if n := a.Stats().Refused; n != 1 {
		t.Errorf("%d refusals are counted, want 1", n)
	}
	if _, ok := a.Challenge(a.now, 3*len(check)); ok {
		t.Fatal("Challenge allows a datagram beyond three times the bytes that arrived")
	}
	a.wantNext("not before something comes", -1)
	a.want("a check", verdictChecked, home, check)
	a.wantNext("now", 0)
	a.challenge("there is room")
}

// Proved proves the path, as an answer does. If the selected path is not proved, this path is
// selected. Proved counts like a record.
func TestProofByOtherMeans(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.want("a spare path", verdictChecked, mobile, aCheck().chromium())
	a.Proved(a.now, cafe)
	a.wantMoves("an address without a check", 1)
	a.Proved(a.now, mobile)
	a.wantSelected("the proved one", mobile)
	a.wantMoves("the proved one", 2)
	if !a.Path(mobile).Proved() || !a.Speaks(a.now, mobile) || a.Speaks(a.now, home) {
		t.Errorf("Proved() = %v, want true; Speaks(mobile) = %v, want true; Speaks(home) = %v, want false", a.Path(mobile).Proved(), a.Speaks(a.now, mobile), a.Speaks(a.now, home))
	}
	a.want("another spare path", verdictChecked, cafe, aCheck().chromium())
	a.Proved(a.now, cafe)
	a.wantSelected("the one that was proved first", mobile)

	a = newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.Proved(a.now, home)
	a.wantMoves("the selected path itself", 1)
}

// A proof of one path leaves the credit of the others unchanged, and an unproved path keeps its
// credit if it does not answer a challenge.
func TestOthersKeepTheirRoom(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.want("a spare path", verdictChecked, mobile, aCheck().chromium())
	a.prove("home", home)
	a.wantMaySend("the spare path has sent a check", mobile, 100, true)

	a = newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.Ask()
	a.challenge("home")
	for range 6 {
		a.wait(defaultConsentTimeout / askShare)
		a.want("a check", verdictChecked, home, nominated())
		a.Advance(a.now)
	}
	a.wantMaySend("a path that never answered", home, 6*100, true)
}

// If one path does not answer a challenge, no other path loses its proof. And the answer of
// one path does not delay the challenge to another.
func TestAQuestionIsOfOnePath(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.want("a spare path", verdictChecked, mobile, aCheck().chromium())
	a.Ask()
	a.challenge("home")
	a.Proved(a.now, mobile)
	a.wantSelected("the proved one", mobile)
	a.wait(defaultConsentTimeout / 2)
	a.want("a check", verdictChecked, mobile, aCheck().chromium())
	if a.Advance(a.now) || !a.Path(mobile).Proved() {
		t.Error("mobile has lost its proof, or the agent has expired, because home has not answered")
	}

	a = newTestAgent(t)
	a.want("home", verdictMoved, home, nominated())
	a.prove("home", home)
	a.want("a spare path", verdictChecked, mobile, aCheck().chromium())
	a.wantMaySend("messages", home, little+1, true)
	a.wait(5 * time.Second)
	a.Proved(a.now, mobile)
	a.wantSelected("the spare path is proved, too", home)
	a.wantNext("half of the consent's time after the last check", defaultConsentTimeout/2-5*time.Second)
	a.Proved(a.now, home)
	a.wantMaySend("messages", home, little+1, true)
	a.wantNext("a proof by other means is no check", defaultConsentTimeout/2-5*time.Second)
}
