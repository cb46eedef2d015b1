package godwit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/enum"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Channels is the table of channels, the same at both ends: at most 63.
type Channels = channel.Channels

// A Channel is one line of the table. These fields must be the same at both ends: Name,
// Mode, Direction, MaxMessage (bytes; zero means 256 KiB if the Mode is reliable, else
// 16 KiB) and QueueLimit (bytes that may wait; zero means 1 MiB if reliable, else
// 64 KiB, but always enough for one message of MaxMessage). The other fields say how
// this end sends: Priority (0, sent first, to 7), Guarantee (bytes per second), Weight
// and Copies. Priorities are strict: while channels with lower numbers use the whole
// rate, a channel without a Guarantee sends nothing. [channel.Channel] has the details.
type Channel = channel.Channel

// A ChannelID is the number of a channel: its place in the table. The first is 1.
type ChannelID = channel.ID

// The modes of a channel.
const (
	Unreliable        = channel.Unreliable
	Sequenced         = channel.Sequenced
	ReliableUnordered = channel.ReliableUnordered
	ReliableOrdered   = channel.ReliableOrdered
)

// The directions of a channel.
const (
	Both     = channel.Both
	ToServer = channel.ToServer
	ToClient = channel.ToClient
)

// Config configures a server. The zero value is a working server without channels that
// accepts every client. Listen, Serve and New copy the Config; later changes have no
// effect.
type Config struct {
	// Channels is the table, the same at both ends. The server refuses a client whose
	// table differs; the client's error names the first difference. At most 63 channels.
	Channels Channels

	// Schema says what the bytes of requests and of the connect message are, as
	// Channel.Schema does for messages. It belongs to the table: the server refuses a client
	// with another Schema. Package typed sets it; empty means bytes.
	Schema string

	// Handler is the set of funcs that the server calls for events. A nil func is not
	// called.
	Handler Handler

	// Version is the version of the program, at most 64 bytes. The server refuses a
	// client that sends another version or none. A page sends its version with the
	// option "app", a native client with client.SessionConfig.Version. Empty means that the
	// server accepts every version.
	Version string

	// Secret, if not empty, is the token that every client of a new session must send. It
	// is for tests and closed groups: a page that anyone can load cannot keep a secret.
	Secret string

	// Tokens, if not nil, verifies the JSON Web Token that every client of a new session
	// must send. The subject of the token becomes Identity.Name. A token can be used once,
	// unless Tokens.Reusable is set.
	Tokens *auth.Verifier

	// ExpireWithToken ends a session with session.CloseAuth when the token that began it
	// expires: at the token's "exp" plus the verifier's Skew. Conn.Renew changes this
	// time. Without ExpireWithToken the server checks the token only when the session
	// begins: the session may continue and resume after the token has expired.
	ExpireWithToken bool

	// MaxUsedTokens limits the number of used tokens that the server remembers. It
	// remembers each until the token expires. Zero means 65,536. At the limit the server
	// refuses every client with a token that it would have to remember, with the status
	// 503.
	MaxUsedTokens int

	// Spend, if not nil, remembers used tokens in place of the server, so that several
	// servers can share one memory of used tokens. It must remember id until the given
	// time. It returns nil for a new id, auth.ErrReplayed for an id that it remembers,
	// and another error if it cannot know. If there is an error the server refuses the
	// client: with the status 401 for an *auth.Error, with the status of a
	// *rtcserver.StatusError, and with 503 and the error's text for any other error and
	// for auth.ErrBusy, so that clients try again. ctx is the context of the HTTP request;
	// the goroutine of that request calls Spend.
	Spend func(ctx context.Context, id string, until time.Time) error

	// Authorize, if not nil, returns the Identity of the client that makes a request.
	// Identity.Expires is the time at which the session ends. If Authorize returns an
	// error, the server refuses the client: with the status 401 for an *auth.Error, with
	// the status of a *rtcserver.StatusError, and with 403 and the error's text for any
	// other error. The request is unchanged. Token returns the client's token from its
	// header "Authorization: Bearer" or, behind a proxy with its own login,
	// "Godwit-Authorization: Bearer". The goroutine of the HTTP request calls Authorize.
	// Authorize is not called when a session resumes. At most one of Secret, Tokens and
	// Authorize may be set.
	Authorize func(*http.Request) (Identity, error)

	// Invites is the key of invites. A client with an invite connects without a request: the server
	// needs no TCP port, no domain and no TLS certificate. Authorize, Secret and Tokens do not apply to it:
	// whoever has the key decides who may connect, under which name. Spend and MaxUsedTokens remember
	// used invites, too; Spend gets "invite-" and the number of the invite, and a context that ends after 4 s
	// or at Shutdown, on a goroutine of the server. Nil means that there are no invites.
	Invites *auth.InviteKey

	// KeyFile, if not empty, is the name of a file with the certificate and the key of invites, which
	// are used if RTC.Certificate and Invites are nil. If there is no such file the server makes both and
	// writes the file, which only its owner can read. With it, invites are good after a restart. See
	// LoadKeys.
	KeyFile string

	// NoDirect means that a client needs a request for each link. Without NoDirect a client
	// resumes its session without one: the server tells it the credentials of its next link. There are
	// no invites with NoDirect.
	NoDirect bool

	// Duplicates says what the server does when a client connects with the Identity.Name
	// of an open session. Zero means DuplicatesAllow.
	Duplicates Duplicates

	// MaxConns limits the number of sessions, including interrupted ones and those that
	// are not open yet. Zero means 4096. The server refuses one more client with the
	// status 503; the client may use its token again.
	MaxConns int

	// AdmitFull, if not nil, is called for a new client when the server has MaxConns
	// sessions. If it returns true the server accepts the client. ctx is the context of the
	// HTTP request; the goroutine of that request calls AdmitFull.
	AdmitFull func(ctx context.Context, id Identity) bool

	// Admit, if not nil, is called for each new client after its credentials are checked and
	// before they are spent. An error refuses the client: with the status of a
	// *rtcserver.StatusError, and with 403 and the error's text otherwise. ctx and the goroutine are
	// those of Spend, and Admit may wait. Admit is not called when a session resumes, and not for Local.
	Admit func(ctx context.Context, id Identity) error

	// Grace is how long a session may be interrupted before it ends with
	// session.CloseTimeout. Zero means 30 s; negative means that an interruption ends the
	// session. While more than MaxConns/2 sessions are interrupted, each further
	// interruption ends the session that has been interrupted for the longest time, if
	// that is at least 5 s.
	Grace time.Duration

	// Silence is the time without a packet of the client after which the session is
	// interrupted. Zero means 10 s. An idle client sends a ping every 2 s.
	Silence time.Duration

	// OpenTimeout is the time after the opening of the link in which the client's first
	// message must arrive, which opens the session. Zero means 5 s.
	OpenTimeout time.Duration

	// DrainTimeout is how long a session stays after Conn.Close to deliver its reliable
	// messages. Zero means 10 s; negative means that the session ends at once. The session
	// also ends when nothing arrives from the client for Silence. It limits Conn.Move, too, to
	// 3 s at least. Server.Shutdown does not use DrainTimeout: its context limits the time.
	DrainTimeout time.Duration

	// Limits limit what each client may send.
	Limits Limits

	// MaxClientChannels limits the channels that each client has opened with
	// client.Session.OpenChannel and that are open at the same time. Zero means that
	// clients open none. MaxClientChannels and Channels together are at most 63; the server
	// can open the rest. MaxClientQueue is the largest QueueLimit of such a channel in
	// bytes. Zero means 1 MiB; 64 MiB is the limit. A client can make the server hold that
	// number of bytes for each of its channels.
	MaxClientChannels, MaxClientQueue int

	// MaxRequests limits the number of this end's requests that one client has not
	// answered. Zero means 1024. For one more, Conn.Ask and Conn.Request return
	// session.ErrTooMany.
	MaxRequests int

	// Rate, Floor and Ceiling are rates at which the server sends to each client, in bytes
	// per second: the first rate, the lowest and the highest. Between Floor and Ceiling the
	// rate depends on the network. Zero means 64 KiB, 8 KiB and 256 KiB. A negative Ceiling
	// means no limit. With the default Ceiling, 3 MiB take 12 s on every network: set a
	// higher Ceiling to send large data such as maps. Waits of [session.Stats] says whether
	// messages wait because of the Ceiling.
	Rate, Floor, Ceiling int

	// Manual means that the program calls Poll, which runs the server's loops and all
	// handlers, and Flush. The server then has no goroutine except those of DTLS handshakes
	// that run, of WebSockets, and of Admit, Spend and AdmitFull for clients with an invite. Manual needs
	// RTC.Shards to be 0 or 1.
	Manual bool

	// RTC configures the WebRTC side: public addresses, certificate, shards, origins,
	// limits per address. RTC.MaxPerIP limits the sessions of an address, interrupted ones
	// included. RTC.SilenceTimeout ends a connection; Silence is that of a session.
	RTC rtcserver.Settings

	// RTCHandler serves pages that do not use the godwit script. If its funcs Open,
	// ChannelOpen and Message are all nil, the server refuses such pages. Such a page has no
	// session: Authorize, Secret, Tokens, Version and MaxConns do not apply to it, so anyone
	// whom RTC.Origins allows may connect. RTC.MaxReceive, MaxChannels, AllowReliable and Acks
	// are for these pages.
	RTCHandler rtcserver.Handler

	// Links are the links that the server offers to clients, of session.LinkWebRTC,
	// session.LinkWebSocket and session.LinkWebTransport. Nil means all. A client uses WebRTC
	// where it can, and a WebSocket where UDP does not arrive. The WebSocket is opened at the
	// URL of the connect request, so a proxy in front of the server must pass on upgrades.
	// WebTransport is offered only if package webtransport, or another one that calls
	// Server.OfferLink, serves it.
	Links []string

	// Logger gets a line at level debug when a session or its connection opens, is
	// interrupted, resumes, moves or ends, and when a client is refused; a line at level
	// info when the server begins to listen; and a line at level warn or error when
	// something is wrong. Nil means that warnings and errors go to standard error. Use
	// slog.New(slog.DiscardHandler) for no output.
	Logger *slog.Logger
}

