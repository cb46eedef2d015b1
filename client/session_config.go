package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/session"
)

// SessionConfig configures a session.
type SessionConfig struct {
	// Channels is the table, the same at both ends; at most 63 channels. Do not change the
	// slice after Connect or Join.
	Channels channel.Channels

	// Schema is the same as the server's Config.Schema. Package typed sets it; empty means that
	// requests and the connect message are bytes.
	Schema string

	// Handler is the set of funcs that are called for the session's events. A nil func
	// is not called.
	Handler SessionHandler

	// Version is the version of the program. A server whose Config.Version is set refuses
	// a client with another version.
	Version string

	// Token returns the token for a new session; it is not called to resume a session. Nil
	// means no token. The goroutine that calls Connect or Join calls Token, with Retry once
	// for each attempt. With Renew, a goroutine of the session calls it for each new session,
	// with a context that ends after 10 s. Token may wait.
	Token func(context.Context) (string, error)

	// Invite, if not nil, returns an invite for a new session, in place of a request to the url of
	// Connect or Join: the session needs no web server. An invite is good once, so Invite is called for each
	// attempt, as Token is. Token is not called then. The url may be empty; if it is not, the session
	// resumes with requests to it where it cannot resume without one.
	Invite func(context.Context) (auth.Invite, error)

	// Seat, if not nil, returns the place of a new session, for example from the front of a fleet: the url of
	// Connect or Join may be empty, and Token and Invite are not called. It is called for each attempt, as Token
	// is. The session resumes at the URL of its seat where it cannot resume without a request.
	Seat func(context.Context) (auth.Seat, error)

	// Gone, if not nil, is asked every second while the session is interrupted whether its server is gone
	// for good, for example at the front of a fleet. It gets the seat of the session, which is empty if the session has
	// none. If it returns true the session ends at once with
	// session.CloseTimeout, and not only when it has been interrupted for the server's grace time. With Renew a
	// new session follows. An error means that it does not know. A goroutine of the session calls Gone, with a
	// context that ends after 3 s.
	Gone func(context.Context, auth.Seat) (bool, error)

	// Hello is the connect message, at most 1024 bytes. The server's program gets it in
	// its Open handler. With Renew do not change the slice while the session exists.
	Hello []byte

	// Links are the links that the session may use, in order of preference:
	// session.LinkWebRTC, session.LinkWebTransport and session.LinkWebSocket. Nil means these, in
	// this order, without WebTransport if Config.WebTransport is nil. WebRTC is tried at once,
	// and the others beside it if the server offers them and WebRTC is not open 0.5 s after the
	// HTTP request began, or three times the time of that request if that is longer; twice as
	// late if datagrams of the server arrive. The endpoint does not wait for WebRTC if the
	// session has lost its link or prefers the WebSocket, or if another link has won at the same
	// server in the last hour. The first link that opens carries the session, and WebRTC takes
	// it over if it opens later. While the session is on another link it tries WebRTC again,
	// after 30 s at first, then after twice as long each time, up to 10 minutes; with
	// NoReconnect it does not. If WebRTC interrupts the session within 30 s after such a move,
	// the session is on the WebSocket again, and the times get longer.
	Links []string

	// Renew begins a new session, with another number, when an open session has ended
	// because nothing arrived from the server for too long, because the server does not
	// know the session any more, because the server was shut down, or because it has moved the
	// session to another server (session.CloseMoved): there the new session begins, at once. If
	// that fails twice, or the servers have moved the session more than 4 times in a row
	// and each of the sessions was open for less than 30 s, the new session begins like the first one. Then
	// Handler.Renewing is called in place of Handler.Close, and Handler.Open when the new
	// session is open. Until then calls such as Send return session.ErrClosed.
	// Handler.Close is called after Session.Close, after a final refusal of the server,
	// and if the session ends for another reason, for example expired credentials (code
	// 4). In the last case the program may begin a new session with fresh credentials.
	Renew bool

	// RenewAfter are the codes after which Renew begins a new session. Nil means
	// session.CloseTimeout, session.CloseShutdown and session.CloseMoved. A session that this end has closed is
	// not renewed. Without Renew, RenewAfter has no effect.
	RenewAfter []session.CloseCode

	// Retry means that Connect and Join try again after an attempt that has failed, until
	// their context is done or the server has refused for a reason that will not change.
	// An attempt may take 10 s. The first wait is up to 0.5 s, and the waits double up to
	// 10 s. If the server's Retry-After is longer, of which at most 60 s count, a wait is
	// that time and up to half of it more.
	Retry bool

	// NoReconnect means that an interrupted session makes no new link. It still resumes if
	// packets arrive on its old link.
	NoReconnect bool

	// DrainTimeout is how long the session stays after Close to deliver its reliable
	// messages. Zero means 10 s; negative means that the session ends at once. The session
	// also ends when nothing arrives from the server for 3 s, or for 2 s and three round trips
	// if that is longer, and at once without a link.
	DrainTimeout time.Duration

	// Rate, Floor and Ceiling are rates at which the client sends, in bytes per second: the
	// first rate, the lowest and the highest. Between Floor and Ceiling the rate depends on
	// the network. Zero means 64 KiB, 8 KiB and 256 KiB. A negative Ceiling means no limit.
	// With the default Ceiling, 3 MiB take 12 s on every network. Waits of [session.Stats]
	// says whether messages wait because of the Ceiling. The server's Config.Limits limit
	// what the server accepts: 1 MiB/s by default.
	Rate, Floor, Ceiling int

	// Limits limit what the server may send. At a client, zero Messages and zero Bytes
	// mean no limit; zero Requests means 64. Negative means no limit.
	Limits session.Limits

	// User is the first value of Session.User.
	User any
}

