package channel

import (
	"errors"
	"fmt"
	"strings"

	"github.com/godwit-rtc/godwit/internal/closed"
)

// Errors of [Mux.Send].
var (
	// ErrUnknown: the table has no such channel. Use an ID of Channels.ID.
	ErrUnknown = errors.New("channel: no such channel in the table; look the ID up with Channels.ID")
	// ErrDirection: only the peer may send on the channel.
	ErrDirection = errors.New("channel: the table lets only the other end send on this channel; set its Direction to Both")
	// ErrTooLarge: the message is larger than the channel's MaxMessage.
	ErrTooLarge = errors.New("channel: message exceeds the channel's MaxMessage; raise it at both ends or split the message")
	// ErrBudget: the queue of the reliable channel is full. Send less, or send later.
	ErrBudget = errors.New("channel: the reliable queue is full; send again after acknowledgements, or raise QueueLimit at both ends")
	// ErrExpired: the deadline of the message has passed.
	ErrExpired = errors.New("channel: the message's deadline has passed; nothing was queued")
	// ErrClosed: Close was called, or the peer has closed.
	ErrClosed = closed.Err
)

// A TableError says what is wrong with a table of channels, or how two tables differ. In
// the first case Problem is set, in the second case Ours and Theirs.
type TableError struct {
	Channel string // name of the channel, or its place such as "#3" if it has no name
	Field   string // name of the field that is wrong or differs
	Ours    string // value at this end
	Theirs  string // value at the other end
	Problem string // what is wrong with the table
	Schema  bool   // Field is a path in the schemas, which differ; this end is the client
}

func (e *TableError) Error() string {
	if e.Problem != "" {
		return fmt.Sprintf("channel: bad table: channel %q: %s: %s", e.Channel, e.Field, e.Problem)
	}
	if e.Schema {
		path := strings.Trim(e.Channel+"."+e.Field, ".")
		return fmt.Sprintf("channel: the ends' messages differ: %s: server %s, client %s; use the same generated code at both ends", path, e.Theirs, e.Ours)
	}
	return fmt.Sprintf("channel: the ends' tables differ: channel %q: %s is %s here and %s there", e.Channel, e.Field, e.Ours, e.Theirs)
}
