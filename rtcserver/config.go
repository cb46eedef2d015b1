package rtcserver

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// Config says how a server works. The zero value is a working server without
// handlers. A Config is read once, by Listen.
type Config struct {
	// Handler is told what happens. Nil funcs are ignored.
	Handler Handler

	// Public are the addresses that pages are told to send to, as many as eight:
	// one for each public IPv4 and IPv6 address. The port may differ from the
	// local one, behind a port mapping. Empty means the address the socket is
	// bound to; if that is a wildcard, the address that the HTTP request came to
	// and the addresses of this machine's interfaces.
	Public []netip.AddrPort

	// Certificate is the DTLS certificate; its fingerprint is in every answer.
	// Several servers may share one. Nil means a new one.
	Certificate *dtls.Certificate

	// Shards is how many sockets share the port, each with a goroutine of its
	// own. Zero means 1. More than one needs Linux.
	Shards int

	// Manual leaves the loop to the program, which calls Poll. It needs one shard.
	Manual bool

	// MaxConns limits live connections, per shard. Zero means 4096. A check that
	// comes when the table is full is dropped and counted.
	MaxConns int

	// MaxPending limits the answers that were given and that no page has used
	// yet. Zero means 1024. One more offer gets 503.
	MaxPending int

	// MaxPerIP limits pending and live connections of one IP address, and of a game
	// server the sessions too, also those that are interrupted; of IPv6, of
	// one /64. Zero means 64, negative no limit. One more offer gets 429.
	MaxPerIP int

	// MaxHandshakes limits DTLS handshakes in flight, per shard. Zero means 64.
	// More of them wait their turn, of each address (of IPv6, each /64) one after the
	// other; while half of the places are taken, an address has an eighth of them at
	// most. While one of another address waits, a handshake whose page does not answer
	// for 1 s fails, as does one of more than 5 s.
	MaxHandshakes int

	// PendingTimeout is how long an answer waits for the page's first check.
	// Zero means 30 s. It is 5 s at most while more than half of MaxPending wait.
	PendingTimeout time.Duration

	// HandshakeTimeout is how long the DTLS handshake may take. Zero means 10 s.
	HandshakeTimeout time.Duration

	// SilenceTimeout is how long a page may be silent before its connection ends;
	// browsers check every 2.5 to 5 s, and one whose checks are lost is asked whether it
	// is there. Zero means 30 s, which is also the most.
	SilenceTimeout time.Duration

	// MaxReceive limits a message that a page sends, in bytes; a page that
	// respects the answer cannot send a larger one. Zero means 16 KiB. At most
	// four of them wait for missing fragments, for 2 s.
	MaxReceive int

	// AllowReliable serves channels that the page opened as reliable, with neither
	// maxRetransmits nor maxPacketLifeTime. What the page sends on them arrives as the
	// page asked; what is sent to the page stays unordered and unreliable. Without it
	// such a channel is closed at once, with a line in the log: it is nearly always a
	// mistake. Ordered channels that may lose messages are served without it: with
	// maxRetransmits 0 a message is delivered when it comes, or not at all if a later one
	// came before it.
	AllowReliable bool

	// MaxChannels limits the channels that a page has open at once, negotiated ones
	// included. Zero means 16, 256 is the most. One more is closed, an in-band one when
	// it opens and a negotiated one when its first message comes, with a line in the log
	// and a count in Stats.ChannelsRefused.
	MaxChannels int

	// Acks says how the page's packets are acknowledged. AckAuto is right unless
	// you know better: docs/decisions.md tells why.
	Acks AckMode

	// Origins are the web origins, such as "https://game.example", whose pages
	// may connect, besides pages of this server's own host: scheme, host, and port if it
	// is not the scheme's own. "https://*.game.example" are all hosts below a name, "null"
	// are pages of files, "*" allows any. A page of an origin that is listed by its name,
	// or by the name that it is below, may send cookies and other credentials; one that
	// only "*" or "null" allows may not. Who is refused stands in the Logger, at most
	// once a minute.
	Origins []string

	// Hosts are the names of this server in the addresses of its own pages, such as
	// "game.example", or "*.game.example" for all names below one, without ports. Pages of
	// other names that say they are this server's are refused, unless Origins has them.
	// IP addresses and localhost are always taken. Empty means any name: a stranger's
	// page whose DNS answers with the address of this server is then taken for the
	// server's own. Set it where only one machine or network may reach the server.
	Hosts []string

	// Authorize, if not nil, is asked before anything exists of a connection. An
	// error refuses the offer with 403 and the error's text, or with the status
	// of a *StatusError. The request is a copy, which Engine gets too: Authorize may
	// put what it finds out into its context, with *r = *r.WithContext(ctx).
	Authorize func(*http.Request) error

	// MaxOffers limits offers from one IP address (of IPv6, one /64), per second;
	// four times as many may come at once. Zero means 20, negative no limit.
	// One more gets 429. An offer whose page shakes hands with a key of P-384 or
	// P-521, as no browser does of itself, counts for four.
	MaxOffers int

	// TrustedProxies are the addresses whose X-Forwarded-For header is believed: the
	// address of the page is its last entry that is none of them. An entry may have a
	// port, brackets, quotes or a zone. What is no address is logged once, and such
	// pages count as the proxy. The Forwarded header (RFC 7239) is not read.
	TrustedProxies []netip.Prefix

	// TrustUnixSocket believes that header of peers that have no IP address, as a proxy
	// has none that connects to a Unix socket. Without it all of them count as one
	// address.
	TrustUnixSocket bool

	// ReadBuffer and WriteBuffer are the sizes of the socket's buffers in bytes
	// that are asked of the system. Zero means 4 MiB.
	ReadBuffer, WriteBuffer int

	// Engine, if not nil, makes the engine of a new connection from the request
	// that brought its offer. If it returns nil, the Handler gets the messages. An
	// error refuses the offer as one of Authorize does, which was asked before.
	Engine func(*Conn, *http.Request) (Engine, error)

	// Resumes, if not nil, tells of a request that Authorize has let in whether its
	// connection is for something that exists already, and that the engine counts
	// itself: such connections of an address are refused from twice MaxPerIP on.
	Resumes func(*http.Request) bool

	// Logger gets a line when a connection begins or ends, at level debug, and
	// when something is wrong, at level warn or error. Nil means that warnings and
	// errors go to standard error; slog.New(slog.DiscardHandler) means silence.
	Logger *slog.Logger

	// KeyLog gets the secrets of all connections, for Wireshark. For debugging
	// only: whoever has them can read everything.
	KeyLog io.Writer
}

