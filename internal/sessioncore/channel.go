package sessioncore

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// A channelState is the state of a channel number at one end. The numbers of the first
// table always are noChannel.
//
//	noChannel ──OPEN sent or received──> channelOpen
//	channelOpen ──CloseChannel──> channelEnding ──all settled: SHUT sent──> channelShutSent
//	channelShutSent ──SHUT received: EventChannelClosed──> channelDone ──delivered──> noChannel
//	channelOpen, channelEnding ──SHUT received──> channelShutReceived
//	channelShutReceived ──all settled: EventChannelClosed──> channelCloseEmitted ──delivered: SHUT sent──> noChannel
//
// Delivered means that ChannelDelivered was called. So a number is free at an end when the
// end has sent and received SHUT, and its program has processed all events of the channel:
// a handler never sees another channel under the number of a message. The end that opens
// the number again sends its OPEN after that. Control messages arrive in order, so the other
// end has sent and received SHUT, too, when it gets the OPEN. Frames of the old channel that
// arrive even later are ignored, see [channel.Mux.StopReceiving].
type channelState uint8

const (
	noChannel           channelState = iota // no channel of this kind has the number
	channelOpen                             // OPEN was sent or received
	channelEnding                           // this end takes no more messages, and has not sent SHUT
	channelShutSent                         // this end has sent SHUT, and the peer has not
	channelShutReceived                     // the peer has sent SHUT; some messages of this end have no fate yet
	channelCloseEmitted                     // the peer has sent SHUT, and EventChannelClosed was emitted
	channelDone                             // both ends have sent SHUT, and EventChannelClosed was emitted
)

// lives are the channels of a session that were opened at run time.
type lives struct {
	opening  []channel.ID                          // channels that this end has opened and the peer has not answered, in order
	held     []string                              // lines of OPENs that wait for ChannelDelivered
	ending   int                                   // channels that are channelEnding or channelShutReceived
	gone     uint64                                // numbers for which ChannelDelivered was called, a bit for each
	last     channel.ID                            // the last number that this end has opened
	closes   bool                                  // the peer knows SHUT
	fixed    int                                   // channels of the first table
	most     int                                   // channels that the client may have open at a time
	maxQueue int                                   // the largest QueueLimit of those
	state    [channel.MaxChannels + 1]channelState // by number
}

// mine returns the first and the last number that the server, or the client, opens. They
// differ, so both ends may open a channel at the same time.
func (l *lives) mine(server bool) (first, last channel.ID) {
	if server {
		return channel.ID(l.fixed + l.most + 1), channel.MaxChannels
	}
	return channel.ID(l.fixed + 1), channel.ID(l.fixed + l.most)
}

// next returns the number of the next channel of this end: the first free one after the
// last that it has opened, so that a number is used again as late as possible. It returns
// 0 if none is free.
func (l *lives) next(server bool) channel.ID {
	first, last := l.mine(server)
	id := l.last
	for range int(last) - int(first) + 1 {
		if id++; id < first || id > last {
			id = first
		}
		if l.state[id] == noChannel {
			return id
		}
	}
	return 0
}

// OpenChannel adds a channel to the session's table under a number that is free, sends an
// OPEN to the peer, and returns the number. Messages on the channel wait until the peer has
// answered with OPENED, because a packet with a message might overtake the OPEN. The error
// is session.ErrFixed, ErrClosed, ErrBudget or a *channel.TableError.
func (s *Session) OpenChannel(now time.Time, c channel.Channel) (channel.ID, error) {
	l := &s.lives
	switch {
	case s.closing.begun:
		return 0, channel.ErrClosed
	case s.state != Open || s.server && s.takes&takesOpen == 0 || !s.server && l.most == 0:
		return 0, session.ErrFixed
	}
	id := l.next(s.server)
	if id == 0 {
		return 0, &channel.TableError{Channel: c.Name, Field: "table", Problem: "all numbers that this end may open are used; close a channel first"}
	}
	if queue := (channel.Channels{c}).WithDefaults()[0].QueueLimit; !s.server && queue > l.maxQueue {
		return 0, &channel.TableError{Channel: c.Name, Field: "QueueLimit", Problem: "the server lets a client open channels of at most " + strconv.Itoa(l.maxQueue) + " bytes"}
	}
	if err := s.mux.Open(id, c, false); err != nil {
		return 0, err
	}
	line := channel.Channel.AppendLine
	if !s.server || s.takes&takesSending != 0 {
		line = channel.Channel.AppendOpenLine
	}
	b := line(c, append(s.scratch[:0], typeOpen), id)
	if _, err := s.sendControl(now, b, channel.Options{}); err != nil {
		s.mux.Remove(id) // the peer does not know it
		return 0, err
	}
	l.state[id], l.last = channelOpen, id
	l.opening = append(l.opening, id)
	return id, nil
}

