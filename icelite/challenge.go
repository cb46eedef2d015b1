package icelite

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"time"
)

// ChallengeLen is the length of a challenge in bytes.
const ChallengeLen = 16

// When the agent sends a challenge to the selected path.
const (
	// askInterval is the time between challenges to an unproved path.
	askInterval = 250 * time.Millisecond

	// A proved path gets challenges again when its last answer is older than half of
	// ConsentTimeout and more than little bytes were sent to it since, or when its last
	// check is that old: every twelfth of ConsentTimeout, until it answers. If it does not
	// answer within half of ConsentTimeout, it is not proved any more.
	askShare = 12

	// little is the number of bytes that may be sent to a proved path after each answer
	// without a further challenge: one datagram. It costs an idle connection no challenge
	// that it has acknowledged a message.
	little = 1200

	// fresh is how long the same challenge is sent, and stale how long after its last
	// sending an answer to it counts. A former user of the address may know older
	// challenges.
	fresh = 5 * time.Second
	stale = 10 * time.Second

	// reserve is the number of bytes that other datagrams leave for the first challenge to a
	// path: a HEARTBEAT in a record has 81 bytes.
	reserve = 96
)

// A challenge is the last challenge that was sent to the selected path.
type challenge struct {
	bytes  [ChallengeLen]byte
	to     netip.AddrPort // the path; zero if no answer is expected
	number uint64         // number of challenges so far
	asked  time.Duration  // when it was sent last
	drawn  time.Duration  // when it was sent first; long before asked if the next one must be another
	held   bool           // it may not be sent before a datagram arrives or a trial ends
}

// Ask makes the agent send challenges from now on: NextChallenge returns a time. Call it
// when the session can carry challenges.
func (a *Agent) Ask() {
	if a.secret != nil {
		a.asks = true
	}
}

// NextChallenge returns when a challenge must be sent to the selected path; zero means
// never. Then the caller calls Challenge and sends the bytes to the path.
func (a *Agent) NextChallenge() time.Time {
	if !a.asks || len(a.paths) == 0 || a.ask != nil && a.ask.held {
		return time.Time{}
	}
	s, c := &a.paths[a.selected], a.ask // ask is not nil if s has got a challenge
	switch {
	case a.unasked(s):
		return a.started.Add(s.checked)
	case !s.proved:
		return a.started.Add(c.asked + askInterval)
	case c != nil && c.to == s.Remote:
		return a.started.Add(c.asked + a.consent/askShare)
	case s.out > little && s.answered < s.checked:
		return a.started.Add(s.answered + a.consent/2)
	}
	return a.started.Add(s.checked + a.consent/2)
}

// unasked reports whether p is an unproved path that has not got a challenge yet and may
// get one.
func (a *Agent) unasked(p *Path) bool {
	return a.asks && p != nil && !p.proved && (a.ask == nil || a.ask.to != p.Remote)
}

// Challenge returns bytes that only a receiver at the selected path can know, for a datagram
// of n bytes. ok says whether the datagram may be sent to the path now. The bytes stay the
// same for 5 s, until they are answered or the selection moves.
func (a *Agent) Challenge(now time.Time, n int) (b [ChallengeLen]byte, ok bool) {
	if !a.asks || len(a.paths) == 0 {
		return [ChallengeLen]byte{}, false
	}
	s, c := &a.paths[a.selected], a.asking()
	if c.held = !a.maySend(now, s, n); c.held {
		return [ChallengeLen]byte{}, false
	}
	c.asked = a.since(now)
	if c.to != s.Remote {
		c.to, c.drawn = s.Remote, c.asked-2*fresh
	}
	if s.since == never {
		s.since = c.asked
	}
	if c.asked-c.drawn > fresh {
		c.number++
		c.bytes, c.drawn = a.draw(c.number, s.Remote), c.asked
	}
	return c.bytes, true
}

// since returns the time from the start of the agent to t.
func (a *Agent) since(t time.Time) time.Duration { return t.Sub(a.started) }

func (a *Agent) asking() *challenge {
	if a.ask == nil {
		a.ask = new(challenge)
	}
	return a.ask
}

// draw returns the challenge with a number for an address. Without the secret nobody can
// distinguish it from random bytes, also with knowledge of other challenges. It is half of
// a hash, so it cannot be extended. Agents that share the secret differ by their salts: the
// peer of one agent knows nothing of the challenges of another one.
func (a *Agent) draw(number uint64, to netip.AddrPort) [ChallengeLen]byte {
	var in [32 + 8 + 16 + 2 + 8]byte
	copy(in[:], a.secret[:])
	binary.BigEndian.PutUint64(in[32:], number)
	ip := to.Addr().As16()
	copy(in[40:], ip[:])
	binary.BigEndian.PutUint16(in[56:], to.Port())
	binary.BigEndian.PutUint64(in[58:], a.salt)
	sum := sha256.Sum256(in[:])
	return [ChallengeLen]byte(sum[:])
}

// Answered processes a challenge that came back, encrypted with the session's keys. It
// returns true if b is the last challenge that was sent. Then the peer has received what
// was sent to that path, so the address of the path is proved, also if the answer came from
// another address. The answer counts as consent. If the path is the selected one, the
// peer's move is complete, and its other addresses must be proved again.
func (a *Agent) Answered(now time.Time, b []byte) bool {
	c := a.ask
	if c == nil || a.since(now)-c.asked > stale || subtle.ConstantTimeCompare(b, c.bytes[:]) != 1 {
		return false
	}
	i := a.index(c.to)
	c.to = netip.AddrPort{} // an answer counts only once
	if i < 0 {
		return false
	}
	a.checked = a.since(now)
	a.paths[i].checked = a.checked
	a.prove(now, i)
	a.paths[i].answered = c.drawn // the peer was there to receive it, and may have answered later from elsewhere
	return true
}

// Proved tells the agent that an address is proved in another way: the peer has answered
// something that was sent only to this address.
func (a *Agent) Proved(now time.Time, remote netip.AddrPort) {
	i := a.index(remote)
	if i < 0 {
		return
	}
	if i != a.selected && !a.paths[a.selected].proved {
		a.selected = i
		a.stats.Moves++
	}
	a.paths[i].recorded = a.since(now)
	a.prove(now, i)
}

func (a *Agent) prove(now time.Time, i int) {
	p := &a.paths[i]
	p.proved, p.in, p.out = true, 0, 0
	a.answered = a.since(now)
	p.answered, p.since = a.answered, never
	a.completeRestart(i)
	if i != a.selected {
		return
	}
	if a.onTrial() {
		a.until, a.wary = never, false
	}
	for j := range a.paths {
		if p := &a.paths[j]; j != i && p.proved {
			p.unprove()
		}
	}
}

// refill notes that a datagram has arrived, or that another path is selected, so that a challenge
// that had to wait may be sent.
func (a *Agent) refill() {
	if a.ask != nil {
		a.ask.held = false
	}
}

// lapse removes the proof of a path that has got a challenge and has not answered for half of
// ConsentTimeout. Each datagram to the path asks for it, too: a peer can choose when its path is the
// selected one, so that Advance, which comes with the timers of a connection, finds another one.
func (a *Agent) lapse(now time.Time, p *Path) {
	if p.proved && p.since != never && a.since(now)-p.since >= a.consent/2 {
		p.unprove()
	}
}
