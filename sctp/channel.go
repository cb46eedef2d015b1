package sctp

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// Payload protocol identifiers. The partial ones are deprecated identifiers of parts of a
// message. They count as ppidBinary and ppidText.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-8
const (
	ppidDCEP          = 50
	ppidText          = 51
	ppidBinaryPartial = 52
	ppidBinary        = 53
	ppidTextPartial   = 54
	ppidUnassigned    = 55
	ppidTextEmpty     = 56
	ppidBinaryEmpty   = 57
)

// maxStream is the first stream that does not exist: an INIT can offer 65535.
const maxStream = 0xffff

// A channel is the state of a stream that is in use.
type channel struct {
	stream     uint16
	state      channelState
	negotiated bool // no DATA_CHANNEL_OPEN has arrived
	ordered    bool // a message waits for those before it, which may be sent again
	sequenced  bool // ordered, and nothing is sent again: a message that arrives after a later one is dropped
	reliable   bool
	honest     bool   // the peer may send its messages again
	nextIn     uint16 // next sequence number of the peer's messages, if they have one
	nextOut    uint16 // next sequence number of DCEP messages; other messages of this end are unordered
	out        resetStep
	in         bool   // the peer has reset its direction
	refused    bool   // the channel was never open
	gone       uint32 // messages before held in its array, at most
	held       []data // messages that wait for their turn, by sequence number; see hold
}

// A channelState says whether messages are sent and delivered.
type channelState uint8

const (
	channelOpen channelState = iota
	channelClosing
)

// channel returns the channel of a stream, or nil.
func (a *Assoc) channel(stream uint16) *channel {
	for i := range a.channels {
		if a.channels[i].stream == stream {
			return &a.channels[i]
		}
	}
	return nil
}

// current returns the channel of a chunk that arrives on a stream now, or nil. If the
// peer has closed the channel, current removes it: the peer uses the stream again, so
// it has performed the reset of this end, and only its response is lost or late.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.7
func (a *Assoc) current(stream uint16) *channel {
	ch := a.channel(stream)
	if ch != nil && ch.in {
		a.removeChannel(stream)
		return nil
	}
	return ch
}

// upcoming is current that does not remove a channel.
func (a *Assoc) upcoming(stream uint16) *channel {
	if ch := a.channel(stream); ch != nil && !ch.in {
		return ch
	}
	return nil
}

// reliable reports whether messages of a stream must not be dropped. If the stream is
// not known, its opening may be late.
func (a *Assoc) reliable(stream uint16) bool {
	ch := a.upcoming(stream)
	if ch == nil {
		return a.config.AllowReliable
	}
	return ch.reliable
}

func (a *Assoc) ordered(stream uint16) bool {
	ch := a.upcoming(stream)
	return ch != nil && ch.ordered
}

// addChannel adds a channel. The pointer is valid until the next channel is added or
// removed.
func (a *Assoc) addChannel(c channel) *channel {
	if c.honest {
		a.ack.honest++
	}
	a.channels = append(a.channels, c)
	return &a.channels[len(a.channels)-1]
}

// removeChannel removes the channel of a stream. Nothing is held for it, because it is
// closing.
func (a *Assoc) removeChannel(stream uint16) {
	a.channels = slices.DeleteFunc(a.channels, func(c channel) bool { return c.stream == stream })
}

// full reports whether no channel can be opened: MaxChannels are open, or the peer does not reset
// those that were refused. An opened one can become a refused one, so it is not enough to limit the
// open ones. While more than 2*MaxChannels refused ones wait for their resets, a correct channel is
// refused, too.
func (a *Assoc) full() bool {
	open := 0
	for i := range a.channels {
		if !a.channels[i].refused {
			open++
		}
	}
	return open >= a.config.MaxChannels || len(a.channels) >= 3*a.config.MaxChannels
}

// receiveMessage processes a whole message of any kind.
func (a *Assoc) receiveMessage(t time.Duration, d *data, owned bool, events []Event) []Event {
	if d.ppid == ppidDCEP {
		return a.receiveDCEP(t, d, events)
	}
	if d.ppid < ppidText || d.ppid > ppidBinaryEmpty || d.ppid == ppidUnassigned {
		a.drop(dropPPID)
		return events
	}
	ch := a.current(d.stream)
	if ch == nil {
		if d.stream == maxStream || a.full() {
			return a.refuseNegotiated(d.stream, events)
		}
		ch, events = a.addNegotiated(d, events)
	}
	if ch.state != channelOpen {
		a.drop(dropClosedChannel)
		return events
	}
	if d.flags&flagUnordered != 0 {
		return a.deliver(d, events)
	}
	if ch.sequenced {
		if seq.Less(d.ssn, ch.nextIn) {
			a.drop(dropOrder)
			return events
		}
		ch.nextIn = d.ssn + 1
		return a.deliver(d, events)
	}
	if !ch.ordered {
		ch.nextIn = seq.Max(ch.nextIn, d.ssn+1) // its opening may only be late
		return a.deliver(d, events)
	}
	return a.receiveOrdered(ch, d, owned, events)
}

