package icelite

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestPendingAgentExpires(t *testing.T) {
	a := newTestAgent(t)
	if want := origin.Add(30 * time.Second); !a.Deadline().Equal(want) {
		t.Fatalf("deadline %v, want %v", a.Deadline(), want)
	}
	a.Heard(a.now, home, 1000, true)
	wrong := aCheck()
	wrong.pwd = theirs.Pwd
	a.want("a stranger's check", verdictWrongIntegrity, home, wrong.chromium())
	a.wait(30*time.Second - 1)
	if a.Advance(a.now) {
		t.Error("the agent expires before PendingTimeout")
	}
	a.wait(1)
	if !a.Advance(a.now) {
		t.Error("the agent has not expired after PendingTimeout")
	}
	short := New(origin, Config{Local: ours, PendingTimeout: time.Second})
	if !short.Advance(origin.Add(time.Second)) {
		t.Error("PendingTimeout has no effect")
	}
}

// Firefox checks every 5.1 s.
func TestChecksKeepConsent(t *testing.T) {
	a := newTestAgent(t)
	for range 100 {
		a.deliver(home, server, aCheck().firefox())
		if !a.LastCheck().Equal(a.now) {
			t.Fatalf("LastCheck is %v, want %v", a.LastCheck(), a.now)
		}
		a.wait(5100 * time.Millisecond)
		if a.Advance(a.now) {
			t.Fatal("the agent expires though checks arrive")
		}
		a.wantMaySend("a path with consent", home, 100, true)
	}
}

// Only checks are consent; records are not.
func TestConsentExpires(t *testing.T) {
	a := newTestAgent(t)
	a.want("a check", verdictMoved, home, aCheck().chromium())
	a.Heard(a.now, home, 100, true)
	a.wait(30*time.Second - 1)
	a.Heard(a.now, home, 100, true)
	a.wantMaySend("just within consent", home, 100, true)
	if a.Advance(a.now) {
		t.Error("the agent expires before ConsentTimeout")
	}
	a.wait(1)
	a.wantMaySend("30 s after the last check", home, 100, false)
	if !a.Advance(a.now) || !a.Deadline().Equal(a.now) {
		t.Errorf("expired: %v, want true; deadline %v, want %v", a.Advance(a.now), a.Deadline(), a.now)
	}
	short := newTestAgentWith(t, Config{Local: ours, Remote: theirs, ConsentTimeout: time.Second})
	short.want("a check", verdictMoved, home, aCheck().chromium())
	if !short.Advance(origin.Add(time.Second)) {
		t.Error("ConsentTimeout has no effect")
	}
}

// Each address has its own consent. The agent does not expire while another address of the peer
// has consent.
func TestConsentIsPerPath(t *testing.T) {
	a := newTestAgent(t)
	a.want("a check from home", verdictMoved, home, aCheck().chromium())
	a.prove("home", home)
	a.wait(20 * time.Second)
	a.want("a check from the café", verdictMoved, cafe, aCheck().chromium())
	a.wait(10 * time.Second)
	a.wantMaySend("home lost consent", home, 1, false)
	a.wantMaySend("the café did not", cafe, 1, true)
	if a.Advance(a.now) {
		t.Error("the agent expires though another address sends checks")
	}

	a.want("home comes back", verdictMoved, home, aCheck().chromium())
	if a.Path(home).Proved() {
		t.Error("the path is still proved after its consent has ended")
	}
	room := 3*len(aCheck().chromium()) - 64
	a.wantMaySend("as a new address, less what the challenge takes", home, room-reserve+1, false)
	a.wantMaySend("as a new address, less what the challenge takes", home, room-reserve, true)
}

