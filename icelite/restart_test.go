package icelite

import (
	"net/netip"
	"testing"
	"time"
)

var (
	ours2   = Credentials{Ufrag: "second/fragment1", Pwd: "Q1Zt6cX9L/4sB+uQe1YvWn2K"}
	ours3   = Credentials{Ufrag: "third/fragment12", Pwd: "R2Zt6cX9L/4sB+uQe1YvWn2K"}
	theirs2 = "Lx8f"
	theirs3 = "Mx9g"
)

// of returns a check with other credentials.
func of(local Credentials, remote string) check {
	return check{username: local.Ufrag + ":" + remote, pwd: local.Pwd}
}

// Checks with the credentials of a restart are valid beside those before, until the peer has proved
// an address of the restart. Then those before are not valid any more.
func TestRestart(t *testing.T) {
	a := newTestAgent(t)
	a.wantCheck("before the restart", home, aCheck().nominating(), true)
	a.prove("before the restart", home)
	a.Restart(ours2, theirs2)
	a.wantCheck("with the credentials before", home, aCheck(), true)
	a.wantCheck("with the new ones", mobile, of(ours2, theirs2), true)
	a.wantCheck("with the new ones of this end and the peer's before", mobile, of(ours2, theirs.Ufrag), false)
	a.wantCheck("with those before of this end and the new one of the peer", mobile, of(ours, theirs2), false)
	a.wantCheck("with another fragment of this end", mobile, check{username: "another/fragment:" + theirs2, pwd: ours2.Pwd}, false)
	a.wantCheck("with the password before", mobile, check{username: ours2.Ufrag + ":" + theirs2, pwd: ours.Pwd}, false)
	if current, next, restarting := a.Credentials(); current != ours || next != ours2 || !restarting {
		t.Errorf("credentials %v and %v, restarting: %v", current, next, restarting)
	}

	a.Proved(a.now, home)
	if _, _, restarting := a.Credentials(); !restarting {
		t.Error("the proof of an address without a check of the restart completes it")
	}
	a.Proved(a.now, mobile)
	if current, _, restarting := a.Credentials(); current != ours2 || restarting {
		t.Errorf("credentials %v, restarting: %v, after the proof of an address with a check of the restart", current, restarting)
	}
	a.wantCheck("with the credentials before, after the proof", home, aCheck(), false)
	a.wantCheck("with the new ones, after the proof", home, of(ours2, theirs2), true)
}

// A restart that is not complete is replaced by the next one, also if checks with its credentials were
// valid. A later check with the credentials before makes the path one of them again.
func TestRestartIsReplaced(t *testing.T) {
	a := newTestAgent(t)
	a.wantCheck("before the restart", home, aCheck().nominating(), true)
	a.prove("before the restart", home)
	a.Restart(ours2, theirs2)
	a.wantCheck("of the first restart", mobile, of(ours2, theirs2), true)
	a.Restart(ours3, theirs3)
	a.wantCheck("of the first restart, after the second", mobile, of(ours2, theirs2), false)
	a.Proved(a.now, mobile)
	a.wantCheck("with the credentials before both", home, aCheck(), true)
	a.wantCheck("of the second restart", cafe, of(ours3, theirs3), true)
	a.now = a.now.Add(time.Second)
	a.wantCheck("with the credentials before, at the same address", cafe, aCheck(), true)
	a.Proved(a.now, cafe)
	if _, _, restarting := a.Credentials(); !restarting {
		t.Error("a proof completes a restart whose check is not the last one of the address")
	}
	a.wantCheck("of the second restart, again", cafe, of(ours3, theirs3), true)
	a.Proved(a.now, cafe)
	if current, _, restarting := a.Credentials(); current != ours3 || restarting {
		t.Errorf("credentials %v, restarting: %v", current, restarting)
	}
}

func (a *testAgent) wantCheck(why string, from netip.AddrPort, c check, granted bool) {
	a.t.Helper()
	d, v := a.deliver(from, server, c.chromium())
	if d != DropNone || v.Granted() != granted || (len(a.answer) > 0) != granted {
		a.t.Errorf("a check %s: drop %q, verdict %q and an answer of %d bytes; want it granted: %v", why, d, v, len(a.answer), granted)
	}
}
