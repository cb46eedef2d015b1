package channel

import "time"

// A pieceState is the state of a piece of a message.
type pieceState uint8

const (
	pieceUnsent pieceState = iota
	pieceFlying            // sent, and neither acknowledged nor lost
	pieceLost              // must be sent again
	pieceAcked
)

// A piece is a message that fits a packet, or a fragment of one that does not.
type piece struct {
	state  pieceState
	copies uint8  // copies since it was last sent as new or lost
	number uint64 // the last packet that carried it
	at     moment // when it was last sent as new or lost
}

// A message is a message of Send, until its fate is known and its memory is free.
type message struct {
	next, prev *message
	gen        uint32 // grows each time the record is used for another message
	plain      uint32 // length of the message of the program: not size if the channel has Compress
	list       *list  // the list that it is in
	ch         ID

	handle   MessageID
	id       uint64 // number on the wire; has no meaning before the first piece is sent
	key      uint64
	body     []byte
	shared   *Shared // owner of body; nil if the body is the Mux's
	size     int
	deadline moment
	queued   moment
	receipt  bool
	listed   bool   // in the sender's losses
	firstOut uint32 // no piece before this one is lost

	pieces []piece
	sent   int // pieces that were sent at least once
	acked  int
	lost   int // pieces that must be sent again
}

func (m *message) cost() int { return m.size + messageCost }

// done reports whether every piece has been acknowledged.
func (m *message) done() bool { return m.acked == len(m.pieces) }

// list is a doubly linked list of messages.
type list struct {
	head, tail *message
	n          int
}

func (l *list) push(m *message) {
	m.list, m.prev, m.next = l, l.tail, nil
	if l.tail == nil {
		l.head = m
	} else {
		l.tail.next = m
	}
	l.tail = m
	l.n++
}

func (l *list) remove(m *message) {
	if m.prev == nil {
		l.head = m.next
	} else {
		m.prev.next = m.next
	}
	if m.next == nil {
		l.tail = m.prev
	} else {
		m.next.prev = m.prev
	}
	m.list, m.prev, m.next = nil, nil, nil
	l.n--
}

// sender is the sending half of a channel.
type sender struct {
	cfg     *Channel // with defaults; many sessions share it
	id      ID
	allowed bool // this end may send on it
	shut    bool // the peer has not opened the channel yet
	stopped bool // no channel has the number, or StopSending was called
	refused bool // Send has returned ErrBudget, and no EventRoom was emitted since

	queue   list  // messages not sent yet; the head may be sent in part
	waiting list  // messages sent whole whose fate is not known yet, oldest first
	cost    int   // bytes of both lists, as they count against QueueLimit
	lost    int32 // pieces of waiting and of the head that must be sent again
	wanted  int32 // length of the last message that Send has refused
	losses  lostMessages
	nextID  uint64
	keys    map[uint64]*message // queued messages with a key
	latest  *message            // the queued message without a key of a sequenced channel

	tokens   float64 // bytes left of the guaranteed share
	refilled moment
	pass     uint64 // bytes sent, divided by Weight: the channel with the smallest is next

	stats sentCounts
}

// sendWindow is the largest distance between the oldest unacknowledged reliable message
// of a channel and the newest that is sent. A receiver refuses messages beyond it.
const sendWindow = 4096

// enqueue adds a message to the end of the queue, or in place of the message that it
// replaces.
func (m *Mux) enqueue(s *sender, msg *message) {
	if old := s.replaced(msg.key); old != nil {
		s.cost += msg.size - old.size
		old.body, msg.body = msg.body, old.body
		old.shared, msg.shared = msg.shared, old.shared
		old.size, msg.size = msg.size, old.size
		old.plain = msg.plain
		old.handle, msg.handle = msg.handle, old.handle
		old.receipt, msg.receipt = msg.receipt, old.receipt
		old.deadline, old.queued = msg.deadline, msg.queued
		old.setPieces()
		s.stats.Replaced++
		m.report(s, msg, FateReplaced)
		m.pool.putMessage(msg)
		m.emitRoom(s)
		return
	}
	s.queue.push(msg)
	s.cost += msg.cost()
	s.remember(msg)
	m.activate(s)
}