// Limits limit what a client may send: Messages and Bytes of payload per second, of
// which twice as many may arrive at once, and the number of Requests without an answer.
// Zero means 1000, 1 MiB and 64; negative means no limit. A request counts as a message,
// too.
//
// The server drops and counts an unreliable or sequenced message that exceeds Messages or
// Bytes. A reliable message or a request that exceeds them ends the session with
// session.CloseLimitMessages or CloseLimitBytes, because the channel promises to deliver
// it. The server rejects a request that exceeds Requests. A message larger than its
// channel allows ends the session with session.CloseLimitSize; a client with the same
// table never sends one.
type Limits = session.Limits

// Duplicates says what the server does when a client connects with the Identity.Name of
// an open session. An empty name is never a duplicate.
type Duplicates uint8

const (
	// DuplicatesAllow allows any number of sessions with the same name.
	DuplicatesAllow Duplicates = iota
	// DuplicatesRefuse refuses the new client with the status 409, or closes its session
	// with session.CloseDuplicate if both connect at the same time. If the old session is
	// interrupted or is being closed, DuplicatesRefuse is like DuplicatesReplace.
	DuplicatesRefuse
	// DuplicatesReplace closes the old session with session.CloseReplaced when the new
	// one opens. The Close handler of the old session may run after the Open handler of
	// the new one.
	DuplicatesReplace
)

