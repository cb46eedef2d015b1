package sctp

import (
	"errors"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/internal/closed"
)

// Errors of AppendMessage.
var (
	// ErrTooLarge means that the message does not fit one packet.
	ErrTooLarge = fmt.Errorf("sctp: message is larger than %d bytes", MaxPayload)

	// ErrNotOpen means that the association is not established yet, or that the
	// stream's channel is closing.
	ErrNotOpen = errors.New("sctp: not open")

	// ErrClosed means that the association is over.
	ErrClosed = closed.Err
)

// An AckMode says what the peer is told about its messages; see the package
// documentation.
type AckMode uint8

const (
	AckAuto   AckMode = iota // honest until channels are open, then eager
	AckHonest                // always what was received
	AckEager                 // the highest TSN seen, from the first packet
)

// A Kind says how a message looks to the page that sends or receives it.
type Kind uint8

const (
	Text   Kind = iota // a string; always valid UTF-8 when received
	Binary             // an ArrayBuffer or Blob
)

// Config configures an association.
type Config struct {
	// LocalTag and InitialTSN must be random and secret. They stand in every INIT
	// and INIT ACK of the association. A zero LocalTag, which the protocol
	// forbids, means 1.
	// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.3.1
	LocalTag, InitialTSN uint32

	// CookieKey authenticates the cookies of our INIT ACKs. Associations may
	// share it.
	CookieKey [32]byte

	// LocalPort and RemotePort are the SCTP ports. Zero means 5000.
	LocalPort, RemotePort uint16

	// EvenStreams says that we are the DTLS client, so the channels that the peer
	// opens have odd streams.
	EvenStreams bool

	// AllowReliable admits channels that are reliable, at the price of honest
	// acknowledgement. What is sent on them stays unreliable.
	AllowReliable bool

	// Ack says when received messages are acknowledged honestly.
	Ack AckMode

	// SlowAck lets an acknowledgement that is not urgent wait 200 ms for a message
	// to ride with, as Chromium's do, instead of 20 ms. It is for a peer whose
	// congestion control does not mind.
	SlowAck bool

	// MaxMessage limits a received message in bytes. Zero means 16 KiB.
	MaxMessage int

	// MaxBuffered limits the bytes held for reassembly and order. Zero means
	// 64 KiB. Each message, or part of one, counts 128 bytes more than it takes. A
	// reliable channel may exceed the limit by one message, of which the next piece
	// is what the peer must send first.
	MaxBuffered int

	// ReassemblyAge limits how long an incomplete message of an unordered, unreliable
	// channel is held. Zero means 2 s.
	ReassemblyAge time.Duration

	// MaxChannels limits the channels open at once. Zero means 16.
	MaxChannels int

	// RTT is the round-trip time if the caller knows it. Zero means it is unknown.
	RTT time.Duration

	// Heartbeat is how long the peer may be silent before it is sent a HEARTBEAT.
	// Zero means never.
	Heartbeat time.Duration
}

// withDefaults resolves the zero values.
func (c Config) withDefaults() Config {
	if c.LocalTag == 0 {
		c.LocalTag = 1
	}
	defaultTo(&c.LocalPort, 5000)
	defaultTo(&c.RemotePort, 5000)
	defaultTo(&c.MaxMessage, 16<<10)
	defaultTo(&c.MaxBuffered, 64<<10)
	defaultTo(&c.ReassemblyAge, 2*time.Second)
	defaultTo(&c.MaxChannels, 16)
	return c
}

func defaultTo[T int | uint16 | time.Duration](v *T, d T) {
	if *v == 0 {
		*v = d
	}
}

