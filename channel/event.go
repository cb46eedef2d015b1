package channel

import "github.com/godwit-rtc/godwit/internal/enum"

// An EventType says what an Event is.
type EventType uint8

// The events, and the fields that each has.
const (
	EventMessage EventType = iota // a message of the peer: Channel, Payload
	EventReceipt                  // the fate of a message: Channel, Message, Fate
	EventClosed                   // the peer has closed the link; the last event: Code, GivenUp, Payload with the text
	EventNarrow                   // the Mux makes packets smaller, for the first time: Code is their new limit in bytes
	EventStuck                    // packets of Code bytes do not arrive and cannot be made smaller; at most once for each link
	EventRoom                     // a queue has room for the last message that Send refused with ErrBudget; once after such refusals: Channel
)

var eventNames = [...]string{"message", "receipt", "closed", "narrow", "stuck", "room"}

// String returns the type in one word.
func (t EventType) String() string { return enum.Name(t, eventNames[:]) }

// A Fate says what happened to a message.
type Fate uint8

// The fates. A message with Options.Receipt has exactly one fate, and its EventReceipt
// comes before EventClosed. FateLost is a guess: perhaps the message arrived and only its
// acknowledgement was lost.
const (
	FateDelivered Fate = iota // the peer's Mux has all of it
	FateLost                  // an unreliable message was sent and not acknowledged
	FateExpired               // its deadline passed in the queue, or an unreliable message waited too long while the link was silent
	FateReplaced              // a newer message took its place in the queue
	FateDropped               // the queue was full, and it was the oldest message
	FateAbandoned             // the Mux was closed before an acknowledgement; perhaps the peer has the message
)

var fateNames = [...]string{"delivered", "lost", "expired", "replaced", "dropped", "abandoned"}

func (f Fate) String() string { return enum.Name(f, fateNames[:]) }

// An Event is something that happened on the link. Payload may be a view of the datagram
// that was given to Receive, or memory of the Mux: it is valid until the bytes of the
// datagram change or Release is called.
type Event struct {
	Type    EventType
	Fate    Fate
	Channel ID
	owned   bool // Payload is memory of the Mux
	packed  bool // Payload is as it came on a channel with Compress
	Message MessageID
	Code    uint64
	GivenUp uint64 // bytes of reliable messages that the peer gave up
	Payload []byte
}

// keptEvents limits the capacity of the events slice that a Mux keeps between calls. The
// slice of a larger burst is not kept, so that an idle link has little memory.
const keptEvents = 64

// Events appends the events since its last call to evs, in order. Call it after Receive,
// Send, Append and Advance, before the bytes of the datagrams that were given to Receive
// change.
//
// If messages on channels with Compress inflate to more than 1 MiB, Events leaves the others, and
// the events behind them, for another call: see More.
func (m *Mux) Events(evs []Event) []Event {
	if m.more = false; m.packed {
		return m.unpackEvents(evs)
	}
	evs = append(evs, m.events...)
	clear(m.events)
	if m.events = m.events[:0]; cap(m.events) > keptEvents {
		m.events = nil
	}
	return evs
}

// Release gives the memory of events back to the Mux, and clears evs. The program must
// not use the payloads of the events after it. Without Release everything works, but each
// message of several packets costs an allocation.
func (m *Mux) Release(evs []Event) {
	for i := range evs {
		if evs[i].owned {
			m.pool.put(evs[i].Payload[:0])
		}
		evs[i] = Event{}
	}
}
