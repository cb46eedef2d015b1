package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/enum"
)

// Config configures a client. The zero value is a working client without handlers. Dial,
// Connect, Listen and Serve copy the Config; later changes have no effect.
type Config struct {
	// Handler is the set of funcs that are called for the events of the endpoint's
	// connections. A nil func is not called. Sessions do not use it: they have
	// SessionConfig.Handler.
	Handler Handler

	// Manual means that the endpoint's loop and its handlers run only while the program
	// is in [Endpoint.Poll] or in a call that waits. Messages of sessions leave at Poll
	// and Endpoint.Flush. One goroutine calls Poll, Dial, Connect, Join and Close; while
	// one of them runs, the others return session.ErrInHandler. Manual needs an Endpoint
	// of Listen or Serve.
	Manual bool

	// HTTP is the HTTP client that sends the offers. Nil means an HTTP client that keeps
	// no connection alive and, with Sources, sends each offer from the local address that
	// the connection will have.
	HTTP *http.Client

	// WebTransport, if not nil, opens a WebTransport that a server has offered, as the Dial of
	// LinkConfig opens a link. Then sessions may use session.LinkWebTransport. The module
	// webtransport has such a func, Dialer.Dial; package client has none, because it would need
	// a library for QUIC.
	WebTransport func(ctx context.Context, offer LinkOffer, l *Link) (Carrier, error)

	// Header has headers that are sent with every offer, for example Authorization. If it
	// has Authorization, a Session sends its own credentials as Godwit-Authorization.
	Header http.Header

	// Sources, if valid, is a prefix of local addresses. Each connection of an Endpoint
	// gets its own address from the prefix. All addresses of the prefix must be addresses
	// of this machine; on Linux those of 127.0.0.0/8 are. If every address is in use, no
	// further connection is made (ErrNoSource). A Session that connects again needs a second
	// address until it has the server's answer.
	Sources netip.Prefix

	// Certificate is the DTLS certificate of the client; its fingerprint is in every
	// offer. Nil means a new one.
	Certificate *dtls.Certificate

	// AnswerTimeout limits the time until the server answers a connectivity check. Zero
	// means 10 s. After it the connection fails with CloseNoAnswer.
	AnswerTimeout time.Duration

	// HandshakeTimeout limits the time of the DTLS handshake. Zero means 10 s.
	HandshakeTimeout time.Duration

	// SilenceTimeout is the time without an answer of the server to a check after which a
	// connection ends with CloseTimeout. The client sends a check every 2 to 3 s. Zero means
	// 30 s; the limits are 1 s and 30 s.
	SilenceTimeout time.Duration

	// MaxReceive is the size in bytes of the largest message of a Conn that the client
	// accepts. Zero means 16 KiB. Messages of a Session have the limits of its channels.
	MaxReceive int

	// KeyLog, if not nil, gets the secrets of all connections in the format that
	// Wireshark reads. It is for debugging only: with the secrets anyone can decrypt the
	// connections.
	KeyLog io.Writer
}

// A LinkOffer is what a server says of a link in its answer.
type LinkOffer struct {
	URL    string   // where the link is opened
	Ticket string   // admits the session, once
	Hashes []string // SHA-256 hashes of the server's certificates, in base64; none if a CA vouches for it
}

// alone is setDefaults for an endpoint that the program does not get.
func (c *Config) alone() error {
	if c.Manual {
		return errors.New("client: Config.Manual needs an Endpoint to poll: use Listen, and its Dial or Join")
	}
	return c.setDefaults()
}

func (c *Config) setDefaults() error {
	c.AnswerTimeout = cmp.Or(c.AnswerTimeout, 10*time.Second)
	c.HandshakeTimeout = cmp.Or(c.HandshakeTimeout, 10*time.Second)
	c.SilenceTimeout = cmp.Or(c.SilenceTimeout, 30*time.Second)
	c.MaxReceive = cmp.Or(c.MaxReceive, 16<<10)
	if c.SilenceTimeout < time.Second || c.SilenceTimeout > 30*time.Second {
		return fmt.Errorf("client: Config.SilenceTimeout is %v, but must be 1 s to 30 s", c.SilenceTimeout)
	}
	if c.Certificate == nil {
		cert, err := dtls.GenerateCertificate(time.Now())
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		c.Certificate = cert
	}
	return nil
}

// A Handler is the set of funcs that are called for the events of an endpoint's
// connections. The endpoint's goroutine calls them one at a time.
type Handler struct {
	// Open is called when the connection is open. It may be called before Dial returns.
	Open func(*Conn)

	// Message is called for each message of the server. Message.Data is valid until the
	// func returns.
	Message func(*Conn, Message)

	// Close is called when a connection that was open is closed. It is the last call for
	// the connection. If a connection never opens, Dial returns the error and Close is not
	// called.
	Close func(*Conn, *CloseError)
}

// Kind is the kind of a message. In a browser it is the type of the message's data.
type Kind uint8

const (
	Text   Kind = iota // a string, UTF-8
	Binary             // an ArrayBuffer or a Blob
)

var kindNames = [...]string{"text", "binary"}

// String returns the kind in one word.
func (k Kind) String() string { return enum.Name(k, kindNames[:]) }

// A Message is one message of the server.
type Message struct {
	Kind   Kind
	Stream uint16 // the id of the data channel
	Data   []byte
}

// A CloseCode says why a connection ended.
type CloseCode uint8

const (
	CloseByClient      CloseCode = 1 + iota // Conn.Close or Endpoint.Close was called
	CloseByServer                           // the server closed the connection
	CloseTimeout                            // the server answered no check for SilenceTimeout
	CloseNoAnswer                           // the server answered no check within AnswerTimeout
	CloseNoHandshake                        // the DTLS handshake failed: see Err
	CloseNoAssociation                      // the SCTP association failed, in its handshake or later: see Err
)

// A CloseError says why a connection ended.
type CloseError struct {
	Code CloseCode
	Err  error // the cause, or nil
}

var closeTexts = [...]string{
	CloseByClient:      "closed by the client",
	CloseByServer:      "closed by the server",
	CloseTimeout:       "the server does not answer any more",
	CloseNoAnswer:      "the server does not answer over UDP: its address in the answer may be wrong, or its port closed",
	CloseNoHandshake:   "the DTLS handshake failed",
	CloseNoAssociation: "the SCTP association failed",
}

// String returns the code in words.
func (c CloseCode) String() string { return enum.Name(c, closeTexts[:]) }

func (e *CloseError) Error() string {
	s := "client: " + e.Code.String()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CloseError) Unwrap() error { return e.Err }
