package sessioncore

import (
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// OpenChannel adds a channel to the end of the session's table, sends an OPEN to the
// client, and returns the number of the channel. Messages on the channel wait until the
// client has answered with OPENED, because a packet with a message might overtake the
// OPEN. The error is ErrFixed, ErrClosed, ErrBudget or a *channel.TableError.
func (s *Session) OpenChannel(now time.Time, c channel.Channel) (channel.ID, error) {
	switch {
	case s.closing.begun:
		return 0, channel.ErrClosed
	case s.state != Open || s.takes&takesOpen == 0:
		return 0, session.ErrFixed
	}
	table := append(s.mux.Channels()[:len(s.mux.Channels()):len(s.mux.Channels())], c)
	if err := table.Validate(); err != nil {
		return 0, err
	}
	line := channel.Channel.AppendLine
	if s.takes&takesSending != 0 {
		line = channel.Channel.AppendOpenLine
	}
	b := line(c, append(s.scratch[:0], typeOpen), channel.ID(len(table)))
	if _, err := s.say(now, b, channel.Options{}); err != nil {
		return 0, err
	}
	return s.mux.Open(c, false)
}

// opened processes an OPEN of the server.
func (s *Session) opened(now time.Time, f *frame) {
	next := channel.ID(len(s.mux.Channels()) + 1)
	c, ok := channel.ParseChannel(string(f.payload), next)
	if s.server || !ok {
		s.fail(now, session.CloseProtocolError, "a malformed OPEN")
		return
	}
	if _, err := s.mux.Open(c, true); err != nil {
		s.fail(now, session.CloseProtocolError, "OPEN: "+err.Error())
		return
	}
	b := append(s.scratch[:0], typeOpened, byte(next))
	if _, err := s.say(now, b, channel.Options{}); err != nil {
		s.fail(now, session.CloseLimitRequests, "there is no room to queue the answer to an OPEN")
		return
	}
	s.emit(Event{Type: EventChannel, Channel: next})
}

// channelKnown processes an OPENED of the client. They arrive in the order of the channels.
func (s *Session) channelKnown(now time.Time, f *frame) {
	if !s.server || int(f.channel) != s.known+1 || s.known == len(s.mux.Channels()) {
		s.fail(now, session.CloseProtocolError, "an OPENED that answers no OPEN")
		return
	}
	s.known++
	s.mux.Known(channel.ID(f.channel))
}
