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
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// Config configures a server. The zero value is a working server without handlers.
// Listen and Serve copy the Config; later changes have no effect.
type Config struct {
	// Handler is the set of funcs that the server calls for events. A nil func is not
	// called.
	Handler Handler

	// Settings are addresses, limits, timeouts, and whom the server trusts.
	Settings

	// Authorize, if not nil, is called for each offer before the server has made anything
	// for it. If it returns an error the server refuses the offer: with the status of a
	// *StatusError, and with 403 and the error's text for any other error. The request is
	// a copy, and Engine gets the same copy: Authorize may put its results into the
	// context, with *r = *r.WithContext(ctx). The goroutine of the HTTP request calls it.
	Authorize func(*http.Request) error

	// Manual means that the program calls Poll, which runs the loop and the handlers. The
	// server then has no goroutine except those of DTLS handshakes that run. Manual needs
	// one shard.
	Manual bool

	// Engine, if not nil, is called after Authorize and returns the engine of a new
	// connection. If it returns nil, the Handler gets the messages. If it returns an
	// error, the server refuses the offer as for an error of Authorize. The page has not
	// connected yet: of the Conn's methods call only ID and Site before the engine's
	// first Receive. The goroutine of the HTTP request calls it.
	Engine func(*Conn, *http.Request) (Engine, error)

	// Resumes, if not nil, is called for a request that Authorize has accepted. It returns
	// true if the connection continues a session that exists already, which the engine
	// counts itself. For such a connection the limit of its address is three times MaxPerIP.
	Resumes func(*http.Request) bool

	// Links, if not nil, is called for an offer after Engine, and for a request without an
	// offer in place of it: a POST with the Content-Type application/json and an empty body.
	// It returns the other ways by which the client may reach the program, which are
	// "links" of the answer, or an error as Authorize does. site is that of Conn.Site. The
	// goroutine of the HTTP request calls it.
	Links func(r *http.Request, site netip.Addr, offered bool) ([]Link, error)

	// LinksOnly means that the server makes no connection for an offer: it answers every
	// request as one without an offer.
	LinksOnly bool

	// Direct, if not nil, lets connections begin without an offer.
	Direct *Direct

	// Upgrade, if not nil, answers requests that ask for a WebSocket, and checks whether
	// the client may have one. page is the address of the client, also behind a trusted
	// proxy. If it returns an error it has not answered, and the request counts towards
	// MaxOffers. The server has not checked the header Origin. The goroutine of the HTTP
	// request calls it.
	Upgrade func(w http.ResponseWriter, r *http.Request, page netip.Addr) error

	// Logger gets a line at level debug when a connection opens, moves or ends and when an
	// offer is refused; a line at level info when the server begins to listen; and a line at
	// level warn or error when something is wrong. Nil means that warnings and errors go to
	// standard error. Use slog.New(slog.DiscardHandler) for no output.
	Logger *slog.Logger
}