// An AckMode says how a page's packets are acknowledged.
type AckMode uint8

const (
	// AckAuto acknowledges what was lost too, once the page's channels are known
	// to be unreliable, so that the page's SCTP does not throttle them.
	AckAuto AckMode = iota
	// AckHonest acknowledges what came. A page that loses a packet slows down.
	AckHonest
	// AckEager acknowledges what was lost from the first packet on. It is for
	// pages that are known to use negotiated channels without retransmission.
	AckEager
)

var ackNames = [...]string{"auto", "honest", "eager"}

// String returns the mode in one word.
func (m AckMode) String() string {
	if int(m) < len(ackNames) {
		return ackNames[m]
	}
	return "unknown"
}

// Limits of a Config.
const (
	maxPublic  = 8
	maxShards  = 64
	minReceive = 1200
	maxReceive = 64 << 10

	defaultChannels = 16
	maxChannels     = 256
)

func (c *Config) setDefaults() error {
	c.Shards = cmp.Or(c.Shards, 1)
	c.MaxConns = cmp.Or(c.MaxConns, 4096)
	c.MaxPending = cmp.Or(c.MaxPending, 1024)
	c.MaxPerIP = cmp.Or(c.MaxPerIP, 64)
	c.MaxHandshakes = cmp.Or(c.MaxHandshakes, 64)
	c.PendingTimeout = cmp.Or(c.PendingTimeout, 30*time.Second)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 10*time.Second)
	c.SilenceTimeout = cmp.Or(c.SilenceTimeout, 30*time.Second)
	c.MaxReceive = cmp.Or(c.MaxReceive, 16<<10)
	c.MaxChannels = cmp.Or(c.MaxChannels, defaultChannels)
	c.MaxOffers = cmp.Or(c.MaxOffers, 20)
	c.ReadBuffer = cmp.Or(c.ReadBuffer, 4<<20)
	c.WriteBuffer = cmp.Or(c.WriteBuffer, 4<<20)
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	switch {
	case c.Shards < 1 || c.Shards > maxShards:
		return fmt.Errorf("rtcserver: Config.Shards is %d, but must be 1 to %d", c.Shards, maxShards)
	case c.Manual && c.Shards > 1:
		return fmt.Errorf("rtcserver: Config.Manual needs one shard, but Config.Shards is %d", c.Shards)
	case len(c.Public) > maxPublic:
		return fmt.Errorf("rtcserver: Config.Public has %d addresses, but %d are the most", len(c.Public), maxPublic)
	case c.MaxReceive < minReceive || c.MaxReceive > maxReceive:
		return fmt.Errorf("rtcserver: Config.MaxReceive is %d, but must be %d to %d", c.MaxReceive, minReceive, maxReceive)
	case c.MaxChannels < 1 || c.MaxChannels > maxChannels:
		return fmt.Errorf("rtcserver: Config.MaxChannels is %d, but must be 1 to %d", c.MaxChannels, maxChannels)
	case c.SilenceTimeout < time.Second || c.SilenceTimeout > 30*time.Second:
		return fmt.Errorf("rtcserver: Config.SilenceTimeout is %v, but must be 1 s to 30 s", c.SilenceTimeout)
	}
	for _, l := range []struct {
		name  string
		value int64
	}{
		{"MaxConns", int64(c.MaxConns)}, {"MaxPending", int64(c.MaxPending)}, {"MaxHandshakes", int64(c.MaxHandshakes)},
		{"PendingTimeout", int64(c.PendingTimeout)}, {"HandshakeTimeout", int64(c.HandshakeTimeout)},
	} {
		if l.value < 0 {
			return fmt.Errorf("rtcserver: Config.%s is negative: no page could connect", l.name)
		}
	}
	for _, a := range c.Public {
		if !a.IsValid() || a.Port() == 0 || a.Addr().IsUnspecified() {
			return fmt.Errorf("rtcserver: Config.Public has %v: a page cannot send there", a)
		}
	}
	var err error
	if c.Origins, err = normalOrigins(c.Origins); err != nil {
		return err
	}
	if c.Hosts, err = normalHosts(c.Hosts); err != nil {
		return err
	}
	proxies, bad, ok := normalProxies(c.TrustedProxies)
	if !ok {
		return fmt.Errorf("rtcserver: Config.TrustedProxies has %v, which is no prefix of addresses", bad)
	}
	c.TrustedProxies = proxies
	return nil
}
