package icelite

import (
	"cmp"
	"net/netip"
	"time"
)

const (
	defaultPendingTimeout = 30 * time.Second

	// RFC 7675 lets consent expire after 30 seconds.
	// https://www.rfc-editor.org/rfc/rfc7675.html#section-5.1
	defaultConsentTimeout = 30 * time.Second

	defaultMaxPaths = 32

	// silence is how long the selected path must have been silent before a
	// check without USE-CANDIDATE from elsewhere moves the selection. Firefox
	// nominates once and never again, so its NAT rebinding is known by such a
	// check only; a multi-homed client that is alive must not flap.
	silence = time.Second

	// trial is how long a selection that left a proved path for an unproved one
	// may go without a proof: then it goes back. A check can be replayed by whoever
	// has seen it, and a record be forged by the peer.
	trial = time.Second

	// wariness is how long the selected path must have been silent, after a trial
	// has failed, before a check alone moves the selection again. A peer that
	// lives checks at least every 5.1 s (Firefox).
	wariness = 6 * time.Second
)

// A Config says who the peer is and how long to wait for it.
type Config struct {
	// Local are our credentials, Remote the peer's. A lite agent never uses
	// Remote.Pwd. An empty Remote.Ufrag accepts any.
	Local, Remote Credentials

	// PendingTimeout is how long to wait for the first valid check. Zero means
	// 30 s.
	PendingTimeout time.Duration

	// ConsentTimeout is how long after its last valid check, or answer to a
	// challenge, a path may be sent to, and a peer lives. Zero means 30 s.
	ConsentTimeout time.Duration

	// Secret must be random and unknown to every peer; agents may share it.
	// Challenges are made from it and from Local.Ufrag, which is an agent's own.
	// Without it the agent never asks: no address is proved but by [Agent.Proved].
	Secret *[32]byte

	// MaxPaths is how many addresses are remembered. One more evicts the one
	// whose last check is oldest: an unproved one if there is one, and never
	// the selected one. Zero means 32; less than 2 means 2.
	MaxPaths int
}

// A Verdict is what Answer made of a request.
type Verdict uint8

const (
	WrongUsername    Verdict = iota // not for this agent, or not from its peer: no answer
	WrongIntegrity                  // made without our password: no answer
	TooShort                        // shorter than its answer would be: no answer
	UnknownAttribute                // refused with 420
	RoleConflict                    // refused with 487
	Checked                         // granted; the selection is as before
	Moved                           // granted; the selection is new
	NumVerdicts                     // how many there are, for a table of counters
)

// Granted reports whether the request was a valid check.
func (v Verdict) Granted() bool { return v == Checked || v == Moved }

// Stats counts what an Agent did.
type Stats struct {
	Checks  uint64 // valid checks
	Moves   uint64 // changes of the selection, the first one included
	Evicted uint64 // paths forgotten because there were too many
	Refused uint64 // times MaySend said no
}

// An Agent is the lite agent that faces one peer. Its owner calls it with the
// time; it is not safe for concurrent use.
type Agent struct {
	paths    []Path // newest check first
	selected int    // index in paths; meaningless while paths is empty
	consent  time.Duration
	checked  time.Time // the last valid check on any path; zero before the first
	until    time.Time // when the trial of the selection ends; zero if there is none
	wary     bool      // the last trial has failed
	asks     bool      // Ask was called
	ask      *challenge
	stats    Stats

	secret      *[32]byte
	local       Credentials
	remoteUfrag string
	pending     time.Duration
	started     time.Time
	maxPaths    int
}

// New returns an agent that waits for its peer's first check.
func New(now time.Time, c Config) *Agent {
	a := new(Agent)
	a.Init(now, c)
	return a
}

// Init makes a an agent that waits for its peer's first check.
func (a *Agent) Init(now time.Time, c Config) {
	*a = Agent{
		secret:      c.Secret,
		local:       c.Local,
		remoteUfrag: c.Remote.Ufrag,
		pending:     cmp.Or(c.PendingTimeout, defaultPendingTimeout),
		consent:     cmp.Or(c.ConsentTimeout, defaultConsentTimeout),
		maxPaths:    max(cmp.Or(c.MaxPaths, defaultMaxPaths), 2),
		started:     now,
	}
}

// Answer verifies r, which came from from to our address local, and appends the
// response to b. A request that is not the peer's leaves b as it is. The
// response must leave from local.
//
// A valid check is remembered as a path. It is selected if it nominates itself
// with USE-CANDIDATE, if it is the first, or if nothing was heard on the
// selected path for more than a second. But records count for more than checks,
// which can be replayed: a path with a record in the last second gives way to a
// record from the nominated one only. A selection that has left a proved path is on
// trial: it goes back after a second without a proof.
func (a *Agent) Answer(now time.Time, from netip.AddrPort, local netip.Addr, r *Request, b []byte) ([]byte, Verdict) {
	if string(r.local) != a.local.Ufrag {
		return b, WrongUsername
	}
	if a.remoteUfrag != "" && string(r.remote) != a.remoteUfrag {
		return b, WrongUsername
	}
	if !r.verify(a.local.Pwd) {
		return b, WrongIntegrity
	}

	// A refused check changes nothing here. We keep the controlled role that a
	// lite agent has: it is the peer that switches.
	// https://www.rfc-editor.org/rfc/rfc8445.html#section-7.2.5.1
	start := len(b)
	verdict := Checked
	switch {
	case len(r.unknown) > 0:
		b, verdict = r.appendError(b, a.local.Pwd, codeUnknownAttribute), UnknownAttribute
	case r.controlled:
		b, verdict = r.appendError(b, a.local.Pwd, codeRoleConflict), RoleConflict
	default:
		b = r.appendSuccess(b, a.local.Pwd, from)
	}
	// With fragments of our length a request is always the longer one; with
	// shorter ones of a caller it might not be, and then we would amplify.
	size := len(b) - start
	if size > len(r.msg.Raw) {
		return b[:start], TooShort
	}
	if verdict != Checked {
		a.refused(from, len(r.msg.Raw), size)
		return b, verdict
	}
	if a.check(now, from, local, r) {
		verdict = Moved
		a.stats.Moves++
	}
	a.stats.Checks++
	a.refill()
	a.paths[0].account(len(r.msg.Raw), size)
	return b, verdict
}

// refused accounts an error response to a path, if from is one.
func (a *Agent) refused(from netip.AddrPort, in, out int) {
	if p := a.Path(from); p != nil {
		p.account(in, out)
	}
}
