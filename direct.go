package godwit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/loop"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// direct is what a server needs for links that begin without a request: docs/SESSION.md, section 11.
type direct struct {
	key         ufrag.Key
	fingerprint [32]byte // SHA-256 hash of the server's certificate
	serving     atomic.Bool
	ctx         context.Context // of decisions that may wait
	cancel      context.CancelFunc
	deciding    sync.WaitGroup
	places      chan struct{} // holds a token for each decision that may wait

	admitted, resumed, refused, silent, early, repeated atomic.Uint64
}

// DirectStats are the counters of the links that begin without a request: those of invites, and
// those by which a client resumes. RTC.Drops counts the checks that begin no link.
type DirectStats struct {
	Admitted uint64 // links whose client was admitted, for a new session or one that resumes
	Resumed  uint64 // those of Admitted that are for a session that resumes
	Refused  uint64 // links whose client was refused; Stats.Refused counts them, too
	Silent   uint64 // links that ended because their client did not say in time who it is
	Early    uint64 // packets that were dropped because they came before the client was admitted
	Repeated uint64 // messages of clients that say who they are, after the first one
}

func (d *direct) stats() DirectStats {
	return DirectStats{
		d.admitted.Load(), d.resumed.Load(), d.refused.Load(), d.silent.Load(), d.early.Load(), d.repeated.Load(),
	}
}

// Limits of a link whose client is not admitted.
const (
	proofLen     = 32
	maxTerms     = 512 // bytes of the query in ADMIT
	maxRefusal   = 1100
	admitTimeout = 5 * time.Second // from the opening of the link to ADMIT
	refusalStays = time.Second     // REFUSED is sent again for datagrams that come in this time
	spendTimeout = 4 * time.Second // a client waits for 5 s
	maxDeciding  = 64              // decisions that may wait, for Config.Spend, Admit or AdmitFull
)

func (d *direct) init(c *Config) {
	d.ctx, d.cancel = context.WithCancel(context.Background())
	d.places = make(chan struct{}, maxDeciding)
	if c.Invites != nil {
		d.key = c.Invites.Bytes()
	} else {
		rand.Read(d.key[:])
	}
}

// takesDirect reports whether links may begin without a request.
func (c *Config) takesDirect() bool { return !c.NoDirect && c.offers(session.LinkWebRTC) }

// rtcDirect returns what rtcserver needs for such links; nil if there are none.
func (s *Server) rtcDirect() *rtcserver.Direct {
	if !s.config.takesDirect() {
		return nil
	}
	return &rtcserver.Direct{Key: s.direct.key, Known: s.isResumable, Spent: s.directory.isSpent, Engine: s.applicant}
}

// isResumable reports whether a link without a request may be for the session that the resume token with a mark
// resumes. It may not while a link is being opened that the client has asked for with a request: the request is newer,
// and the client may have one socket, where the handshakes of both links would disturb each other.
func (s *Server) isResumable(m [16]byte) bool {
	if !s.direct.serving.Load() {
		return false
	}
	c, _ := s.directory.find(m)
	if c == nil {
		return false
	}
	newest := c.newest.Load()
	return newest == nil || !s.rtc.Opening(newest)
}

// isSpent reports whether the server knows that an invite was used.
func (d *directory) isSpent(id [8]byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used.InviteSpent(id)
}

// spendInvite notes that an invite is used.
func (d *directory) spendInvite(now time.Time, id auth.InviteID, until time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used.SpendInvite(now, id, until)
}

// nextLink returns the credentials of a link that resumes a session with a token; see
// sessioncore.LinkInfo.
func (s *Server) nextLink(t sessioncore.Token) (name, pwd string) {
	name = s.resumeFragment(markOf(sha256.Sum256(t[:])))
	return name, s.direct.key.Pwd(name)
}

// Invite makes an invite with which one client may begin one session, without a request: the client
// gives it to connect of the browser client, or to client.SessionConfig.Invite. Whoever has the
// Text of the invite may use it, so it is as secret as a token. The server does not ask Authorize,
// Secret and Tokens for this client. Invite needs Config.Invites or Config.KeyFile, and a UDP port.
// The addresses are RTC.Public or, without it, those of this machine.
func (s *Server) Invite(c auth.InviteClaims) (auth.Invite, error) {
	switch {
	case s.config.Invites == nil:
		return auth.Invite{}, errors.New("godwit: Invite needs Config.Invites or Config.KeyFile")
	case s.rtc == nil || !s.config.takesDirect():
		return auth.Invite{}, errors.New("godwit: Invite needs a UDP port, WebRTC in Config.Links, and NoDirect not to be set")
	}
	v := auth.Inviter{
		Key: s.config.Invites, Addresses: s.rtc.Addresses(netip.Addr{}), Fingerprint: s.direct.fingerprint,
		Channels: fmt.Sprintf("%016x", s.tableHash), Node: s.config.RTC.Node,
	}
	return v.Invite(time.Now(), rand.Reader, c)
}

