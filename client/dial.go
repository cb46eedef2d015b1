package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/sdp"
	"github.com/godwit-rtc/godwit/session"
)

// ErrAddressInUse is returned by Dial, Connect and Join of an Endpoint that already has
// a connection to the same server: set Config.Sources, or use another Endpoint.
var ErrAddressInUse = errors.New("client: the endpoint has a connection to this server already (see Config.Sources)")

// ErrNoSource is returned by Dial, Connect and Join of an Endpoint when every address of
// Config.Sources is in use.
var ErrNoSource = errors.New("client: every address of Config.Sources is in use")

// ErrNoSignal is returned by Endpoint.Connect without a Signal.
var ErrNoSignal = errors.New("client: Connect needs a Signal, but it is nil")

// A Signal sends the SDP of an offer to a server and returns the answer of the server:
// the SDP of the answer, or the JSON {"answer":{"sdp":…},"candidate":{…}}.
type Signal func(ctx context.Context, offer []byte) (answer []byte, err error)

// Dial connects to the server whose signaling is at url. It uses a new socket, which is
// closed with the connection. Dial waits until the connection is open or has failed. ctx
// limits this wait; after Dial has returned, ctx has no effect on the connection. The
// error is a *SignalError if the server refuses, the error of the HTTP request, a
// *CloseError if the connection does not open, the error of ctx, or session.ErrInHandler in a
// handler.
func Dial(ctx context.Context, url string, c Config) (*Conn, error) {
	if handling.Now() {
		return nil, session.ErrInHandler // before there is a socket: Close cannot close it in a handler
	}
	if err := c.alone(); err != nil {
		return nil, err
	}
	sockets, err := udpio.Listen(":0", udpio.Config{ReadBuffer: singleBuffer, WriteBuffer: singleBuffer})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	e := start(sockets[0], c, true)
	conn, err := e.Dial(ctx, url, nil)
	if err != nil {
		e.Close()
		return nil, err
	}
	return conn, nil
}

// singleBuffer is the size of the buffers of a socket with one connection.
const singleBuffer = 256 << 10

// Dial connects to the server whose signaling is at url, with the endpoint's socket. It
// waits as the function Dial does, and has the same errors and ErrAddressInUse,
// ErrNoSource and session.ErrClosed. user is the Conn.User of the connection; it is set
// before any handler is called.
func (e *Endpoint) Dial(ctx context.Context, url string, user any) (*Conn, error) {
	return e.connect(ctx, user, func(ctx context.Context, local netip.Addr, offer []byte) ([]byte, error) {
		return e.signal.post(ctx, url, local, offer)
	})
}

// Connect is Dial for a server whose signaling is not HTTP: signal takes the offer to
// the server, on the goroutine that calls Connect. An error of signal is returned as it
// is. If signal is nil the error is ErrNoSignal.
func (e *Endpoint) Connect(ctx context.Context, signal Signal, user any) (*Conn, error) {
	if signal == nil {
		return nil, ErrNoSignal
	}
	return e.connect(ctx, user, func(ctx context.Context, _ netip.Addr, offer []byte) ([]byte, error) {
		return signal(ctx, offer)
	})
}

func (e *Endpoint) connect(ctx context.Context, user any, signal func(context.Context, netip.Addr, []byte) ([]byte, error)) (*Conn, error) {
	if handling.Now() || e.polling.Running() {
		return nil, session.ErrInHandler
	}
	o, err := e.newOffer()
	if err != nil {
		return nil, err
	}
	local, err := e.reserveSource()
	if err != nil {
		return nil, err
	}
	answer, err := signal(ctx, local, o.Append(nil))
	var server *sdp.Server
	if err == nil {
		server, err = parseAnswer(answer)
	}
	var c *Conn
	if err == nil {
		c = newConn(e, user, local, server)
		err = e.open(time.Now(), c, e.peerConfig(o, server))
	}
	if err != nil {
		e.releaseSource(local)
		return nil, err
	}
	return c.wait(ctx, e.config.Manual)
}

// reserveSource reserves a source address for one connection.
func (e *Endpoint) reserveSource() (netip.Addr, error) {
	e.loop.Lock()
	defer e.loop.Unlock()
	if e.loop.Closed() {
		return netip.Addr{}, session.ErrClosed
	}
	return e.sources.reserve()
}

func (e *Endpoint) releaseSource(local netip.Addr) {
	e.loop.Lock()
	defer e.loop.Unlock()
	e.sources.release(local)
}

// An ownOffer is an offer of this end, with the association that its INIT describes.
type ownOffer struct {
	sdp.Offer
	association peer.SCTPConfig
}