func (m *message) setPieces() {
	n := pieces(m.size)
	if cap(m.pieces) < n {
		m.pieces = make([]piece, n)
	}
	m.pieces = m.pieces[:n]
	clear(m.pieces)
}

// replaced returns the queued message that a new one with this key replaces, or nil. A
// message that was sent in part is not replaced, or a stream of large messages on a slow
// link would never deliver any: forget is called when its first piece leaves.
func (s *sender) replaced(key uint64) *message {
	switch {
	case key != 0:
		return s.keys[key]
	case s.cfg.Mode == Sequenced:
		return s.latest
	}
	return nil
}

// remember enters a queued message, for replaced.
func (s *sender) remember(msg *message) {
	switch {
	case msg.key != 0:
		if s.keys == nil {
			s.keys = make(map[uint64]*message)
		}
		s.keys[msg.key] = msg
	case s.cfg.Mode == Sequenced:
		s.latest = msg
	}
}

// forget undoes remember.
func (s *sender) forget(msg *message) {
	if s.keys[msg.key] == msg {
		delete(s.keys, msg.key)
	}
	if s.latest == msg {
		s.latest = nil
	}
}

// room reports whether the queue has room for a message of n bytes. If it has not, an
// unreliable channel drops its oldest messages to make room. The message that the new one
// replaces counts as gone.
func (m *Mux) room(s *sender, key uint64, n int) bool {
	for {
		limit := s.cfg.QueueLimit - n - messageCost
		if old := s.replaced(key); old != nil {
			limit += old.cost()
		}
		if s.cost <= limit {
			return true
		}
		if s.cfg.Mode.reliable() {
			return false
		}
		oldest := s.queue.head
		if oldest != nil && oldest.sent > 0 && oldest.next != nil {
			oldest = oldest.next // keep a message that is sent in part if there is another
		}
		if oldest == nil {
			oldest = s.waiting.head // a message that only waits for its receipt
		}
		s.stats.Overflowed++
		m.finish(s, oldest, FateDropped)
	}
}

// finish removes a message and reports its fate.
func (m *Mux) finish(s *sender, msg *message, fate Fate) {
	m.report(s, msg, fate)
	s.cost -= msg.cost()
	s.found(msg.lost)
	s.forget(msg)
	if msg.list != nil {
		msg.list.remove(msg)
	}
	m.pool.putMessage(msg)
	m.emitRoom(s)
}

// emitRoom emits EventRoom if Send has refused a message of the channel, for which the
// queue has room now.
func (m *Mux) emitRoom(s *sender) {
	if s.refused && s.cost <= s.cfg.QueueLimit-int(s.wanted)-messageCost {
		s.refused = false
		m.events = append(m.events, Event{Type: EventRoom, Channel: s.id})
	}
}

// report emits the message's EventReceipt if one was requested. Only the first call has
// an effect.
func (m *Mux) report(s *sender, msg *message, fate Fate) {
	if msg.receipt {
		msg.receipt = false
		m.events = append(m.events, Event{Type: EventReceipt, Channel: s.id, Message: msg.handle, Fate: fate})
	}
}

// expire drops queued messages whose deadline has passed, from the head on. A
// reliable message that was sent in part is finished; others are not.
func (m *Mux) expire(s *sender, t moment) {
	for msg := s.queue.head; msg != nil && t >= msg.deadline; msg = s.queue.head {
		if msg.sent > 0 && s.cfg.Mode.reliable() {
			return
		}
		s.stats.Expired++
		m.finish(s, msg, FateExpired)
	}
}

// staleAge is the age after which outdate drops an unreliable message.
const staleAge = 250 * time.Millisecond

// outdate drops the queued unreliable messages that are older than staleAge. It is called
// when the peer does not answer, and when it answers again: the messages that waited would
// arrive late, in a burst.
func (m *Mux) outdate(t moment) {
	for i := range m.senders {
		s := m.senders[i]
		if s.cfg.Mode.reliable() {
			continue
		}
		for msg := s.queue.head; msg != nil; {
			next := msg.next
			if t-msg.queued > staleAge {
				s.stats.Expired++
				m.finish(s, msg, FateExpired)
			}
			msg = next
		}
	}
}