// An applicant is the engine of a link that has begun without a request, until its client has said
// who it is and is admitted. Then an anchor takes its place. Nothing of a session is delivered or said
// before.
type applicant struct {
	server   *Server
	link     *rtcserver.Conn
	fragment rtcserver.Fragment

	// Guarded by the link's lock.
	state   applicantState
	due     applicantDue
	terms   string    // the query of ADMIT; set once
	early   [][]byte  // packets that arrived between ADMIT and the decision
	until   time.Time // when the link ends: without ADMIT, or after REFUSED; zero if there is no such time
	refusal []byte    // REFUSED
	says    bool      // REFUSED is due
	atOnce  bool      // the link ends when REFUSED has left
	decided decision

	taken applicantDue // what Deliver has to do; only the loop's goroutine uses it
}

// A decision says whether an applicant is admitted.
type decision struct {
	conn   *Conn // its session
	resume bool
	err    error // why it is refused
}

// An applicantState is the state of an applicant. The link's lock guards it.
//
//	opening ──► open ──ADMIT──► deciding ──► over: an anchor is the engine now
//	              │  wrong proof   │ refused
//	              └────────► refused ◄────┘        all ──► over: the link is closed
type applicantState uint8

const (
	applicantOpening  applicantState = iota // the link is not open
	applicantOpen                           // it is, and ADMIT has not arrived
	applicantDeciding                       // a good ADMIT has arrived
	applicantRefused                        // REFUSED is sent, and the link will end
	applicantOver
)

// An applicantDue is what Deliver of an applicant has to do.
type applicantDue uint8

const (
	applicantRests  applicantDue = iota
	applicantAsks                // decide
	applicantEnters              // make its session, as decided
	applicantLeaves              // close the link
)

// applicant returns the engine of a link that has begun without a request. rtcserver calls it with a
// lock held.
func (s *Server) applicant(link *rtcserver.Conn, f *rtcserver.Fragment) rtcserver.Engine {
	if !s.direct.serving.Load() {
		return nil // Listen has not returned yet
	}
	a := &applicant{server: s, link: link, fragment: *f}
	a.fragment.Subject, a.fragment.Data = bytes.Clone(f.Subject), bytes.Clone(f.Data)
	return a
}

// Receive processes an event of the link.
func (a *applicant) Receive(now time.Time, ev rtcserver.LinkEvent) {
	switch ev.Type {
	case rtcserver.LinkOpened:
		a.state, a.until = applicantOpen, now.Add(admitTimeout)
	case rtcserver.LinkMessage:
		a.datagram(now, ev.Message.Data)
	case rtcserver.LinkClosed:
		a.state, a.until, a.due, a.early = applicantOver, time.Time{}, applicantRests, nil
		if a.decided.conn != nil {
			a.due = applicantEnters // which ends the session
		}
	}
}

// datagram processes a datagram of the client.
func (a *applicant) datagram(now time.Time, b []byte) {
	d := &a.server.direct
	admit := len(b) > 0 && b[0] == ufrag.TypeAdmit
	switch {
	case a.state == applicantOpen && admit:
		a.receiveAdmit(now, b[1:])
	case a.state == applicantRefused:
		a.says = true
	case a.state == applicantDeciding && admit:
		d.repeated.Add(1)
	case a.state == applicantDeciding && len(a.early) < maxEarly:
		a.early = append(a.early, bytes.Clone(b))
	default:
		d.early.Add(1)
	}
}