// An Assoc is one end of an association. Its methods must not be called
// concurrently.
type Assoc struct {
	// What every message touches comes first, in as few cache lines as it can.

	state  state
	pend   pending
	peer   endpoint
	start  time.Time             // of the first call, one tick earlier; see since
	timers [timers]time.Duration // zero is off

	// Sending; see send.go, forward.go.
	nextTSN  uint32
	acked    uint32 // the peer has everything up to here, or gave it up
	topAcked uint32 // highest TSN the peer has acknowledged in any way
	given    uint32 // highest TSN of our FORWARD-TSNs
	rtt      time.Duration
	marks    marks
	channels []channel // see channel.go

	// Receiving; see recv.go, sack.go, reassembly.go.
	rx        tracker
	ack       acker
	stats     Counters
	loose     runs // incomplete messages that may be given up
	kept      runs // those that may not
	buffered  int
	forwarded uint32 // highest TSN the peer gave up
	oversize  uint32 // next TSN of a message that grew too large
	skipping  bool   // whether oversize is set

	idleTries   uint8         // T3 expiries without progress
	forwardNext time.Duration // earliest time of the next FORWARD-TSN
	control     []controlData
	reset       resetState // see reconfig.go

	// Replies that carry bytes of the peer.
	heartbeat []byte // HEARTBEAT to be answered
	report    []byte // error causes to be reported
	heartSent time.Duration

	// Handshake; see init.go.
	config    Config
	initReply *initInfo // INIT to be answered
	cookie    []byte    // of the peer's INIT ACK, until it is acknowledged
	sends     uint8     // INITs or COOKIE ECHOs sent in this state
	initSent  time.Duration
}

// state is the state of the association.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-4
type state uint8

const (
	stateIdle state = iota // CLOSED, and willing
	stateCookieWait
	stateCookieEchoed
	stateEstablished
	stateClosed // CLOSED for good
)

// pending is a set of chunks that wait for Append.
type pending uint16

const (
	pendInit pending = 1 << iota
	pendCookieEcho
	pendCookieAck
	pendSack // the SACK may leave now
	pendShutdownAck
	pendForward
	pendResetRequest
	pendResetResponse
	pendHeartbeat
	pendControl // some controlData is due
	pendAbort
)

// Timers, as indexes into Assoc.timers.
const (
	timerInit    = iota // T1-init and T1-cookie
	timerSack           // delayed acknowledgement
	timerForward        // a gap is old enough for a FORWARD-TSN
	timerT3             // what was sent is not acknowledged
	timerControl        // DATA_CHANNEL_ACK
	timerReset          // RE-CONFIG
	timerFragments
	timerHeartbeat
	timers
)

// New returns an association that waits for a peer's INIT; see Connect.
func New(c Config) *Assoc {
	a := new(Assoc)
	a.Init(c)
	return a
}

// Init makes a an association as New does, in place.
func (a *Assoc) Init(c Config) {
	*a = Assoc{config: c.withDefaults()}
	a.nextTSN = a.config.InitialTSN
	a.acked = a.nextTSN - 1
	a.topAcked, a.given = a.acked, a.acked
	a.reset.next = a.config.InitialTSN
	a.rtt = a.config.RTT
}

// Established reports whether messages can be sent.
func (a *Assoc) Established() bool { return a.state == stateEstablished }

// since turns a time into what the timers are kept in: the time since the first
// call, never zero.
func (a *Assoc) since(now time.Time) time.Duration {
	if a.start.IsZero() {
		a.start = now.Add(-1)
	}
	return max(now.Sub(a.start), 1)
}

// Deadline returns when Advance must be called. Zero means never.
func (a *Assoc) Deadline() time.Time {
	var next time.Duration
	for _, t := range a.timers {
		if t != 0 && (next == 0 || t < next) {
			next = t
		}
	}
	if next == 0 {
		return time.Time{}
	}
	return a.start.Add(next)
}

// Advance lets time pass. Packets that become due wait for Append.
func (a *Assoc) Advance(now time.Time, events []Event) []Event {
	t := a.since(now)
	for i := range a.timers {
		if a.timers[i] == 0 || a.timers[i] > t {
			continue
		}
		a.timers[i] = 0
		switch i {
		case timerInit:
			events = a.expireInit(events)
		case timerSack:
			a.pend |= pendSack
		case timerForward:
			a.pend |= pendForward
		case timerT3:
			a.expireT3(t)
		case timerControl:
			a.expireControl()
		case timerReset:
			a.expireReset()
		case timerFragments:
			a.expireFragments(t)
		case timerHeartbeat:
			a.pend |= pendHeartbeat
			a.timers[timerHeartbeat] = t + a.config.Heartbeat
		}
	}
	return events
}

