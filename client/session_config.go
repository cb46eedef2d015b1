package client

import (
	"context"
	"fmt"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/session"
)

// SessionConfig says how a session is. Its Channels must be the server's.
type SessionConfig struct {
	// Channels is the table, the same at both ends.
	Channels channel.Channels

	// Handler is told what happens. Nil funcs are ignored.
	Handler SessionHandler

	// Version is the program's own, which the server compares with its.
	Version string

	// Token returns the credentials for a new session. It is not asked for a session
	// that is resumed. Nil means none.
	Token func(context.Context) (string, error)

	// Hello is the connect message, at most 1024 bytes.
	Hello []byte

	// NoReconnect leaves a session interrupted whose server is not heard.
	NoReconnect bool

	// Limits bound what the server may send. Negative values mean no limit, which
	// is the default here.
	Limits session.Limits

	// User becomes the session's, before any handler is called for it.
	User any
}

// A SessionHandler is told what happens in a session. Its funcs are called one at a
// time, in the order that package godwit documents.
type SessionHandler struct {
	Open        func(*Session)
	Message     func(*Session, channel.ID, []byte) // the bytes are valid until it returns
	Request     func(*Session, *Request)           // the server wants an answer
	Receipt     func(*Session, channel.MessageID, channel.Fate)
	Interrupted func(*Session) // the server is not heard; a new link is tried for
	Resumed     func(*Session) // it is heard again
	Close       func(*Session, CloseReason)
}

// A CloseReasonCode tells why a session ended; see the codes of package godwit.
type CloseReasonCode = session.Code

// A CloseReason tells why a session ended.
type CloseReason struct {
	Code   CloseReasonCode
	Text   string
	Remote bool // the server ended it
}

// String returns the reason for the log.
func (r CloseReason) String() string {
	who := "closed here"
	if r.Remote {
		who = "closed by the server"
	}
	return fmt.Sprintf("%s: %v: %s", who, r.Code, r.Text)
}

func (c *SessionConfig) session() session.Config {
	l := c.Limits
	for _, n := range []*int{&l.Messages, &l.Bytes} {
		if *n == 0 {
			*n = -1
		}
	}
	return session.Config{
		Channel: channel.Config{Channels: c.Channels},
		Hello:   c.Hello,
		Limits:  l,
	}
}
