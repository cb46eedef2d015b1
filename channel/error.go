package channel

import (
	"errors"
	"fmt"
)

// Errors of [Mux.Send]. Each says what to do next.
var (
	// ErrUnknown: the table has no such channel. Use an ID of Channels.ID.
	ErrUnknown = errors.New("channel: no such channel in the table; look the ID up with Channels.ID")
	// ErrDirection: the channel goes the other way only.
	ErrDirection = errors.New("channel: the table lets only the other end send on this channel; set its Direction to Both")
	// ErrTooLarge: the message exceeds the channel's MaxMessage.
	ErrTooLarge = errors.New("channel: message exceeds the channel's MaxMessage; raise it at both ends or split the message")
	// ErrBudget: a reliable channel's queue is full. Nothing was queued.
	ErrBudget = errors.New("channel: the reliable queue is full; send again after acknowledgements, or raise QueueLimit at both ends")
	// ErrExpired: the message's deadline has passed already.
	ErrExpired = errors.New("channel: the message's deadline has passed; nothing was queued")
	// ErrClosed: Close was called, or the peer has closed.
	ErrClosed = errors.New("channel: closed; connect again")
)

// A TableError says what is wrong with a table of channels, or in what two tables
// differ.
type TableError struct {
	Channel string // its name, or "#3" if it has none
	Field   string // which field of it
	Ours    string // its value here; empty when one table alone is wrong
	Theirs  string // its value at the other end
	Problem string // why a table alone is wrong
}

func (e *TableError) Error() string {
	if e.Problem != "" {
		return fmt.Sprintf("channel: bad table: channel %q: %s: %s", e.Channel, e.Field, e.Problem)
	}
	return fmt.Sprintf("channel: the ends' tables differ: channel %q: %s is %s here and %s there", e.Channel, e.Field, e.Ours, e.Theirs)
}