// Settings are the part of a Config that a server of package godwit has, too: its
// godwit.Config.RTC. The zero value works.
type Settings struct {
	// Public are the addresses to which pages send, at most eight: one for each public
	// IPv4 and IPv6 address. The port may differ from the local port, behind a port
	// mapping. Every page gets all of them. SetPublic changes them later.
	//
	// Empty means the address that the socket is bound to. If that is a wildcard, each page
	// gets the addresses of this machine that it may reach: a loopback address only if the
	// request came from a loopback address, a private address (also of a link-local network
	// or of 100.64.0.0/10) only if it came from a private or a loopback address, and a
	// public address always. Behind one of TrustedProxies, the address of the page counts,
	// and not that of the proxy. The address at which the request arrived is first; then come
	// the addresses of the routes to the page and to the internet, what Discover has found,
	// and the other addresses of the interfaces. If there is no such address the answer has
	// none, the page cannot connect over WebRTC, and the Logger gets a line.
	Public []netip.AddrPort

	// PublicFunc, if not nil, is called for each answer and returns the addresses for one page, as
	// in Public. page is the address of the page; it is the zero Addr if the server does not know
	// it. If there is no usable address, the page gets those that an empty Public means. The
	// goroutine of the HTTP request calls it, and the page waits meanwhile. Public must be empty.
	PublicFunc func(page netip.Addr) []netip.AddrPort

	// Discover is the address of a STUN server, "host:port", for a server behind a NAT whose
	// public address may change, for example at home. Listen and Serve ask the STUN server
	// once, from the server's own port, for the address and the port by which it is seen, and
	// wait for at most 4 s. What it answers is one more address of this machine: pages on the same
	// network still get the private one. If there is no answer, the Logger gets a warning and the
	// server runs without. The router must forward the UDP port, because pages send first.
	// Public must be empty, and PublicFunc nil.
	Discover string

	// Node is the number of this server in a fleet, at most 1<<24 - 1. It is in the username
	// fragments of the server, by which a relay (package relay) finds the server; the numbers of
	// the servers behind one relay must differ. Zero is right without a relay. A client that has
	// an invite of, or a session at, another node is not let in.
	Node uint32

	// TrustedRelays are the addresses from which relays send (package relay): the server takes
	// the address of a client from their headers, for limits, the log and RemoteAddr, and answers
	// through them. Whoever can send from these addresses can pretend to be any address, so they
	// must be of a network that strangers cannot send from. The server drops and counts headers of
	// others (DropRelay). Public must be the addresses of the relays. Clients that send to the
	// server directly are served, too. At most 64 sockets of relays are known at a time.
	TrustedRelays []netip.Prefix

	// NoSegments makes the server give the kernel each datagram as a message of its own, and take each as
	// one from it. Without it, and with TrustedRelays, datagrams that follow each other between the server and a
	// relay, or a client, and have the same length are one message, which the kernel or the network card divides
	// (UDP_SEGMENT and UDP_GRO, Linux); the other end receives the same datagrams. Set it if a driver or a
	// tunnel loses them. It has no effect without TrustedRelays.
	NoSegments bool

	// Certificate is the DTLS certificate; its fingerprint is in every answer.
	// Several servers may share one. Nil means a new one.
	Certificate *dtls.Certificate

	// Shards is the number of sockets that share the port. Each has its own goroutine.
	// Zero means 1; 64 is the limit. More than one needs Linux.
	Shards int

	// MaxConns limits the connections of each shard. Zero means 4096. If a shard has
	// MaxConns connections, it drops and counts the first check of one more (DropFull). The
	// page sends further checks, and connects when there is room.
	MaxConns int

	// MaxPending limits the number of answers that no page has used yet. Zero means 1024.
	// The server refuses one more offer with the status 503. As many connections that began
	// without an offer may wait until their pages are admitted, half of them to resume.
	MaxPending int

	// MaxPerIP limits the connections of one IP address (of IPv6, one /64), including
	// those that wait for their first check. A server of package godwit limits the
	// sessions of an address in the same way, including interrupted ones. Zero means 64;
	// negative means no limit. The server refuses one more offer with the status 429.
	MaxPerIP int

	// MaxHandshakes limits the DTLS handshakes that run at a time, per shard. Zero means
	// 64. Further ones wait for a place; the addresses (of IPv6, the /64s) that wait take
	// turns, and so do offers, invites and resumes without a request, in which an address counts
	// apart. While half of the places are taken, one address may have at most an eighth of
	// all places, but always two. While a handshake of another address waits, a handshake
	// fails if its page does not answer for 1 s, or if it runs for more than 5 s.
	MaxHandshakes int

	// PendingTimeout limits the time from an answer to the page's first check. Zero means
	// 30 s. While more than half of MaxPending answers wait, it is at most 5 s.
	PendingTimeout time.Duration

	// HandshakeTimeout limits the time of the DTLS handshake. Zero means 10 s.
	HandshakeTimeout time.Duration

	// Role says which end is the DTLS client if a page's offer leaves the choice. RoleAuto is
	// right for browsers, and for every other page that can be the DTLS server or ignores a
	// ClientHello.
	Role Role

	// SilenceTimeout is the time without a valid check of a page after which its
	// connection ends with CloseTimeout. Browsers send a check every 2.5 to 5 s. If checks
	// are lost, the server sends the page a challenge, whose answer counts as a check.
	// Zero means 30 s; the limits are 1 s and 30 s.
	SilenceTimeout time.Duration

	// MaxReceive is the size in bytes of the largest message that the server accepts. It is
	// in the answer, and browsers do not send larger messages. Zero means 16 KiB; the
	// limits are 1200 bytes and 64 KiB. Incomplete messages of a connection take at most
	// about four times MaxReceive bytes, with AllowReliable five times; those of
	// unordered, unreliable channels are dropped after 2 s.
	MaxReceive int

	// AllowReliable serves channels that the page opened as reliable, with neither
	// maxRetransmits nor maxPacketLifeTime. The messages of the page arrive as the page
	// asked; the messages of the server stay unordered and unreliable. Without
	// AllowReliable the server closes such a channel at once, with a line in the log,
	// because it is nearly always a mistake. Ordered channels that may lose messages do
	// not need AllowReliable: with maxRetransmits 0 the server delivers a message at once,
	// and drops it if a later one arrived before.
	AllowReliable bool

	// MaxChannels limits the channels that a page has open at once, including negotiated
	// ones. Zero means 16; 256 is the limit. The server closes one more: an in-band
	// channel when it opens, a negotiated one when its first message arrives. There is a
	// line in the log, and Stats.ChannelsRefused counts it.
	MaxChannels int

	// Acks says how the server acknowledges the page's packets. AckAuto is right for
	// nearly every program; docs/decisions.md explains why.
	Acks AckMode

	// Origins are the web origins whose pages may connect, for example
	// "https://game.example": scheme, host, and the port if it is not the default of the
	// scheme. Pages of the server's own host may always connect.
	// "https://*.game.example" means all hosts below a name, "null" pages of files, and
	// "*" every origin. Pages whose origin is listed by its name, or is below a listed
	// name, may send cookies and other credentials. Pages that only "*" or "null" allows
	// may not. The Logger gets a line for a refused page, at most once a minute.
	Origins []string

	// Hosts are the host names of the server's own pages, without ports, for example
	// "game.example", or "*.game.example" for all names below one. The server refuses a
	// page that has another host name and claims to be the server's own, unless Origins
	// allows it. IP addresses and localhost are always allowed. Empty means every name.
	// Then a foreign page counts as the server's own if the DNS of its name answers with
	// the server's address. So set Hosts if only one machine or network may reach the
	// server.
	Hosts []string

	// MaxOffers limits the offers of one IP address (of IPv6, one /64) per second; four
	// times as many may arrive at once. Zero means 20; negative means no limit. The server
	// refuses one more with the status 429. An offer counts as four if the page's
	// handshake uses a key of P-384 or P-521, which no browser does by default. Connections
	// that begin without an offer have the same limit, but those of invites and those of
	// resumes count apart: the source of their first datagram can be forged.
	MaxOffers int

	// TrustedProxies are the addresses of proxies whose header X-Forwarded-For is used:
	// the address of the page is the last entry that is not a trusted proxy. An entry may
	// have a port, brackets, quotes or a zone. If an entry is not an address, the page
	// counts under the address of the proxy, and the Logger gets one line. The server
	// ignores the header Forwarded (RFC 7239). The address of the page also decides which
	// addresses of the server it gets: see Public.
	TrustedProxies []netip.Prefix

	// TrustUnixSocket means that X-Forwarded-For is used, too, if the peer has no IP
	// address, as a proxy that connects to a Unix socket. Without it all such requests
	// count under one address.
	TrustUnixSocket bool

	// ReadBuffer and WriteBuffer are the sizes in bytes that the server requests for the
	// socket's buffers; the system may give less. Zero means 4 MiB. Negative means that the
	// buffers stay as they are: for a socket of Serve whose maker could make them larger than
	// this program could.
	ReadBuffer, WriteBuffer int

	// KeyLog, if not nil, gets the secrets of all connections in the format that
	// Wireshark reads. It is for debugging only: with the secrets anyone can decrypt the
	// connections.
	KeyLog io.Writer
}