// receiveAdmit processes ADMIT without its first byte.
func (a *applicant) receiveAdmit(now time.Time, b []byte) {
	d := &a.server.direct
	if len(b) < proofLen || len(b) > proofLen+maxTerms {
		d.early.Add(1)
		return
	}
	proof := ufrag.Proof(a.fragment.Pwd, a.link.Certificate(), d.fingerprint)
	if !hmac.Equal(proof[:], b[:proofLen]) {
		a.atOnce = true
		a.refuse(now, refusal(http.StatusForbidden, "forbidden", "the proof is wrong: it is not of whoever has the invite or the session"))
		return
	}
	a.state, a.until = applicantDeciding, time.Time{}
	a.terms, a.due = string(b[proofLen:]), applicantAsks
}

// refuse makes the client know why it is refused. The link's lock is held.
func (a *applicant) refuse(now time.Time, err error) {
	a.server.refused.Add(1)
	a.server.direct.refused.Add(1)
	a.state, a.until = applicantRefused, now.Add(refusalStays)
	a.refusal, a.says, a.early = appendRefused(nil, err), true, nil
}

// appendRefused appends REFUSED. Members that name a difference are left out if there is no room for
// them.
func appendRefused(b []byte, err error) []byte {
	e, ok := errors.AsType[*rtcserver.StatusError](err)
	if !ok {
		e = &rtcserver.StatusError{Status: http.StatusForbidden, Text: err.Error()}
	}
	text := cmp.Or(e.Text, http.StatusText(e.Status))
	body := map[string]any{"status": e.Status, "error": text[:min(len(text), maxRefusal/4)], "code": cmp.Or(e.Code, "forbidden")}
	for name, v := range e.Detail {
		if len(v) <= maxRefusal/4 {
			body[name] = v
		}
	}
	encoded, _ := json.Marshal(body) // strings and a number
	if len(encoded) >= maxRefusal {
		encoded, _ = json.Marshal(map[string]any{"status": e.Status, "error": http.StatusText(e.Status), "code": body["code"]})
	}
	return append(append(b, ufrag.TypeRefused), encoded...)
}

// Append appends REFUSED if it is due.
func (a *applicant) Append(now time.Time, b []byte, _ int) []byte {
	if a.state != applicantRefused || !a.says {
		return b
	}
	if a.says = false; a.atOnce {
		a.until = now
	}
	return append(b, a.refusal...)
}

// Deadline returns when Advance must be called; at once if there is something to do.
func (a *applicant) Deadline() time.Time {
	if a.due != applicantRests {
		return loop.Past
	}
	return a.until
}

// Advance ends the link if its time is over.
func (a *applicant) Advance(now time.Time) {
	if a.until.IsZero() || now.Before(a.until) {
		return
	}
	if a.state == applicantOpen {
		a.server.direct.silent.Add(1)
	}
	a.until, a.due = time.Time{}, applicantLeaves
}

func (a *applicant) Preload(int) {}

// Ready takes what Deliver has to do.
func (a *applicant) Ready() bool {
	if a.taken == applicantRests { // else a handler of another link has panicked before Deliver
		a.taken, a.due = a.due, applicantRests
	}
	return a.taken != applicantRests
}

// Deliver decides about the client, and makes an anchor the engine of the link. No lock is held.
func (a *applicant) Deliver() {
	taken := a.taken
	a.taken = applicantRests
	switch taken {
	case applicantAsks:
		a.ask()
	case applicantEnters:
		a.link.Acquire()
		made := a.decided
		a.decided = decision{}
		a.link.Release(true, false)
		if made.conn != nil || made.err != nil { // else the link ended between Ready and Deliver: it is done
			a.enter(made)
		}
	case applicantLeaves:
		a.link.Close("the client is not admitted")
	}
}

// ask decides at once or, if funcs of the program take part that may wait, on another goroutine. They
// are not asked about a resume.
func (a *applicant) ask() {
	s := a.server
	d := &s.direct
	if a.fragment.Resume || s.config.Spend == nil && s.config.AdmitFull == nil && s.config.Admit == nil {
		a.enter(s.decide(d.ctx, &a.fragment, a.terms, a.link.Site()))
		return
	}
	select {
	case d.places <- struct{}{}:
	default:
		a.enter(decision{err: errFull()})
		return
	}
	d.deciding.Go(func() {
		defer func() { <-d.places }()
		ctx, cancel := context.WithTimeout(d.ctx, spendTimeout)
		defer cancel()
		decided := s.decide(ctx, &a.fragment, a.terms, a.link.Site())
		a.link.Acquire()
		a.decided, a.due = decided, applicantEnters
		a.link.Release(false, true)
	})
}

