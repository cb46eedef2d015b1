package icelite

import (
	"net/netip"
	"time"
)

// Heard tells the agent of a datagram of n bytes that is not STUN. authentic
// means that only the peer can have sent it: it opened under the session's
// keys, or it answered a handshake message of ours. Such a datagram proves the
// address, and selects it if it was nominated, or if the selected one is unproved
// or has sent none for more than a second. A datagram from an address that is no
// path is nothing.
//
// A proof belongs to one address and lasts as long as consent to it: a path
// that the selection leaves and comes back to is still proved, a path that it
// moves to for the first time is not, and one without a check for
// ConsentTimeout has to be proved again.
func (a *Agent) Heard(now time.Time, from netip.AddrPort, n int, authentic bool) {
	i := a.index(from)
	if i < 0 {
		return
	}
	a.paths[i].in += int64(n)
	if authentic {
		a.record(now, i)
	}
}

// MaySend reports whether a datagram of n bytes may go to to, and accounts it
// if so. It may while the last valid check from there is younger than
// ConsentTimeout, and, until the address is proved, while no more than three
// times the bytes that came from it go back. Responses to checks are accounted
// by Answer.
func (a *Agent) MaySend(now time.Time, to netip.AddrPort, n int) bool {
	p := a.Path(to)
	if p == nil || now.Sub(p.checked) >= a.consent || !p.mayTake(n) {
		a.stats.Refused++
		return false
	}
	p.out += int64(n)
	return true
}

// Deadline returns when Advance must be called: when a trial of the selection
// ends, or when the agent expires unless a valid check comes before.
func (a *Agent) Deadline() time.Time {
	if a.OnTrial() && a.until.Before(a.expiry()) {
		return a.until
	}
	return a.expiry()
}

func (a *Agent) expiry() time.Time {
	if len(a.paths) == 0 {
		return a.started.Add(a.pending)
	}
	return a.checked.Add(a.consent)
}

// Advance reports whether the agent has expired: no valid check ever came in
// PendingTimeout, or none came for ConsentTimeout. A selection whose trial is
// over goes back.
func (a *Agent) Advance(now time.Time) (expired bool) {
	if a.OnTrial() && !now.Before(a.until) {
		a.takeBack(now)
	}
	return !now.Before(a.expiry())
}

// LastCheck returns when the last valid check came, on whatever path; zero
// means never. Browsers check every 2.5 to 5 seconds.
func (a *Agent) LastCheck() time.Time { return a.checked }

// Stats returns the counters.
func (a *Agent) Stats() Stats { return a.stats }
