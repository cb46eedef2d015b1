package rtcserver

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/sdp"
)

// goodbye is how long Shutdown waits before it closes the port: it sends the end of each
// connection again if the first datagram was lost.
const goodbye = 300 * time.Millisecond

// A Server is a WebRTC datagram server. Its methods may be called from any
// goroutine.
type Server struct {
	config    Config
	registry  *registry
	relays    *relays // nil without Config.TrustedRelays
	offers    *limiter
	rates     [beginnings]*limiter // offers, and checks that begin connections, apart because their sources can be forged
	shards    []*shard
	cookieKey [32]byte
	pathKey   [32]byte
	gate      dtls.Gate // limits the handshakes that compute at a time, so that messages are not delayed
	stats     signalStats
	running   sync.WaitGroup
	lastTurns sync.Mutex    // held by the caller of Close that takes the last turns
	down      chan struct{} // closed when the server refuses offers
	downOnce  sync.Once

	forwarding    forwarding
	originWarning warning
	rolesWarning  warning
	unreachable   warning

	public     atomic.Pointer[[]netip.AddrPort] // of SetPublic and Config.Public; nil if neither has given any
	discovered netip.AddrPort                   // by Config.Discover

	quic    atomic.Pointer[QUICConn]
	polling bool // Poll runs, or Shutdown with Config.Manual; one goroutine calls both
}

// Listen opens the UDP address addr, "host:port", and starts to serve it. Without a host
// the server is reachable at all addresses of the machine, over IPv4 and IPv6. The host may be
// an IP address, or a name of this machine such as localhost or fly-global-services: Listen then
// uses one of its addresses, of IPv4 if there is one. Port 0 means that the system chooses a port. The error says which field of c is wrong, or why
// the port cannot be opened.
func Listen(addr string, c Config) (*Server, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	sockets, err := udpio.Listen(addr, c.socket())
	if err != nil {
		return nil, fmt.Errorf("rtcserver: %w", err)
	}
	return start(sockets, c), nil
}

// Serve is Listen for an open socket, which the server closes. The server treats a [net.UDPConn],
// for example one of systemd, like a socket that Listen has opened: it reads and writes batches,
// and sets the buffers of Config. Any other PacketConn must have addresses of an IP and a port,
// such as a [net.UDPAddr]. If it has the methods ReadFromUDPAddrPort and WriteToUDPAddrPort of a
// UDPConn, datagrams cost no allocation. If it has a method Queued() int, which returns the number
// of datagrams that can be read without waiting, the server reads as many after the first. Serve
// removes the socket's read deadline. If the socket is closed the error wraps [net.ErrClosed].
func Serve(socket net.PacketConn, c Config) (*Server, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	if c.Shards > 1 {
		return nil, fmt.Errorf("rtcserver: Serve has one socket, but Config.Shards is %d", c.Shards)
	}
	conn, err := udpio.Take(socket, c.socket())
	if err != nil {
		return nil, fmt.Errorf("rtcserver: %w", err)
	}
	return start([]*udpio.Conn{conn}, c), nil
}

// start serves sockets with a Config that has its defaults.
func start(sockets []*udpio.Conn, c Config) *Server {
	s := &Server{
		config:   c,
		registry: newRegistry(c.MaxPending, c.PendingTimeout),
		relays:   newRelays(c.TrustedRelays),
		offers:   newLimiter(c.MaxOffers),
		down:     make(chan struct{}),
	}
	s.rates = [beginnings]*limiter{s.offers, newLimiter(c.MaxOffers), newLimiter(c.MaxOffers)}
	rand.Read(s.cookieKey[:])
	rand.Read(s.pathKey[:])
	if len(c.Public) > 0 {
		s.public.Store(&c.Public)
	}
	s.discover(sockets)
	s.gate = make(dtls.Gate, runtime.GOMAXPROCS(0))
	for _, socket := range sockets {
		s.shards = append(s.shards, newShard(s, socket))
	}
	st := sockets[0].Stats()
	c.Logger.Info("rtcserver: listening", "addr", sockets[0].LocalAddr(), "shards", len(sockets),
		"readBuffer", st.ReadBuffer, "writeBuffer", st.WriteBuffer, "batched", st.Batched)
	for _, sh := range s.shards {
		sh.loop.Start(&s.running, sh.ended)
	}
	return s
}

// Addr returns the address that the server's socket is bound to.
func (s *Server) Addr() netip.AddrPort { return s.shards[0].socket.LocalAddr() }

// Certificate returns the DTLS certificate: that of Config or, without one, the server's own.
func (s *Server) Certificate() *dtls.Certificate { return s.config.Certificate }

