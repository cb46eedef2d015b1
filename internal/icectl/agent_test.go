package icectl

import (
	"errors"
	"net/netip"
	"testing"
	"time"
)

func TestOneCandidateIsNominatedAtOnce(t *testing.T) {
	a := newTestAgent(t, front)
	a.wantSelected("nobody has answered", netip.AddrPort{})
	a.wantDeadline("the first check", 0)
	a.wantCheck("the first check is due at once", front, true)
	a.wantIdle("one at a time")
	a.wantDeadline("the next one", pace)
	a.wait(20 * time.Millisecond)
	a.want("the answer selects", Selected)
	a.wantSelected("there is only one", front)
	if a.RTT() != 20*time.Millisecond {
		t.Errorf("RTT() = %v, want 20 ms", a.RTT())
	}
	a.wantIdle("the next check is not due yet")
	for range earlyChecks {
		a.wantDeadline("the first checks come soon", earlyPace)
		a.now = a.Deadline()
		a.wantCheck("", front, true)
		a.want("", Answered)
	}
	if d := a.Deadline().Sub(a.now); d < minInterval || d > maxInterval {
		t.Errorf("the next check is due in %v, want between %v and %v", d, minInterval, maxInterval)
	}
}

func TestUnansweredChecksSlowDown(t *testing.T) {
	a := newTestAgent(t, front)
	for i := range quickChecks {
		a.wantCheck("a quick check", front, true)
		want := pace
		if i == quickChecks-1 {
			want = slowPace
		}
		a.wantDeadline("the next one", want)
		a.now = a.Deadline()
	}
	a.wantCheck("a slow check", front, true)
	a.wantDeadline("the next slow one", slowPace)
}

func TestCandidatesAreCheckedInTurnUntilOneAnswers(t *testing.T) {
	a := newTestAgent(t, front, back)
	a.wantCheck("the best first", front, false)
	a.wait(pace)
	a.wantCheck("then the second", back, false)
	a.want("which answers", Selected)
	a.wantSelected("the one that answered", back)
	a.wantCheck("it is nominated at once", back, true)
	a.want("", Answered)
	if p, _ := a.lite.Selected(); p.Local != back.Addr() {
		t.Errorf("the server sends from %v, want %v", p.Local, back.Addr())
	}
	a.wantIdle("neither candidate has a check due")
}

func TestALateAnswerOfAnotherCandidateChangesNothing(t *testing.T) {
	a := newTestAgent(t, front, back)
	a.wantCheck("", front, false)
	late := a.answer
	a.wait(pace)
	a.wantCheck("", back, false)
	a.want("", Selected)
	if v := a.Receive(a.now, front, late); v != Answered {
		t.Fatalf("verdict %d for a late answer, want %d (Answered)", v, Answered)
	}
	a.wantSelected("the first to answer stays", back)
}

func TestMappedCandidatesAreKnownUnmapped(t *testing.T) {
	a := newTestAgent(t, netip.MustParseAddrPort("[::ffff:192.0.2.1]:7777"))
	if !a.Knows(front) || a.Knows(back) {
		t.Errorf("Knows(%v) = %v, want true; Knows(%v) = %v, want false", front, a.Knows(front), back, a.Knows(back))
	}
}

func TestConsent(t *testing.T) {
	a := newTestAgent(t, front)
	if a.MaySend(a.now, front) {
		t.Fatal("MaySend allows a datagram before the server has answered")
	}
	a.wantCheck("", front, true)
	a.want("", Selected)
	for range 20 {
		a.now = a.Deadline()
		a.wantCheck("it goes on checking", front, true)
		a.want("and is answered", Answered)
	}
	last := a.now
	for a.now.Sub(last) < defaultConsentTimeout {
		if a.Advance(a.now) || !a.MaySend(a.now, front) {
			t.Fatalf("%v after the last answer the agent has expired, or MaySend allows nothing; want both only after %v", a.now.Sub(last), defaultConsentTimeout)
		}
		a.Append(a.now, nil)
		a.now = a.Deadline()
	}
	if a.now.Sub(last) != defaultConsentTimeout || !a.Advance(a.now) || a.MaySend(a.now, front) {
		t.Errorf("%v after the last answer, want %v: expired %v, want true; MaySend %v, want false", a.now.Sub(last), defaultConsentTimeout, a.Advance(a.now), a.MaySend(a.now, front))
	}
	a.wantIdle("an expired agent is silent")
	if a.Err() != nil {
		t.Errorf("Err after silence: %v, want nil", a.Err())
	}
}

