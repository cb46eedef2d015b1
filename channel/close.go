package channel

import (
	"time"
	"unicode/utf8"
)

// A close frame is sent closeRepeats times, at growing intervals, or until one is
// acknowledged: the link may be closed at any moment. On a reliable link it is sent once, and once
// more if it is not acknowledged for closePatience, which is as long as all the intervals.
const (
	closeRepeats  = 6
	closeInterval = 20 * time.Millisecond
	closePatience = closeInterval * (1<<closeRepeats - 1)
)

type closing struct {
	begun bool
	code  uint64
	text  string
	left  int    // close frames still to send
	next  moment // when to send the next one; never if none is left
	gap   time.Duration

	givenUp uint64 // bytes of this end's reliable messages that Close gave up
	missed  uint64 // bytes of the peer's reliable messages that the peer gave up, as it says
}

// Close closes the link. The Mux does not send queued messages any more: call Close after
// Idle returns true if they must arrive. Append then returns packets with a close frame,
// which tells the peer the code, the text and the number of bytes that were given up. The
// link may be closed when Closed returns true. At most 256 bytes of text are sent, and
// none if it is not UTF-8.
func (m *Mux) Close(now time.Time, code uint64, text string) {
	t := m.at(now)
	if m.closing.begun {
		return
	}
	for _, r := range m.receivers {
		r.stopped = true // what Events has left is not inflated
	}
	if m.closed {
		return
	}
	text = cut(text)
	m.closing = closing{begun: true, code: min(code, maxVarint), text: text, left: closeRepeats, next: t, gap: closeInterval}
	if m.reliableLink {
		m.closing.left, m.closing.gap = 2, closePatience
	}
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

// Closed reports whether the link is closed: the peer has closed it, the peer has
// acknowledged this end's close frame, or this end has sent its last close frame.
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

// receiveGivenUp processes the number of bytes that the close frame after it gives up.
func (m *Mux) receiveGivenUp(f *frame) {
	n, _, ok := read(f.payload, 0)
	if !ok {
		m.drop(DropUnknownFrame)
		return
	}
	m.closing.missed = n
}

// GivenUp returns the number of bytes of reliable messages that were not acknowledged when
// the link was closed, on channels other than Control. Before, it returns the number of
// bytes that are not acknowledged now. A message of a ReliableOrdered channel counts until
// all messages before it are acknowledged, too.
func (m *Mux) GivenUp() uint64 {
	n := m.closing.givenUp
	for _, s := range m.senders[1:] {
		if s.cfg.Mode.reliable() {
			n += uint64(s.cost - messageCost*(s.queue.n+s.waiting.n))
		}
	}
	return n
}

// abandon drops all messages of both directions, so that their memory is free while the
// program still has the Mux. It does not touch messages that were delivered.
func (m *Mux) abandon() {
	m.closing.givenUp = m.GivenUp()
	for i := range m.senders {
		s := m.senders[i]
		s.refused = false // no message is accepted any more
		for _, l := range [...]*list{&s.waiting, &s.queue} {
			for l.head != nil {
				m.finish(s, l.head, FateAbandoned)
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