// Poll waits at most d for datagrams, timers or calls, processes them, and returns.
// Handlers run inside Poll. A game loop calls it in every tick. If datagrams arrive faster
// than Poll processes them, Poll returns when d has passed; if d is zero or negative, it
// returns when it has processed the datagrams that arrived before the call. Poll needs
// Config.Manual, and only one goroutine may call it. The error is ErrClosed when the
// server is closed, ErrInHandler in a handler, and another one without Config.Manual.
func (s *Server) Poll(d time.Duration) error {
	if !s.config.Manual {
		return fmt.Errorf("rtcserver: Poll needs Config.Manual")
	}
	if s.polling {
		return ErrInHandler
	}
	s.polling = true
	defer func() { s.polling = false }()
	if err := s.shards[0].poll(d); err != nil {
		return ErrClosed
	}
	return nil
}

// accept makes a connection for an offer, which then waits for its first check, and
// returns the answer or a refusal. It calls Config.Engine after all other checks, because
// Engine may spend the client's token.
func (s *Server) accept(offer *sdp.Offer, r *http.Request, from remote) (*sdp.Answer, *StatusError) {
	ending := refuse(http.StatusServiceUnavailable, "shutdown", "the server shuts down")
	select {
	case <-s.down:
		return nil, ending
	default:
	}
	local, err := newCredentials(s.config.Node)
	if err != nil {
		return nil, refuse(http.StatusInternalServerError, "random", "no random bytes")
	}
	if a, no := s.renew(offer, local, r, from); a != nil || no != nil {
		return a, no
	}
	setup, chosen := s.setup(offer.Setup, site(from.addr))
	c := &Conn{
		ufrag:  local.Ufrag,
		site:   site(from.addr),
		active: setup == sdp.SetupActive,
		chosen: chosen,
		resume: s.config.Resumes != nil && s.config.Resumes(r),
		free:   from.free,

		expected: make([]dtls.Fingerprint, 0, len(offer.Fingerprints)),
	}
	for _, f := range offer.Fingerprints { // sdp knows the hashes that dtls knows
		if f, err := dtls.ParseFingerprint(f.Algorithm, f.Sum); err == nil {
			c.expected = append(c.expected, f)
		}
	}
	now := time.Now()
	if no := s.registry.reserve(c, from, s.config.MaxPerIP); no != nil {
		return nil, no
	}
	entered := false
	defer func() { // also if the program's Engine panics
		if !entered {
			s.registry.release(c)
		}
	}()
	config := s.peerConfig(c, local, peer.Credentials{Ufrag: offer.Ufrag, Pwd: offer.Pwd}, offer.SCTPPort)
	init := snap(&config, offer)
	if s.config.Engine != nil {
		if c.engine, err = s.config.Engine(c, r); err != nil {
			return nil, refusalOf(err)
		}
	}
	if c.engine == nil {
		c.engine = &datagrams{conn: c}
	} else {
		// The page of an engine uses one negotiated channel without retransmission.
		config.SCTP.Ack = peer.AckEager
	}
	c.peer = peer.New(now, config)
	session := s.renewable(c, offer, setup)
	due, ok := s.registry.add(c, now)
	if !ok {
		return nil, refuse(http.StatusConflict, "superseded", "a later request of this client has replaced this one")
	}
	entered = true
	if !s.expireBy(due) {
		return nil, ending
	}
	s.stats.answered.Add(1)
	if init != nil {
		s.stats.snaps.Add(1)
	}
	return &sdp.Answer{
		Offer:          offer,
		Ufrag:          local.Ufrag,
		Pwd:            local.Pwd,
		Fingerprint:    fingerprint(s.config.Certificate),
		Setup:          setup,
		Candidates:     s.candidates(r, from.addr),
		MaxMessageSize: s.config.MaxReceive,
		SCTPInit:       init,
		SessionID:      session,
	}, nil
}

// newCredentials returns the credentials of this end, which is a node, for an answer.
func newCredentials(node uint32) (peer.Credentials, error) {
	c, err := peer.NewCredentials(rand.Reader)
	if err != nil {
		return c, err
	}
	text := ufrag.ForOffer(node, c.Ufrag+c.Pwd) // one string, as NewCredentials makes it
	return peer.Credentials{Ufrag: text[:len(c.Ufrag)], Pwd: text[len(c.Ufrag):]}, nil
}

