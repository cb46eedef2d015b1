package channel

// An EventType says what an Event is.
type EventType uint8

// The events.
const (
	EventMessage EventType = iota // Channel, Payload
	EventReceipt                  // Channel, Message, Fate
	EventClosed                   // Code, GivenUp, Payload is the text; the last event
	EventNarrow                   // for the first time packets are made smaller: Code is how many bytes they have at most
	EventStuck                    // packets of Code bytes do not arrive, and cannot be made smaller; once for each link
)

var eventNames = [...]string{"message", "receipt", "closed", "narrow", "stuck"}

// String returns the type in one word.
func (t EventType) String() string {
	if int(t) < len(eventNames) {
		return eventNames[t]
	}
	return "unknown"
}

// A Fate is what became of a message.
type Fate uint8

// The fates. Lost is a guess: the message may have arrived and its acknowledgement
// not. Each message with Options.Receipt has exactly one, EventClosed comes after it.
const (
	Delivered Fate = iota // the peer's Mux has all of it
	Lost                  // an unreliable one was sent and not acknowledged
	Expired               // its deadline passed in the queue
	Replaced              // a newer one took its place in the queue
	Dropped               // the queue was full
	Abandoned             // the Mux was closed first; the peer may have it or not
)

var fateNames = [...]string{"delivered", "lost", "expired", "replaced", "dropped", "abandoned"}

func (f Fate) String() string {
	if int(f) < len(fateNames) {
		return fateNames[f]
	}
	return "unknown"
}

// An Event is something that happened. Payload is valid as long as the datagram it
// came in, or until Release if the Mux put it together.
type Event struct {
	Type    EventType
	Fate    Fate
	Channel ID
	owned   bool // Payload is the Mux's memory
	Message MessageID
	Code    uint64
	GivenUp uint64 // bytes of reliable messages that the peer gave up
	Payload []byte
}

// keptEvents is how much room for events is kept from one call to the next. What a
// burst takes besides goes with it, or an idle link would keep it.
const keptEvents = 64

// Events appends what happened since the last call, in order, and forgets it.
// Call it after each Receive, Send, Append and Advance, or before the datagrams that
// were given to Receive are used again.
func (m *Mux) Events(evs []Event) []Event {
	evs = append(evs, m.events...)
	clear(m.events)
	if m.events = m.events[:0]; cap(m.events) > keptEvents {
		m.events = nil
	}
	return evs
}

// Release gives the memory of events back. It is not needed, but without it each
// message of several packets costs an allocation. The events' payloads must not be
// used after it.
func (m *Mux) Release(evs []Event) {
	for i := range evs {
		if evs[i].owned {
			m.pool.put(evs[i].Payload[:0])
		}
		evs[i] = Event{}
	}
}
