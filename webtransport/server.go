package webtransport

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	wt "github.com/quic-go/webtransport-go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Config configures [Serve]. The zero value works.
type Config struct {
	// GetCertificate returns the certificate of a CA for the host name of URL, as
	// tls.Config.GetCertificate does. Nil means certificates that the server signs itself,
	// each for half a week, whose hashes clients get with the answer to their requests.
	GetCertificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	// URL is where clients open the WebTransport, for example
	// "https://udp.game.example:7777/". Empty means the host of the client's request with the
	// port of the server's UDP socket. Set it if a proxy serves that host, or if the public
	// port is another one.
	URL string

	// MaxVisitors limits the connections of QUIC that have not opened a WebTransport with a
	// good ticket yet. Zero means 64. Of these, an eighth may come from one IP address (of IPv6, one /64). Further
	// connections are refused. Above a quarter of MaxVisitors, a client must first prove its
	// address, which costs it one round trip.
	MaxVisitors int
}

// A Server serves WebTransport on the UDP port of a godwit.Server. It ends with that server.
type Server struct {
	config    Config
	game      *godwit.Server
	socket    *rtcserver.QUICConn
	transport *quic.Transport
	listener  *quic.EarlyListener
	http      wt.Server
	own       certificates
	visitors  visitors
	buffers   chan []byte
	running   sync.WaitGroup
}

// Stats are the counters of a Server.
type Stats struct {
	Visitors int    // connections of QUIC without a ticket so far
	Retried  uint64 // attempts to connect that had to prove their address first
	Refused  uint64 // connections that were refused because of Config.MaxVisitors
}

// Serve serves WebTransport for a server that has a UDP port, until that server is closed. The
// server offers it to clients from now on, if its Config.Links is nil or has
// session.LinkWebTransport. The error says what is wrong.
func Serve(game *godwit.Server, c Config) (*Server, error) {
	switch u, err := url.Parse(c.URL); {
	case game.RTC() == nil:
		return nil, errors.New("webtransport: the server has no UDP port")
	case c.URL != "" && (err != nil || u.Scheme != "https" || u.Host == "" || u.RawQuery != ""):
		return nil, fmt.Errorf("webtransport: Config.URL is %q, but must be https, with a host and without a query", c.URL)
	case c.MaxVisitors < 0:
		return nil, errors.New("webtransport: Config.MaxVisitors is negative: use zero for the default, or a positive value")
	}
	s := &Server{
		config: c, game: game,
		visitors: visitors{most: cmp.Or(c.MaxVisitors, 64), bySite: make(map[netip.Addr]int)},
		buffers:  make(chan []byte, maxBuffers),
	}
	if _, err := s.own.at(time.Now()); err != nil {
		return nil, err
	}
	var err error
	if s.socket, err = game.RTC().QUIC(); err != nil {
		return nil, fmt.Errorf("webtransport: %w", err)
	}
	if err := s.listen(); err != nil {
		s.socket.Close()
		return nil, fmt.Errorf("webtransport: %w", err)
	}
	if err := game.OfferLink(godwit.LinkOffer{Describe: s.describe, Shutdown: s.shutdown}); err != nil {
		s.shutdown(context.Background())
		return nil, err
	}
	return s, nil
}

// listen starts to serve QUIC. A client may have three streams beside its request, those of
// HTTP/3, and it may make the server hold few bytes.
func (s *Server) listen() error {
	s.http = wt.Server{
		H3: &http3.Server{
			Handler:        http.HandlerFunc(s.serve),
			MaxHeaderBytes: 8 << 10,
			ConnContext: func(ctx context.Context, c *quic.Conn) context.Context {
				return context.WithValue(ctx, connKey{}, c)
			},
		},
		CheckOrigin: func(*http.Request) bool { return true }, // the ticket is bound to the origin that the server has admitted
	}
	s.transport = &quic.Transport{
		Conn:                socket{s.socket},
		VerifySourceAddress: s.visitors.unproved,
		ConnContext:         s.visitors.enter,
	}
	var err error
	certificate := s.config.GetCertificate
	if certificate == nil {
		certificate = s.certificate
	}
	s.listener, err = s.transport.ListenEarly(http3.ConfigureTLSConfig(&tls.Config{
		GetCertificate: certificate, MinVersion: tls.VersionTLS13,
	}), &quic.Config{
		HandshakeIdleTimeout: 3 * time.Second,
		MaxIdleTimeout:       30 * time.Second,

		MaxIncomingStreams:             1,
		MaxIncomingUniStreams:          3,
		InitialStreamReceiveWindow:     streamWindow,
		MaxStreamReceiveWindow:         streamWindow,
		InitialConnectionReceiveWindow: 2 * streamWindow,
		MaxConnectionReceiveWindow:     2 * streamWindow,

		// The smallest that QUIC allows. A datagram of maxDatagram fits, and no path is too narrow.
		InitialPacketSize:       1200,
		DisablePathMTUDiscovery: true,

		EnableDatagrams:                  true,
		EnableStreamResetPartialDelivery: true,
	})
	if err != nil {
		s.transport.Close()
		return err
	}
	s.running.Go(s.accept)
	return nil
}