func (e *Endpoint) newOffer() (*ownOffer, error) {
	credentials, err := peer.NewCredentials(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	var cookie [32]byte
	var tags [8]byte
	rand.Read(cookie[:])
	rand.Read(tags[:])
	association := peer.SCTPConfig{
		LocalTag:    max(1, binary.BigEndian.Uint32(tags[:4])), // 0 is forbidden
		InitialTSN:  binary.BigEndian.Uint32(tags[4:]),
		CookieKey:   cookie,
		SlowAck:     true, // a godwit server does not wait for acknowledgements
		MaxMessage:  e.config.MaxReceive,
		MaxBuffered: 4 * e.config.MaxReceive,
	}
	f := e.config.Certificate.Fingerprint()
	return &ownOffer{sdp.Offer{
		Ufrag: credentials.Ufrag, Pwd: credentials.Pwd,
		Fingerprints:   []sdp.Fingerprint{{Algorithm: f.Algorithm(), Sum: f.Sum()}},
		Setup:          sdp.SetupActpass,
		MaxMessageSize: e.config.MaxReceive,
		SCTPInit:       peer.LocalInit(&association),
	}, association}, nil
}

// parseAnswer reads the SDP of an answer, which may be wrapped in JSON.
func parseAnswer(b []byte) (*sdp.Server, error) {
	var wrapped struct {
		Answer    struct{ SDP string }
		Candidate struct{ Candidate string }
	}
	if len(b) > 0 && b[0] == '{' {
		if err := json.Unmarshal(b, &wrapped); err != nil || wrapped.Answer.SDP == "" {
			return nil, errors.New(`client: the server's JSON has no "answer"`)
		}
		b = []byte(wrapped.Answer.SDP)
	}
	s, err := sdp.ParseAnswer(b)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if a, ok := sdp.ParseCandidate(wrapped.Candidate.Candidate); ok && len(s.Candidates) == 0 {
		s.Candidates = append(s.Candidates, a)
	}
	if len(s.Candidates) == 0 {
		return nil, errors.New("client: the server's answer has no address to send to")
	}
	return s, nil
}

func newConn(e *Endpoint, user any, local netip.Addr, server *sdp.Server) *Conn {
	c := &Conn{
		User:     user,
		endpoint: e,
		local:    local,
		opened:   make(chan struct{}),
		active:   server.Setup == sdp.SetupPassive,
	}
	for _, f := range server.Fingerprints {
		if f, err := dtls.ParseFingerprint(f.Algorithm, f.Sum); err == nil {
			c.expected = append(c.expected, f)
		}
		if len(f.Sum) == len(c.reach.fingerprint) { // SHA-256
			c.reach.fingerprint, c.reach.addresses = [32]byte(f.Sum), server.Candidates
		}
	}
	return c
}

// open adds a connection to the endpoint's tables. The next turn of the loop sends its
// first check.
func (e *Endpoint) open(now time.Time, c *Conn, config peer.Config) error {
	c.peer = peer.New(now, config)
	e.loop.Lock()
	defer e.loop.Unlock()
	if e.loop.Closed() {
		return session.ErrClosed
	}
	for _, a := range config.Check.Candidates {
		r := e.route(a, c.local)
		if o := e.conns[r]; o != nil {
			if o.isSuperfluous(c.session) {
				o.close(now)
				c.succeeds = true
			}
			if o.state < connClosing {
				return ErrAddressInUse
			}
			o.pump(now) // it is closing; send its last datagrams
			e.remove(o)
		}
		c.routes = append(c.routes, r)
	}
	for _, r := range c.routes {
		e.conns[r] = c
	}
	if c.session != nil {
		c.session.opening = c
	}
	e.live++
	e.loop.Touch(c)
	e.loop.Wake()
	return nil
}

// isSuperfluous reports whether c is being opened for a session that is over, or that makes
// a newer connection: a WebSocket was faster than c. next is the session of the newer
// connection. The endpoint's lock is held.
func (c *Conn) isSuperfluous(next *Session) bool {
	s := c.session
	return s != nil && c.state == connOpening && (s == next || s.session != c.of || c.of.State() >= sessioncore.Closing)
}

// peerConfig returns the configuration of the peer for an offer and its answer.
func (e *Endpoint) peerConfig(o *ownOffer, server *sdp.Server) peer.Config {
	var secret [32]byte
	rand.Read(secret[:])
	c := peer.Config{
		Client: server.Setup == sdp.SetupPassive,
		Check: &peer.CheckConfig{
			LocalUfrag:     o.Ufrag,
			RemoteUfrag:    server.Ufrag,
			RemotePwd:      server.Pwd,
			Candidates:     server.Candidates,
			Secret:         secret,
			PendingTimeout: e.config.AnswerTimeout,
			ConsentTimeout: e.config.SilenceTimeout,
		},
		SCTP: o.association,
	}
	c.SCTP.RemotePort = uint16(server.SCTPPort)
	// A server that repeats the INIT of the offer does not know the attribute.
	if !bytes.Equal(o.SCTPInit, server.SCTPInit) {
		c.RemoteInit, _ = peer.ParseInit(server.SCTPInit)
	}
	return c
}

// wait waits until c is open, has failed, or ctx is done. turns says that it takes the
// turns of the loop meanwhile.
func (c *Conn) wait(ctx context.Context, turns bool) (*Conn, error) {
	if err := c.endpoint.await(ctx, c.opened, turns); err != nil {
		c.Close()
		return nil, err
	}
	c.endpoint.loop.Lock()
	defer c.endpoint.loop.Unlock()
	if c.failed != nil {
		return nil, c.failed
	}
	return c, nil
}
