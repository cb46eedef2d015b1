package icectl

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha1"
	"errors"
	"hash"
	"net/netip"
	"slices"
	"time"
)

// When checks are sent.
const (
	// pace is the time between checks until one is answered, whichever
	// candidates they go to.
	// https://www.rfc-editor.org/rfc/rfc8445.html#section-14.2
	pace = 50 * time.Millisecond

	// After quickChecks for each candidate the pace is slower.
	quickChecks = 10
	slowPace    = 250 * time.Millisecond

	// Before the DTLS handshake has proved an address, a lite server may send at most three
	// times as many bytes there as have arrived from it. So earlyChecks checks after the
	// selection are sent sooner, and allow the server to repeat a lost part of the handshake.
	earlyChecks = 4
	earlyPace   = 250 * time.Millisecond

	// The time between later checks of the selected candidate is random between these: on
	// average 2.5 s, as in Chromium. So clients that connected at the same time do not send
	// their checks at the same time.
	minInterval = 2 * time.Second
	maxInterval = 3 * time.Second
)

const (
	defaultPendingTimeout = 30 * time.Second

	// RFC 7675 lets consent expire after 30 seconds.
	// https://www.rfc-editor.org/rfc/rfc7675.html#section-5.1
	defaultConsentTimeout = 30 * time.Second

	maxCandidates = 8
	maxInFlight   = 32 // checks without an answer; for one more, the oldest is forgotten
)

// Errors of an agent that the server has refused. Only the server can cause them: the
// answer was made with its password.
var (
	ErrRoleConflict     = errors.New("icectl: the server says that it controls the connection: it is not a lite agent")
	ErrUnknownAttribute = errors.New("icectl: the server does not know an attribute of ICE: it is not an ICE agent")
	ErrRefused          = errors.New("icectl: the server refused the check")
)

// A Config configures an Agent.
type Config struct {
	// LocalUfrag is the username fragment of this end's offer; the other two are the
	// credentials of the server's answer. The password of this end is not needed: a lite
	// server sends no checks.
	LocalUfrag             string
	RemoteUfrag, RemotePwd string

	// Candidates are the server's addresses, the best one first. Those beyond 8
	// are ignored.
	Candidates []netip.AddrPort

	// Secret must be random, and different for each agent. Transaction IDs and the
	// tie-breaker are computed from it.
	Secret [32]byte

	// PendingTimeout limits the wait for the first answer. Zero means 30 s.
	PendingTimeout time.Duration

	// ConsentTimeout is how long after the last answer datagrams may be sent to the server;
	// then the agent expires. Zero means 30 s.
	ConsentTimeout time.Duration
}

// An Agent is the controlling agent for one lite server. It is not safe for concurrent use.
type Agent struct {
	username   string // RemoteUfrag:LocalUfrag
	candidates []netip.AddrPort
	mac        hash.Hash // HMAC-SHA1 under the server's password
	secret     [32]byte

	pending time.Duration
	consent time.Duration
	started time.Time

	due      time.Time // of the next check
	count    uint64    // checks sent
	inFlight [maxInFlight]check
	selected int       // index in candidates; -1 before the first answer
	early    int       // checks sent since the selection, up to earlyChecks
	answered time.Time // time of the last answer of the selected candidate
	rtt      time.Duration
	err      error

	// Scratch: a local array that is passed to hash.Hash would be allocated on the heap.
	header [headerLen]byte
	sum    [sha1.Size]byte
}

// A check is a request that waits for its answer.
type check struct {
	id   transactionID
	to   int8 // index of the candidate; -1 for no check
	sent time.Time
}