func TestUnprovedAddressGetsThreeTimesWhatItSent(t *testing.T) {
	a := newTestAgent(t)
	a.wantMaySend("before any check", home, 1, false)
	b := aCheck().chromium()
	a.want("a check", verdictMoved, home, b)

	room := 3*len(b) - len(a.answer)
	a.wantMaySend("more than is left", home, room+1, false)
	a.wantMaySend("what is left", home, room, true)
	a.wantMaySend("nothing is left", home, 1, false)

	a.want("each check refills", verdictChecked, home, b)
	a.wantMaySend("another address gains nothing", mobile, 1, false)
	a.Heard(a.now, home, 10, false)
	room = 3*(len(b)+10) - len(a.answer)
	a.wantMaySend("what is not authentic counts too", home, room, true)
	a.wantMaySend("and no more", home, 1, false)

	a.Heard(a.now, home, 10, true)
	a.wantMaySend("a record proves nothing and counts like others", home, 30, true)
	a.wantMaySend("and no more", home, 1, false)
	a.prove("an answer", home)
	for range 1000 {
		a.wantMaySend("a proved address", home, 1200, true)
	}
}

// The limit of three times the received bytes holds for the new address after a move, too.
func TestProofBelongsToOneAddress(t *testing.T) {
	a := newTestAgent(t)
	a.want("home", verdictMoved, home, aCheck().nominating().chromium())
	a.prove("home", home)
	a.wait(2 * time.Second)
	a.want("a move", verdictMoved, mobile, aCheck().nominating().chromium())
	a.wantMaySend("a new address is unproved", mobile, 1200, false)
	a.Heard(a.now, mobile, 100, true)
	a.wantMaySend("a record from there is no proof", mobile, 1200, false)
	a.prove("until it has answered", mobile)
	a.wantMaySend("until it has answered", mobile, 1200, true)
	a.wait(2 * time.Second)
	a.want("back home", verdictMoved, home, aCheck().nominating().chromium())
	a.wantMaySend("every move needs a proof of its own", home, 1200, false)
	a.prove("home again", home)
	a.wantMaySend("home again", home, 1200, true)
}

// The answers to refused checks count like other answers.
func TestErrorResponsesAreAccounted(t *testing.T) {
	a := newTestAgent(t)
	b := aCheck().chromium()
	a.want("a check", verdictMoved, home, b)
	out := len(a.answer)
	c := aCheck()
	c.controlled = true
	a.want("a conflict", verdictRoleConflict, home, c.chromium())
	out += len(a.answer)
	a.wantMaySend("the rest", home, 3*2*len(b)-out+1, false)
	a.wantMaySend("the rest", home, 3*2*len(b)-out, true)
}

func TestCredentials(t *testing.T) {
	c, err := NewCredentials(bytes.NewReader(bytes.Repeat([]byte{0xfb, 0xff, 0x01}, 26)))
	if err != nil {
		t.Fatal(err)
	}
	if c.Ufrag != strings.Repeat("+/8B", 20) || c.Pwd != strings.Repeat("+/8B", 6) {
		t.Errorf("credentials %q, want 80 characters of a fragment and 24 of a password", c)
	}
	if _, err := NewCredentials(bytes.NewReader(make([]byte, 77))); err == nil {
		t.Error("77 random bytes are enough, want an error: 78 are needed")
	}
}

// An agent that waits for its peer is small, and New allocates only it.
func TestAgentIsSmall(t *testing.T) {
	a, p := sizeOf[Agent](), sizeOf[Path]()
	if a > 256 || p > 128 {
		t.Errorf("an Agent has %d bytes, want at most 256; a Path %d, want at most 128", a, p)
	}
	if n := testing.AllocsPerRun(100, func() { New(origin, Config{Local: ours, Remote: theirs}) }); n > 1 {
		t.Errorf("New allocates %v objects, want 1", n)
	}
}

func TestPathTellsWhenItWasChecked(t *testing.T) {
	a := newTestAgent(t)
	a.wait(time.Minute)
	a.want("a check", verdictMoved, home, aCheck().chromium())
	if got := a.Path(home).checked; got != time.Minute {
		t.Errorf("checked is %v after the start, want 1 min", got)
	}
	var none netip.AddrPort
	a.Heard(a.now, none, 1, true)
	if a.Path(none) != nil {
		t.Error("a record has created a path")
	}
}
