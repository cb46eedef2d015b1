package channel

import (
	"math"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/internal/deflate"
)

// A MessageID is the number by which Send and receipts name a message. The peer does not
// know it.
type MessageID uint64

// Config configures one end of a link. The zero value is a client without channels.
type Config struct {
	// Channels is the table, the same at both ends. The Mux keeps it: do not change it. Muxes with
	// the same table need less memory if it is complete, see [Channels.WithDefaults].
	Channels Channels

	// Server says that this end is the server's.
	Server bool

	// ReliableLink says that the link below neither loses nor reorders datagrams. Then
	// the Mux sends nothing twice, and keeps at most 8 KiB on their way that are not
	// acknowledged, or what the link delivers in a round trip and 100 ms: everything else
	// waits in the queues of the channels, where newer messages replace older ones.
	ReliableLink bool

	// RTT is a first estimate of the round trip, for example that of the handshake. Zero
	// means 100 ms.
	RTT time.Duration

	// Rate is the rate at which the Mux sends at first, in bytes per second. Zero means
	// 64 KiB.
	Rate int

	// Floor is the lowest rate at which the Mux sends, in bytes per second. Zero means
	// 8 KiB, so that two peers fit a link of 256 kbit/s.
	Floor int

	// Ceiling is the highest rate at which the Mux sends, in bytes per second. Zero means
	// 256 KiB, at which 3 MiB take 12 s. Negative means no limit: then the rate depends
	// only on the network, and QueueLimit limits the messages that wait. At most 32,768
	// messages and pieces of messages are sent and not acknowledged.
	//
	// Two kinds of packets may exceed it. Packets with only an ack block do not count.
	// Probes after a timeout, at most 11 packets each time, leave at once, because
	// RFC 9002 says that congestion control must not block them; the packets after them
	// wait longer instead. If most packets are lost and round trips are short, probes
	// alone can be twice a Ceiling of 16 KiB; they do not exceed the default.
	// https://www.rfc-editor.org/rfc/rfc9002.html#section-7.5
	Ceiling int

	// KeepAlive is the time without a packet of the peer after which the Mux sends a
	// ping. Zero means 3 s at the client and 4 s at the server, so that usually only the
	// client sends pings; negative means never.
	KeepAlive time.Duration
}

// withDefaults returns c with its zero values replaced.
func (c Config) withDefaults() Config {
	or := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	or(&c.Rate, 64<<10)
	or(&c.Floor, 8<<10)
	or(&c.Ceiling, 256<<10)
	if c.RTT <= 0 {
		c.RTT = 100 * time.Millisecond
	}
	if c.KeepAlive == 0 {
		c.KeepAlive = 3 * time.Second
		if c.Server {
			c.KeepAlive = 4 * time.Second
		}
	}
	return c
}

// A Mux is one end of a link. See the package's documentation for its contract.
type Mux struct {
	// The fields that every message needs come first, in few cache lines.

	clock
	senders   []*sender // by ID
	receivers []*receiver
	events    []Event

	// State of what waits to be sent.
	active     uint64 // channels that may have a piece to send, a bit for each ID
	byPriority []ID
	expireAt   moment // when the oldest incomplete unreliable message is too old
	handles    MessageID
	backlog    bool // pick has seen a piece that did not fit
	work       bool // there are pieces to send, and the pacer holds them back
	closed     bool
	packed     bool // events has messages that Events must unpack
	more       bool // Events has left some

	// State of the link; Relink resets it.
	reliableLink bool
	ping         bool // a ping is due
	alone        bool // the ping leaves in its own packet
	flight       flight
	rtt          rtt
	loss         recovery
	largestAcked uint64
	sampled      moment // when the newest packet that gave a round trip was sent
	heard        moment // when the last packet arrived, or the link began
	askedAt      moment // when a packet with only an ack block last had a ping, too
	pacer        pacer
	config       Config
	path         path
	cc           congestion
	stats        Counters
	received     received

	passes  [maxPriority + 1]uint64 // of each priority; see pick
	closing closing
	removed *ChannelStats // of the channels that Remove has removed; nil if there are none

	in    packet // used by Receive, and its ack block by Append; here, so that it is not allocated for each call
	frame frame  // used by Receive, too
	pool  pool
}