// New returns an agent whose first check is due now.
func New(now time.Time, c Config) *Agent {
	a := &Agent{
		username:   c.RemoteUfrag + ":" + c.LocalUfrag,
		candidates: slices.Clone(c.Candidates[:min(len(c.Candidates), maxCandidates)]),
		mac:        hmac.New(sha1.New, []byte(c.RemotePwd)),
		secret:     c.Secret,
		pending:    cmp.Or(c.PendingTimeout, defaultPendingTimeout),
		consent:    cmp.Or(c.ConsentTimeout, defaultConsentTimeout),
		started:    now,
		due:        now,
		selected:   -1,
	}
	for i := range a.candidates {
		a.candidates[i] = unmap(a.candidates[i])
	}
	for i := range a.inFlight {
		a.inFlight[i].to = -1
	}
	return a
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// Selected returns the candidate to send to: the first one that answered.
func (a *Agent) Selected() (netip.AddrPort, bool) {
	if a.selected < 0 {
		return netip.AddrPort{}, false
	}
	return a.candidates[a.selected], true
}

// Knows reports whether addr is a candidate of the server.
func (a *Agent) Knows(addr netip.AddrPort) bool { return slices.Contains(a.candidates, addr) }

// MaySend reports whether a datagram may be sent to the address to: it must be the selected
// candidate, and the server must have answered a check within ConsentTimeout.
func (a *Agent) MaySend(now time.Time, to netip.AddrPort) bool {
	return a.selected >= 0 && a.candidates[a.selected] == to && now.Sub(a.answered) < a.consent
}

// RTT returns the round trip of the last check with an answer; zero if there is none.
func (a *Agent) RTT() time.Duration { return a.rtt }

// Err returns the refusal of the server, or nil.
func (a *Agent) Err() error { return a.err }

// Deadline returns when a check is due or the agent expires. It is never zero.
func (a *Agent) Deadline() time.Time {
	if expiry := a.expiry(); len(a.candidates) == 0 || expiry.Before(a.due) {
		return expiry
	}
	return a.due
}

func (a *Agent) expiry() time.Time {
	switch {
	case a.err != nil:
		return a.started
	case a.selected < 0:
		return a.started.Add(a.pending)
	}
	return a.answered.Add(a.consent)
}

// Advance reports whether the agent has expired: the server has refused it, no answer
// has arrived within PendingTimeout, or none for ConsentTimeout. Append returns a check
// that is due.
func (a *Agent) Advance(now time.Time) (expired bool) { return !now.Before(a.expiry()) }

// Append appends the check that is due to b and returns its destination. If none is due
// it returns b unchanged.
func (a *Agent) Append(now time.Time, b []byte) ([]byte, netip.AddrPort) {
	if now.Before(a.due) || a.Advance(now) || len(a.candidates) == 0 {
		return b, netip.AddrPort{}
	}
	to := a.selected
	if to < 0 {
		to = int(a.count % uint64(len(a.candidates)))
	}
	a.count++
	id := a.newID(a.count)
	a.inFlight[a.count%maxInFlight] = check{id, int8(to), now}
	a.due = now.Add(a.interval(id))

	// A candidate is nominated once it has answered. If there is only one candidate, it is
	// nominated at once.
	nominate := a.selected >= 0 || len(a.candidates) == 1
	return a.appendRequest(b, id, nominate), a.candidates[to]
}

// interval returns the time from the check with id, which is sent now, to the next one.
func (a *Agent) interval(id transactionID) time.Duration {
	switch {
	case a.selected >= 0 && a.early < earlyChecks:
		a.early++
		return earlyPace
	case a.selected >= 0:
		return minInterval + (maxInterval-minInterval)*time.Duration(id[0])/256
	case a.count < quickChecks*uint64(len(a.candidates)):
		return pace
	}
	return slowPace
}

// Receive processes a STUN datagram that arrived from the address from.
func (a *Agent) Receive(now time.Time, from netip.AddrPort, b []byte) Verdict {
	r, ok := parseResponse(b)
	if !ok {
		return NotResponse
	}
	c := a.find(r.id)
	if c == nil {
		return UnknownTransaction
	}
	// An answer must come from where the check went.
	// https://www.rfc-editor.org/rfc/rfc8445.html#section-7.2.5.2.1
	if a.candidates[c.to] != from {
		return WrongAddress
	}
	if !a.verify(b, &r) {
		return WrongIntegrity
	}
	to, sent := int(c.to), c.sent
	c.to = -1 // a check has only one answer
	if r.failed {
		a.refuse(r.code)
		return Refused
	}
	a.rtt = now.Sub(sent)
	if a.selected < 0 {
		a.selected, a.answered = to, now
		a.scheduleCheck(now)
		return Selected
	}
	if a.selected == to {
		a.answered = now
	}
	return Answered
}

// scheduleCheck sets the time of the first check after the selection. If the selected
// candidate is not nominated yet, the check is due now.
func (a *Agent) scheduleCheck(now time.Time) {
	a.due = now
	if len(a.candidates) == 1 {
		a.early = 1
		a.due = now.Add(earlyPace)
	}
}

// refuse notes that the server refused a check.
func (a *Agent) refuse(code uint16) {
	switch code {
	case codeRoleConflict:
		a.err = ErrRoleConflict
	case codeUnknownAttribute:
		a.err = ErrUnknownAttribute
	default:
		a.err = ErrRefused
	}
}

// find returns the check that id belongs to, or nil.
func (a *Agent) find(id transactionID) *check {
	for i := range a.inFlight {
		if c := &a.inFlight[i]; c.to >= 0 && c.id == id {
			return c
		}
	}
	return nil
}
