package godwit

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/closed"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A Server is a game server. Its methods may be called from any goroutine, except that
// with Config.Manual Poll, Shutdown and Close must be called from one.
type Server struct {
	config     Config
	instance   string // random; by it clients distinguish this server from others
	tableHash  uint64
	maxMessage []int // by channel
	rtc        *rtcserver.Server
	signaling  http.Handler // rtc or, without a UDP port, what answers requests for other links; may be nil
	links      *links
	offer      atomic.Pointer[LinkOffer] // of OfferLink; nil if there is none
	directory  directory
	direct     direct
	roster     roster // of open sessions
	payloads   payloads

	polling loop.Puller[Event] // with Config.Manual: state of Poll and Shutdown

	stopping atomic.Pointer[string] // the text of Shutdown; nil before
	draining atomic.Bool            // there are no new sessions: Drain was called, or the server is closed

	refused, unsent, begun atomic.Uint64
	ended                  endings
}

func init() {
	closed.Server = func(s any) bool { return s.(*Server).stopping.Load() != nil }
}

// New returns a server without a UDP port, for clients over WebSockets, over links that the
// program brings, and in the same process: see [Server.AddLink] and [Server.Local]. Clients
// over WebSockets connect by an HTTP request to the Server, as after Listen. It has one
// goroutine until Close or Shutdown, and none with Config.Manual.
func New(c Config) (*Server, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	if s.config.offers(session.LinkWebSocket) {
		if s.signaling, err = rtcserver.Signaling(s.rtcConfig()); err != nil {
			return nil, err
		}
	}
	s.links.start()
	return s, nil
}

// Listen opens the UDP address addr, "host:port", and starts to serve it. Without a host
// the server is reachable at all addresses of the machine, over IPv4 and IPv6. Port 0
// means that the system chooses a port. Clients connect by an HTTP request to the
// Server, which is an [http.Handler]. The error says which field of c is wrong, or why
// the port cannot be opened.
func Listen(addr string, c Config) (*Server, error) {
	return listen(c, func(rc rtcserver.Config) (*rtcserver.Server, error) { return rtcserver.Listen(addr, rc) })
}

// Serve is Listen for an open socket, such as one of an in-memory network. The server
// closes the socket. [rtcserver.Serve] says what the socket must have.
func Serve(socket net.PacketConn, c Config) (*Server, error) {
	return listen(c, func(rc rtcserver.Config) (*rtcserver.Server, error) { return rtcserver.Serve(socket, rc) })
}

func listen(c Config, open func(rtcserver.Config) (*rtcserver.Server, error)) (*Server, error) {
	s, err := newServer(c)
	if err != nil {
		return nil, err
	}
	cert := s.config.RTC.Certificate
	if cert == nil {
		if cert, err = dtls.GenerateCertificate(time.Now()); err != nil {
			return nil, fmt.Errorf("godwit: %w", err)
		}
		s.config.RTC.Certificate = cert
	}
	s.direct.fingerprint = [32]byte(cert.Fingerprint().Sum())
	if s.rtc, err = open(s.rtcConfig()); err != nil {
		return nil, err
	}
	s.direct.serving.Store(true) // after rtc is set, which admitting a client needs
	s.signaling = s.rtc
	s.links.start()
	return s, nil
}

func newServer(c Config) (*Server, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	c.Channels = c.Channels.WithDefaults()
	s := &Server{config: c, tableHash: c.table().Hash(), maxMessage: []int{0}, payloads: make(payloads, maxPayloads)}
	for _, ch := range c.Channels {
		s.maxMessage = append(s.maxMessage, ch.MaxMessage)
	}
	var random [8]byte
	rand.Read(random[:])
	s.instance = hex.EncodeToString(random[:])
	s.directory.init(c.MaxConns, c.MaxUsedTokens)
	s.directory.totals = s.newTotals()
	s.direct.init(&s.config)
	s.links = newLinks(s)
	s.polling.Keep, s.polling.After, s.polling.Ended, s.polling.Turn = keep, yielded, endedEvent, s.turn
	return s, nil
}