// New returns one end of a link that begins at now. If the table is not valid the error
// is a *TableError.
func New(now time.Time, config Config) (*Mux, error) {
	if err := config.Channels.Validate(); err != nil {
		return nil, err
	}
	m := &Mux{config: config.withDefaults(), clock: clock{start: now}, expireAt: never}
	m.clearNumber(Control)
	m.addChannel(Control, &controlChannel)
	for i := range config.Channels {
		m.clearNumber(ID(i + 1))
		m.addChannel(ID(i+1), &config.Channels[i])
	}
	m.order()
	m.link(0)
	return m, nil
}

// addChannel adds both halves of a channel under a number that is free. They share c if it is
// complete; else they get a complete copy.
func (m *Mux) addChannel(id ID, c *Channel) {
	if full := c.withDefaults(); full != *c {
		c = new(Channel)
		*c = full
	}
	*m.senders[id] = sender{cfg: c, id: id, allowed: c.Direction.allows(m.config.Server)}
	*m.receivers[id] = receiver{cfg: c, id: id, allowed: c.Direction.allows(!m.config.Server), from: m.receivers[id].from}
	m.byPriority = append(m.byPriority, id)
}

func (m *Mux) order() {
	slices.SortStableFunc(m.byPriority, func(a, b ID) int {
		return m.senders[a].cfg.Priority - m.senders[b].cfg.Priority
	})
}

// link resets the state of the link.
func (m *Mux) link(t moment) {
	c := &m.config
	m.reliableLink = c.ReliableLink
	m.received.init()
	m.flight.init()
	m.rtt.init(c.RTT)
	m.loss.init()
	m.path.init()
	ceiling := float64(c.Ceiling)
	if c.Ceiling < 0 {
		ceiling = math.MaxInt32
	}
	m.cc.init(float64(c.Rate), float64(c.Floor), ceiling)
	m.cc.reliable = m.reliableLink
	m.pacer = pacer{last: t, tokens: MaxPacket, spare: MaxPacket}
	m.largestAcked, m.sampled, m.heard, m.ping, m.alone = 0, -1, t, false, false
	for _, r := range m.receivers {
		r.from = 0
	}
}

// Options are the options of one message. The zero value sets none.
type Options struct {
	// Deadline is the time after which the message is not sent. The rest of a reliable
	// message that was sent in part before is still sent. Zero means no deadline.
	Deadline time.Time

	// Key says what the message is about. The message replaces a queued message of the
	// channel with the same key of which nothing was sent yet. Zero means no key. On a
	// sequenced channel a message without a key replaces the queued one without a key.
	Key uint64

	// Receipt requests an EventReceipt for the message.
	Receipt bool
}

// A Shared is a payload that many Muxes queue without copying it.
type Shared struct {
	// B is the payload. It must not change until every Mux has called Done.
	B []byte
	// Packed, if not nil, is B for channels with Compress; see [Mux.SendPacked]. It must not change
	// either.
	Packed []byte
	// Done, if not nil, is called once by each Mux whose SendShared returned no error,
	// when the Mux does not need B any more. It is called inside a call of the Mux, and
	// must not call a Mux.
	Done func()
}

// Send queues a copy of b as a message on a channel. Append sends it. The errors are
// ErrUnknown, ErrClosed, ErrDirection, ErrTooLarge, ErrExpired and ErrBudget; then
// nothing was queued. On a channel with Compress Send does not make the message smaller; see
// SendPacked.
func (m *Mux) Send(now time.Time, ch ID, b []byte, o Options) (MessageID, error) {
	return m.send(now, ch, b, nil, nil, o)
}

// SendPacked is Send for a message with its form for channels with Compress, which other
// channels do not use: a byte 0 and then b, or a byte 1 and then b as raw DEFLATE. packed must
// not be longer than b and one byte. Whoever calls the Mux makes packed, because that takes long.
func (m *Mux) SendPacked(now time.Time, ch ID, b, packed []byte, o Options) (MessageID, error) {
	return m.send(now, ch, b, packed, nil, o)
}

// SendShared is Send for p, which it does not copy; on a channel with Compress it does if Packed
// is nil. If SendShared returns an error the Mux does not use p. A Mux that becomes
// unreachable never calls Done.
func (m *Mux) SendShared(now time.Time, ch ID, p *Shared, o Options) (MessageID, error) {
	return m.send(now, ch, p.B, p.Packed, p, o)
}

