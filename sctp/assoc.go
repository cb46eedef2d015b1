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

// An AckMode says how received packets are acknowledged; see the package documentation.
type AckMode uint8

const (
	AckAuto   AckMode = iota // honest until channels are open, then eager
	AckHonest                // always honest
	AckEager                 // eager from the first packet on
)

// A Kind is the type of a message in the page that sends or receives it.
type Kind uint8

const (
	Text   Kind = iota // a string; always valid UTF-8 when received
	Binary             // an ArrayBuffer or Blob
)

// Config configures an association.
type Config struct {
	// LocalTag and InitialTSN must be random and secret. They are in every INIT and INIT ACK
	// of the association. A zero LocalTag, which the protocol forbids, means 1.
	// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.3.1
	LocalTag, InitialTSN uint32

	// CookieKey authenticates the cookies in INIT ACKs of this end. Associations may share
	// it.
	CookieKey [32]byte

	// LocalPort and RemotePort are the SCTP ports. Zero means 5000.
	LocalPort, RemotePort uint16

	// EvenStreams says that this end is the DTLS client: the channels that the peer opens
	// have odd streams.
	EvenStreams bool

	// AllowReliable accepts reliable channels. While one is open, acknowledgement is honest.
	// Messages that this end sends on them are unreliable nevertheless.
	AllowReliable bool

	// Ack says how received packets are acknowledged.
	Ack AckMode

	// SlowAck means that an acknowledgement that is not urgent waits 200 ms, as in Chromium,
	// and not 20 ms, for a message to be sent with it. It is for a peer whose congestion
	// control does not depend on it.
	SlowAck bool

	// MaxMessage is the size in bytes of the largest message that is received. Zero means
	// 16 KiB.
	MaxMessage int

	// MaxBuffered limits the bytes held for reassembly and order. Zero means 64 KiB. Each
	// message, or part of one, counts as its bytes plus 128. A reliable channel may exceed
	// the limit by one message: the one with the piece that the peer must send next.
	MaxBuffered int

	// reassemblyAge limits how long an incomplete message of an unordered, unreliable
	// channel is held. Zero means 2 s.
	reassemblyAge time.Duration

	// MaxChannels limits the channels that are open at once. Zero means 16.
	MaxChannels int

	// RTT is the round trip if the caller knows it. Zero means unknown.
	RTT time.Duration

	// Heartbeat is the time without a packet of the peer after which a HEARTBEAT is sent.
	// Zero means never.
	Heartbeat time.Duration
}

// defaultPort is the SCTP port of every browser. It is in its a=sctp-port.
const defaultPort = 5000

// maxCause is the number of bytes of a cause that Abort sends.
const maxCause = 128

// withDefaults resolves the zero values.
func (c Config) withDefaults() Config {
	if c.LocalTag == 0 {
		c.LocalTag = 1
	}
	defaultTo(&c.LocalPort, defaultPort)
	defaultTo(&c.RemotePort, defaultPort)
	defaultTo(&c.MaxMessage, 16<<10)
	defaultTo(&c.MaxBuffered, 64<<10)
	defaultTo(&c.reassemblyAge, 2*time.Second)
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
	// The fields that every message uses come first, in few cache lines.

	state  state
	pend   pending
	peer   endpoint
	start  time.Time             // of the first call, one tick earlier; see since
	timers [timers]time.Duration // zero is off

	// Sending; see send.go, forward.go.
	nextTSN  uint32
	acked    uint32 // cumulative TSN that the peer has acknowledged
	topAcked uint32 // highest TSN that the peer has acknowledged, gaps included
	given    uint32 // highest TSN of this end's FORWARD-TSNs
	rtt      time.Duration
	marks    marks
	channels []channel // see channel.go

	// Receiving; see recv.go, sack.go, reassembly.go.
	rx        tracker
	ack       acker
	stats     Counters
	loose     runs          // incomplete messages that may be dropped
	kept      runs          // incomplete messages that must not be dropped
	counts    *streamCounts // of the messages in loose and kept, by stream
	buffered  int
	forwarded uint32 // highest TSN that the peer has given up
	oversize  uint32 // next TSN of a message that is too large
	skipping  bool   // oversize is set
	unheard   bool   // after Establish: no chunk shows yet that the association is established at the peer

	idleTries   uint8         // T3 expiries without progress
	forwardNext time.Duration // earliest time of the next FORWARD-TSN
	control     []controlData
	reset       resetState // see reconfig.go

	// Replies with bytes of the peer.
	heartbeat []byte // HEARTBEAT to answer
	report    []byte // error causes to report
	heartSent time.Duration

	// Handshake; see init.go.
	config    Config
	initReply *initInfo // INIT to answer
	cookie    []byte    // cookie of the peer's INIT ACK, until it is acknowledged
	sends     uint8     // INITs or COOKIE ECHOs sent in this state
	initSent  time.Duration
}

// state is the state of the association.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-4
type state uint8

const (
	stateIdle state = iota // CLOSED, before the handshake
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

// New returns an association that waits for a peer's INIT; see Connect and Establish.
func New(c Config) *Assoc {
	a := &Assoc{config: c.withDefaults()}
	a.nextTSN = a.config.InitialTSN
	a.acked = a.nextTSN - 1
	a.topAcked, a.given = a.acked, a.acked
	a.reset.next = a.config.InitialTSN
	a.rtt = a.config.RTT
	return a
}

// Established reports whether messages can be sent.
func (a *Assoc) Established() bool { return a.state == stateEstablished }

// since converts a time to the time since the first call, which the timers use. It is never
// zero.
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

// Advance tells the association the time, when Deadline has come. Append returns the packets
// that become due. Events are appended to events.
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

// Flush ends a batch of received packets: the next Append may return a SACK that is
// due. Before Flush a SACK waits for a message to be sent with it.
func (a *Assoc) Flush(now time.Time) {
	if a.ack.due {
		a.pend |= pendSack
	}
}

// Append appends the next packet without a message to b, at most one for each call. If
// there is none it returns b unchanged.
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

// appendControl appends a packet with the pending chunks, as many as fit.
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
	limit := start + MaxPacket
	switch a.state {
	case stateCookieEchoed:
		b = a.appendHeartbeats(t, b, limit)
	case stateEstablished:
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

// Abort ends the association at once. If there is a peer it appends an ABORT packet to
// b. The peer may show the cause to its user; at most 128 bytes of it are sent. There
// is no event.
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
	return a.appendAbort(b, causeUserAbort, cause[:min(len(cause), maxCause)])
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

// close ends the association and frees its memory.
func (a *Assoc) close() {
	a.state = stateClosed
	a.pend = 0
	a.timers = [timers]time.Duration{}
	a.initReply, a.cookie = nil, nil
	a.loose, a.kept, a.counts, a.buffered = nil, nil, nil, 0
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
