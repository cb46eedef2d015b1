package session

import (
	"context"
	"strconv"

	"github.com/godwit-rtc/godwit/channel"
)

// An End is one end of a session: what a program can do at the server's end and at the
// client's. *godwit.Conn and *client.Session are Ends; their documentation says what
// differs. The methods may be called from any goroutine and after the session is over. All
// except Request may be called in handlers.
type End interface {
	// ID returns the number of the session, the same at both ends. At the client's end it
	// is zero until the session is open.
	ID() ID
	// State returns the state of the session.
	State() State
	// Done returns a channel that is closed when the session is over and the last handler
	// has returned. In a handler of the session it is not closed yet.
	Done() <-chan struct{}
	// Channels returns the session's table, including the channels that were opened at run
	// time. An element with an empty Name is a number that no channel has. Do not change it.
	Channels() channel.Channels
	// Channel returns the number of the session's channel with a name, and false if there
	// is none.
	Channel(name string) (channel.ID, bool)
	// OpenChannel adds a channel to the session and returns its number.
	OpenChannel(ch channel.Channel) (channel.ID, error)
	// CloseChannel closes a channel that either end has opened with OpenChannel, after its
	// messages have been delivered. It does not wait.
	CloseChannel(ch channel.ID) error

	// Send queues a copy of b as a message on a channel of the table. It does not wait. If
	// it returns an error, nothing was queued.
	Send(ch channel.ID, b []byte) error
	// SendWith is Send with options. The MessageID is the number that a receipt has.
	SendWith(ch channel.ID, b []byte, o channel.Options) (channel.MessageID, error)
	// SendNamed is SendWith for the session's channel with a name.
	SendNamed(name string, b []byte, o channel.Options) (channel.MessageID, error)
	// Free returns the size in bytes of the largest message for which a channel has room
	// now, or -1.
	Free(ch channel.ID) int

	// Ask sends a request and does not wait for the answer: done gets it.
	Ask(name string, b []byte, done func(Result)) (RequestID, error)
	// Status returns the status of a request of this end that has no final status yet, and
	// false if there is no such request.
	Status(id RequestID) (Status, bool)
	// Request sends a request and waits for the answer. In a handler it returns
	// ErrInHandler.
	Request(ctx context.Context, name string, b []byte) ([]byte, error)

	// Close ends the session, after its reliable messages have been delivered. It does not
	// wait.
	Close(code CloseCode, text string)

	// Stats returns the figures as they are now.
	Stats() Stats
	// ChannelStats returns the figures of one channel as they are now.
	ChannelStats(ch channel.ID) channel.ChannelStats
}

// An ID is the number of a session. It is random, so sessions of different servers have
// different numbers.
type ID uint64

// String returns the id as 16 hexadecimal digits.
func (id ID) String() string {
	s := strconv.FormatUint(uint64(id), 16)
	return "0000000000000000"[len(s):] + s
}
