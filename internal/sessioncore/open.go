package sessioncore

import (
	"bytes"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// maxEarly limits the bytes of the messages that are kept until the opening. earlyCost
// is added to the length of each, for its event.
const (
	maxEarly  = 256 << 10
	earlyCost = 192
)

// takeEvents converts the events of the Mux to events of the session.
func (s *Session) takeEvents(now time.Time) {
	s.in = s.mux.Events(s.in)
	for i := range s.in {
		ev := &s.in[i]
		switch ev.Type {
		case channel.EventMessage:
			s.message(now, ev)
		case channel.EventReceipt:
			s.receipt(ev)
		case channel.EventRoom:
			if !s.closing.begun { // then Send returns ErrClosed
				s.emit(Event{Type: EventRoom, Channel: ev.Channel})
			}
		case channel.EventNarrow:
			s.emit(Event{Type: EventNarrow})
		case channel.EventStuck:
			s.fail(now, session.CloseTimeout, fmt.Sprintf("packets of %d bytes do not arrive", ev.Code))
		case channel.EventClosed:
			s.end(now, session.CloseReason{Code: session.CloseCode(min(ev.Code, 1<<32-1)), Text: string(ev.Payload), Remote: true, LostIn: ev.GivenUp})
		}
	}
	s.in = emptied(s.in)
	s.endChannels(now)
	s.emitRoom()
}

// message processes a message of any channel.
func (s *Session) message(now time.Time, ev *channel.Event) {
	if s.state == Closed || s.state == Closing && ev.Channel != channel.Control {
		s.release(ev) // the session is closing: drop messages of channels
		return
	}
	if ev.Channel == channel.Control {
		n := len(s.events)
		s.control(now, ev.Payload)
		if len(s.events) > n && s.events[n].Data != nil {
			s.events[n].raw = *ev // the event is a request or a reply, and its Data is a view of ev
			return
		}
		s.release(ev)
		return
	}
	if !s.receives(ev.Channel) {
		// The packet came late, and brought a control message too for which the SHUT has
		// waited: a late frame of a closed channel.
		s.release(ev)
		return
	}
	if !s.allow(now, ev.Channel, len(ev.Payload)) {
		s.release(ev)
		return
	}
	out := Event{Type: EventMessage, Channel: ev.Channel, Data: ev.Payload, raw: *ev}
	if s.state == Open {
		s.emit(out)
		return
	}
	if s.earlyBytes += len(ev.Payload) + earlyCost; s.earlyBytes > maxEarly {
		s.fail(now, session.CloseLimitEarly, "too much sent before "+s.firstMessage())
		return
	}
	out.raw = channel.Event{}
	out.own()
	s.release(ev)
	s.early = append(s.early, out)
}

// allow applies Limits.Messages and Limits.Bytes to a message of n bytes. It returns
// false if the message exceeds them. If the channel is reliable it also ends the
// session, because the channel promises to deliver the message.
func (s *Session) allow(now time.Time, ch channel.ID, n int) bool {
	limit, code, what := s.config.Limits.Messages, session.CloseLimitMessages, "messages"
	if s.messages.take(now, 1) {
		if s.bytes.take(now, n) {
			return true
		}
		limit, code, what = s.config.Limits.Bytes, session.CloseLimitBytes, "bytes"
	}
	if ch != channel.Control && s.mux.Channels()[ch-1].Mode < channel.ReliableUnordered {
		s.counts.limited++
		return false
	}
	s.fail(now, code, fmt.Sprintf("more than %d %s per second", limit, what))
	return false
}

// control processes a control message.
func (s *Session) control(now time.Time, b []byte) {
	f := new(frame) // on the stack
	if !f.parse(b) {
		s.fail(now, session.CloseProtocolError, "a control message is malformed")
		return
	}
	if s.state == Opened {
		s.receiveFirst(now, f)
		return
	}
	switch f.kind {
	case typeRequest:
		if s.state == Open {
			s.receiveRequest(now, f)
		}
	case typeReply, typeAck, typeReject:
		s.receiveAnswer(f)
	case typeWelcome:
		if s.server {
			s.fail(now, session.CloseProtocolError, "WELCOME from a client")
			return
		}
		s.receiveWelcome(f)
	case typeHere:
		if !s.server {
			s.fail(now, session.CloseProtocolError, "HERE from a server")
			return
		}
		s.here = max(s.here, f.id)
	case typeOpen:
		if s.state == Open {
			s.receiveOpen(now, f)
		}
	case typeOpened:
		s.receiveOpened(now, f)
	case typeShut:
		if s.state == Open {
			s.receiveShut(now, f)
		}
	case typeMove:
		s.receiveMove(now, f)
	case typeHello:
		s.fail(now, session.CloseProtocolError, "HELLO in an open session")
	}
}

// firstMessage names the first message of the peer.
func (s *Session) firstMessage() string {
	if s.server {
		return "HELLO"
	}
	return "WELCOME"
}

// receiveFirst processes the peer's first control message.
func (s *Session) receiveFirst(now time.Time, f *frame) {
	switch {
	case s.server && f.kind == typeHello:
		s.state, s.wasOpen, s.takes = Open, true, f.takes
		s.lives.closes = f.takes&takesShut != 0
		if s.lives.closes && f.takes&takesOwn != 0 {
			s.lives.most, s.lives.maxQueue = s.config.ClientChannels, s.config.ClientQueue
		}
		s.emit(Event{Type: EventOpen, Data: append([]byte{}, f.payload...)})
	case !s.server && f.kind == typeWelcome:
		s.state, s.wasOpen = Open, true
		if s.lives.closes = f.channels >= 0; s.lives.closes {
			s.lives.most, s.lives.maxQueue = min(f.channels, channel.MaxChannels-s.lives.fixed), f.queue
		}
		s.emit(Event{Type: EventOpen})
		s.receiveWelcome(f)
	case f.kind >= typeExtension:
		return
	default:
		s.fail(now, session.CloseProtocolError, "the first control message is not "+s.firstMessage())
		return
	}
	s.events = append(s.events, s.early...)
	s.early = nil
}

// receiveWelcome processes a WELCOME.
func (s *Session) receiveWelcome(f *frame) {
	s.id = session.ID(f.session)
	s.config.Grace = time.Duration(f.grace) * time.Millisecond
	if s.config.Grace == 0 {
		s.config.Grace = -1
	}
	s.emit(Event{Type: EventToken, Data: append(bytes.Clone(f.token[:]), f.next...)})
}

// keptScratch is the largest capacity of scratch that is kept.
const keptScratch = 4 << 10

// sendControl sends a control message that was built in scratch.
func (s *Session) sendControl(now time.Time, b []byte, o channel.Options) (channel.MessageID, error) {
	if s.scratch = b[:0]; cap(b) > keptScratch {
		s.scratch = nil
	}
	id, err := s.mux.Send(now, channel.Control, b, o)
	if err == nil {
		s.controls++
	}
	return id, err
}

// checkDrops ends the session if the Mux has dropped a frame that a correct peer with the
// same table never sends.
func (s *Session) checkDrops(now time.Time) {
	if s.state == Closed {
		return
	}
	for _, d := range [...]channel.DropReason{
		channel.DropUnknown, channel.DropDirection, channel.DropKind, channel.DropTooLarge, channel.DropMismatch,
		channel.DropWindow, channel.DropBudget, channel.DropInflate,
	} {
		if s.mux.Dropped(d) == 0 {
			continue
		}
		switch d {
		case channel.DropTooLarge:
			s.fail(now, session.CloseLimitSize, "a message is larger than its channel allows")
		case channel.DropInflate:
			s.fail(now, session.CloseProtocolError, "a compressed message cannot be inflated")
		default:
			s.fail(now, session.CloseProtocolError, "a frame does not fit the table: "+d.String())
		}
		return
	}
}
