package sctp

import (
	"slices"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// Payload protocol identifiers. 52 and 54 are deprecated ways to send parts of a
// message; they are taken for 53 and 51.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-8
const (
	ppidDCEP          = 50
	ppidText          = 51
	ppidBinaryPartial = 52
	ppidBinary        = 53
	ppidTextPartial   = 54
	ppidUnassigned    = 55
	ppidTextEmpty     = 56 // one byte, to be ignored
	ppidBinaryEmpty   = 57
)

// maxStream is the first stream that does not exist: an INIT can offer 65535.
const maxStream = 0xffff

// A channel is what is known of a stream that is in use.
type channel struct {
	stream     uint16
	state      channelState
	negotiated bool // no DATA_CHANNEL_OPEN was seen
	ordered    bool // a message waits for those before it, which may be sent again
	sequenced  bool // ordered, and nothing is sent again: what is overtaken is dropped
	reliable   bool
	honest     bool   // its sender may send again
	nextIn     uint16 // next sequence number, if its messages have them
	nextOut    uint16 // of DCEP messages; ours are unordered otherwise
	out        resetStep
	in         bool   // the peer has reset its direction
	refused    bool   // never was open
	held       []data // by sequence number; see hold
}

// A channelState says whether messages pass.
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

// current returns the channel that what a stream brings now belongs to, or nil. One
// that the peer has closed is over, with what it sent before: it uses the stream again,
// so it has performed our reset too, and the answer is lost or late.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.7
func (a *Assoc) current(stream uint16) *channel {
	ch := a.channel(stream)
	if ch != nil && ch.in {
		a.removeChannel(stream)
		return nil
	}
	return ch
}

// upcoming returns what current does, and leaves a channel that is over where it is.
func (a *Assoc) upcoming(stream uint16) *channel {
	if ch := a.channel(stream); ch != nil && !ch.in {
		return ch
	}
	return nil
}

// reliable reports whether what a stream brings must not be given up. The opening
// of one that is not known may be late.
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

// addChannel makes an entry for a stream. The pointer is valid until the next one
// is added or removed.
func (a *Assoc) addChannel(c channel) *channel {
	if c.honest {
		a.ack.honest++
	}
	a.channels = append(a.channels, c)
	return &a.channels[len(a.channels)-1]
}

// removeChannel forgets a stream, of whose channel nothing is held since it is closing.
func (a *Assoc) removeChannel(stream uint16) {
	a.channels = slices.DeleteFunc(a.channels, func(c channel) bool { return c.stream == stream })
}

// openChannels returns how many channels count against MaxChannels.
func (a *Assoc) openChannels() int {
	n := 0
	for i := range a.channels {
		if !a.channels[i].refused {
			n++
		}
	}
	return n
}

// receiveMessage takes a whole message of any kind.
func (a *Assoc) receiveMessage(t time.Duration, d *data, owned bool, events []Event) []Event {
	if d.ppid == ppidDCEP {
		return a.receiveDCEP(t, d, events)
	}
	if d.ppid < ppidText || d.ppid > ppidBinaryEmpty || d.ppid == ppidUnassigned {
		a.drop(DropPPID)
		return events
	}
	ch := a.current(d.stream)
	if ch == nil {
		if d.stream == maxStream || a.openChannels() >= a.config.MaxChannels {
			return a.refuseNegotiated(d.stream, events)
		}
		ch, events = a.addNegotiated(d, events)
	}
	if ch.state != channelOpen {
		a.drop(DropClosedChannel)
		return events
	}
	if d.flags&flagUnordered != 0 {
		return a.deliver(d, events)
	}
	if ch.sequenced {
		if seq.Less(d.ssn, ch.nextIn) {
			a.drop(DropOrder)
			return events
		}
		ch.nextIn = d.ssn + 1
		return a.deliver(d, events)
	}
	if !ch.ordered {
		ch.nextIn = seq.Max(ch.nextIn, d.ssn+1) // if its opening is only late
		return a.deliver(d, events)
	}
	return a.receiveOrdered(ch, d, owned, events)
}

// mayWait reports whether a message waits for those before it if they are missing. Where
// reliable channels are admitted an ordered message on a stream that was not opened may
// be one whose opening is late, so it does; not so while the opening could not be sent
// again.
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

// refuseNegotiated drops a message of a channel that is one too many, and tells the
// page, for which it is open, by a stream reset.
func (a *Assoc) refuseNegotiated(stream uint16, events []Event) []Event {
	a.drop(DropChannels)
	if stream == maxStream || len(a.channels) >= 2*a.config.MaxChannels {
		return events
	}
	a.refuse(stream)
	return append(events, Event{Type: ChannelRefused, Stream: stream, Negotiated: true, Refused: RefusedTooMany})
}

// receiveOrdered delivers a message of an ordered channel, and those that waited
// for it, or holds it.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.6
func (a *Assoc) receiveOrdered(ch *channel, d *data, owned bool, events []Event) []Event {
	switch ahead := d.ssn - ch.nextIn; {
	case ahead >= 1<<15:
		a.drop(DropOrder)
		return events
	case ahead > 0:
		a.hold(ch, d, owned)
		return a.stopWaiting(ch, events)
	}
	events = a.deliver(d, events)
	return a.deliverHeld(ch, ch.nextIn+1, events)
}

// stopWaiting gives up the missing messages of a channel that may lose some, the
// oldest first, until what is held behind them fits the buffer. Its page may have far
// more under way before it gives them up itself.
func (a *Assoc) stopWaiting(ch *channel, events []Event) []Event {
	for !ch.reliable && len(ch.held) > 0 && a.buffered > a.config.MaxBuffered {
		events = a.deliverHeld(ch, ch.held[0].ssn, events)
	}
	return events
}

// deliverHeld goes on with sequence number next: it delivers what is held before that,
// for which nothing is waited for any longer, and then those whose turn it is.
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

// deliver appends the event of a message. Text that is not UTF-8 is dropped:
// browsers never send it, and a page could not be given it back.
func (a *Assoc) deliver(d *data, events []Event) []Event {
	e := Event{Type: Message, Stream: d.stream, Kind: Binary, Payload: d.payload}
	switch d.ppid {
	case ppidText, ppidTextPartial:
		e.Kind = Text
		if !utf8.Valid(d.payload) {
			a.drop(DropText)
			return events
		}
	case ppidTextEmpty:
		e.Kind, e.Payload = Text, d.payload[:0]
	case ppidBinaryEmpty:
		e.Payload = d.payload[:0]
	}
	a.stats.MessagesIn++
	a.stats.BytesIn += uint64(len(e.Payload))
	return append(events, e)
}

// CloseStream closes the channel of a stream: what the peer still sends on it is
// dropped, and the peer is told by a stream reset. ChannelClosed follows when the
// peer has closed its direction too. It reports whether there was a channel.
// https://www.rfc-editor.org/rfc/rfc8831.html#section-6.7
func (a *Assoc) CloseStream(now time.Time, stream uint16) bool {
	ch := a.channel(stream)
	if ch == nil || ch.state != channelOpen {
		return false
	}
	a.closeChannel(stream)
	return true
}

// closeChannel begins to close a channel from our side.
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
