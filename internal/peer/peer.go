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

// Types of the layers below that a peer's owner needs, too.
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
	SCTPInit    = sctp.Init
)

// ParseInit reads the SCTP INIT chunk of the other end from a=sctp-init.
func ParseInit(chunk []byte) (SCTPInit, bool) { return sctp.ParseInit(chunk) }

// LocalInit returns the INIT chunk of an association with the configuration c, for a=sctp-init.
func LocalInit(c *SCTPConfig) []byte { return sctp.AppendInit(nil, c.LocalTag, c.InitialTSN) }

// NewCredentials makes ICE credentials from a secure source of random bytes.
func NewCredentials(random io.Reader) (Credentials, error) { return icelite.NewCredentials(random) }

// Constants of the layers below.
const (
	Established    = sctp.Established
	ChannelOpen    = sctp.ChannelOpen
	ChannelClosed  = sctp.ChannelClosed
	ChannelRefused = sctp.ChannelRefused
	Message        = sctp.Message

	AckEager = sctp.AckEager

	RefusedReliable = sctp.RefusedReliable
	RefusedTooMany  = sctp.RefusedTooMany

	MaxPayload = sctp.MaxPayload // size in bytes of the largest message of Send
	MaxPaths   = 32              // addresses of one peer
)

// ErrTooLarge is returned by Send for a message of more than MaxPayload bytes.
var ErrTooLarge = sctp.ErrTooLarge

var (
	// ErrNotOpen is returned by Send before the association is established and after it has
	// ended.
	ErrNotOpen = errors.New("peer: not open")
	// ErrSilenced is returned by Send while nothing may be sent to the address: no
	// valid check has arrived from it for ConsentTimeout, or the address is not proved
	// and the bytes that may be sent to it are used up.
	ErrSilenced = errors.New("peer: the address may not be sent to now")
)

// SendErrors are the errors that a package returns in place of those of Send.
type SendErrors struct{ TooLarge, Silenced, NotOpen error }

// For returns the error in place of err, or err if there is none.
func (e *SendErrors) For(err error) error {
	switch {
	case errors.Is(err, ErrTooLarge):
		return e.TooLarge
	case errors.Is(err, ErrSilenced):
		return e.Silenced
	case errors.Is(err, ErrNotOpen):
		return e.NotOpen
	}
	return err
}

// A State is the state of a peer.
type State uint8

const (
	Waiting     State = iota // no authenticated check yet
	Handshaking              // the DTLS handshake runs
	Keyed                    // the keys are known; the other end's Finished is not verified yet (RFC 7918)
	Secure                   // the handshake is over
	Closing                  // closed; the last datagram may be sent again
	Gone                     // closed; nothing more is sent
)

// A Reason says why a peer ended.
type Reason uint8

const (
	Alive             Reason = iota
	LocalClose               // Close was called
	RemoteClose              // the other side closed: ABORT, SHUTDOWN or close_notify
	NoContact                // no valid check, or at a client no valid answer, within PendingTimeout or before GiveUp
	TimedOut                 // none for ConsentTimeout; at a server no answer to a challenge either
	HandshakeFailed          // DTLS: certificate mismatch, timeout, alert
	AssociationFailed        // SCTP, in its handshake or later: a protocol error, or no record number is left
)

// lingerTime is how long a closed peer may repeat its farewell (ABORT and close_notify),
// which may be lost, and maxFarewells how often it sends the farewell at most. The first
// repetition is after farewellInterval, each further one after twice the time. There is
// also one for each datagram of the other end.
const (
	lingerTime       = 2 * time.Second
	maxFarewells     = 8
	farewellInterval = 250 * time.Millisecond
)

// Config configures a peer. The owner need not keep it.
type Config struct {
	// ICE configures the agent of a server, Check that of a client. If Check is set,
	// the peer is a client.
	ICE   icelite.Config
	Check *icectl.Config

	SCTP sctp.Config

	// RemoteInit is the INIT of the other end if the SDP of both ends has a=sctp-init (SNAP):
	// then the association is established when the DTLS handshake is over. The zero Init means
	// that the handshake of SCTP takes place.
	RemoteInit sctp.Init

	// Client says that this end is the DTLS client, a=setup:active.
	Client bool
}

// A Peer is one WebRTC peer. It is not safe for concurrent use.
type Peer struct {
	state  State
	why    Reason
	client bool
	snaps  bool // the SDP of both ends has an INIT; from the keys on

	authentic bool // the last datagram of Receive had an authentic record
	passed    bool // a call of ReceivePassed runs
	rival     bool // the last datagram of Receive had a ClientHello, though this end is the DTLS client

	ice       ice
	assoc     *sctp.Assoc
	handshake *handshake // state of the handshake; nil before Begin and after the handshake
	records   dtls.Conn

	config *associationConfig // nil after the association is created
	ending *ending            // nil before Closing

	drops Drops
}

