package client

import (
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// OpenChannel adds a channel to the session and returns its number. The server limits how
// many channels a client may have opened at a time, and their QueueLimit:
// godwit.Config.MaxClientChannels and MaxClientQueue. Messages on the channel wait in its
// queue until the server has acknowledged the channel, which takes one round trip. The
// channel exists until CloseChannel is called or the session ends, also after the session
// has resumed. The errors are ErrFixed, ErrClosed and ErrBudget of package
// session, and a [*channel.TableError] if the table would not be valid or the server's limits
// are exceeded.
func (s *Session) OpenChannel(ch channel.Channel) (channel.ID, error) {
	s.endpoint.loop.Lock()
	defer s.release()
	if s.state.over() {
		return 0, session.ErrClosed
	}
	return s.session.OpenChannel(time.Now(), ch)
}

// CloseChannel closes a channel that either end has opened at run time. From now on Send
// returns session.ErrUnknown for it. The messages that wait in its queue are sent, and
// those that the server has sent arrive. When both ends have nothing more to send,
// SessionHandler.ChannelClosed is called; receipts of messages of the channel come
// before. Then the number is free, for another channel later. CloseChannel does not wait.
// The errors are those of package session: ErrUnknown if there is no such channel or it
// is being closed, ErrFixed, and ErrClosed.
func (s *Session) CloseChannel(ch channel.ID) error {
	s.endpoint.loop.Lock()
	defer s.release()
	if s.state.over() {
		return session.ErrClosed
	}
	return s.session.CloseChannel(time.Now(), ch)
}

// Channels returns the session's table, including the channels that were opened at run
// time. An element with an empty Name is a number that no channel has. Do not change the
// table.
func (s *Session) Channels() channel.Channels {
	s.endpoint.loop.Lock()
	defer s.endpoint.loop.Unlock()
	return s.session.Mux().Channels()
}

// SendNamed is SendWith for the session's channel with a name.
func (s *Session) SendNamed(name string, b []byte, o channel.Options) (channel.MessageID, error) {
	return s.send(0, name, b, nil, o) // 0 for a name that is empty, which is ErrUnknown
}
