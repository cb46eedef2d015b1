package session

import (
	"context"
	"strconv"

	"github.com/godwit-rtc/godwit/channel"
)

// An End is one end of a session: what code needs that works at the server's end and at the
// client's. *godwit.Conn and *client.Session are Ends; both have more methods, and their
// documentation says what differs. The methods may be called from any goroutine, in handlers,
// and after the session is over.
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

	// Send queues a copy of b as a message on a channel of the table. It does not wait. If
	// it returns an error, nothing was queued.
	Send(ch channel.ID, b []byte) error
	// SendWith is Send with options. The MessageID is the number that a receipt has.
	SendWith(ch channel.ID, b []byte, o channel.Options) (channel.MessageID, error)
	// Ask sends a request and does not wait for the answer: done gets it.
	Ask(name string, b []byte, done func(Result)) (RequestID, error)
	// Request sends a request and waits for the bytes of the answer. In a handler it returns
	// ErrInHandler.
	Request(ctx context.Context, name string, b []byte) ([]byte, error)

	// Close ends the session, after its reliable messages have been delivered. It does not
	// wait.
	Close(code CloseCode, text string)
	// Stats returns the figures as they are now.
	Stats() Stats
}

// An ID is the number of a session. It is random, so sessions of different servers have
// different numbers.
type ID uint64

// String returns the id as 16 hexadecimal digits.
func (id ID) String() string {
	s := strconv.FormatUint(uint64(id), 16)
	return "0000000000000000"[len(s):] + s
}