// Flush ends a batch of received packets: a SACK that is due may leave with the
// next Append. Until then it waits for a message to ride with.
func (a *Assoc) Flush(now time.Time) {
	if a.ack.due {
		a.pend |= pendSack
	}
}

// Append appends the next packet that is not a message to b: at most one a call.
// It returns b unchanged when there is nothing to say.
func (a *Assoc) Append(now time.Time, b []byte) []byte {
	t := a.since(now)
	switch {
	case a.pend&pendAbort != 0:
		a.pend = 0
		return a.appendAbort(b, causeProtocolViolation, "")
	case a.initReply != nil:
		return a.appendInitAck(t, b)
	case a.pend&pendInit != 0:
		return a.appendInit(t, b)
	case a.pend&pendCookieEcho != 0:
		return a.appendCookieEcho(t, b)
	case a.pend == 0 && a.heartbeat == nil && a.report == nil:
		return b
	}
	return a.appendControl(t, b)
}

// appendControl appends a packet of what is pending, as much of it as fits.
func (a *Assoc) appendControl(t time.Duration, b []byte) []byte {
	start := len(b)
	b = a.appendHeader(b, a.peer.tag)
	empty := len(b)
	if a.pend&pendCookieAck != 0 {
		a.pend &^= pendCookieAck
		b = finishTLV(appendChunk(b, chunkCookieAck, 0), len(b))
	}
	if a.pend&pendShutdownAck != 0 {
		a.pend &^= pendShutdownAck
		b = finishTLV(appendChunk(b, chunkShutdownAck, 0), len(b))
	}
	if a.state == stateEstablished {
		limit := start + MaxPacket
		b = a.appendSack(b, limit)
		b = a.appendForward(t, b)
		b = a.appendReconfig(t, b, limit)
		b = a.appendHeartbeats(t, b, limit)
		b = a.appendReport(b, limit)
		b = a.appendControlData(t, b, limit)
	}
	if len(b) == empty {
		return b[:start]
	}
	return finishPacket(b, start)
}

// Abort ends the association and appends the packet that tells the peer, if there
// is a peer. The cause is shown to the peer's user; at most 128 bytes are sent.
// There is no event.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-9.1
func (a *Assoc) Abort(now time.Time, cause string, b []byte) []byte {
	if a.state == stateClosed {
		return b
	}
	known := a.peer.tag != 0
	a.close()
	if !known {
		return b
	}
	return a.appendAbort(b, causeUserAbort, cause[:min(len(cause), 128)])
}

// appendAbort appends an ABORT packet with one cause.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.7
func (a *Assoc) appendAbort(b []byte, cause uint16, text string) []byte {
	start := len(b)
	b = a.appendHeader(b, a.peer.tag)
	c := len(b)
	b = appendChunk(b, chunkAbort, 0)
	p := len(b)
	b = finishTLV(append(appendParam(b, cause), text...), p)
	return finishPacket(finishChunk(b, c, p), start)
}

// close ends the association and frees what it holds.
func (a *Assoc) close() {
	a.state = stateClosed
	a.pend = 0
	a.timers = [timers]time.Duration{}
	a.initReply, a.cookie = nil, nil
	a.loose, a.kept, a.buffered = nil, nil, 0
	a.rx.bits, a.ack.duplicates = nil, nil
	a.marks, a.control, a.channels = marks{}, nil, nil
	a.reset.ends = nil
	a.heartbeat, a.report = nil, nil
}

// fail ends the association with an event.
func (a *Assoc) fail(r CloseReason, events []Event) []Event {
	a.close()
	return append(events, Event{Type: Closed, Reason: r})
}
