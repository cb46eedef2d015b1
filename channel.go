package godwit

import "time"

// OpenChannel adds a channel to this session and returns its number. Either end may call
// it; a client can have Config.MaxClientChannels such channels at a time. The other end
// gets the event of the new channel before any message on it: Handler.Channel or
// client.SessionHandler.Channel is called or, in a browser, the event "channel" is fired.
// Messages on the channel wait in its queue until the other end has acknowledged the
// channel, which takes one round trip. The channel exists until CloseChannel is called or
// the session ends, also after the session has resumed. In another session the same
// number may belong to another channel: to send to many sessions use the name of the
// channel, as Group.SendNamed does. The errors are ErrFixed, ErrClosed and ErrBudget of
// package session, and a [*channel.TableError] if the table would not be valid: it has at
// most 63 channels at a time, and their names differ. At a client the error is a
// TableError, too, if the server's MaxClientChannels or MaxClientQueue is exceeded.
func (c *Conn) OpenChannel(ch Channel) (ChannelID, error) {
	a := c.acquire()
	id, err := c.session.OpenChannel(time.Now(), ch)
	c.release(a)
	return id, err
}

// CloseChannel closes a channel that either end has opened with OpenChannel. From now on
// Send returns session.ErrUnknown for it. The messages that wait in its queue are sent,
// and those that the other end has sent arrive. When both ends have nothing more to send,
// Handler.ChannelClosed is called at both ends; receipts of messages of the channel come
// before. Then the number is free, for another channel later. Messages of unreliable and
// sequenced channels that arrive after that are dropped. CloseChannel does not wait. The
// errors are those of package session: ErrUnknown if there is no such channel or it is
// being closed, ErrFixed, and ErrClosed.
func (c *Conn) CloseChannel(ch ChannelID) error {
	a := c.acquire()
	err := c.session.CloseChannel(time.Now(), ch)
	c.release(a)
	return err
}

// Channels returns the session's table, including the channels that were opened with
// OpenChannel. Its method ID finds a channel by its name. An element with an empty Name is a
// number that no channel has. Do not change the table.
func (c *Conn) Channels() Channels {
	a := c.acquire()
	defer c.release(a)
	return c.session.Mux().Channels()
}

// SendNamed is SendWith for the session's channel with a name.
func (c *Conn) SendNamed(name string, b []byte, o Options) (MessageID, error) {
	return c.send(0, name, b, nil, o) // 0 for a name that is empty, which is ErrUnknown
}
