package channel

import (
	"time"
	"unicode/utf8"
)

// A close frame is sent closeRepeats times, further and further apart, until an
// acknowledgement of one comes: the link may go away at any moment.
const (
	closeRepeats  = 6
	closeInterval = 20 * time.Millisecond
)

type closing struct {
	begun bool
	code  uint64
	text  string
	left  int
	next  moment // never if none is left
	gap   time.Duration

	givenUp uint64 // bytes of own reliable messages that the end of the link gave up
	missed  uint64 // the peer's, as it has said
}

// Close ends the link. What is queued is not sent any more: wait for receipts
// first if it matters; the close frame tells the peer how much was given up. Append then
// has the close frame, a few times; the link may go once Closed reports true. text is cut to 256 bytes of UTF-8.
func (m *Mux) Close(now time.Time, code uint64, text string) {
	t := m.at(now)
	if m.closed || m.closing.begun {
		return
	}
	text = cut(text)
	m.closing = closing{begun: true, code: min(code, maxVarint), text: text, left: closeRepeats, next: t, gap: closeInterval,
		missed: m.closing.missed}
	m.abandon()
}

func cut(text string) string {
	if !utf8.ValidString(text) {
		return ""
	}
	for len(text) > maxCloseText {
		_, n := utf8.DecodeLastRuneInString(text)
		text = text[:len(text)-n]
	}
	return text
}

// Closed reports whether the peer has closed, or knows that we have, or has been
// told often enough.
func (m *Mux) Closed() bool {
	return m.closed || m.closing.begun && m.closing.left == 0
}

// appendClose appends the close frame if it is time for one.
func (m *Mux) appendClose(b []byte, t moment) []byte {
	c := &m.closing
	if t < c.next {
		return b
	}
	c.left--
	c.next, c.gap = t+c.gap, c.gap*2
	if c.left == 0 {
		c.next = never
	}
	if c.givenUp > 0 {
		b = appendGivenUp(b, c.givenUp)
	}
	return appendClose(b, c.code, c.text)
}

// receiveClose ends the link because the peer has.
func (m *Mux) receiveClose(f *frame) {
	if m.closed {
		return
	}
	m.closed = true
	m.abandon()
	m.events = append(m.events, Event{Type: EventClosed, Code: f.code, GivenUp: m.closing.missed, Payload: f.payload})
}

// receiveGivenUp takes how much the close frame behind it gives up.
func (m *Mux) receiveGivenUp(f *frame) {
	n, _, ok := read(f.payload, 0)
	if !ok {
		m.drop(DropUnknownFrame)
		return
	}
	m.closing.missed = n
}

// GivenUp returns how many bytes of reliable messages the end of the link gave up:
// those that were given to Send, on channels other than Control, and that the peer's Mux
// is not known to have delivered. While the link has not ended, it is how many that
// would be now.
func (m *Mux) GivenUp() uint64 {
	n := m.closing.givenUp
	for _, s := range m.senders[1:] {
		if s.cfg.Mode.reliable() {
			n += uint64(s.cost - messageCost*(s.queue.n+s.waiting.n))
		}
	}
	return n
}

// abandon forgets all messages of both ways, and gives their memory back: the Mux may
// be referred to for long. What was delivered stays as it is.
func (m *Mux) abandon() {
	m.closing.givenUp = m.GivenUp()
	for i := range m.senders {
		s := m.senders[i]
		for _, l := range [...]*list{&s.waiting, &s.queue} {
			for l.head != nil {
				m.finish(s, l.head, Abandoned)
			}
		}
		s.keys = nil
	}
	for _, r := range m.receivers {
		r.partials, r.slots = nil, nil
		r.count, r.held = 0, 0
	}
	m.flight.forget()
	m.pool = pool{shut: true}
}
