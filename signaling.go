package godwit

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net/http"
	"net/netip"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/web"
)

// protocolVersion is the version of docs/SESSION.md.
const protocolVersion = 1

// maxQuery is the longest query of a request in bytes. An http.Server accepts up to 1 MB
// of headers by default.
const maxQuery = 16 << 10

// ServeHTTP answers the request by which a client connects, and the request that opens a
// WebSocket; docs/SESSION.md, sections 1 and 10, describes them. The program may mount the
// server at any path; a proxy before it must pass on both requests. A server that New has
// made has no WebRTC: it answers an offer with the other links, and refuses clients with the
// status 503 if Config.Links has no WebSocket. A GET or HEAD request for a file below that
// path gets a file of the browser client, such as godwit.min.js; see web.Files.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wantsFile(r) {
		web.Handler().ServeHTTP(w, r)
		return
	}
	if s.signaling == nil {
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, `{"error":"this server has no UDP port","code":"shutdown"}`+"\n")
		return
	}
	s.signaling.ServeHTTP(w, r)
}

// wantsFile reports whether a request asks for a file, which has a dot in its name, and not
// for a WebSocket.
func wantsFile(r *http.Request) bool {
	return (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.Header.Get("Upgrade") == "" &&
		strings.Contains(path.Base(r.URL.Path), ".")
}

// An admission is the result of authorize for a request. engine uses it.
type admission struct {
	plain    bool // a page without the godwit script
	kind     Kind
	identity Identity
	limit    int   // largest number of sessions, this one included
	resume   *Conn // the session that the request resumes; nil for a new session
	token    hash  // hash of the resume token
	began    *Conn // the session that engine or offerLinks has made; nil before

	// spend notes that the credentials are used, or returns a refusal. It is nil if they may be used
	// again.
	spend func(context.Context) error
}

type admissionKey struct{}

func refusal(status int, code, text string, detail ...string) *rtcserver.StatusError {
	e := &rtcserver.StatusError{Status: status, Code: code, Text: text}
	for i := 0; i+1 < len(detail); i += 2 {
		if e.Detail == nil {
			e.Detail = make(map[string]string)
		}
		e.Detail[detail[i]] = detail[i+1]
	}
	return e
}

// authorize decides whether a client may connect. There is no connection yet. It puts the
// admission into the context of the request, for engine.
func (s *Server) authorize(r *http.Request) error {
	a := new(admission)
	if err := s.admit(a, r); err != nil {
		s.refused.Add(1)
		return err
	}
	*r = *r.WithContext(context.WithValue(r.Context(), admissionKey{}, a))
	return nil
}

func (s *Server) admit(a *admission, r *http.Request) error {
	if s.rtc == nil && s.stopping.Load() != nil { // with a port, rtc refuses requests during Shutdown
		return errShutdown()
	}
	if len(r.URL.RawQuery) > maxQuery {
		return refusal(http.StatusBadRequest, "request", "the query is longer than 16 KiB")
	}
	q := r.URL.Query()
	if !q.Has("v") {
		if h := &s.config.RTCHandler; h.Open == nil && h.ChannelOpen == nil && h.Message == nil {
			return refusal(http.StatusBadRequest, "request", "this server accepts only godwit clients: the request has no protocol version")
		}
		if s.draining.Load() {
			return errShutdown()
		}
		a.plain = true
		return nil
	}
	if err := s.checkTerms(q.Get("v"), q.Get("app"), q.Get("channels")); err != nil {
		return err
	}
	a.kind = kindOf(q.Get("kind"))
	if scheme, token := credentials(r); strings.EqualFold(scheme, "Godwit-Resume") {
		return s.admitResume(a, token)
	}
	if err := s.identify(a, r, Token(r)); err != nil {
		return err
	}
	return s.admitIdentity(r.Context(), a)
}

// kindOf returns the kind of client that a client says it is.
func kindOf(name string) Kind {
	switch name {
	case "browser":
		return KindBrowser
	case "native":
		return KindNative
	}
	return KindUnknown
}

// admitIdentity decides whether there may be one more session with the identity of a.
func (s *Server) admitIdentity(ctx context.Context, a *admission) error {
	if s.config.Duplicates == DuplicatesRefuse && s.isPresent(a.identity.Name) {
		return refusal(http.StatusConflict, "identity", a.identity.Name+" is connected already")
	}
	if f := s.config.Admit; f != nil {
		if err := f(ctx, a.identity); err != nil {
			return err
		}
	}
	a.limit = s.config.MaxConns
	if s.directory.hasRoom(a.limit) {
		return nil
	}
	if s.config.AdmitFull == nil || !s.config.AdmitFull(ctx, a.identity) {
		return errFull()
	}
	a.limit = math.MaxInt
	return nil
}

// Token returns the token that a client has sent with its request, or the empty string. It
// is for a program that verifies tokens in Config.Authorize. Token reads the header
// "Godwit-Authorization" and, only if that is empty, "Authorization". A client uses the
// first one if a proxy in front of the server needs "Authorization" for its own login. Do
// not use Token to read an "Authorization" that the proxy has written: any client can send
// "Godwit-Authorization" and so replace what Token returns.
func Token(r *http.Request) string {
	scheme, token := credentials(r)
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// credentials returns the scheme and the token of the client's credentials for this
// server.
func credentials(r *http.Request) (scheme, token string) {
	h := r.Header.Get("Godwit-Authorization")
	if h == "" {
		h = r.Header.Get("Authorization")
	}
	scheme, token, _ = strings.Cut(h, " ")
	return scheme, token
}

func errShutdown() error {
	return refusal(http.StatusServiceUnavailable, "shutdown", "the server shuts down")
}

func errFull() error { return refusal(http.StatusServiceUnavailable, "full", "the server is full") }

// shorten returns at most 64 bytes of a version, to be sent back in a refusal.
func shorten(version string) string { return version[:min(len(version), 64)] }

// checkTerms compares the versions and the table of a client with those of the server. It
// returns a refusal if they differ.
func (s *Server) checkTerms(version, app, channels string) error {
	if ours := strconv.Itoa(protocolVersion); version != ours {
		return refusal(http.StatusConflict, "protocol",
			"the server speaks version "+ours+" of the session protocol, the client another: update the older one",
			"server", ours, "client", shorten(version))
	}
	if ours := s.config.Version; ours != "" && app != ours {
		theirs := "is " + strconv.Quote(shorten(app))
		if app == "" {
			theirs = "does not say what it is"
		}
		return refusal(http.StatusConflict, "app", "the server is version "+strconv.Quote(ours)+" of the program, the client "+theirs,
			"server", ours, "client", shorten(app))
	}
	theirs, err := strconv.ParseUint(channels, 16, 64)
	if err != nil || len(channels) != 16 {
		return refusal(http.StatusBadRequest, "request", `"channels" is not the hash of a table: 16 hexadecimal digits`)
	}
	if theirs != s.tableHash {
		return refusal(http.StatusConflict, "channels", "the server's table of channels differs from the client's",
			"channels", string(s.config.table().AppendText(nil)))
	}
	return nil
}

// admitResume finds the session that a token resumes, or returns a refusal.
func (s *Server) admitResume(a *admission, text string) error {
	token, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(token) != len(sessioncore.Token{}) {
		return refusal(http.StatusGone, "resume", "the resume token is malformed: begin a new session", "reason", "malformed")
	}
	a.token = sha256.Sum256(token)
	c, ended := s.directory.find(markOf(a.token))
	switch {
	case c == nil && ended:
		return errEnded()
	case c == nil:
		return refusal(http.StatusGone, "resume", "this server does not know the session: it belongs to another server, or ended too long ago",
			"reason", "unknown", "instance", s.instance)
	}
	at := c.acquire()
	ok := c.session.Admits(a.token)
	c.release(at)
	if !ok {
		return errEnded()
	}
	a.resume = c
	return nil
}

func errEnded() error {
	return refusal(http.StatusGone, "resume", "the session is over: begin a new one", "reason", "ended")
}

// resumable reports whether a client may resume the session: the session is open.
func (c *Conn) resumable() bool {
	a := c.acquire()
	defer c.release(a)
	return c.session.State() == sessioncore.Open
}

// identify authenticates the client that makes a request, or returns a refusal.
func (s *Server) identify(a *admission, r *http.Request, token string) error {
	switch {
	case s.config.Authorize != nil:
		id, err := s.config.Authorize(r)
		if err != nil {
			return authorizeError(err)
		}
		a.identity = id
	case s.config.Secret != "":
		if token == "" {
			return unauthorized(auth.ErrMissing)
		}
		if !auth.Same(token, s.config.Secret) {
			return unauthorized(auth.ErrWrong)
		}
	case s.config.Tokens != nil:
		claims, err := s.config.Tokens.Verify(time.Now(), token)
		if err != nil {
			return authorizeError(err)
		}
		a.identity = Identity{Name: claims.Subject, Data: claims.Data}
		if s.config.ExpireWithToken {
			a.identity.Expires = claims.Until()
		}
		if !s.config.Tokens.Reusable {
			a.spend = func(ctx context.Context) error { return s.spend(ctx, claims) }
		}
	}
	if e := a.identity.Expires; !e.IsZero() && !time.Now().Before(e) {
		return unauthorized(auth.ErrExpired)
	}
	return nil
}

// unauthorized is the refusal for bad credentials.
func unauthorized(e *auth.Error) error {
	return refusal(http.StatusUnauthorized, "token", e.Text(), "reason", e.Reason())
}

// spendError is the refusal for a token whose use cannot be noted. Unless the token is to
// blame, the client may try again.
func spendError(err error) error {
	if _, ok := errors.AsType[*rtcserver.StatusError](err); ok {
		return err
	}
	e, ok := errors.AsType[*auth.Error](err)
	switch {
	case !ok:
		return refusal(http.StatusServiceUnavailable, "full", err.Error(), "reason", "refused")
	case e == auth.ErrBusy:
		return refusal(http.StatusServiceUnavailable, "full", e.Text(), "reason", e.Reason())
	}
	return unauthorized(e)
}

func authorizeError(err error) error {
	if e, ok := errors.AsType[*auth.Error](err); ok {
		return unauthorized(e) // also of the program's own verification of a token
	}
	return err
}

// isPresent reports whether there is an open session with a name that is neither
// interrupted nor being closed.
func (s *Server) isPresent(name string) bool {
	if name == "" {
		return false
	}
	for _, c := range s.directory.named(name) {
		if !c.interrupted() {
			return true
		}
	}
	return false
}

// interrupted reports whether the session is interrupted, being closed or moved, or over.
func (c *Conn) interrupted() bool {
	a := c.acquire()
	defer c.release(a)
	return c.session.Interrupted() || c.session.Moving() || c.session.State() >= sessioncore.Closing
}

// engine makes the engine of a new link. rtcserver calls it after all other checks.
func (s *Server) engine(link *rtcserver.Conn, r *http.Request) (rtcserver.Engine, error) {
	a, ok := r.Context().Value(admissionKey{}).(*admission)
	switch {
	case !ok:
		return nil, refusal(http.StatusInternalServerError, "request", "the request was not authorized")
	case a.plain:
		return nil, nil
	case a.resume != nil:
		if err := s.resumeOn(a.resume, link); err != nil {
			s.refused.Add(1)
			return nil, err
		}
		s.withdrawAttempts(a.resume)
		return &anchor{conn: a.resume, link: link, name: session.LinkWebRTC}, nil
	}
	c, err := s.begin(r.Context(), a, link.Site())
	if err != nil {
		s.refused.Add(1)
		return nil, err
	}
	a.began = c
	c.newest.Store(link)
	return &anchor{conn: c, link: link, name: session.LinkWebRTC}, nil
}

// resumeOn notes that the client of a session may come to a link, or returns a refusal.
func (s *Server) resumeOn(c *Conn, link *rtcserver.Conn) error {
	// An attempt replaces the one before, so a session has at most two links.
	before := c.newest.Swap(link)
	if before != nil && before != link && !c.isOn(before) {
		s.rtc.Withdraw(before, "the client tries once more")
	}
	// The session may have ended meanwhile: then nobody withdraws this link. If the session ends
	// after this check, forget finds the link in newest.
	if !c.resumable() {
		return errEnded()
	}
	return nil
}

// begin makes a session for a client that is admitted, and spends its credentials.
func (s *Server) begin(ctx context.Context, a *admission, site netip.Addr) (*Conn, error) {
	if !site.IsValid() {
		site = netip.IPv4Unspecified() // clients without a known address share one site
	}
	c, err := s.newConn(a.identity, a.kind, a.limit, site)
	if err == session.ErrClosed {
		return nil, errShutdown()
	}
	if err != nil {
		return nil, err // other clients took the last places since authorize
	}
	if a.spend == nil {
		return c, nil
	}
	spent := false
	defer func() { // also if the program's Spend panics
		if !spent {
			s.forget(c)
		}
	}()
	if err := a.spend(ctx); err != nil {
		return nil, err
	}
	spent = true
	return c, nil
}

// resumes reports whether a request resumes a session that exists; it is
// rtcserver.Config.Resumes.
func resumes(r *http.Request) bool {
	a, ok := r.Context().Value(admissionKey{}).(*admission)
	return ok && a.resume != nil
}

// spend notes that a token is used, or returns a refusal.
func (s *Server) spend(ctx context.Context, c auth.Claims) error {
	var err error
	if s.config.Spend != nil {
		err = s.config.Spend(ctx, c.ID, c.Until())
	} else {
		err = s.directory.spend(time.Now(), c)
	}
	if err != nil {
		return spendError(err)
	}
	return nil
}

// newConn makes the server's end of a session and enters it into the directory. It returns an
// error if there are already limit sessions, or MaxPerIP sessions from a valid site. It is
// session.ErrClosed after Drain and Shutdown.
func (s *Server) newConn(id Identity, k Kind, limit int, site netip.Addr) (*Conn, error) {
	var random [8]byte
	var token sessioncore.Token
	rand.Read(random[:])
	rand.Read(token[:])
	c := &Conn{
		server:   s,
		handler:  &s.config.Handler,
		id:       session.ID(binary.BigEndian.Uint64(random[:])),
		identity: id,
		kind:     k,
		atServer: true,
	}
	var err error
	sc := s.config.session(c.id, token)
	sc.Expires = id.Expires
	c.session, err = sessioncore.New(time.Now(), sc)
	if err != nil {
		return nil, err
	}
	if err := s.directory.add(c, limit, site, cmp.Or(s.config.RTC.MaxPerIP, 64)); err != nil {
		return nil, err
	}
	s.directory.setTokens(c)
	if s.draining.Load() { // after add: Drain and Shutdown set it and then look at the sessions
		s.forget(c)
		return nil, session.ErrClosed
	}
	return c, nil
}
