package sessioncore

import (
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// An EventType says what an Event is.
type EventType uint8

// The events, in the order of docs/SESSION.md, section 8.
const (
	EventOpen          EventType = iota // the session is open: Data is the connect message, at a server
	EventMessage                        // a message of the peer: Channel, Data
	EventRequest                        // a request of the peer: Request, Name, Data
	EventResult                         // the end of a request of this end: Request, Status; Data of a reply, Reason.Text of a rejection
	EventReceipt                        // the fate of a message: Channel, Message, Fate
	EventChannel                        // the peer has opened a channel: Channel
	EventChannelClosed                  // a channel is closed: no event of the channel follows: Channel
	EventRoom                           // a queue has room again for what was refused with ErrBudget: Channel; Control for requests and replies
	EventInterrupted                    //
	EventResumed                        //
	EventNarrow                         // packets are made smaller, for the first time, because large ones do not arrive
	EventToken                          // at a client, its newest resume token: Data, for Next; at a server, the older of two tokens is not valid any more
	EventMoved                          // at a client, the server moves it: Data is the seat as JSON. EventClosed with CloseMoved follows
	EventClosed                         // the session is over; the last event: Reason
)

// An Event is an event of a session. Data may be a view of a datagram that was given to
// Receive: it is valid until the bytes of the datagram change, or until Release.
type Event struct {
	Type    EventType
	Status  session.Status
	Fate    channel.Fate
	Channel channel.ID
	Request uint32
	Message channel.MessageID
	Name    string
	Data    []byte
	Reason  session.CloseReason

	raw channel.Event // the event of the Mux whose memory Data is
}

// keptEvents is the largest capacity of an events slice that is kept between calls. The
// slice of a larger burst is not kept, so that an idle session has little memory.
const keptEvents = 32

// Events appends the events since its last call to evs, in order.
func (s *Session) Events(evs []Event) []Event {
	evs = append(evs, s.events...)
	s.events, s.owned = emptied(s.events), 0
	return evs
}

// emptied returns evs without elements, or nil if its capacity is more than keptEvents.
func emptied[T any](evs []T) []T {
	if cap(evs) > keptEvents {
		return nil
	}
	clear(evs)
	return evs[:0]
}

// Pending reports whether Events would return an event.
func (s *Session) Pending() bool { return len(s.events) > 0 }

// Own copies the Data of the events that Events would return, so that they do not depend on
// datagrams. It copies each event once, also if it is called again.
func (s *Session) Own() {
	for ; s.owned < len(s.events); s.owned++ {
		s.events[s.owned].own()
	}
}

func (ev *Event) own() {
	if ev.Data != nil {
		ev.Data = append([]byte{}, ev.Data...)
	}
}

// Release gives the memory of events back (see [channel.Mux.Release]) and returns an
// empty slice for the next call of Events.
func (s *Session) Release(evs []Event) []Event {
	for i := range evs {
		s.release(&evs[i].raw)
	}
	return emptied(evs)
}

func (s *Session) release(ev *channel.Event) {
	if ev.Payload != nil {
		s.raw[0] = *ev
		s.mux.Release(s.raw[:])
	}
}

func (s *Session) emit(ev Event) { s.events = append(s.events, ev) }
