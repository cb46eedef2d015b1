package webtransport

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/quic-go/quic-go"
	wt "github.com/quic-go/webtransport-go"

	"github.com/godwit-rtc/godwit/client"
)

// A Dialer opens WebTransport for native clients: its Dial is a client.Config.WebTransport. The zero
// value opens a socket for each link. Any number of clients may use one Dialer.
type Dialer struct {
	// TLS is the configuration for servers whose certificate a CA vouches for. Nil means the
	// default. For a server that offers hashes the certificate must have one of them.
	TLS *tls.Config

	// QUIC, if not nil, opens the connections, for example from a socket that the program has.
	QUIC func(ctx context.Context, addr string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error)
}

// Dial opens a WebTransport that a server has offered.
func (d *Dialer) Dial(ctx context.Context, offer client.LinkOffer, l *client.Link) (client.Carrier, error) {
	u, err := url.Parse(offer.URL)
	if err != nil {
		return nil, fmt.Errorf("webtransport: %w", err)
	}
	u.RawQuery = url.Values{"ticket": {offer.Ticket}}.Encode()
	tc := d.TLS.Clone()
	if len(offer.Hashes) > 0 {
		tc = pinned(offer.Hashes)
	}
	transport := &wt.Transport{
		TLSClientConfig: tc,
		QUICConfig: &quic.Config{
			InitialPacketSize: 1200, DisablePathMTUDiscovery: true,
			EnableDatagrams: true, EnableStreamResetPartialDelivery: true,
		},
		DialAddr: d.QUIC,
	}
	_, s, err := transport.Dial(ctx, u.String(), nil)
	if err != nil {
		transport.Close()
		return nil, fmt.Errorf("webtransport: %w", err)
	}
	c := &dialed{transport: transport, session: s, out: make(chan []byte, outboxLen)}
	go c.write()
	go c.read(l)
	return c, nil
}

// pinned returns a configuration that takes the certificates with one of the hashes, as a browser
// does with serverCertificateHashes.
func pinned(hashes []string) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true, // for the name and the issuer, which a hash makes unnecessary
		VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			sum := sha256.Sum256(raw[0])
			if !slices.Contains(hashes, base64.StdEncoding.EncodeToString(sum[:])) {
				return errors.New("the certificate has none of the hashes")
			}
			return nil
		},
	}
}

// A dialed is the client's end of a WebTransport. It is a client.Carrier.
type dialed struct {
	transport *wt.Transport
	session   *wt.Session
	out       chan []byte
}

// Send copies a datagram to the outbox, and does not wait.
func (c *dialed) Send(b []byte) bool {
	select {
	case c.out <- bytes.Clone(b):
		return true
	default:
		return false
	}
}

// Close ends the WebTransport when the datagrams in the outbox have left.
func (c *dialed) Close(string) { close(c.out) }

func (c *dialed) write() {
	for b := range c.out {
		c.session.SendDatagram(b) // an error is read's, too
	}
	c.session.CloseWithError(0, "")
	c.transport.Close()
}

// read gives what arrives to the link, until the WebTransport is over.
func (c *dialed) read(l *client.Link) {
	ctx := c.session.Context()
	for b, err := c.session.ReceiveDatagram(ctx); err == nil; b, err = c.session.ReceiveDatagram(ctx) {
		l.Receive(b)
	}
	l.Close()
}
