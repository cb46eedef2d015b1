package client

import (
	"context"
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/session"
)

// SessionConfig configures a session.
type SessionConfig struct {
	// Channels is the table, the same at both ends.
	Channels channel.Channels

	// Handler is told what happens. Nil funcs are ignored.
	Handler SessionHandler

	// Version is the program's own, which the server compares with its.
	Version string

	// Token returns the credentials for a new session. It is not asked for a session
	// that is resumed. Nil means none. It is called from the goroutine of Connect or
	// Join, and with Renew from one of the session's own; it may wait.
	Token func(context.Context) (string, error)

	// Hello is the connect message, at most 1024 bytes.
	Hello []byte

	// Renew begins a new session by itself, with another number, when one that was
	// open is over because the server was not heard for too long, has forgotten it, or
	// was shut down. Handler.Renewing is called in place of Close, and Open again.
	// Close is called when Session.Close was, or the server refuses for good, or ends
	// the session for another reason, such as credentials that have expired (code 4):
	// the program begins a new session then, with fresh ones.
	Renew bool

	// NoReconnect disables reconnecting: an interrupted session does not try a new link.
	NoReconnect bool

	// DrainTimeout is how long Close waits until what was sent reliably is delivered.
	// Zero means 10 s, negative not at all. It waits no longer when nothing is heard of
	// the server for 3 s.
	DrainTimeout time.Duration

	// Rate, Floor and Ceiling bound the bytes per second that are sent: at first, at
	// least, at most. In between the network decides. Zero means 64 KiB, 8 KiB and
	// 256 KiB; a negative Ceiling means no limit. With the default Ceiling 3 MiB in
	// bulk take 12 s on any network. SessionStats.Waits tells whether it is what
	// messages wait for. The server's Limits bound what it takes: 1 MiB/s unless set.
	Rate, Floor, Ceiling int

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
	Channel     func(*Session, channel.ID)  // the server has opened one more; see Session.Channels
	Interrupted func(*Session)              // the server is not heard; a new link is tried for
	Resumed     func(*Session)              // it is heard again
	Renewing    func(*Session, CloseReason) // it is over, and a new one is tried for
	Close       func(*Session, CloseReason) // it is over; the last call
}

// A CloseReasonCode tells why a session ended; see the codes of package godwit.
type CloseReasonCode = session.Code

// A CloseReason tells why a session ended.
type CloseReason struct {
	Code   CloseReasonCode
	Text   string
	Remote bool // the server ended it

	// Bytes of reliable messages that the end of the session gave up: the client's,
	// which the server has not acknowledged, and the server's, as far as it has said so.
	LostOut, LostIn uint64
}

// String returns the reason for the log.
func (r CloseReason) String() string {
	who := "closed here"
	if r.Remote {
		who = "closed by the server"
	}
	return fmt.Sprintf("%s: %v: %s", who, r.Code, r.Text)
}

// A SessionError tells why a session ended before it was open.
type SessionError struct {
	Why CloseReason
	Err error // a *CloseError if the connection ended, or nil
}

func (e *SessionError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("client: the session is not open, because its connection ended: %v", e.Err)
	}
	return fmt.Sprintf("client: the session is not open: %v", e.Why)
}

func (e *SessionError) Unwrap() error { return e.Err }

func (c *SessionConfig) session() session.Config {
	l := c.Limits
	for _, n := range []*int{&l.Messages, &l.Bytes} {
		if *n == 0 {
			*n = -1
		}
	}
	return session.Config{
		Channel:      channel.Config{Channels: c.Channels, Rate: c.Rate, Floor: c.Floor, Ceiling: c.Ceiling},
		Hello:        c.Hello,
		DrainTimeout: c.DrainTimeout,
		Limits:       l,
	}
}