// CloseChannel ends a channel that either end has opened at run time. Send returns
// ErrUnknown for it from now on. Its messages in the queue are sent, and messages of the
// peer arrive, until both ends have nothing more to send; then EventChannelClosed is
// emitted. The number is free when the program has processed that event: see ChannelDelivered.
// The error is ErrUnknown if there is no such channel or it is ending already,
// session.ErrFixed if it is a channel of the first table or the peer does not support it, or
// ErrClosed.
func (s *Session) CloseChannel(now time.Time, id channel.ID) error {
	l := &s.lives
	switch {
	case s.closing.begun:
		return channel.ErrClosed
	case id == channel.Control || int(id) >= len(l.state):
		return channel.ErrUnknown
	case int(id) <= l.fixed || !l.closes:
		return session.ErrFixed
	case l.state[id] != channelOpen:
		return channel.ErrUnknown
	}
	l.state[id] = channelEnding
	l.ending++
	s.mux.StopSending(id)
	s.takeEvents(now)
	return nil
}

// endChannels makes the next step of the channels that are ending and whose messages
// have their fates: it sends SHUT, or emits EventChannelClosed if the peer has sent SHUT.
// take calls it when it has emitted those fates.
func (s *Session) endChannels(now time.Time) {
	l := &s.lives
	if l.ending == 0 || s.state != Open {
		return
	}
	for i := range l.state {
		id, st := channel.ID(i), l.state[i]
		if st != channelEnding && st != channelShutReceived || !s.mux.Settled(id) {
			continue
		}
		if st == channelShutReceived {
			s.channelClosed(id, channelCloseEmitted)
		} else if !s.sendShut(now, id) {
			return // the queue is full: again when there is an acknowledgement
		} else {
			l.state[id] = channelShutSent
		}
		l.ending--
	}
}

func (s *Session) sendShut(now time.Time, id channel.ID) bool {
	_, err := s.sendControl(now, append(s.scratch[:0], typeShut, byte(id)), channel.Options{})
	return err == nil
}

func (s *Session) channelClosed(id channel.ID, to channelState) {
	s.lives.state[id] = to
	s.emit(Event{Type: EventChannelClosed, Channel: id})
}

// ChannelDelivered says that the program has processed the EventChannelClosed of a channel.
// The next Append makes the number free.
func (s *Session) ChannelDelivered(id channel.ID) {
	if st := s.lives.state[id]; st == channelCloseEmitted || st == channelDone {
		s.lives.gone |= 1 << id
	}
}

// removeChannels makes the numbers of closed channels free when ChannelDelivered was called
// for them: until then the table has the channels. Then it processes the OPENs that have
// waited for that.
func (s *Session) removeChannels(now time.Time) {
	l := &s.lives
	if l.gone == 0 {
		return
	}
	for i := range l.state {
		id := channel.ID(i)
		if l.gone&(1<<id) == 0 || l.state[id] == channelCloseEmitted && !s.sendShut(now, id) {
			continue
		}
		l.state[id] = noChannel
		l.gone &^= 1 << id
		s.mux.Remove(id)
	}
	held := l.held
	l.held = nil
	for i, line := range held {
		id, c, _ := s.parseOpen(line)
		if s.mustWait(id, c.Name) {
			l.held = held[i:] // and those after it, because OPENED answers in order
			return
		}
		if s.state == Open {
			s.addChannel(now, id, c)
		}
	}
}

// mustWait reports whether an OPEN of the peer must wait: the program has not processed the
// last events of a channel with the same number or name, which the peer may use again since
// it has received the SHUT of this end.
func (s *Session) mustWait(id channel.ID, name string) bool {
	return s.lives.state[id] == channelDone || s.lives.state[s.named(name)] == channelDone
}

