package peer

import (
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/internal/icectl"
	"github.com/godwit-rtc/godwit/sctp"
)

// The words of the layers below that a peer's owner needs too.
type (
	Credentials = icelite.Credentials
	Request     = icelite.Request
	Event       = sctp.Event
	Kind        = sctp.Kind
	AckMode     = sctp.AckMode
	ICEConfig   = icelite.Config
	CheckConfig = icectl.Config
	SCTPConfig  = sctp.Config
	SCTPStats   = sctp.Stats
)

// NewCredentials draws ICE credentials from a source of strong randomness.
func NewCredentials(random io.Reader) (Credentials, error) { return icelite.NewCredentials(random) }

// Their constants.
const (
	Established    = sctp.Established
	ChannelOpen    = sctp.ChannelOpen
	ChannelClosed  = sctp.ChannelClosed
	ChannelRefused = sctp.ChannelRefused
	Message        = sctp.Message

	AckEager = sctp.AckEager

	RefusedReliable = sctp.RefusedReliable
	RefusedTooMany  = sctp.RefusedTooMany

	MaxPayload = sctp.MaxPayload // bytes of a message that Send takes
	MaxPaths   = 32              // addresses of one peer
)

// ErrTooLarge is returned by Send for a message of more than MaxPayload bytes.
var ErrTooLarge = sctp.ErrTooLarge

var (
	// ErrNotOpen is returned by Send before the association is up and after it has ended.
	ErrNotOpen = errors.New("peer: not open")
	// ErrSilenced is returned by Send while the address may not be sent to: no
	// valid check from it for 30 s, or its share of unproved bytes is used up.
	ErrSilenced = errors.New("peer: the address may not be sent to now")
)

// State is how far a peer has come.
type State uint8

const (
	Waiting State = iota // no authenticated check yet
	Shaking              // the DTLS handshake runs
	Keyed                // our keys are known; the other side's Finished is not verified yet (RFC 7918)
	Secure               // records flow both ways
	Closing              // the farewell may be repeated
	Gone                 // nothing will ever be said again
)

// Reason tells why a peer ended.
type Reason uint8

const (
	Alive             Reason = iota
	LocalClose               // Close was called
	RemoteClose              // the other side closed: ABORT, SHUTDOWN or close_notify
	Unheard                  // no authenticated check within PendingTimeout
	Silent                   // no authenticated check, nor answer to a challenge, within ConsentTimeout
	HandshakeFailed          // DTLS: certificate mismatch, timeout, alert
	AssociationFailed        // SCTP, in its handshake or later: a protocol error, worn-out keys
)

// lingering is how long a closed peer repeats its farewell (ABORT and close_notify), and
// farewells how often at most: an ABORT may be lost like any datagram. The first repetition
// comes after farewellInterval, each further after twice the time, and one for
// whatever the other side sends.
const (
	lingering        = 2 * time.Second
	farewells        = 8
	farewellInterval = 250 * time.Millisecond
)

// Config is what a peer is made of. The owner keeps nothing of it.
type Config struct {
	// ICE is a server's, Check a client's, which sends the checks. A Check makes
	// the peer a client.
	ICE   icelite.Config
	Check *icectl.Config

	SCTP sctp.Config
	// Client makes us the DTLS client, which is a=setup:active in our answer.
	Client bool
}

// A Peer is one WebRTC peer. It is not safe for concurrent use: whoever owns it
// makes all calls.
type Peer struct {
	state  State
	why    Reason
	client bool

	authentic bool // the last datagram that Receive took had a record of the other side's

	ice     ice
	assoc   *sctp.Assoc
	shake   *shake // nil before the first check and after the handshake
	records dtls.Conn

	err    error
	config *sctp.Config // until the association is made

	farewell []byte    // what Close said, for repetition
	owed     bool      // the farewell is to be said now
	said     uint8     // how often it was
	again    time.Time // when it is owed again
	until    time.Time // when Closing becomes Gone

	drops Drops
}

// Drops counts datagrams and records that went nowhere, by cause.
type Drops struct {
	Stranger   uint64 // DTLS from an address without a valid check
	Unasked    uint64 // STUN that answers no check of ours
	Early      uint64 // DTLS before the handshake was begun, or after the end
	Sifted     uint64 // records and fragments that were nothing for the handshake
	Unsendable uint64 // our own datagrams held back by the path's limits
}

// New makes a peer that waits for its first check, or, as a client, sends it.
func New(now time.Time, c Config) *Peer {
	config := c.SCTP // a copy: a view would keep all of c until the association is made
	p := &Peer{client: c.Client, config: &config}
	if c.Check != nil {
		p.ice.control = icectl.New(now, *c.Check)
	} else {
		p.ice.lite = icelite.New(now, c.ICE)
	}
	return p
}

// State returns how far the peer has come.
func (p *Peer) State() State { return p.state }

// Why returns why the peer ended and, where there is one, the error behind it.
func (p *Peer) Why() (Reason, error) { return p.why, p.err }

// Remote returns the address that datagrams go to now.
func (p *Peer) Remote() netip.AddrPort {
	path, _ := p.ice.selected()
	return path.Remote
}

// Knows reports whether a is an address of the peer.
func (p *Peer) Knows(a netip.AddrPort) bool { return p.ice.knows(a) }

// Stats returns the association's counters, and how much went nowhere in the peer,
// its handshake, its records and the association.
func (p *Peer) Stats() (st SCTPStats, dropped uint64) {
	d := &p.drops
	dropped = d.Stranger + d.Unasked + d.Early + d.Sifted + d.Unsendable + p.records.Drops().Total()
	if p.shake != nil {
		dropped += p.shake.sieve.Drops().Total()
	}
	if p.assoc != nil {
		st = p.assoc.Stats()
		for _, n := range st.Drops {
			dropped += uint64(n)
		}
	}
	return st, dropped
}

// A Class is what a datagram is by its first byte.
type Class uint8

const (
	Other Class = iota
	STUN
	DTLS
)

// Classify tells STUN from DTLS, which share a port.
// https://www.rfc-editor.org/rfc/rfc7983.html#section-7
func Classify(b []byte) Class {
	switch {
	case icelite.IsSTUN(b):
		return STUN
	case dtls.IsDTLS(b):
		return DTLS
	}
	return Other
}

// Authentic reports whether the last datagram that Receive took had a record that the
// other side sealed.
func (p *Peer) Authentic() bool { return p.authentic }

// IsPlaintext reports whether a DTLS datagram begins with a record that is not
// sealed, as those of a handshake do.
func IsPlaintext(b []byte) bool { return len(b) >= 5 && b[3] == 0 && b[4] == 0 } // the epoch