// A SessionHandler is the set of funcs that are called for the events of a session. The
// endpoint's goroutine calls them one at a time, in the order that package godwit
// documents.
type SessionHandler struct {
	Open          func(*Session)                                  // the session is open
	Message       func(*Session, channel.ID, []byte)              // a message of the server; the bytes are valid until the func returns
	Request       func(*Session, *session.Request)                // a request of the server
	Receipt       func(*Session, channel.MessageID, channel.Fate) // the fate of a message that was sent with Options.Receipt
	Channel       func(*Session, channel.ID)                      // the server has opened a channel; see Session.Channels
	ChannelClosed func(*Session, channel.ID)                      // a channel that was opened at run time is closed at both ends; the last call for its number
	Room          func(*Session, channel.ID)                      // there is room for a message that was refused with session.ErrBudget, as godwit.Handler.Room says
	Interrupted   func(*Session)                                  // nothing arrives from the server for 3 s, or for 2 s and three round trips if that is longer, or the link has closed; unless NoReconnect is set, the session connects again
	Resumed       func(*Session)                                  // packets of the server arrive again
	Renewing      func(*Session, session.CloseReason)             // the session is over, and a new one will begin
	Close         func(*Session, session.CloseReason)             // the session is over; the last call
}

// A SessionError says why a session ended before it was open.
type SessionError struct {
	Why session.CloseReason
	Err error // a *CloseError if the session ended because its connection ended; else nil
}

func (e *SessionError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("client: the session is not open, because its connection ended: %v", e.Err)
	}
	return fmt.Sprintf("client: the session is not open: %v", e.Why)
}

func (e *SessionError) Unwrap() error { return e.Err }

// setDefaults returns an error that names a field that is wrong.
func (c *SessionConfig) setDefaults() error {
	if c.Rate < 0 || c.Floor < 0 {
		return errors.New("client: SessionConfig.Rate or Floor is negative: use zero for the default, or bytes per second")
	}
	if c.Links == nil {
		c.Links = []string{session.LinkWebRTC, session.LinkWebSocket}
	}
	if len(c.Links) == 0 {
		return errors.New("client: SessionConfig.Links is empty: use nil for all links")
	}
	for _, name := range c.Links {
		if name != session.LinkWebRTC && name != session.LinkWebSocket && name != session.LinkWebTransport {
			return fmt.Errorf("client: SessionConfig.Links has %q, but must have session.LinkWebRTC, LinkWebTransport or LinkWebSocket", name)
		}
	}
	return nil
}

// renewable reports whether a new session may follow one that ended with r.
func (c *SessionConfig) renewable(r session.CloseReason) bool {
	if c.RenewAfter == nil {
		return r.Code == session.CloseTimeout || r.Code == session.CloseShutdown || r.Code == session.CloseMoved
	}
	return slices.Contains(c.RenewAfter, r.Code)
}

func (c *SessionConfig) session() sessioncore.Config {
	l := c.Limits
	for _, n := range []*int{&l.Messages, &l.Bytes} {
		if *n == 0 {
			*n = -1
		}
	}
	return sessioncore.Config{
		Channel:      channel.Config{Channels: c.Channels, Rate: c.Rate, Floor: c.Floor, Ceiling: c.Ceiling},
		Hello:        c.Hello,
		DrainTimeout: c.DrainTimeout,
		Limits:       l,
	}
}