// receives reports whether messages of the peer on a channel may arrive.
func (s *Session) receives(id channel.ID) bool {
	st := s.lives.state[id]
	return int(id) <= s.lives.fixed || st >= channelOpen && st <= channelShutSent
}

// receiveOpen processes an OPEN of the peer. If the OPEN must wait, those after it wait, too.
func (s *Session) receiveOpen(now time.Time, f *frame) {
	l := &s.lives
	id, c, ok := s.parseOpen(string(f.payload))
	if !ok || len(l.held) >= channel.MaxChannels {
		s.fail(now, session.CloseProtocolError, "a malformed OPEN")
		return
	}
	if len(l.held) > 0 || s.mustWait(id, c.Name) {
		l.held = append(l.held, string(f.payload))
		return
	}
	s.addChannel(now, id, c)
}

// parseOpen reads the line of an OPEN of the peer.
func (s *Session) parseOpen(line string) (channel.ID, channel.Channel, bool) {
	number, _, _ := strings.Cut(line, " ")
	n, _ := strconv.ParseUint(number, 10, 8)
	id := channel.ID(n)
	c, ok := channel.ParseChannel(line, id)
	first, last := s.lives.mine(!s.server)
	return id, c, ok && id >= first && id <= last
}

// named returns the number of the channel with a name that the peer has opened or that is
// of the first table, or 0. A channel that this end has opened may have the name, too: both
// ends have opened one at the same time.
func (s *Session) named(name string) channel.ID { return s.namedBy(!s.server, name) }

// Mine returns the number of the channel with a name that this end has opened or that is of
// the first table, or 0.
func (s *Session) Mine(name string) channel.ID { return s.namedBy(s.server, name) }

func (s *Session) namedBy(server bool, name string) channel.ID {
	first, last := s.lives.mine(server)
	cs := s.mux.Channels()
	for i := range cs {
		if id := channel.ID(i + 1); cs[i].Name == name && (i < s.lives.fixed || id >= first && id <= last) {
			return id
		}
	}
	return 0
}

// addChannel adds a channel that the peer has opened.
func (s *Session) addChannel(now time.Time, id channel.ID, c channel.Channel) {
	l := &s.lives
	switch {
	case l.state[id] != noChannel || s.server && c.QueueLimit > l.maxQueue:
		s.fail(now, session.CloseProtocolError, "a malformed OPEN")
		return
	case s.named(c.Name) != 0:
		s.fail(now, session.CloseProtocolError, "OPEN: the name is taken")
		return
	case !s.allow(now, channel.Control, len(c.Name)):
		return
	}
	if err := s.mux.Open(id, c, true); err != nil {
		s.fail(now, session.CloseProtocolError, "OPEN: "+err.Error())
		return
	}
	l.state[id] = channelOpen
	b := append(s.scratch[:0], typeOpened, byte(id))
	if _, err := s.sendControl(now, b, channel.Options{}); err != nil {
		s.fail(now, session.CloseLimitRequests, "there is no room to queue the answer to an OPEN")
		return
	}
	s.emit(Event{Type: EventChannel, Channel: id})
}

// receiveOpened processes an OPENED of the peer. They arrive in the order of the OPENs.
func (s *Session) receiveOpened(now time.Time, f *frame) {
	l := &s.lives
	if len(l.opening) == 0 || l.opening[0] != channel.ID(f.channel) {
		s.fail(now, session.CloseProtocolError, "an OPENED that answers no OPEN")
		return
	}
	l.opening = slices.Delete(l.opening, 0, 1)
	s.mux.Known(channel.ID(f.channel))
}

// receiveShut processes a SHUT of the peer.
func (s *Session) receiveShut(now time.Time, f *frame) {
	l := &s.lives
	id := channel.ID(f.channel)
	if int(id) >= len(l.state) || !l.closes || !s.receives(id) || int(id) <= l.fixed || slices.Contains(l.opening, id) {
		s.fail(now, session.CloseProtocolError, "a SHUT of a channel that is not open")
		return
	}
	s.mux.StopReceiving(id)
	switch l.state[id] {
	case channelShutSent:
		s.channelClosed(id, channelDone) // all fates were emitted before SHUT was sent
		return
	case channelOpen:
		s.mux.StopSending(id)
		l.ending++
	}
	l.state[id] = channelShutReceived
}
