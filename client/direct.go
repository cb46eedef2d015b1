package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/sdp"
	"github.com/godwit-rtc/godwit/session"
)

// Times of a resume without a request. The request follows when the link is not open after nextStart or,
// if that is longer, nextTrips round trips, and a random time of up to half as much; after twice this time if datagrams of the server have arrived by
// then.
const (
	nextStart = 500 * time.Millisecond
	nextTrips = 5
)

// A nextLink is what a session needs for a link without a request.
type nextLink struct {
	addresses   []netip.AddrPort // of the server
	fingerprint [32]byte         // SHA-256 hash of the server's certificate
	ufrag, pwd  string           // empty if the server has told none
}

// server returns the server as an answer would describe it, without its ufrag.
func (n *nextLink) server() *sdp.Server {
	return &sdp.Server{
		Pwd:          n.pwd,
		Fingerprints: []sdp.Fingerprint{{Algorithm: "sha-256", Sum: n.fingerprint[:]}},
		Setup:        sdp.SetupActive,
		Candidates:   n.addresses,
		SCTPPort:     5000,
	}
}

// openDirect begins to open a connection for a session without a request.
func (s *Session) openDirect(of *sessioncore.Session, n *nextLink) (*Conn, error) {
	e := s.endpoint
	local, err := e.reserveSource()
	if err != nil {
		return nil, err
	}
	o, err := e.newOffer()
	if err != nil {
		e.releaseSource(local)
		return nil, err
	}
	server := n.server()
	server.Ufrag = ufrag.WithInit(n.ufrag, o.association.LocalTag, o.association.InitialTSN)
	tag, tsn := ufrag.SCTP(n.pwd)
	server.SCTPInit = peer.LocalInit(&peer.SCTPConfig{LocalTag: tag, InitialTSN: tsn})
	c := newConn(e, nil, local, server)
	c.session, c.of, c.direct = s, of, true
	mine := [32]byte(e.config.Certificate.Fingerprint().Sum())
	proof := ufrag.Proof(n.pwd, mine, n.fingerprint)
	c.admit = append([]byte{ufrag.TypeAdmit}, proof[:]...)
	c.admit = append(c.admit, s.terms().Encode()...)
	if err = e.open(time.Now(), c, e.peerConfig(o, server)); err != nil {
		e.releaseSource(local)
		return nil, err
	}
	return c, nil
}

// dialInvite makes the first link of a session with an invite, and waits until it is open.
func (s *Session) dialInvite(ctx context.Context, of *sessioncore.Session, i *auth.Invite, turns bool) error {
	if !s.wants(session.LinkWebRTC) {
		return errors.New("client: an invite needs session.LinkWebRTC in SessionConfig.Links")
	}
	if len(i.Addresses) == 0 || i.Ufrag == "" || i.Pwd == "" {
		return errors.New("client: SessionConfig.Invite has returned an invite without addresses or credentials")
	}
	if i.Channels != "" && i.Channels != s.terms().Get("channels") {
		return &SignalError{Status: http.StatusConflict, Code: "channels", Text: "the server's table of channels differs from the client's"}
	}
	n := nextLink{i.Addresses, i.Fingerprint, i.Ufrag, i.Pwd}
	c, err := s.openDirect(of, &n)
	if err != nil {
		return err
	}
	_, err = c.wait(ctx, turns)
	if e, ok := errors.AsType[*CloseError](err); ok && e.Code == CloseNoAnswer {
		err = fmt.Errorf("%w (to an invite that has expired or was used)", err)
	}
	return err
}