// enter does what was decided. The loop's goroutine calls it, in Deliver.
func (a *applicant) enter(made decision) {
	s, link := a.server, a.link
	now := time.Now()
	if made.err == nil && made.resume {
		made.err = s.resumeOn(made.conn, link)
	}
	link.Acquire()
	over := a.state == applicantOver
	switch {
	case over:
	case made.err != nil:
		a.refuse(now, made.err)
	default:
		early := a.early
		a.state, a.early = applicantOver, nil
		x := &anchor{conn: made.conn, link: link, name: session.LinkWebRTC}
		if !made.resume {
			made.conn.newest.Store(link)
		}
		link.Admit(x)
		x.open(now)
		for _, b := range early {
			x.datagram(now, b)
		}
	}
	link.Release(false, true)
	switch {
	case made.err != nil:
		s.config.Logger.Debug("godwit: a link without a request was refused", "conn", link.ID(), "why", made.err)
	case !over:
		s.direct.admitted.Add(1)
		if made.resume {
			s.direct.resumed.Add(1)
			s.withdrawAttempts(made.conn)
		}
	case !made.resume:
		s.forget(made.conn) // the client has gone meanwhile
	}
}

// decide decides about a client that has proved that it has a fragment. It makes its session, if
// that is a new one.
func (s *Server) decide(ctx context.Context, f *rtcserver.Fragment, terms string, site netip.Addr) (d decision) {
	if s.stopping.Load() != nil {
		return decision{err: errShutdown()}
	}
	q, err := url.ParseQuery(terms)
	if err != nil {
		return decision{err: refusal(http.StatusBadRequest, "request", "the query is malformed")}
	}
	if err := s.checkTerms(q.Get("v"), q.Get("app"), q.Get("channels")); err != nil {
		return decision{err: err}
	}
	if f.Resume {
		c, err := s.resumedBy(f.Mark)
		return decision{conn: c, resume: true, err: err}
	}
	a := &admission{kind: kindOf(q.Get("kind")), identity: Identity{Name: string(f.Subject), Data: f.Data}}
	a.spend = func(ctx context.Context) error { return s.spendInvite(ctx, f) }
	if err := s.admitIdentity(ctx, a); err != nil {
		return decision{err: err}
	}
	c, err := s.begin(ctx, a, site)
	return decision{conn: c, err: err}
}

// spendInvite notes that an invite is used, or returns a refusal.
func (s *Server) spendInvite(ctx context.Context, f *rtcserver.Fragment) error {
	var err error
	if s.config.Spend != nil {
		err = s.config.Spend(ctx, "invite-"+base64.RawURLEncoding.EncodeToString(f.ID[:]), f.Until)
	} else {
		err = s.directory.spendInvite(time.Now(), f.ID, f.Until)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, auth.ErrReplayed):
		return refusal(http.StatusConflict, "invite", "the invite was used before: get a fresh one", "reason", "spent")
	case errors.Is(err, auth.ErrExpired):
		return refusal(http.StatusConflict, "invite", "the invite has expired: get a fresh one", "reason", "expired")
	}
	return spendError(err)
}

// withdrawAttempts closes the links without a request by which the client of a session has tried to
// resume it, and that are not admitted: the client has another one. The handshakes of two links from one address
// would disturb each other.
func (s *Server) withdrawAttempts(c *Conn) {
	a := c.acquire()
	valid, next := c.session.Tokens()
	c.release(a)
	for i, token := range [][32]byte{valid, next} {
		if i == 0 || next != valid {
			s.rtc.WithdrawDirect(s.resumeFragment(markOf(token)), "the client has another link")
		}
	}
}

// resumeFragment returns the fragment of a link that resumes the session whose token has a mark.
func (s *Server) resumeFragment(m mark) string {
	f := ufrag.Fragment{Form: ufrag.Resume, Node: s.config.RTC.Node, Mark: m}
	return f.Text(&s.direct.key)
}

// resumedBy returns the session that the token with a mark resumes, or a refusal.
func (s *Server) resumedBy(m mark) (*Conn, error) {
	c, _ := s.directory.find(m)
	if c == nil {
		return nil, errEnded() // it was there when the check came
	}
	a := c.acquire()
	defer c.release(a)
	valid, next := c.session.Tokens()
	token := valid
	if m == markOf(next) {
		token = next
	}
	if markOf(token) != m || !c.session.Admits(token) {
		return nil, errEnded()
	}
	return c, nil
}
