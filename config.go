package godwit

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/session"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// Channels is the table of channels, the same at both ends: at most 63.
type Channels = channel.Channels

// A Channel is one line of the table. Name, Mode, Direction, MaxMessage (bytes; zero
// means 256 KiB if reliable, else 16 KiB) and QueueLimit (bytes that may wait; zero
// means 1 MiB if reliable, else 64 KiB, and room for one message of MaxMessage) must be
// the same at both ends. Priority (0, sent first, to 7), Guarantee (bytes per second),
// Weight and Copies say how this end sends. Priorities are strict: a channel without a
// Guarantee gets nothing while those of lower numbers use the rate up. [channel.Channel]
// has the details.
type Channel = channel.Channel

// A ChannelID is a channel's number: its place in the table, from 1.
type ChannelID = channel.ID

// A Mode is what a channel promises; the package's page says what each does.
type Mode = channel.Mode

// A Direction says which end may send on a channel.
type Direction = channel.Direction

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

// Config says how a server works. The zero value is a working server without
// channels, which anyone may connect to. A Config is read once, when the server is
// made.
type Config struct {
	// Channels is the table, the same at both ends. A client with another one is
	// refused, and told the first difference.
	Channels Channels

	// Handler is told what happens. Nil funcs are ignored.
	Handler Handler

	// Version is the program's own, at most 64 bytes. A client that states another
	// one, or none, is refused: a page states it as "app". Empty takes any.
	Version string

	// Secret, if not empty, is what every client must show as its token. A page that
	// anyone can load keeps no secret; it is for tests and closed groups.
	Secret string

	// Tokens, if not nil, verifies the JSON Web Token that every client must show:
	// its subject is the Identity. A token is good once, unless Tokens.Reusable.
	Tokens *auth.Verifier

	// ExpireWithToken ends a session with AuthEnded when the token that began it has
	// expired, by the verifier's Skew later than its "exp", unless Conn.Renew was called
	// before. Without it a token is looked at once: a session lasts, and resumes, for
	// as long as both ends keep it.
	ExpireWithToken bool

	// MaxUsedTokens is how many used tokens are remembered until they expire. Zero
	// means 65,536. When they are that many, no token is taken.
	MaxUsedTokens int

	// Spend, if not nil, remembers used tokens in place of the server, so that a
	// fleet of servers can share the memory. It returns auth.ErrReplayed for an id
	// that it knows, and any other error if it cannot tell: both refuse the client.
	// It must remember an id until the time that it is given with it. It is called
	// from the goroutines of HTTP requests.
	Spend func(id string, until time.Time) error

	// Authorize, if not nil, says who makes a request, and until when at most the
	// session may last (Identity.Expires), or that it is refused: with
	// 403 and the error's text, with 401 for an *auth.Error, or as a
	// *rtcserver.StatusError says. The request is as it came; Token finds the client's
	// token in it, which its end says as "Authorization: Bearer ", or behind a gate as
	// "Godwit-Authorization: Bearer ". It is called from the goroutines of HTTP requests, and
	// not when a session resumes. At most one of Secret, Tokens and Authorize may be
	// set.
	Authorize func(*http.Request) (Identity, error)

	// Duplicates says what to do when an Identity that is connected connects again.
	// Zero is Allow.
	Duplicates Duplicates

	// MaxConns limits sessions, those that are interrupted or being made included.
	// Zero means 4096. One more is refused with 503, and its token is not spent.
	MaxConns int

	// AdmitFull, if not nil, is asked when MaxConns is reached: true lets the client
	// in nevertheless. It is called from the goroutines of HTTP requests.
	AdmitFull func(Identity) bool

	// Grace is how long a session outlives its link. Zero means 30 s, negative not at
	// all. While more than half of MaxConns are interrupted, each further one ends the
	// one that has been so longest, if that is 5 s or more.
	Grace time.Duration

	// Silence is how long nothing may be heard of a client before its session is
	// interrupted. Zero means 10 s. Clients ping every 2 s.
	Silence time.Duration

	// OpenTimeout is how long a client may take from its link's opening to its first
	// message. Zero means 5 s.
	OpenTimeout time.Duration

	// DrainTimeout is how long Conn.Close waits until what was sent reliably is
	// delivered. Zero means 10 s, negative not at all. It waits no longer when nothing
	// is heard of the client for Silence. Shutdown waits as long as its context lasts.
	DrainTimeout time.Duration

	// Limits bound what each client may send.
	Limits Limits

	// MaxRequests limits own requests that a client has not answered, per Conn. Zero
	// means 1024; one more is ErrTooMany.
	MaxRequests int

	// Rate, Floor and Ceiling bound the bytes per second that are sent to each
	// client: at first, at least, at most. In between the network decides. Zero means
	// 64 KiB, 8 KiB and 256 KiB; a negative Ceiling means no limit. With the default
	// Ceiling 3 MiB in bulk take 12 s on any network: raise it for maps and the like.
	// ConnStats.Waits tells whether it is what messages wait for.
	Rate, Floor, Ceiling int

	// Manual leaves the loop to the program, which calls Poll and Flush. It needs one
	// shard.
	Manual bool

	// RTC is how WebRTC is served: public addresses, certificate, shards, origins,
	// limits per address. Its Handler serves pages without a godwit script; if none of
	// its funcs is set they are refused. Its Authorize, Engine, Resumes, Manual and Logger are
	// the server's own and must be left alone.
	RTC rtcserver.Config

	// Logger gets a line when a session or its connection begins or ends, or a client
	// is refused, at level debug, and when something is wrong, at level warn or error.
	// Nil means that warnings and errors go to standard error;
	// slog.New(slog.DiscardHandler) means silence.
	Logger *slog.Logger
}

