package icelite

import (
	"net/netip"
	"testing"
	"time"
)

// wantNext expects the next challenge after d; never if d is negative.
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
		a.t.Fatalf("%s: the challenge may not be sent", why)
	}
	return b[:]
}

// Only the answer to a challenge that was sent to an address proves it; other datagrams from
// there do not.
func TestOnlyAnAnswerProves(t *testing.T) {
	a := newTestAgent(t)
	a.wantNext("no path", -1)
	a.want("home", verdictMoved, home, aCheck().chromium())
	a.wantNext("the session cannot carry it yet", -1)
	a.Ask()
	a.wantNext("at once", 0)
	b := a.challenge("the first")
	a.wantNext("and again", askInterval)
	wrong := append([]byte(nil), b...)
	wrong[3] ^= 1
	if a.Answered(a.now, wrong) || a.Answered(a.now, b[:15]) || a.Answered(a.now, nil) {
		t.Error("a wrong challenge, a part of it or nothing counts as the answer")
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
	a.want("home", verdictMoved, home, aCheck().nominating().chromium())
	a.Ask()
	first := a.challenge("home")
	a.want("mobile", verdictMoved, mobile, aCheck().nominating().chromium())
	second := a.challenge("mobile")
	if string(first) == string(second) {
		t.Fatal("the same challenge is sent to two addresses")
	}
	if a.Answered(a.now, first) || a.Path(mobile).Proved() || a.Path(home).Proved() {
		t.Error("the answer to a challenge of an earlier selection counts, or proves an address")
	}
	for range 20 {
		a.wait(askInterval)
		a.Heard(a.now, mobile, 30, false)
		if string(a.challenge("again")) != string(second) {
			t.Fatal("the challenge changes before 5 s have passed")
		}
	}
	a.wait(askInterval)
	a.Heard(a.now, mobile, 30, false)
	third := a.challenge("in a while")
	if string(third) == string(second) {
		t.Error("the challenge has not changed after 5 s")
	}
	if a.Answered(a.now, second) {
		t.Error("the answer to a replaced challenge counts")
	}
	a.wait(stale + 1)
	if a.Answered(a.now, third) {
		t.Error("an answer counts more than 10 s after the challenge")
	}
}

// Agents that share a secret, and may have the same credentials and begin at the same time, have other challenges: a page
// may begin several connections with one invite, and the checks of all may arrive in one batch.
func TestAgentsHaveTheirOwnChallenges(t *testing.T) {
	agent := func(secret byte, salt uint64) *Agent {
		return New(origin, Config{Local: ours, Remote: theirs, Secret: &[32]byte{secret}, Salt: salt})
	}
	a := agent(1, 1)
	for _, other := range []*Agent{agent(2, 1), agent(1, 2), agent(1, 1<<63+1)} {
		if other.draw(1, home) == a.draw(1, home) {
			t.Error("two agents make the same challenge")
		}
	}
}

// The first challenge is sent before other datagrams, within three times the bytes that
// arrived.
func TestTheChallengeHasRoom(t *testing.T) {
	a := newTestAgent(t)
	b := aCheck().chromium()
	a.want("home", verdictMoved, home, b)
	a.Ask()
	room := 3*len(b) - len(a.answer)
	a.wantMaySend("what would leave no room", home, room-reserve+1, false)
	a.wantMaySend("what leaves it", home, room-reserve, true)
	a.challenge("there is room")
	a.wantMaySend("the rest", home, reserve-81, true)
	a.wait(askInterval)
	if _, ok := a.Challenge(a.now, 81); ok {
		t.Error("Challenge allows a datagram beyond three times the bytes that arrived")
	}
	a.wantNext("not before something comes", -1)
	a.Heard(a.now, home, 27, false)
	a.wantNext("now", 0)
	a.challenge("81 bytes for 27")
}

// A path that is in use must be proved again after some time. Without an answer it loses its
// proof.
func TestAProofIsRenewed(t *testing.T) {
	a := newTestAgent(t)
	check := aCheck().nominating().chromium()
	a.want("home", verdictMoved, home, check)
	a.prove("home", home)
	for range 100 { // an idle path gets no challenge
		a.wait(2500 * time.Millisecond)
		a.want("a check", verdictChecked, home, check)
		a.wantNext("nothing is sent", defaultConsentTimeout/2)
	}
	a.wantMaySend("a message", home, little, true)
	a.wantNext("a victim would get only one datagram", defaultConsentTimeout/2)
	a.wantMaySend("one byte more", home, 1, true)
	a.wantNext("at once", 0)
	b := a.challenge("the first question")
	a.wantNext("and again", defaultConsentTimeout/askShare)
	if !a.Answered(a.now, b) {
		t.Fatal("the answer is not accepted")
	}
	a.wantMaySend("messages", home, little+1, true)
	a.wait(10 * time.Second)
	a.want("a check", verdictChecked, home, check)
	a.wantNext("half of the consent's time after the answer", 5*time.Second)
	a.wait(5 * time.Second)
	a.challenge("again")
	for range 5 {
		a.wait(defaultConsentTimeout / askShare)
		a.want("a check", verdictChecked, home, check)
		a.Heard(a.now, home, 100, true)
		a.Advance(a.now)
		a.challenge("again")
		a.wantMaySend("it is proved yet", home, 1200, true)
	}
	a.wait(defaultConsentTimeout / askShare)
	a.want("a check", verdictChecked, home, check)
	if a.Advance(a.now) || a.Path(home).Proved() {
		t.Error("the agent has expired, or checks and records have prolonged the proof")
	}
	a.wantMaySend("three times what comes", home, 1200, false)
	a.Heard(a.now, home, 100, false)
	a.prove("an answer at last", home)
}

// A peer that has left an address, and moves the selection to another address and back with forged
// checks and records, keeps no proof of the first: with and without an answer to the challenge that
// the other address got.
func TestMovesThereAndBackRenewNoProof(t *testing.T) {
	for _, answers := range []bool{false, true} {
		a := newTestAgent(t)
		check := aCheck().nominating().chromium()
		visit := func(at netip.AddrPort) {
			a.deliver(at, server, check)
			a.Heard(a.now, at, 60, true)
			a.wantSelected("a check and a record", at)
		}
		ask := func() []byte {
			if a.NextChallenge().After(a.now) {
				return nil
			}
			b, _ := a.Challenge(a.now, 81)
			return b[:]
		}
		a.want("home", verdictMoved, home, check)
		a.prove("home", home)
		for round := range uint16(8) {
			for range 4 {
				a.wait(2 * time.Second)
				a.Advance(a.now)
				visit(home)
				ask()
				a.MaySend(a.now, home, little+1)
			}
			if a.now.Sub(origin) > defaultConsentTimeout && a.Path(home).Proved() {
				t.Fatalf("answers %v, after %v: home is proved", answers, a.now.Sub(origin))
			}
			visit(netip.AddrPortFrom(mobile.Addr(), 1000+round))
			b := ask()
			visit(home)
			if answers && !a.Answered(a.now, b) && a.Path(home).Proved() {
				t.Errorf("round %d: the answer of the other address is not taken", round)
			}
		}
	}
}

// A peer that has left an address forges a check from another port, which gets three times its bytes
// and no challenge beyond them, and a check from the first address. When the trial of the other port
// has ended, the first address is asked, and loses its proof without an answer.
func TestATrialThatIsStarvedHoldsNoChallenge(t *testing.T) {
	a := newTestAgent(t)
	nominating, plain := aCheck().nominating().chromium(), aCheck().chromium()
	a.want("home", verdictMoved, home, nominating)
	a.prove("home", home)
	asked := 0
	for round := range uint16(3) {
		a.wait(2 * silence)
		other := netip.AddrPortFrom(mobile.Addr(), 1000+round)
		a.deliver(other, server, nominating)
		a.wantSelected("a trial", other)
		a.deliver(home, server, plain)
		for range 250 { // 25 s
			a.Advance(a.now)
			s, _ := a.Selected()
			if next := a.NextChallenge(); !next.IsZero() && !next.After(a.now) {
				if _, ok := a.Challenge(a.now, 81); ok && s.Remote == home {
					asked++
				}
			}
			a.MaySend(a.now, s.Remote, 1000)
			a.wait(100 * time.Millisecond)
		}
		if !a.Path(home).Proved() {
			break
		}
		a.wantSelected("after the trial", home)
	}
	if a.Path(home).Proved() || asked == 0 {
		t.Errorf("home is proved after 75 s: %v; it was asked %d times", a.Path(home).Proved(), asked)
	}
}

// askedAgain returns an agent whose peer has proved home and has got messages there, and the challenge with which the
// agent asks for a proof again.
func askedAgain(t *testing.T) (a *testAgent, b []byte) {
	a = newTestAgent(t)
	check := aCheck().nominating().chromium()
	a.want("home", verdictMoved, home, check)
	a.prove("home", home)
	a.wantMaySend("messages", home, little+1, true)
	a.wait(defaultConsentTimeout / 2)
	a.want("a check", verdictChecked, home, check)
	return a, a.challenge("home")
}

// A path loses its proof half of ConsentTimeout after a challenge without an answer, also if nobody
// calls Advance while it is selected.
func TestAProofEndsWithoutAdvance(t *testing.T) {
	for late, want := range map[time.Duration]bool{-1: true, 0: false} {
		a, _ := askedAgain(t)
		a.wait(defaultConsentTimeout/2 + late)
		a.wantMaySend("a message to a path that does not answer", home, 1200, want)
	}
}

// A proof counts from the time at which the challenge was sent. A peer that leaves an address with an answer, and gives
// the answer later, gains no time: the address is asked again as if the peer had answered at once.
func TestALateAnswerRenewsNoMore(t *testing.T) {
	for _, late := range []time.Duration{0, fresh} {
		a, b := askedAgain(t)
		a.wait(late)
		if !a.Answered(a.now, b) {
			t.Fatalf("the answer after %v is not taken", late)
		}
		a.wantMaySend("messages", home, little+1, true)
		a.want("a check", verdictChecked, home, aCheck().nominating().chromium())
		a.wantNext("the next question", defaultConsentTimeout/2-late)
	}
}

// The agent does not expire while the peer answers challenges, even if no check arrives.
func TestAnswersAreConsent(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	for range 100 {
		a.wait(defaultConsentTimeout / 2)
		if a.Advance(a.now) {
			t.Fatal("the agent expires though challenges are answered")
		}
		a.wantNext("it is time to ask", 0)
		b := a.challenge("a question")
		a.wait(time.Second)
		if !a.Answered(a.now, b) || !a.LastCheck().Equal(a.now) {
			t.Fatal("the answer is not accepted, or does not count as consent")
		}
		a.wantMaySend("it consents", home, 1200, true)
	}
	for range 40 {
		a.Heard(a.now, home, 100, true)
		a.wait(time.Second)
	}
	if !a.Advance(a.now) {
		t.Error("the agent does not expire: records alone count as consent")
	}
}

func TestChallengesDoNotAllocate(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	if n := testing.AllocsPerRun(100, func() {
		a.wait(time.Second)
		a.checked = a.since(a.now)
		a.paths[0].checked = a.checked
		b, _ := a.Challenge(a.now, 81)
		a.Answered(a.now, b[:])
		a.NextChallenge()
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