// dialNext makes the next link of a session without a request. It returns true if no request must
// follow: the link is open, or the server refuses the session, or there is no URL for a request. If the
// link may still open, a request is made beside it.
func (s *Session) dialNext(ctx context.Context, of *sessioncore.Session) (over bool, err error) {
	e := s.endpoint
	e.loop.Lock()
	n := s.next
	head := max(nextStart, nextTrips*s.session.Mux().Stats().RTT)
	webRTC := s.linkName == session.LinkWebRTC && s.wants(session.LinkWebRTC)
	c := s.trying
	if silent := c != nil && c.state != connOpening && c.failed == nil && c.admit != nil; silent && s.at() != "" {
		s.trying = nil
		webRTC = false // the link before has opened, and the server has said nothing: make a request this time
	}
	if c != nil && (c.state != connOpening || c.of != s.session) {
		c = nil
	}
	e.loop.Unlock()
	if !webRTC || n.ufrag == "" || len(n.addresses) == 0 {
		return false, nil
	}
	if c == nil { // or the one of the last attempt may still open
		if !s.removeLink() {
			return true, nil
		}
		if c, err = s.openDirect(of, &n); err != nil {
			return s.at() == "", err
		}
		e.loop.Lock()
		s.trying = c
		e.loop.Unlock()
	}
	if s.at() == "" {
		_, err = c.wait(ctx, false)
		return true, err
	}
	// The sessions of a server that is gone notice it at about the same moment: their requests must not come together.
	if !s.outlastNext(ctx, c, head+rand.N(head/2)) {
		return true, ctx.Err()
	}
	e.loop.Lock()
	defer e.loop.Unlock()
	return s.needs() != needLink, nil // the session may have ended meanwhile
}

// outlastNext is Endpoint.outlast for a link without a request. It returns false, too, when the session does not
// need a link any more.
func (s *Session) outlastNext(ctx context.Context, c *Conn, head time.Duration) bool {
	e, woke := s.endpoint, false
	timer := time.NewTimer(head)
	defer timer.Stop()
	defer func() {
		if woke {
			s.wakeReconnect() // it may be for what comes after this wait
		}
	}()
	for again := head; ; {
		select {
		case <-c.opened:
			return e.failed(c) != nil
		case <-ctx.Done():
			return false
		case <-s.woken:
			woke = true
			e.loop.Lock()
			needed := s.needs() == needLink
			e.loop.Unlock()
			if !needed {
				return false
			}
			continue
		case <-timer.C:
		}
		if again == 0 || !e.answered(c) {
			return true
		}
		timer.Reset(again)
		again = 0
	}
}

// noteReach notes how the server was reached over a link that has opened: the next one begins there.
// The endpoint's lock is held.
func (s *Session) noteReach(c *Conn) {
	n := &c.reach
	s.next.addresses = nil
	if len(n.addresses) == 0 {
		return // it has shown no SHA-256 hash of its certificate
	}
	s.next.fingerprint = n.fingerprint
	s.next.addresses = []netip.AddrPort{c.peer.Remote()}
	for _, a := range n.addresses {
		if !slices.Contains(s.next.addresses, a) {
			s.next.addresses = append(s.next.addresses, a)
		}
	}
}

// receiveRefused processes REFUSED. The endpoint's lock is held.
func (c *Conn) receiveRefused(b []byte) {
	if b[0] != ufrag.TypeRefused || c.state != connOpen {
		return
	}
	if e := refusedDirect(b[1:]); e != nil {
		c.session.refusal = e
		c.close(time.Now())
	}
}

// refusedDirect reads the JSON of REFUSED. It returns nil if that is not the refusal of a server.
func refusedDirect(body []byte) *SignalError {
	var status struct{ Status int }
	said := members(body)
	if json.Unmarshal(body, &status) != nil || status.Status < 400 || said["code"] == "" || said["error"] == "" {
		return nil
	}
	e := &SignalError{Status: status.Status, Text: said["error"], Code: said["code"], Detail: said}
	delete(said, "code")
	delete(said, "error")
	return e
}

// takeRefusal returns the server's refusal of a link without a request, once; nil if there is none. The
// endpoint's lock is held.
func (s *Session) takeRefusal() error {
	e := s.refusal
	s.refusal = nil
	if e == nil {
		return nil
	}
	return s.named(e)
}