// mayWait reports whether a message waits for missing messages before it. If reliable
// channels are allowed, the opening of an unknown stream may be late, so an ordered
// message on it waits; but not during eager acknowledgement, when the peer would not
// send the opening again.
func (a *Assoc) mayWait(d *data) bool {
	switch ch := a.upcoming(d.stream); {
	case d.flags&flagUnordered != 0 || d.ppid == ppidDCEP:
		return false
	case ch != nil:
		return ch.ordered
	}
	return a.config.AllowReliable && !a.ack.eager
}

// addNegotiated makes a channel of a stream that was not opened.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.5
func (a *Assoc) addNegotiated(d *data, events []Event) (*channel, []Event) {
	ordered := a.mayWait(d)
	ch := a.addChannel(channel{
		stream: d.stream, negotiated: true,
		ordered: ordered, reliable: ordered, honest: ordered,
	})
	e := Event{Type: ChannelOpen, Stream: d.stream, Negotiated: true, Ordered: ordered}
	if !ordered {
		e.Reliability = Retransmits
		a.sortRuns(d.stream)
	}
	return ch, append(events, e)
}

// refuseNegotiated drops a message of a negotiated channel beyond MaxChannels. A stream
// reset tells the page, for which the channel is open.
func (a *Assoc) refuseNegotiated(stream uint16, events []Event) []Event {
	a.drop(dropChannels)
	if stream == maxStream || len(a.channels) >= 2*a.config.MaxChannels {
		return events
	}
	a.refuse(stream)
	return append(events, Event{Type: ChannelRefused, Stream: stream, Negotiated: true, Refused: RefusedTooMany})
}

// receiveOrdered delivers a message of an ordered channel and the messages that waited
// for it, or holds the message.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.6
func (a *Assoc) receiveOrdered(ch *channel, d *data, owned bool, events []Event) []Event {
	switch ahead := d.ssn - ch.nextIn; {
	case ahead >= 1<<15:
		a.drop(dropOrder)
		return events
	case ahead > 0:
		a.hold(ch, d, owned)
		if ch.negotiated && seq.LessEq(d.tsn, a.rx.cum) { // what is missing was acknowledged before the channel was known: the peer does not send it again
			return a.deliverHeld(ch, d.ssn, events)
		}
		return a.stopWaiting(ch, events)
	}
	events = a.deliver(d, events)
	return a.deliverHeld(ch, ch.nextIn+1, events)
}

// stopWaiting gives up missing messages of a channel that may lose messages, the oldest
// first, until the messages that wait for them fit the buffer. The page may send far
// more messages before it gives up the missing ones itself.
func (a *Assoc) stopWaiting(ch *channel, events []Event) []Event {
	for !ch.reliable && len(ch.held) > 0 && a.buffered > a.config.MaxBuffered {
		events = a.deliverHeld(ch, ch.held[0].ssn, events)
	}
	return events
}

// deliverHeld continues at sequence number next: it delivers the held messages before
// next, and then the messages from next on without a gap.
func (a *Assoc) deliverHeld(ch *channel, next uint16, events []Event) []Event {
	n := 0
	for ; n < len(ch.held); n++ {
		h := &ch.held[n]
		if seq.Less(next, h.ssn) {
			break
		}
		if h.ssn == next {
			next++
		}
		events = a.deliver(h, events)
	}
	a.releaseHeld(ch, n)
	ch.nextIn = next
	return events
}

// deliver appends the event of a message. It drops text that is not UTF-8: browsers
// never send it, and cannot receive it.
func (a *Assoc) deliver(d *data, events []Event) []Event {
	e := Event{Type: Message, Stream: d.stream, Kind: Binary, Payload: d.payload}
	switch d.ppid {
	case ppidText, ppidTextPartial:
		e.Kind = Text
		if !utf8.Valid(d.payload) {
			a.drop(dropText)
			return events
		}
	// "The receiver MUST ignore the SCTP user message and process it as an empty message."
	// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.6
	case ppidTextEmpty:
		e.Kind, e.Payload = Text, d.payload[:0]
	case ppidBinaryEmpty:
		e.Payload = d.payload[:0]
	}
	a.stats.MessagesIn++
	a.stats.BytesIn += uint64(len(e.Payload))
	return append(events, e)
}

// CloseStream closes the channel of a stream. A stream reset tells the peer. Later
// messages of the peer on the stream are dropped. The event ChannelClosed follows when
// the peer has closed its direction, too. CloseStream returns false if there is no such
// channel.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.7
func (a *Assoc) CloseStream(now time.Time, stream uint16) bool {
	ch := a.channel(stream)
	if ch == nil || ch.state != channelOpen {
		return false
	}
	a.closeChannel(stream)
	return true
}

// closeChannel begins to close a channel.
func (a *Assoc) closeChannel(stream uint16) {
	ch := a.channel(stream)
	if ch == nil {
		return
	}
	ch.state = channelClosing
	a.wantReset(ch)
	if ch.honest {
		ch.honest = false
		a.ack.honest--
	}
	a.forgetStream(stream)
}
