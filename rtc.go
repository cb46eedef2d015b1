package godwit

import (
	"io"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// RTCConfig configures the WebRTC side of a server. The zero value works. Each field is the
// field of the same name of [rtcserver.Config], which has the details. The server sets the
// other fields of that struct itself, from Config.
type RTCConfig struct {
	// Handler serves pages that do not use the godwit script. If its funcs Open,
	// ChannelOpen and Message are all nil, the server refuses such pages. Such a page has no
	// session: Config.Authorize, Secret, Tokens, Version and MaxConns do not apply to it, so
	// anyone whom Origins allows may connect.
	Handler rtcserver.Handler

	// Public are the addresses to which clients send, at most eight. Empty means the
	// address of the socket and, for a wildcard, those of this machine.
	Public []netip.AddrPort

	// Certificate is the DTLS certificate. Nil means a new one.
	Certificate *dtls.Certificate

	// Shards is the number of sockets that share the port, each with its own goroutine.
	// Zero means 1; 64 is the limit. More than one needs Linux.
	Shards int

	// MaxConns limits the connections of each shard. Zero means 4096. Config.MaxConns
	// limits the sessions.
	MaxConns int

	// MaxPending limits the number of answers that no client has used yet. Zero means
	// 1024.
	MaxPending int

	// MaxPerIP limits the sessions, interrupted ones included, and the connections of one
	// IP address (of IPv6, one /64). Zero means 64; negative means no limit.
	MaxPerIP int

	// MaxHandshakes limits the DTLS handshakes that run at a time, per shard. Zero means
	// 64.
	MaxHandshakes int

	// MaxOffers limits the connect requests of one IP address (of IPv6, one /64) per
	// second; four times as many may arrive at once. Zero means 20; negative means no
	// limit.
	MaxOffers int

	// PendingTimeout limits the time from an answer to the client's first check. Zero
	// means 30 s.
	PendingTimeout time.Duration

	// HandshakeTimeout limits the time of the DTLS handshake. Zero means 10 s.
	HandshakeTimeout time.Duration

	// SilenceTimeout is the time without a valid check after which a connection ends.
	// Zero means 30 s; the limits are 1 s and 30 s. Config.Silence is that of a session.
	SilenceTimeout time.Duration

	// Origins are the web origins whose pages may connect, for example
	// "https://game.example", besides the pages of the server's own host.
	Origins []string

	// Hosts are the host names of the server's own pages, without ports. Empty means
	// every name: set Hosts if only one machine or network may reach the server.
	Hosts []string

	// TrustedProxies are the addresses of proxies whose header X-Forwarded-For is used.
	TrustedProxies []netip.Prefix

	// TrustUnixSocket means that X-Forwarded-For is used, too, if the peer has no IP
	// address, as a proxy that connects to a Unix socket.
	TrustUnixSocket bool

	// ReadBuffer and WriteBuffer are the sizes in bytes that the server requests for the
	// socket's buffers. Zero means 4 MiB.
	ReadBuffer, WriteBuffer int

	// MaxReceive, MaxChannels, AllowReliable and Acks are for the pages of Handler: the
	// size in bytes of the largest message that the server accepts (zero means 16 KiB),
	// the number of channels of a page (zero means 16), whether reliable channels are
	// served, and how packets are acknowledged.
	MaxReceive, MaxChannels int
	AllowReliable           bool
	Acks                    rtcserver.AckMode

	// KeyLog, if not nil, gets the secrets of all connections in the format that Wireshark
	// reads. It is for debugging only: with the secrets anyone can decrypt the
	// connections.
	KeyLog io.Writer
}

// rtcConfig returns the configuration of the server's WebRTC side.
func (s *Server) rtcConfig() rtcserver.Config {
	c := &s.config.RTC
	return rtcserver.Config{
		Authorize: s.authorize, Engine: s.engine, Resumes: resumes,
		Links: s.offerLinks, LinksOnly: !s.config.offers(session.LinkWebRTC), Upgrade: s.upgrade,
		Manual: s.config.Manual, Logger: s.config.Logger,

		Handler: c.Handler, Public: c.Public, Certificate: c.Certificate, Shards: c.Shards,
		MaxConns: c.MaxConns, MaxPending: c.MaxPending, MaxPerIP: c.MaxPerIP,
		MaxHandshakes: c.MaxHandshakes, MaxOffers: c.MaxOffers,
		PendingTimeout: c.PendingTimeout, HandshakeTimeout: c.HandshakeTimeout, SilenceTimeout: c.SilenceTimeout,
		Origins: c.Origins, Hosts: c.Hosts, TrustedProxies: c.TrustedProxies, TrustUnixSocket: c.TrustUnixSocket,
		ReadBuffer: c.ReadBuffer, WriteBuffer: c.WriteBuffer,
		MaxReceive: c.MaxReceive, MaxChannels: c.MaxChannels, AllowReliable: c.AllowReliable, Acks: c.Acks,
		KeyLog: c.KeyLog,
	}
}