// RTC returns the WebRTC side of the server, for its address and its counters. It returns
// nil if the server was made by New. With Config.Manual the program calls Server.Poll, and
// not the Poll of the WebRTC side.
func (s *Server) RTC() *rtcserver.Server { return s.rtc }

// Conns yields the sessions that are open at the time of the call, interrupted ones
// included. No lock is held meanwhile, so a session may be over when it is yielded.
func (s *Server) Conns() iter.Seq[*Conn] { return slices.Values(s.roster.all()) }

// Conn returns the open session with an id, and false if there is none.
func (s *Server) Conn(id session.ID) (*Conn, bool) {
	c := s.directory.withID(id)
	return c, c != nil
}

// Named returns the open sessions of the clients whose Identity has this name. There are
// several only with DuplicatesAllow. Do not change the slice.
func (s *Server) Named(name string) []*Conn { return s.directory.named(name) }

// Len returns the number of open sessions, interrupted ones included.
func (s *Server) Len() int { return len(s.roster.all()) }

// Flush sends the messages that are queued with Config.Manual. Without Manual messages
// leave by themselves, and the program need not call Flush.
func (s *Server) Flush() {
	if s.rtc != nil {
		s.rtc.Flush()
	}
	s.links.loop.Flush()
}

// addOpen adds a session that has opened to the tables, and applies Config.Duplicates.
func (s *Server) addOpen(c *Conn) {
	if !c.atServer {
		return
	}
	s.begun.Add(1)
	s.log(c, "open", "remote", c.RemoteAddr())
	for _, o := range s.directory.addOpen(c) {
		switch {
		case s.config.Duplicates == DuplicatesRefuse && !o.interrupted():
			c.close(session.CloseDuplicate, c.identity.Name+" is connected already", true)
		case s.config.Duplicates != DuplicatesAllow:
			o.close(session.CloseReplaced, "connected from elsewhere: this session was replaced", true)
		}
	}
	s.roster.add(c)
}

// endIfShutdown ends a session that has opened during Shutdown, after its Open handler
// has run.
func (s *Server) endIfShutdown(c *Conn) {
	if text := s.stopping.Load(); c.atServer && text != nil {
		c.drain(session.CloseShutdown, *text)
	}
}

// removeOpen removes a session that was open and is over from the tables.
func (s *Server) removeOpen(c *Conn, why CloseReason) {
	if !c.atServer {
		return
	}
	s.ended.count(why)
	s.roster.remove(c)
	s.forget(c)
	s.log(c, "close", "why", why) // last: a Logger may panic
}

// setAway notes that a session is interrupted, or that it has resumed. If too many sessions
// are interrupted it ends another one early.
func (s *Server) setAway(c *Conn, away bool) {
	if !c.atServer {
		return
	}
	if end := s.directory.setAway(c, away, time.Now()); end != nil {
		end.close(session.CloseTimeout, "interrupted, and more than half of all sessions were", true)
	}
}

// forget removes a session that is over from the tables, whether it was open or not.
func (s *Server) forget(c *Conn) {
	if !c.atServer {
		return
	}
	for _, g := range s.directory.remove(c) {
		g.roster.remove(c)
	}
	// A link that was to resume the session is not needed any more.
	if last := c.newest.Load(); last != nil && !c.isOn(last) {
		s.rtc.Withdraw(last, "the session is over")
	}
	for i := range c.newestEnds {
		if last := c.newestEnds[i].Load(); last != nil && !c.isOn(last) {
			last.Close("the session is over")
		}
	}
}

// log writes a line about a session at level debug. "session" is the session's ID as
// ID.String writes it. "conn" is the number of its connection, as in the lines of
// rtcserver.
func (s *Server) log(c *Conn, msg string, args ...any) {
	l := s.config.Logger
	if !c.atServer || !l.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	home := c.home.Load()
	about := []any{"session", c.id.String(), "identity", c.identity.Name, "link", home.name}
	if link, ok := home.link.(*rtcserver.Conn); ok {
		about = append(about, "conn", link.ID())
	}
	l.Debug("godwit: "+msg, append(about, args...)...)
}

