package icelite

import (
	"net/netip"
	"time"
)

// Heard tells the agent of a datagram of n bytes that is not STUN. authentic means that only
// the peer can have sent it, because it was decrypted with the session's keys. Such a
// datagram selects its path if the path was nominated, or if no authentic datagram has
// arrived on the selected path for more than a second. It does not prove the address: only
// [Agent.Answered] and [Agent.Proved] do. The agent ignores datagrams from addresses without
// a path.
//
// A proof is for one address. It lasts until another address of the peer is proved and
// selected, until there was no check for ConsentTimeout, or until a challenge was not
// answered.
func (a *Agent) Heard(now time.Time, from netip.AddrPort, n int, authentic bool) {
	i := a.index(from)
	if i < 0 {
		return
	}
	if a.refill(); !a.paths[i].proved {
		a.paths[i].in += int64(n)
	}
	if authentic {
		a.record(now, i)
	}
}

// MaySend reports whether a datagram of n bytes may be sent to an address. If so it
// counts the bytes. There must have been a valid check from the address, or an answer
// to a challenge that was sent there, within ConsentTimeout. If the address is not
// proved, at most three times as many bytes may be sent to it as have arrived from it, and
// 96 of them are kept for the first challenge if there will be one. Answer counts responses
// to checks.
func (a *Agent) MaySend(now time.Time, to netip.AddrPort, n int) bool {
	p := a.Path(to)
	if a.unasked(p) && !p.mayTake(n+reserve) {
		a.stats.Refused++
		return false
	}
	return a.maySend(now, p, n)
}

func (a *Agent) maySend(now time.Time, p *Path, n int) bool {
	if p != nil {
		a.lapse(now, p)
	}
	if p == nil || a.since(now)-p.checked >= a.consent || !p.mayTake(n) {
		a.stats.Refused++
		return false
	}
	p.out += int64(n)
	return true
}

// Deadline returns when Advance must be called: when a trial of the selection ends, or
// when the agent expires if no valid check arrives before. It does not include
// NextChallenge. Call Advance before Challenge.
func (a *Agent) Deadline() time.Time {
	d := a.expiry()
	if a.onTrial() {
		d = min(d, a.until)
	}
	return a.started.Add(d)
}

func (a *Agent) expiry() time.Duration { return a.checked + a.consent }

// Advance reports whether the agent has expired: no valid check has arrived within
// PendingTimeout, or neither a valid check nor an answer to a challenge for ConsentTimeout.
// Advance also moves back a selection whose trial is over.
func (a *Agent) Advance(now time.Time) (expired bool) {
	if len(a.paths) > 0 {
		a.lapse(now, &a.paths[a.selected])
	}
	if a.onTrial() && a.since(now) >= a.until {
		a.endTrial(now)
	}
	return a.since(now) >= a.expiry()
}

// LastCheck returns when the last valid check or answer to a challenge arrived, on any path;
// zero means never. Browsers send a check every 2.5 to 5 seconds.
func (a *Agent) LastCheck() time.Time {
	if len(a.paths) == 0 {
		return time.Time{}
	}
	return a.started.Add(a.checked)
}

// Stats returns the counters.
func (a *Agent) Stats() Stats { return a.stats }