var duplicatesNames = [...]string{"allow", "refuse", "replace"}

// String returns the choice in one word.
func (d Duplicates) String() string { return enum.Name(d, duplicatesNames[:]) }

// table returns what must be the same at both ends.
func (c *Config) table() channel.Table {
	return channel.Table{Channels: c.Channels, Schema: c.Schema}
}

// maxClientQueue is the largest MaxClientQueue, the largest QueueLimit of a channel.
const maxClientQueue = 64 << 20

// maxVersion is the longest Version in bytes.
const maxVersion = 64

func (c *Config) setDefaults() error {
	c.MaxConns = cmp.Or(c.MaxConns, 4096)
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if err := c.table().Validate(); err != nil {
		return fmt.Errorf("godwit: Config.Channels: %w", err)
	}
	if len(c.Version) > maxVersion {
		return fmt.Errorf("godwit: Config.Version has %d bytes, but may have at most %d", len(c.Version), maxVersion)
	}
	if c.Links == nil {
		c.Links = []string{session.LinkWebRTC, session.LinkWebTransport, session.LinkWebSocket}
	}
	for _, name := range c.Links {
		if name != session.LinkWebRTC && name != session.LinkWebTransport && name != session.LinkWebSocket {
			return fmt.Errorf("godwit: Config.Links has %q, but must have session.LinkWebRTC, session.LinkWebTransport or session.LinkWebSocket", name)
		}
	}
	if len(c.Links) == 0 {
		return errors.New("godwit: Config.Links is empty: use nil for all links")
	}
	ways := 0
	for _, set := range []bool{c.Secret != "", c.Tokens != nil, c.Authorize != nil} {
		if set {
			ways++
		}
	}
	switch {
	case ways > 1:
		return errors.New("godwit: at most one of Config.Secret, Tokens and Authorize may be set")
	case c.ExpireWithToken && c.Tokens == nil:
		return errors.New("godwit: Config.ExpireWithToken needs Config.Tokens; with Authorize set Identity.Expires")
	case c.Duplicates > DuplicatesReplace:
		return fmt.Errorf("godwit: Config.Duplicates is %d, but must be DuplicatesAllow, DuplicatesRefuse or DuplicatesReplace", c.Duplicates)
	}
	for _, l := range []struct {
		name  string
		value int64
	}{
		{"MaxUsedTokens", int64(c.MaxUsedTokens)}, {"MaxConns", int64(c.MaxConns)}, {"MaxRequests", int64(c.MaxRequests)},
		{"MaxClientChannels", int64(c.MaxClientChannels)}, {"MaxClientQueue", int64(c.MaxClientQueue)},
		{"Silence", int64(c.Silence)}, {"OpenTimeout", int64(c.OpenTimeout)}, {"Rate", int64(c.Rate)}, {"Floor", int64(c.Floor)},
	} {
		if l.value < 0 {
			return fmt.Errorf("godwit: Config.%s is negative: use zero for the default, or a positive value", l.name)
		}
	}
	if n := channel.MaxChannels - len(c.Channels); c.MaxClientChannels > n {
		return fmt.Errorf("godwit: Config.MaxClientChannels is %d, but a session has at most 63 channels, so it may be at most %d", c.MaxClientChannels, n)
	}
	if c.MaxClientQueue > maxClientQueue {
		return fmt.Errorf("godwit: Config.MaxClientQueue is %d, but the QueueLimit of a channel is at most 64 MiB", c.MaxClientQueue)
	}
	if c.Tokens != nil {
		if err := c.Tokens.Validate(); err != nil {
			return fmt.Errorf("godwit: Config.Tokens: %w", err)
		}
	}
	return c.setKeys()
}

// session returns the configuration of the server's end of a session.
func (c *Config) session(id session.ID, token sessioncore.Token) sessioncore.Config {
	return sessioncore.Config{
		Channel: channel.Config{
			Channels: c.Channels, Server: true, Rate: c.Rate, Floor: c.Floor, Ceiling: c.Ceiling,
		},
		ID: id, Token: token,
		Grace: c.Grace, Silence: c.Silence, OpenTimeout: c.OpenTimeout, DrainTimeout: c.DrainTimeout,
		Limits: c.Limits, MaxWaiting: c.MaxRequests,
		ClientChannels: c.MaxClientChannels, ClientQueue: c.MaxClientQueue,
	}
}