// An AckMode says how the server acknowledges a page's packets.
type AckMode uint8

const (
	// AckAuto acknowledges lost packets, too, once the page's channels are known to be
	// unreliable, so that the page's SCTP does not slow down.
	AckAuto AckMode = iota
	// AckHonest acknowledges only packets that have arrived. A page slows down when a
	// packet is lost.
	AckHonest
	// AckEager acknowledges lost packets, too, from the first packet on. It is for pages
	// that are known to use negotiated channels without retransmission.
	AckEager
)

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
	case len(c.Public) > 0 && (c.PublicFunc != nil || c.Discover != ""), c.PublicFunc != nil && c.Discover != "":
		return fmt.Errorf("rtcserver: Config has more than one of Public, PublicFunc and Discover")
	case c.MaxReceive < minReceive || c.MaxReceive > maxReceive:
		return fmt.Errorf("rtcserver: Config.MaxReceive is %d, but must be %d to %d", c.MaxReceive, minReceive, maxReceive)
	case c.MaxChannels < 1 || c.MaxChannels > maxChannels:
		return fmt.Errorf("rtcserver: Config.MaxChannels is %d, but must be 1 to %d", c.MaxChannels, maxChannels)
	case c.Node > ufrag.MaxNode:
		return fmt.Errorf("rtcserver: Config.Node is %d, but must be at most %d", c.Node, ufrag.MaxNode)
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
			return fmt.Errorf("rtcserver: Config.%s is negative: use zero for the default, or a positive value", l.name)
		}
	}
	if err := cmp.Or(checkPublic(c.Public), checkDiscover(c.Discover), checkRole(c.Role)); err != nil {
		return err
	}
	var err error
	if c.Origins, err = normalOrigins(c.Origins); err != nil {
		return err
	}
	if c.Hosts, err = normalHosts(c.Hosts); err != nil {
		return err
	}
	if c.TrustedProxies, err = normalPrefixes("TrustedProxies", c.TrustedProxies); err != nil {
		return err
	}
	if c.TrustedRelays, err = normalPrefixes("TrustedRelays", c.TrustedRelays); err != nil {
		return err
	}
	if c.Certificate == nil {
		if c.Certificate, err = dtls.GenerateCertificate(time.Now()); err != nil {
			return fmt.Errorf("rtcserver: %w", err)
		}
	}
	return nil
}

// socket returns the properties of a socket. Behind a relay many datagrams that follow each other have the same addresses.
func (c *Config) socket() udpio.Config {
	return udpio.Config{
		Sockets: c.Shards, ReadBuffer: c.ReadBuffer, WriteBuffer: c.WriteBuffer,
		Segments: len(c.TrustedRelays) > 0 && !c.NoSegments,
	}
}
