package client

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// Config says how a client works. The zero value works; it has no handlers.
type Config struct {
	// Handler is told what happens. Nil funcs are ignored.
	Handler Handler

	// HTTP sends the offers. Nil means a client of the endpoint's own, which keeps
	// no connection alive, and which sends from the address in Sources that the
	// connection will have.
	HTTP *http.Client

	// Header is sent with every offer: an Authorization, say.
	Header http.Header

	// Sources, if valid, gives every connection of an Endpoint a local address of
	// its own out of this prefix. All of them must be addresses of this machine; on
	// Linux those of 127.0.0.0/8 are.
	Sources netip.Prefix

	// Certificate is what servers are shown. Nil means a new one.
	Certificate *dtls.Certificate

	// AnswerTimeout is how long the server may take to answer the first
	// connectivity check. Zero means 10 s.
	AnswerTimeout time.Duration

	// HandshakeTimeout is how long the DTLS handshake may take. Zero means 10 s.
	HandshakeTimeout time.Duration

	// SilenceTimeout is how long the server may be silent before a connection
	// ends. Checks are sent every 2 to 3 s. Zero means 30 s, which is also the most.
	SilenceTimeout time.Duration

	// MaxReceive limits a message that the server sends, in bytes. Zero means
	// 16 KiB.
	MaxReceive int

	// KeyLog gets the secrets of all connections, for Wireshark. For debugging
	// only: whoever has them can read everything.
	KeyLog io.Writer
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

// A Handler is told what happens on the connections of an endpoint. Its funcs are
// called one at a time.
type Handler struct {
	// Open: the connection is open. It may be called before Dial returns it.
	Open func(*Conn)

	// Message: a message came. Its Data is valid until the func returns.
	Message func(*Conn, Message)

	// Close: a connection that was open is closed. It is the last call for it. Of
	// one that was never open, Dial returns the error.
	Close func(*Conn, *CloseError)
}

// Kind is the kind of a message, which a page would see as the type of its data.
type Kind uint8

const (
	Text   Kind = iota // a string, UTF-8
	Binary             // an ArrayBuffer or a Blob
)

var kindNames = [...]string{"text", "binary"}

// String returns the kind in one word.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// A Message is one datagram of the server.
type Message struct {
	Kind   Kind
	Stream uint16 // the channel's id
	Data   []byte
}

// A CloseCode tells why a connection ended.
type CloseCode uint8

const (
	ClosedByUs     CloseCode = 1 + iota // Conn.Close or Endpoint.Close
	ClosedByServer                      // the server closed it
	TimedOut                            // the server did not answer for SilenceTimeout
	NoAnswer                            // the server answered no check within AnswerTimeout
	NoHandshake                         // the DTLS handshake failed: see Err
	NoAssociation                       // the SCTP association failed, in its handshake or later: see Err
)

// A CloseError tells why a connection ended.
type CloseError struct {
	Code CloseCode
	Err  error // what lies behind it, or nil
}

var closeTexts = [...]string{
	ClosedByUs:     "closed by this side",
	ClosedByServer: "closed by the server",
	TimedOut:       "the server fell silent",
	NoAnswer:       "the server does not answer over UDP: its address in the answer may be wrong, or its port closed",
	NoHandshake:    "the DTLS handshake failed",
	NoAssociation:  "the SCTP association failed",
}

// String returns the code in words.
func (c CloseCode) String() string {
	if int(c) < len(closeTexts) && closeTexts[c] != "" {
		return closeTexts[c]
	}
	return "unknown"
}

func (e *CloseError) Error() string {
	s := "client: " + e.Code.String()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *CloseError) Unwrap() error { return e.Err }
