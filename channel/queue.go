package channel

import "time"

// A pieceState says what became of a piece of a message.
type pieceState uint8

const (
	pieceUnsent pieceState = iota
	pieceFlying
	pieceLost // to be sent again
	pieceAcked
)

// A piece is a message that fits a packet, or a fragment of one that does not.
type piece struct {
	state  pieceState
	copies uint8  // redundant ones since it was last sent for need
	number uint64 // the last packet it was in
	at     moment // when it was last sent for need
}

// A message is one that was given to Send, until nothing more is to be learned
// about it.
type message struct {
	next, prev *message
	gen        uint32
	list       *list // the one it is in
	ch         ID

	handle   MessageID
	id       uint64 // on the wire; of no meaning until the first piece is sent
	key      uint64
	body     []byte
	shared   *Shared // whose body it is, or nil
	size     int
	deadline moment
	queued   moment
	receipt  bool
	listed   bool   // in the sender's losses
	firstOut uint32 // no piece before this one is lost

	pieces []piece
	sent   int // pieces that were sent at least once
	acked  int
	lost   int // pieces to send again
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
	cfg     Channel
	id      ID
	allowed bool // this end may send on it
	shut    bool // the peer does not know it yet

	queue   list // not sent yet, except the head, which may be sent in part
	waiting list // sent, and something is still to be learned: oldest first
	cost    int  // of both, and what counts against QueueLimit
	lost    int  // pieces of waiting and of the head to send again
	losses  lostMessages
	nextID  uint64
	keys    map[uint64]*message // queued messages with a key
	latest  *message            // a sequenced channel's queued message without one

	tokens   float64 // of the guaranteed share
	refilled moment
	pass     uint64 // bytes sent over weight: the smallest goes first

	stats ChannelStats
}

// sendWindow is how many messages may be unacknowledged from the oldest on; what
// is beyond it a receiver refuses.
const sendWindow = 4096

// enqueue puts a message at the end, or in the place of the one it makes useless.
func (m *Mux) enqueue(s *sender, msg *message) {
	if old := s.replaced(msg.key); old != nil {
		s.cost += msg.size - old.size
		old.body, msg.body = msg.body, old.body
		old.shared, msg.shared = msg.shared, old.shared
		old.size, msg.size = msg.size, old.size
		old.handle, msg.handle = msg.handle, old.handle
		old.receipt, msg.receipt = msg.receipt, old.receipt
		old.deadline, old.queued = msg.deadline, msg.queued
		old.setPieces()
		s.stats.Replaced++
		m.report(s, msg, Replaced)
		m.pool.drop(msg)
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

// replaced returns the queued message that a new one with this key makes useless.
// One that has been sent in part is finished, or a stream of large messages on a
// slow link would never deliver any: it is forgotten when its first piece leaves.
func (s *sender) replaced(key uint64) *message {
	switch {
	case key != 0:
		return s.keys[key]
	case s.cfg.Mode == Sequenced:
		return s.latest
	}
	return nil
}

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

// room makes room for a message of n bytes by the channel's policy, and reports
// whether there is any. What it replaces counts as gone.
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
			oldest = oldest.next // finish what is sent in part, if that is not all
		}
		if oldest == nil {
			oldest = s.waiting.head // waits for its receipt only
		}
		s.stats.Overflowed++
		m.finish(s, oldest, Dropped)
	}
}

// finish forgets a message, whatever became of it, and writes its receipt.
func (m *Mux) finish(s *sender, msg *message, fate Fate) {
	m.report(s, msg, fate)
	s.cost -= msg.cost()
	s.found(msg.lost)
	s.forget(msg)
	if msg.list != nil {
		msg.list.remove(msg)
	}
	m.pool.drop(msg)
}

// report writes a message's receipt, once.
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
		m.finish(s, msg, Expired)
	}
}

// staleAge is how long an unreliable message is of use while nobody answers.
const staleAge = 250 * time.Millisecond

// outdate drops the unreliable messages that have waited for too long. It is for
// when the link is silent, or just was: what waited then would come in a burst, and
// old.
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
				m.finish(s, msg, Expired)
			}
			msg = next
		}
	}
}
