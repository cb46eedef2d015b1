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

// When the selected path is asked for a proof.
const (
	// askInterval is the time between questions to an unproved path.
	askInterval = 250 * time.Millisecond

	// A proved path is asked again when its last answer is older than half of
	// ConsentTimeout and something was sent there since, or when its last check is that
	// old: every twelfth of ConsentTimeout, until it answers. If it does not within half
	// of ConsentTimeout, it is not proved any more.
	askShare = 12

	// fresh is how long the same bytes are asked, and stale how long after the last time
	// an answer to them counts. One who had the address before may know older ones.
	fresh = 5 * time.Second
	stale = 10 * time.Second

	// reserve is what other datagrams leave to the question of a path that was not
	// asked yet: a HEARTBEAT in a record is 81 bytes.
	reserve = 96
)

// A challenge is what the selected path was asked last.
type challenge struct {
	bytes    [ChallengeLen]byte
	to       netip.AddrPort // zero if nothing is asked
	number   uint64         // of challenges made
	asked    time.Time      // the last time that it was sent
	drawn    time.Time      // the first time
	since    time.Time      // the first time that this path was asked without an answer
	answered time.Time      // the last proof, by whatever path
	held     bool           // it may not be sent before something comes
}

// Ask makes the agent ask for proofs from now on: NextChallenge has a time. Before
// the session can carry a challenge there is none.
func (a *Agent) Ask() {
	if a.secret != nil {
		a.asks = true
	}
}

// NextChallenge returns when the selected path is to be asked for a proof of its
// address; zero means never. The owner calls Challenge then, and sends the bytes
// there.
func (a *Agent) NextChallenge() time.Time {
	if !a.asks || len(a.paths) == 0 || a.ask != nil && a.ask.held {
		return time.Time{}
	}
	s, c := &a.paths[a.selected], a.ask // which is not nil once s was asked or proved
	switch {
	case a.unasked(s):
		return s.checked
	case !s.proved:
		return c.asked.Add(askInterval)
	case c.to == s.Remote:
		return c.asked.Add(a.consent / askShare)
	case s.out > 0 && c.answered.Before(s.checked):
		return c.answered.Add(a.consent / 2)
	}
	return s.checked.Add(a.consent / 2)
}

// unasked reports whether p is an unproved path that was not asked yet and can be.
func (a *Agent) unasked(p *Path) bool {
	return a.asks && p != nil && !p.proved && (a.ask == nil || a.ask.to != p.Remote)
}

// Challenge returns bytes that nobody can know who does not get what is sent to the
// selected path, and reports whether a datagram of n bytes with them may go there now.
// The same bytes are asked for a few seconds, until they are answered or the selection moves.
func (a *Agent) Challenge(now time.Time, n int) (b [ChallengeLen]byte, ok bool) {
	if !a.asks || len(a.paths) == 0 {
		return [ChallengeLen]byte{}, false
	}
	s, c := &a.paths[a.selected], a.asking()
	if c.held = !a.maySend(now, s, n); c.held {
		return [ChallengeLen]byte{}, false
	}
	if c.to != s.Remote {
		c.to, c.since, c.drawn = s.Remote, now, time.Time{}
	}
	if now.Sub(c.drawn) > fresh {
		c.number++
		c.bytes, c.drawn = a.draw(c.number, s.Remote), now
	}
	c.asked = now
	return c.bytes, true
}

func (a *Agent) asking() *challenge {
	if a.ask == nil {
		a.ask = new(challenge)
	}
	return a.ask
}

// draw returns the challenge of that number for an address. Who does not know the
// secret cannot tell it from random bytes, whatever challenges he has seen; half a sum
// cannot be extended.
func (a *Agent) draw(number uint64, to netip.AddrPort) [ChallengeLen]byte {
	var in [32 + 8 + 16 + 2 + ufragLen]byte
	copy(in[:], a.secret[:])
	binary.BigEndian.PutUint64(in[32:], number)
	ip := to.Addr().As16()
	copy(in[40:], ip[:])
	binary.BigEndian.PutUint16(in[56:], to.Port())
	copy(in[58:], a.local.Ufrag)
	sum := sha256.Sum256(in[:])
	return [ChallengeLen]byte(sum[:])
}

// Answered takes a challenge that came back under the session's keys, and reports
// whether it is the one that was asked last. Whoever answers it has got what was sent to
// the path that was asked, wherever the answer came from: so that path's address is
// proved, and consents to be sent to. If that path is the selected one, a move is
// complete, and other addresses have to be proved again.
func (a *Agent) Answered(now time.Time, b []byte) bool {
	c := a.ask
	if c == nil || now.Sub(c.asked) > stale || subtle.ConstantTimeCompare(b, c.bytes[:]) != 1 {
		return false
	}
	i := a.index(c.to)
	c.to = netip.AddrPort{} // no path's: an answer counts once
	if i < 0 {
		return false
	}
	a.paths[i].checked, a.checked = now, now
	a.prove(now, i)
	return true
}

// Proved tells the agent that an address is proved by other means: something came that
// answers what was sent there and nowhere else.
func (a *Agent) Proved(now time.Time, remote netip.AddrPort) {
	i := a.index(remote)
	if i < 0 {
		return
	}
	if i != a.selected && !a.paths[a.selected].proved {
		a.selected = i
		a.stats.Moves++
	}
	a.paths[i].recorded = now
	a.prove(now, i)
}

func (a *Agent) prove(now time.Time, i int) {
	p := &a.paths[i]
	p.proved, p.in, p.out = true, 0, 0
	a.asking().answered = now
	if i != a.selected {
		return
	}
	if a.OnTrial() {
		a.until, a.wary = time.Time{}, false
	}
	for j := range a.paths {
		if p := &a.paths[j]; j != i && p.proved {
			p.unprove()
		}
	}
}

// refill notes that something came, so a challenge that had to wait may go.
func (a *Agent) refill() {
	if a.ask != nil {
		a.ask.held = false
	}
}

// lapse forgets the proof of the selected path if it was asked for another and has not
// answered for half of ConsentTimeout.
func (a *Agent) lapse(now time.Time) {
	c := a.ask
	if c == nil {
		return
	}
	if s := &a.paths[a.selected]; s.proved && c.to == s.Remote && now.Sub(c.since) >= a.consent/2 {
		s.unprove()
	}
}