// send queues b, or packed if the channel has Compress. p, if not nil, owns both.
func (m *Mux) send(now time.Time, ch ID, b, packed []byte, p *Shared, o Options) (MessageID, error) {
	t := m.at(now)
	if int(ch) >= len(m.senders) {
		return 0, ErrUnknown
	}
	s := m.senders[ch]
	switch {
	case m.closed || m.closing.begun:
		return 0, ErrClosed
	case s.stopped:
		return 0, ErrUnknown
	case !s.allowed:
		return 0, ErrDirection
	case len(b) > s.cfg.MaxMessage:
		return 0, ErrTooLarge
	}
	deadline := never
	if !o.Deadline.IsZero() {
		if deadline = o.Deadline.Sub(m.start); deadline <= t {
			return 0, ErrExpired
		}
	}
	plain, asIs := len(b), s.cfg.Compress && packed == nil
	if s.cfg.Compress && !asIs {
		b = packed
	}
	size := len(b)
	if asIs {
		size++
	}
	if !m.room(s, o.Key, size) {
		s.stats.OverBudget++
		s.refused, s.wanted = true, int32(size)
		return 0, ErrBudget
	}
	msg := m.pool.message()
	switch {
	case asIs:
		msg.body = append(append(m.pool.get(size)[:0], deflate.AsIs), b...)
		if p != nil && p.Done != nil {
			p.Done()
		}
	case p != nil:
		msg.body, msg.shared = b, p
	default:
		msg.body = append(m.pool.get(size)[:0], b...)
	}
	msg.ch, msg.size, msg.plain, msg.key, msg.receipt = ch, size, uint32(plain), o.Key, o.Receipt
	msg.deadline, msg.queued = deadline, t
	m.handles++
	msg.handle = m.handles
	msg.setPieces()
	id := msg.handle
	m.enqueue(s, msg)
	return id, nil
}

// Free returns the size in bytes of the largest message that Send accepts on a channel
// now, or -1 if it accepts none. SendPacked may accept a larger one.
func (m *Mux) Free(ch ID) int {
	if int(ch) >= len(m.senders) || m.closed || m.closing.begun {
		return -1
	}
	s := m.senders[ch]
	if !s.allowed || s.stopped {
		return -1
	}
	if !s.cfg.Mode.reliable() {
		return s.cfg.MaxMessage
	}
	return max(-1, min(s.cfg.MaxMessage, s.cfg.QueueLimit-s.cost-messageCost-s.cfg.maxWire()+s.cfg.MaxMessage))
}

// Deadline returns when Advance must be called; zero means never.
func (m *Mux) Deadline() time.Time {
	if m.more {
		return m.time(m.heard)
	}
	if m.closed {
		return m.time(m.received.due)
	}
	if m.closing.begun {
		return m.time(min(m.closing.next, m.received.due))
	}
	t := min(m.received.due, m.loss.lossAt, m.ptoAt(), m.expireAt)
	if m.config.KeepAlive > 0 && !m.ping && m.flight.count == 0 {
		t = min(t, m.heard+m.config.KeepAlive)
	}
	if m.work {
		t = min(t, m.pacer.ready(m.cc.pace()))
	}
	return m.time(t)
}

// Advance tells the Mux the time. Call it when Deadline has come; an earlier call does
// nothing.
func (m *Mux) Advance(now time.Time) {
	t := m.at(now)
	if m.closed || m.closing.begun {
		return
	}
	m.age(t)
	if t >= m.loss.lossAt {
		m.detect(t, m.largestAcked)
	}
	if t >= m.ptoAt() {
		m.probe(t)
	}
	if m.config.KeepAlive > 0 && m.flight.count == 0 && t >= m.heard+m.config.KeepAlive {
		m.ping = true
	}
}

// Relink continues on a new link to the same peer, which must call Relink, too. The Mux
// sends again what the peer has not acknowledged, and delivers nothing twice. Unreliable
// messages that were sent on the old link and have not arrived are lost. reliable is
// Config.ReliableLink and rtt Config.RTT of the new link; an rtt of zero or less means
// the value before.
func (m *Mux) Relink(now time.Time, reliable bool, rtt time.Duration) {
	t := m.at(now)
	m.stats.Links++
	m.config.ReliableLink = reliable
	if rtt > 0 {
		m.config.RTT = rtt
	}
	for n := m.flight.base; n < m.flight.next; n++ {
		p := m.flight.at(n)
		for _, r := range p.refs {
			if r.gen == r.m.gen {
				m.pieceLost(r, r.m.pieces[r.index].number)
			}
		}
	}
	m.link(t)
	if m.closing.left > 0 {
		m.closing.next = t
	}
}