// Shutdown refuses new clients, closes every session with session.CloseShutdown and text
// after its reliable messages are delivered, and closes the port. It does not wait for a
// session without a link, nor for one from which nothing arrives for Config.Silence. When
// ctx is done it closes all sessions at once. Give ctx a deadline: a client that answers
// pings and acknowledges no message holds Shutdown until ctx is done. When Shutdown
// returns, every Close handler has run. It returns a *ShutdownError if ctx was done first,
// or if a session was closed before its reliable messages were delivered. With
// Config.Manual call Shutdown on the goroutine that calls Poll; the next Poll yields the
// events that the Handler has no func for. In a handler or, with Manual, inside the range
// over Poll, Shutdown returns session.ErrInHandler and does nothing.
func (s *Server) Shutdown(ctx context.Context, text string) error {
	if handling.Now() || s.config.Manual && !s.polling.Start() {
		return session.ErrInHandler
	}
	if s.config.Manual {
		defer s.polling.End() // handlers that are run below must not poll
	}
	s.direct.cancel()
	s.stopping.Store(&text) // before drain looks at the sessions: endIfShutdown ends those that open later
	if s.rtc != nil {
		s.rtc.Refuse()
	}
	s.links.refuse()
	e := s.drain(ctx, text)
	s.shutdownOffer(ctx)
	if s.rtc != nil {
		s.rtc.Shutdown(ctx)
	}
	s.direct.deciding.Wait()
	s.links.stop()
	if s.rtc != nil { // again: a session whose handlers ran until now may have moved there meanwhile
		s.rtc.Close()
	}
	s.draining.Store(true)
	for _, c := range s.directory.all() { // they have not opened, and now no loop runs that could tell of their end
		s.forget(c)
	}
	if e.Err == nil && e.Sessions == 0 {
		return nil
	}
	return e
}

// A ShutdownError says which messages Shutdown has given up.
type ShutdownError struct {
	Err      error  // error of the context if it was done first; else nil
	Sessions int    // sessions that were closed before their reliable messages were delivered
	Bytes    uint64 // bytes of reliable messages that all these sessions gave up
}

func (e *ShutdownError) Error() string {
	s := fmt.Sprintf("godwit: shutdown: %d bytes for %d sessions were given up", e.Bytes, e.Sessions)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *ShutdownError) Unwrap() error { return e.Err }

// Close is Shutdown that does not wait for messages to be delivered. It returns
// session.ErrInHandler where Shutdown does, otherwise nil.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx, ""); err == session.ErrInHandler {
		return err
	}
	return nil
}

// drain closes every session and waits until all of them are over, or ctx is done. In
// the second case it closes the remaining ones at once.
func (s *Server) drain(ctx context.Context, text string) *ShutdownError {
	e := new(ShutdownError)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	leaving := make(map[*Conn]struct{})
	for {
		done := ctx.Err()
		for c := range s.Conns() { // again each time: sessions may open late
			c.drain(session.CloseShutdown, text)
			leaving[c] = struct{}{}
		}
		if len(leaving) > 0 {
			e.Err = done // ctx was done before these sessions, also if they are over now
		}
		for c := range leaving {
			if c.silent() {
				delete(leaving, c)
				e.count(c)
			}
		}
		if len(leaving) == 0 && s.Len() == 0 {
			return e
		}
		if s.config.Manual {
			s.turn(0) // events without a Handler func wait for the next Poll
		}
		select {
		case <-ctx.Done():
			e.Err = ctx.Err()
			for c := range leaving {
				c.close(session.CloseShutdown, text, true)
				e.count(c)
			}
			s.Flush()
			return e
		case <-tick.C:
		}
	}
}

// count adds the bytes that a closed session has given up.
func (e *ShutdownError) count(c *Conn) {
	a := c.acquire()
	defer c.release(a)
	if n := c.session.Reason().LostOut; n > 0 {
		e.Sessions++
		e.Bytes += n
	}
}

func (c *Conn) drain(code session.CloseCode, text string) {
	a := c.acquire()
	c.session.Drain(time.Now(), code, text)
	c.release(a)
}

// silent reports whether a session is closed and has no more datagrams to send.
func (c *Conn) silent() bool {
	a := c.acquire()
	defer c.release(a)
	return c.session.Over()
}