// peerConfig returns the configuration of the peer of c. A port of 0 means the usual one.
func (s *Server) peerConfig(c *Conn, local, remote peer.Credentials, port int) peer.Config {
	var random [16]byte
	rand.Read(random[:])
	return peer.Config{
		Client: c.active,
		ICE: peer.ICEConfig{
			Local:          local,
			Remote:         remote,
			PendingTimeout: s.config.PendingTimeout,
			ConsentTimeout: s.config.SilenceTimeout,
			Secret:         &s.pathKey,
			Salt:           binary.BigEndian.Uint64(random[8:]),
		},
		SCTP: peer.SCTPConfig{
			LocalTag:      binary.BigEndian.Uint32(random[:4]),
			InitialTSN:    binary.BigEndian.Uint32(random[4:8]),
			CookieKey:     s.cookieKey,
			RemotePort:    uint16(port),
			AllowReliable: s.config.AllowReliable,
			MaxChannels:   s.config.MaxChannels,
			Ack:           peer.AckMode(s.config.Acks),
			MaxMessage:    s.config.MaxReceive,
			MaxBuffered:   4 * s.config.MaxReceive,
		},
	}
}

// snap returns the INIT chunk of this end for the answer if the offer has one that this end
// understands, and sets RemoteInit: then the association needs no handshake (SNAP). Otherwise
// it returns nil, and the answer has no such attribute, which would tell the page that this end
// counts the association as established.
func snap(c *peer.Config, offer *sdp.Offer) []byte {
	remote, ok := peer.ParseInit(offer.SCTPInit)
	if !ok {
		return nil
	}
	c.RemoteInit = remote
	return peer.LocalInit(&c.SCTP)
}

// expireBy makes shard 0 look at the registry's pending connections at t or before. If the
// shard has ended it closes them and returns false.
func (s *Server) expireBy(t time.Time) bool {
	sh := s.shards[0]
	sh.loop.Lock()
	defer sh.loop.Unlock()
	if sh.loop.Closed() {
		sh.refuseLate()
		return false
	}
	if sh.expiry.IsZero() || t.Before(sh.expiry) {
		sh.expiry = t
		sh.loop.Wake()
	}
	return true
}

// Conns yields the open connections. No lock is held meanwhile, so a connection may be
// closed when it is yielded.
func (s *Server) Conns() iter.Seq[*Conn] {
	return func(yield func(*Conn) bool) {
		for _, sh := range s.shards {
			for _, c := range sh.allOpen() {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// Shutdown refuses new offers, closes every connection, and closes the port. If there were
// connections it waits 300 ms before it closes the port, and in that time repeats the
// datagram that tells a page of the end, for pages that did not get the first one. If ctx
// is done before, Shutdown closes the port at once and returns the error of ctx. When
// Shutdown returns, every Close handler has run. With Config.Manual call it on the
// goroutine that calls Poll. In a handler it returns ErrInHandler and does nothing.
func (s *Server) Shutdown(ctx context.Context) error {
	if handling.Now() {
		return ErrInHandler
	}
	if s.config.Manual {
		s.polling = true // handlers that run below must not poll
		defer func() { s.polling = false }()
	}
	stay, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	s.refuseOffers()
	for _, sh := range s.shards {
		sh.loop.Lock()
		sh.closeAll("")
		sh.loop.Unlock()
	}
	s.linger(stay)
	s.closeSockets()
	return ctx.Err()
}

// Close is Shutdown that does not wait. It returns ErrInHandler in a handler, otherwise
// nil.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); err == ErrInHandler {
		return err
	}
	return nil
}

func (s *Server) refuseOffers() { s.downOnce.Do(func() { close(s.down) }) }

// linger waits until ctx is done. It does not wait if there is no connection.
func (s *Server) linger(ctx context.Context) {
	if all, _ := s.registry.count(); all == 0 {
		return
	}
	if !s.config.Manual {
		<-ctx.Done()
		return
	}
	for ctx.Err() == nil {
		if s.shards[0].poll(10*time.Millisecond) != nil {
			return
		}
	}
}

// closeSockets ends the shards. Each loop takes its last turns, which run the last
// handlers. closeSockets takes them where no loop runs: after the socket has failed, with
// Config.Manual, and for the handlers of an engine that were not due before the loop ended.
func (s *Server) closeSockets() {
	if q := s.quic.Load(); q != nil {
		q.Close()
	}
	for _, sh := range s.shards {
		sh.close()
	}
	s.running.Wait()
	s.lastTurns.Lock() // Close may be called twice at once
	defer s.lastTurns.Unlock()
	for _, sh := range s.shards {
		defer sh.closeSocket() // also if a handler of any shard panics
	}
	for _, sh := range s.shards {
		sh.lastTurns()
	}
}

// fingerprint returns the fingerprint of a certificate, for SDP.
func fingerprint(c *dtls.Certificate) sdp.Fingerprint {
	f := c.Fingerprint()
	return sdp.Fingerprint{Algorithm: f.Algorithm(), Sum: f.Sum()}
}
