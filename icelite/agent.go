package icelite

import (
	"cmp"
	"math"
	"net/netip"
	"time"
)

const (
	defaultPendingTimeout = 30 * time.Second

	// RFC 7675 lets consent expire after 30 seconds.
	// https://www.rfc-editor.org/rfc/rfc7675.html#section-5.1
	defaultConsentTimeout = 30 * time.Second

	defaultMaxPaths = 32

	// silence is how long the selected path must have been silent before a check
	// without USE-CANDIDATE from another address moves the selection. Firefox nominates
	// only once, so the agent learns of its NAT rebinding only by such a check. But the
	// selection must not move back and forth for a client with several addresses.
	silence = time.Second

	// trial is how long a selection that left a proved path for an unproved one may last
	// without a proof; then it goes back. Anyone who has seen a check can replay it, and the
	// peer can forge the source address of a record.
	trial = time.Second

	// wariness is how long the selected path must have been silent, after a trial has
	// failed, before a check alone moves the selection again. A live peer sends a check at
	// least every 5.1 s (Firefox).
	wariness = 6 * time.Second
)

// A Config configures an Agent.
type Config struct {
	// Local are the credentials of this end, Remote those of the peer. A lite agent does
	// not use Remote.Pwd. An empty Remote.Ufrag accepts every fragment.
	Local, Remote Credentials

	// PendingTimeout limits the wait for the first valid check. Zero means 30 s.
	PendingTimeout time.Duration

	// ConsentTimeout is how long after the last valid check of a path, or the last answer
	// to a challenge, datagrams may be sent to it; and how long after the last one of any
	// path the agent expires. Zero means 30 s.
	ConsentTimeout time.Duration

	// Secret must be random and unknown to every peer. Several agents may share it, each with
	// another Salt, such as a random one: challenges are computed from both. If two agents had
	// the same Salt, the peer of one could know the challenges of the other, and prove an
	// address at which it does not receive. Without Secret the agent sends no challenges, and
	// only [Agent.Proved] proves an address.
	Secret *[32]byte
	Salt   uint64

	// MaxPaths limits the number of addresses that the agent remembers. For one more it
	// removes the one whose last check is oldest: an unproved one if there is one, and never
	// the selected one. Zero means 32; less than 2 means 2.
	MaxPaths int
}

// A Verdict is the result of Answer for a request.
type Verdict uint8

const (
	verdictWrongUsername    Verdict = iota // not for this agent, or not from its peer: no answer
	verdictWrongIntegrity                  // made without this agent's password: no answer
	verdictTooShort                        // shorter than the answer would be: no answer
	verdictUnknownAttribute                // refused with 420
	verdictRoleConflict                    // refused with 487
	verdictChecked                         // granted; the selection has not changed
	verdictMoved                           // granted; the selection has changed
	verdicts                               // the number of verdicts, for a table of counters
)

// Granted reports whether the request was a valid check.
func (v Verdict) Granted() bool { return v == verdictChecked || v == verdictMoved }

// Stats counts what an Agent did.
type Stats struct {
	Checks  uint64 // valid checks
	Moves   uint64 // changes of the selection, the first one included
	Evicted uint64 // paths removed because of MaxPaths
	Refused uint64 // times MaySend returned false
}

// An Agent is the lite agent for one peer. It is not safe for concurrent use.
//
// Its times, and those of its paths and challenges, count from started: they take a third of
// the memory of a time.Time.
type Agent struct {
	// The fields that every datagram uses come first, in few cache lines.
	paths    []Path // the path with the newest check first
	selected int    // index in paths; not valid while paths is empty
	started  time.Time
	consent  time.Duration
	checked  time.Duration // the last valid check on any path; without paths, chosen so that the agent expires after PendingTimeout
	until    time.Duration // when the trial of the selection ends; never if there is none
	answered time.Duration // when an address was proved last
	ask      *challenge    // nil before the first
	maxPaths int32
	wary     bool // the last trial has failed
	asks     bool // Ask was called, and there is a secret
	stats    Stats

	secret      *[32]byte
	salt        uint64
	local       Credentials
	remoteUfrag string
	next        *restart // nil if there is none
}

// New returns an agent that waits for its peer's first check.
func New(now time.Time, c Config) *Agent {
	consent := min(cmp.Or(c.ConsentTimeout, defaultConsentTimeout), -never/2) // or sums of it would overflow
	return &Agent{
		secret:      c.Secret,
		salt:        c.Salt,
		local:       c.Local,
		remoteUfrag: c.Remote.Ufrag,
		checked:     cmp.Or(c.PendingTimeout, defaultPendingTimeout) - consent,
		consent:     consent,
		maxPaths:    int32(min(max(cmp.Or(c.MaxPaths, defaultMaxPaths), 2), math.MaxInt32)),
		started:     now,
		until:       never,
	}
}

// Answer verifies r, which arrived from the address from at the address local of this
// end, and appends the response to b. If the request is not of the peer, or is shorter
// than the response, b is unchanged. The response must leave from local.
//
// A valid check makes its address a path. The path is selected if the check nominates
// it with USE-CANDIDATE, if it is the first path, or if nothing has arrived on the
// selected path for more than a second. But records have more weight than checks, which
// can be replayed: if a record has arrived on the selected path in the last second,
// only a record from the nominated path moves the selection, unless the nominated path is
// proved and the selected one is not. A selection that has left a proved path is on trial:
// it goes back after a second without a proof. After a trial has failed, a check alone
// takes the selection from a proved path only if that path has been silent for 6 s.
func (a *Agent) Answer(now time.Time, from netip.AddrPort, local netip.Addr, r *Request, b []byte) ([]byte, Verdict) {
	pwd, restarted, ok := a.password(r)
	if !ok {
		return b, verdictWrongUsername
	}
	if !r.Verify(pwd) {
		return b, verdictWrongIntegrity
	}

	// A refused check changes nothing here. A lite agent keeps the controlled role: the peer
	// must switch.
	// https://www.rfc-editor.org/rfc/rfc8445.html#section-7.2.5.1
	start := len(b)
	verdict := verdictChecked
	switch {
	case len(r.unknown) > 0:
		b, verdict = r.appendError(b, pwd, codeUnknownAttribute), verdictUnknownAttribute
	case r.controlled:
		b, verdict = r.appendError(b, pwd, codeRoleConflict), verdictRoleConflict
	default:
		b = r.appendSuccess(b, pwd, from)
	}
	// With username fragments of NewCredentials a request is always longer than its
	// response. With shorter fragments of the caller the response could be longer, and
	// would amplify.
	size := len(b) - start
	if size > len(r.msg.Raw) {
		return b[:start], verdictTooShort
	}
	if verdict != verdictChecked {
		a.refused(from, len(r.msg.Raw), size)
		return b, verdict
	}
	if a.check(now, from, local, r) {
		verdict = verdictMoved
		a.stats.Moves++
	}
	a.stats.Checks++
	a.paths[0].restarted = restarted
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