func TestPendingTimeout(t *testing.T) {
	a := newTestAgent(t, front)
	for !a.Advance(a.now) {
		a.Append(a.now, nil)
		a.now = a.Deadline()
	}
	if d := a.now.Sub(origin); d != defaultPendingTimeout {
		t.Errorf("expired after %v, want %v", d, defaultPendingTimeout)
	}
}

func TestNoCandidates(t *testing.T) {
	a := newTestAgent(t)
	a.wantIdle("there is nobody to check")
	a.wantDeadline("the agent expires", defaultPendingTimeout)
}

// This client never sends a check that a real lite agent refuses, so the test makes the
// refusals itself.
func TestRefusalEndsTheAgent(t *testing.T) {
	for code, want := range map[uint16]error{
		codeRoleConflict:     ErrRoleConflict,
		codeUnknownAttribute: ErrUnknownAttribute,
		5 << 8:               ErrRefused,
	} {
		a := newTestAgent(t, front)
		a.wantCheck("", front, true)
		a.answer = newAnswer(a.inFlight[1].id).refusing(code).sealed(a.Agent)
		a.want("the server refuses", Refused)
		if !a.Advance(a.now) || !errors.Is(a.Err(), want) {
			t.Errorf("error code %#x: expired %v, want true; Err() = %v, want %v", code, a.Advance(a.now), a.Err(), want)
		}
	}
}

func TestOnlyAnswersCount(t *testing.T) {
	a := newTestAgent(t, front)
	a.wantCheck("", front, true)
	good := a.answer
	spoil := func(i int) []byte {
		b := append([]byte(nil), good...)
		b[i] ^= 1
		return b
	}
	other := newTestAgent(t, front)
	other.mac = newMAC("another password, 24 long")
	for _, tt := range []struct {
		name string
		from netip.AddrPort
		b    []byte
		want Verdict
	}{
		{"from elsewhere", back, good, WrongAddress},
		{"another transaction", front, newAnswer(transactionID{1}).sealed(a.Agent), UnknownTransaction},
		{"another password", front, newAnswer(a.inFlight[1].id).sealed(other.Agent), WrongIntegrity},
		{"a wrong FINGERPRINT", front, spoil(len(good) - 1), NotResponse},
		{"an unknown attribute", front, newAnswer(a.inFlight[1].id).with(0x7fff, nil).sealed(a.Agent), NotResponse},
		{"a request", front, a.appendRequest(nil, a.inFlight[1].id, true), NotResponse},
	} {
		if v := a.Receive(a.now, tt.from, tt.b); v != tt.want {
			t.Errorf("%s: verdict %d, want %d", tt.name, v, tt.want)
		}
	}
	for n := range good {
		if v := a.Receive(a.now, front, good[:n:n]); v != NotResponse {
			t.Errorf("the first %d bytes of an answer: verdict %d, want %d (NotResponse)", n, v, NotResponse)
		}
	}
	a.want("the whole answer", Selected)
	a.want("the same answer again", UnknownTransaction)
}

func TestUnknownOptionalAttributesAreIgnored(t *testing.T) {
	a := newTestAgent(t, front)
	a.wantCheck("", front, true)
	a.answer = newAnswer(a.inFlight[1].id).with(0x8022, []byte("some software")).sealed(a.Agent)
	a.want("an answer that names the server's software", Selected)
}

func TestChecksDiffer(t *testing.T) {
	a := newTestAgent(t, front)
	ids := make(map[transactionID]bool)
	for n := range uint64(1000) {
		ids[a.newID(n)] = true
	}
	b := New(origin, Config{Candidates: []netip.AddrPort{front}, Secret: [32]byte{9}})
	if len(ids) != 1000 || ids[b.newID(1)] {
		t.Errorf("%d different transaction IDs of 1000, want 1000, and others of an agent with another secret", len(ids))
	}
}

func TestNothingAllocates(t *testing.T) {
	a := newTestAgent(t, front)
	buf, reply := make([]byte, 0, 128), make([]byte, 0, 128)
	n := testing.AllocsPerRun(100, func() {
		a.now = a.Deadline()
		b, to := a.Append(a.now, buf)
		a.r.Parse(b)
		out, _ := a.lite.Answer(a.now, us, to.Addr(), &a.r, reply)
		if !a.Receive(a.now, to, out).Valid() {
			t.Fatal("the answer to a check is not valid")
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a check and its answer, want 0", n)
	}
}
