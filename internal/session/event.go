package session

import (
	"strconv"

	"github.com/godwit-rtc/godwit/channel"
)

// An EventType says what an Event is.
type EventType uint8

// The events, in the order of docs/SESSION.md, section 8.
const (
	EventOpen        EventType = iota // a server's: Data is the connect message
	EventMessage                      // Channel, Data
	EventRequest                      // Request, Name, Data
	EventResult                       // Request, Status; Data of a reply, Reason.Text of a rejection
	EventReceipt                      // Channel, Message, Fate
	EventChannel                      // Channel: a client's table has one more
	EventInterrupted                  //
	EventResumed                      //
	EventNarrow                       // packets are made smaller, for the first time: the path takes no large ones
	EventToken                        // Token: a client's newest. At a server: the older of two is not valid any more
	EventClosed                       // Reason; the last event
)

// An Event is something that happened. Data is valid as long as the datagram it
// came in, or until Release.
type Event struct {
	Type    EventType
	Status  Status
	Fate    channel.Fate
	Channel channel.ID
	Request uint32
	Message channel.MessageID
	Name    string
	Data    []byte
	Token   Token
	Reason  Reason

	raw channel.Event // whose memory Data is
}

// keptEvents is how much room for events is kept from one call to the next. What a
// burst takes besides goes with it, or an idle session would keep it.
const keptEvents = 32

// Events appends what happened since the last call, in order, and forgets it.
func (s *Session) Events(evs []Event) []Event {
	evs = append(evs, s.events...)
	s.events, s.owned = emptied(s.events), 0
	return evs
}

// emptied returns evs without elements, for what comes next.
func emptied[T any](evs []T) []T {
	if cap(evs) > keptEvents {
		return nil
	}
	clear(evs)
	return evs[:0]
}

// Pending reports whether Events has any.
func (s *Session) Pending() bool { return len(s.events) > 0 }

// Own makes the events that Events would return independent of the datagrams they
// came in. It copies each event once, however often it is called.
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

// Release gives the memory of events back, see [channel.Mux.Release], and returns
// them empty for the next call of Events.
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

// A Code tells why a session ended. docs/SESSION.md, section 5.
type Code uint32

// The codes. From CodeProgram to maxCode they are the program's own.
const (
	Normal        Code = 0
	Kicked        Code = 1
	Shutdown      Code = 2
	ProtocolError Code = 3
	Auth          Code = 4
	Replaced      Code = 5
	Timeout       Code = 6
	Duplicate     Code = 7
	LimitMessages Code = 16
	LimitBytes    Code = 17
	LimitSize     Code = 18
	LimitEarly    Code = 19
	LimitRequests Code = 20
	CodeProgram   Code = 256

	maxCode Code = 1<<16 - 1
)

var codeNames = map[Code]string{
	Normal: "normal", Kicked: "kicked", Shutdown: "shutdown", ProtocolError: "protocol error", Auth: "auth",
	Replaced: "replaced", Timeout: "timeout", Duplicate: "duplicate",
	LimitMessages: "limit: messages", LimitBytes: "limit: bytes", LimitSize: "limit: size",
	LimitEarly: "limit: early", LimitRequests: "limit: requests",
}

// String returns the code in words.
func (c Code) String() string {
	if s, ok := codeNames[c]; ok {
		return s
	}
	return "code " + strconv.FormatUint(uint64(c), 10)
}

// A Reason tells why a session ended, and which end ended it.
type Reason struct {
	Code   Code
	Text   string
	Remote bool

	// Bytes of reliable messages that the end of the session gave up: this end's,
	// which were not acknowledged, and the other's, as far as it has said so.
	LostOut, LostIn uint64
}