const (
	streamWindow = 16 << 10 // bytes of a stream that the server holds
	maxBuffers   = 256      // free buffers that the server keeps
)

type connKey struct{}

// A socket is a QUICConn for quic-go, which wants to set the buffers of the socket.
// rtcserver.Config has their sizes.
type socket struct{ *rtcserver.QUICConn }

func (socket) SetReadBuffer(int) error  { return nil }
func (socket) SetWriteBuffer(int) error { return nil }

// certificate returns the self-signed certificate that is served now.
func (s *Server) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	pair, err := s.own.at(time.Now())
	if err != nil {
		return nil, err
	}
	return pair[0].tls, nil
}

// describe returns the URL of the WebTransport and the hashes of its certificates.
func (s *Server) describe(r *http.Request) (string, []string) {
	to := s.config.URL
	if to == "" {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		to = "https://" + net.JoinHostPort(host, strconv.Itoa(int(s.game.RTC().Addr().Port()))) + "/"
	}
	if s.config.GetCertificate != nil {
		return to, nil
	}
	pair, err := s.own.at(time.Now())
	if err != nil {
		return "", nil
	}
	return to, []string{pair[0].hash, pair[1].hash}
}

// accept serves the connections of QUIC.
func (s *Server) accept() {
	for {
		c, err := s.listener.Accept(context.Background())
		if err != nil {
			return
		}
		x := c.Context().Value(visitorKey{}).(*visitor)
		timer := time.AfterFunc(visitorTime, func() {
			if !x.admitted.Load() {
				c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeRequestRejected), "no ticket")
			}
		})
		s.running.Go(func() {
			s.http.ServeQUICConn(c) // its error is that of the connection
			timer.Stop()
		})
	}
}

// serve answers the request by which a client opens its WebTransport. The ticket is used up
// before anything else.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	t, err := s.game.TakeTicket(r.URL.Query().Get("ticket"), r.Header.Get("Origin"))
	if err != nil {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	c := &conn{server: s, quic: r.Context().Value(connKey{}).(*quic.Conn), out: make(chan []byte, outboxLen)}
	if c.session, err = s.http.Upgrade(w, r); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	x := c.quic.Context().Value(visitorKey{}).(*visitor)
	x.admitted.Store(true)
	x.leave()
	link, err := t.Open(godwit.LinkConfig{Name: session.LinkWebTransport, Carrier: c, MaxDatagram: maxDatagram, Remote: c.remote()})
	if err != nil {
		c.end()
		return
	}
	s.running.Go(c.write)
	s.running.Go(c.refuseStreams)
	c.read(link)
}

// shutdown lets what the carriers have taken leave, ends every connection, and waits for that.
func (s *Server) shutdown(ctx context.Context) {
	ended := make(chan struct{})
	s.listener.Close()
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	}
	s.http.Close()
	s.transport.Close()
	s.socket.Close()
	<-ended
}

// buffer returns an empty buffer for a datagram.
func (s *Server) buffer() []byte {
	select {
	case b := <-s.buffers:
		return b
	default:
		return make([]byte, 0, maxDatagram)
	}
}

// reuse takes a buffer back.
func (s *Server) reuse(b []byte) {
	select {
	case s.buffers <- b[:0]:
	default:
	}
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	v := &s.visitors
	v.mu.Lock()
	defer v.mu.Unlock()
	return Stats{Visitors: v.n, Retried: v.retried, Refused: v.refused}
}