// ending has what a peer needs only when it is closed.
type ending struct {
	err           error     // the cause, if there is one
	farewell      []byte    // the datagram of Close; nil if there is none
	farewellDue   bool      // farewell is due now
	farewellsSent uint8     // how often farewell was sent
	nextFarewell  time.Time // when farewell is due again
	goneAt        time.Time // when Closing becomes Gone
}

// associationConfig has what the association needs when the keys exist.
type associationConfig struct {
	sctp.Config
	remote sctp.Init
}

// Drops counts dropped datagrams and records, by cause.
type Drops struct {
	Stranger   uint64 // DTLS from an address without a valid check
	Unasked    uint64 // STUN that is not an answer to a check of this end
	Early      uint64 // DTLS before Begin, or after the end
	Sifted     uint64 // records and fragments that the sieve of a finished handshake dropped
	Unsendable uint64 // datagrams of this end that the limits of the path held back
}

// New makes a peer. A server's peer waits for its first check, a client's sends it.
func New(now time.Time, c Config) *Peer {
	// A copy: a pointer into c would keep all of c until the association is created.
	p := &Peer{client: c.Client, config: &associationConfig{c.SCTP, c.RemoteInit}}
	if c.Check != nil {
		p.ice.control = icectl.New(now, *c.Check)
	} else {
		p.ice.lite = icelite.New(now, c.ICE)
	}
	return p
}

// SentInit returns the INIT chunk of this end that is in each of its answers, for a=sctp-init. It
// returns nil without SNAP.
func (p *Peer) SentInit() []byte {
	switch none := (sctp.Init{}); {
	case p.snaps:
		return p.assoc.AppendInit(nil)
	case p.config != nil && p.config.remote != none:
		return LocalInit(&p.config.Config)
	}
	return nil
}

// State returns the state of the peer.
func (p *Peer) State() State { return p.state }

// Why returns why the peer ended, and the error that caused it, if there is one.
func (p *Peer) Why() (Reason, error) {
	if p.ending == nil {
		return Alive, nil
	}
	return p.why, p.ending.err
}

// Remote returns the address to which datagrams are sent now.
func (p *Peer) Remote() netip.AddrPort {
	path, _ := p.ice.selected()
	return path.Remote
}

// Moves returns how often the selection of a server's peer has changed: Remote changes only with
// it.
func (p *Peer) Moves() uint64 { return p.ice.lite.Stats().Moves }

// Knows reports whether a is an address of the peer.
func (p *Peer) Knows(a netip.AddrPort) bool { return p.ice.knows(a) }

// Stats returns the association's counters, and the number of drops of the peer, its
// handshake, its records and the association.
func (p *Peer) Stats() (st SCTPStats, dropped uint64) {
	d := &p.drops
	dropped = d.Stranger + d.Unasked + d.Early + d.Sifted + d.Unsendable + p.records.Drops().Total()
	if p.handshake != nil {
		dropped += p.handshake.sieve.Drops().Total()
	}
	if p.assoc != nil {
		st = p.assoc.Stats()
		for _, n := range st.Drops {
			dropped += uint64(n)
		}
	}
	return st, dropped
}

// A Class is the protocol of a datagram, according to its first byte.
type Class uint8

const (
	Other Class = iota
	STUN
	DTLS
	QUIC
)

// Classify returns the protocol of a datagram: STUN, DTLS and QUIC share a port.
// https://www.rfc-editor.org/rfc/rfc9443.html
func Classify(b []byte) Class {
	switch {
	case icelite.IsSTUN(b):
		return STUN
	case dtls.IsDTLS(b):
		return DTLS
	case len(b) > 0 && b[0]&0x40 != 0: // the fixed bit: 64 to 127, and 192 to 255
		return QUIC
	}
	return Other
}

// Authentic reports whether the last datagram of Receive had a record that was encrypted by the
// other end.
func (p *Peer) Authentic() bool { return p.authentic }

// Rival reports whether the last datagram of Receive had a ClientHello though this end is the DTLS
// client, and the other end has not answered as a server. The datagram has had no effect: the
// owner may call Yield, begin a new handshake, and call Receive again.
func (p *Peer) Rival() bool { return p.rival }

// IsPlaintext reports whether a DTLS datagram begins with a record that is not
// encrypted, like those of a handshake.
func IsPlaintext(b []byte) bool { return len(b) >= 5 && b[3] == 0 && b[4] == 0 } // the epoch
