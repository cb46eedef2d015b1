package channel

import (
	"math"
	"slices"
	"time"
)

// A MessageID is how Send and receipts call a message. It means nothing to the
// peer.
type MessageID uint64

// Config is how one end of a link is set up. Its zero value is a client without
// channels.
type Config struct {
	// Channels is the table, the same at both ends.
	Channels Channels

	// Server says which end this is.
	Server bool

	// ReliableLink says that the link below neither loses nor reorders.
	// Nothing is then sent twice.
	ReliableLink bool

	// RTT is a first guess, such as the handshake took. Zero means 100 ms.
	RTT time.Duration

	// Rate is the bytes per second sent at first, before the link is known.
	// Zero means 64 KiB.
	Rate int

	// Floor is the rate that is kept whatever happens. Zero means 8 KiB, so
	// that two peers fit a link of 256 kbit/s.
	Floor int

	// Ceiling is the rate that is not exceeded, however much the network would take:
	// 3 MiB last 12 s at the default. Zero means 256 KiB; negative means no limit:
	// then the network decides alone, and QueueLimit bounds what waits. Probes after a
	// silence, at most ten packets each time, do not wait for it, as RFC 9002 has them
	// pass congestion control, and what follows waits for longer instead. Where most
	// packets are lost and round trips are short, they alone can be twice a Ceiling of
	// 16 KiB; at the default they are within it. Packets of nothing but an ack block
	// are not counted.
	// https://www.rfc-editor.org/rfc/rfc9002.html#section-7.5
	Ceiling int

	// KeepAlive is the silence after which a ping is sent. Zero means 3 s at
	// the client and 4 s at the server, so that only one of them pings;
	// negative means never.
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
	clock
	config    Config
	pool      pool
	senders   []*sender // by ID
	receivers []*receiver
	events    []Event
	stats     Stats
	handles   MessageID

	// The link, all of it new after Relink.
	reliableLink bool
	received     received
	flight       flight
	rtt          rtt
	loss         recovery
	path         path
	cc           congestion
	pacer        pacer
	largestAcked uint64
	sampled      moment // when the newest packet that gave a round trip was sent
	heard        moment // when the last packet came
	ping         bool   // one is due
	alone        bool   // and it leaves in a packet of its own
	askedAt      moment // when a lone ack last asked for an ack of its own

	// What is to be sent.
	active     uint64 // channels that may have something, by ID
	passes     [maxPriority + 1]uint64
	byPriority []ID
	backlog    bool // pick saw a piece that did not fit
	work       bool // there was something to send that could not leave

	expireAt moment // when an incomplete message grows too old
	closing  closing
	closed   bool

	in     packet // of Receive, kept here so that they cost no allocation
	frame  frame
	ackOut ackBlock // of Append
}

// New returns one end of a link that begins at now. The error is a *TableError.
func New(now time.Time, config Config) (*Mux, error) {
	if err := config.Channels.Validate(); err != nil {
		return nil, err
	}
	m := &Mux{config: config.withDefaults(), clock: clock{start: now}, expireAt: never}
	m.enter(controlChannel)
	for _, c := range config.Channels {
		m.enter(c)
	}
	m.order()
	m.link(0)
	return m, nil
}

// enter gives both halves of a channel the next number.
func (m *Mux) enter(c Channel) *sender {
	c = c.withDefaults()
	id := ID(len(m.senders))
	s := &sender{cfg: c, id: id, allowed: c.Direction.allows(m.config.Server)}
	m.senders = append(m.senders, s)
	m.receivers = append(m.receivers, &receiver{cfg: c, id: id, allowed: c.Direction.allows(!m.config.Server)})
	m.byPriority = append(m.byPriority, id)
	return s
}

func (m *Mux) order() {
	slices.SortStableFunc(m.byPriority, func(a, b ID) int {
		return m.senders[a].cfg.Priority - m.senders[b].cfg.Priority
	})
}

// link starts a link.
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
	m.pacer = pacer{last: t, tokens: MaxPacket, spare: MaxPacket}
	m.largestAcked, m.sampled, m.heard, m.ping, m.alone = 0, -1, t, false, false
}

// Options are what one message asks for. The zero value asks for nothing.
type Options struct {
	// Deadline is when the message becomes useless: it is not sent after
	// that. A reliable message that was sent in part by then still arrives.
	Deadline time.Time

	// Key names what the message is about. It takes the place of a queued
	// message with the same key. Zero is no key. On a sequenced channel a
	// message without a key replaces the queued one without a key.
	Key uint64

	// Receipt asks for an EventReceipt.
	Receipt bool
}

// A Shared is a payload that many Muxes queue without a copy of their own.
type Shared struct {
	B    []byte // must not change until Done was called by all
	Done func() // called once by each Mux that has taken it, from within its calls, when it needs B no more; calls no Mux; may be nil
}

// Send queues a copy of b. Take it with Append.
func (m *Mux) Send(now time.Time, ch ID, b []byte, o Options) (MessageID, error) {
	return m.send(now, ch, b, nil, o)
}

// SendShared queues p itself. The Mux takes p unless it returns an error. A Mux that becomes
// unreachable never calls Done.
func (m *Mux) SendShared(now time.Time, ch ID, p *Shared, o Options) (MessageID, error) {
	return m.send(now, ch, p.B, p, o)
}

func (m *Mux) send(now time.Time, ch ID, b []byte, p *Shared, o Options) (MessageID, error) {
	t := m.at(now)
	if int(ch) >= len(m.senders) {
		return 0, ErrUnknown
	}
	s := m.senders[ch]
	switch {
	case m.closed || m.closing.begun:
		return 0, ErrClosed
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
	if !m.room(s, o.Key, len(b)) {
		s.stats.OverBudget++
		return 0, ErrBudget
	}
	msg := m.pool.message()
	if msg.body, msg.shared = b, p; p == nil {
		msg.body = m.pool.get(len(b))
		copy(msg.body, b)
	}
	msg.ch, msg.size, msg.key, msg.receipt = ch, len(b), o.Key, o.Receipt
	msg.deadline, msg.queued = deadline, t
	m.handles++
	msg.handle = m.handles
	msg.setPieces()
	id := msg.handle
	m.enqueue(s, msg)
	return id, nil
}

// Free returns how large a message Send would take on a channel now, or -1.
func (m *Mux) Free(ch ID) int {
	if int(ch) >= len(m.senders) || !m.senders[ch].allowed || m.closed || m.closing.begun {
		return -1
	}
	s := m.senders[ch]
	if !s.cfg.Mode.reliable() {
		return s.cfg.MaxMessage
	}
	return max(-1, min(s.cfg.MaxMessage, s.cfg.QueueLimit-s.cost-messageCost))
}

// Deadline returns when Advance must be called; zero means never.
func (m *Mux) Deadline() time.Time {
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

// Advance tells the Mux that time has passed.
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

// Relink starts over on a new link, to the same peer, which does the same. All that
// was not acknowledged is sent again, and what had arrived is not delivered again;
// unreliable messages under way on the old link are lost.
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