// Limits bound what a client may send: Messages and Bytes of payload per second, twice
// as many at once, and Requests that wait for an answer at a time. Zero means 1000,
// 1 MiB and 64; negative means no limit.
//
// An unreliable or sequenced message beyond Messages or Bytes is dropped and counted.
// A reliable one ends the session with LimitMessages or LimitBytes, because to drop
// it would break the channel's promise in silence. A request beyond Requests is
// rejected. A message larger than its channel allows, which a client with the right
// table never sends, ends the session with LimitSize.
type Limits = session.Limits

// Duplicates says what to do when an Identity connects that is connected already.
// An empty Identity is nobody's.
type Duplicates uint8

const (
	// Allow lets an Identity have as many sessions as it likes.
	Allow Duplicates = iota
	// Refuse refuses the new session with 409, unless the old one is interrupted:
	// then it is as Replace.
	Refuse
	// Replace closes the old session with Replaced when the new one opens. The old
	// one's Close may come after the new one's Open.
	Replace
)

var duplicatesNames = [...]string{"allow", "refuse", "replace"}

// String returns the choice in one word.
func (d Duplicates) String() string {
	if int(d) < len(duplicatesNames) {
		return duplicatesNames[d]
	}
	return "unknown"
}

// maxVersion is the longest Version in bytes.
const maxVersion = 64

func (c *Config) setDefaults() error {
	c.MaxConns = cmp.Or(c.MaxConns, 4096)
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if err := c.Channels.Validate(); err != nil {
		return fmt.Errorf("godwit: Config.Channels: %w", err)
	}
	if len(c.Version) > maxVersion {
		return fmt.Errorf("godwit: Config.Version has %d bytes, but %d are the most", len(c.Version), maxVersion)
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
	case c.Duplicates > Replace:
		return fmt.Errorf("godwit: Config.Duplicates is %d, which is none of Allow, Refuse and Replace", c.Duplicates)
	case c.RTC.Authorize != nil || c.RTC.Engine != nil || c.RTC.Resumes != nil || c.RTC.Manual || c.RTC.Logger != nil:
		return errors.New("godwit: Config.RTC: Authorize, Engine, Resumes, Manual and Logger are the server's own; set those of Config")
	}
	for _, l := range []struct {
		name  string
		value int64
	}{
		{"MaxUsedTokens", int64(c.MaxUsedTokens)}, {"MaxConns", int64(c.MaxConns)}, {"MaxRequests", int64(c.MaxRequests)},
		{"Silence", int64(c.Silence)}, {"OpenTimeout", int64(c.OpenTimeout)}, {"Rate", int64(c.Rate)}, {"Floor", int64(c.Floor)},
	} {
		if l.value < 0 {
			return fmt.Errorf("godwit: Config.%s is negative: nothing would get through", l.name)
		}
	}
	if c.Tokens != nil {
		if err := c.Tokens.Validate(); err != nil {
			return fmt.Errorf("godwit: Config.Tokens: %w", err)
		}
	}
	return nil
}

// session returns the configuration of a server's end.
func (c *Config) session(id uint64, token session.Token) session.Config {
	return session.Config{
		Channel: channel.Config{
			Channels: c.Channels, Server: true, Rate: c.Rate, Floor: c.Floor, Ceiling: c.Ceiling,
		},
		ID: id, Token: token,
		Grace: c.Grace, Silence: c.Silence, OpenTimeout: c.OpenTimeout, DrainTimeout: c.DrainTimeout,
		Limits: c.Limits, MaxWaiting: c.MaxRequests,
	}
}
