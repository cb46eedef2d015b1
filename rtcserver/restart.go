package rtcserver

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/sdp"
)

// A page may send a further offer for a connection that it has: after pc.restartIce(), with new
// credentials, or because it has changed something else (RFC 8829). The server recognises such an
// offer by the session of its o= line and by its fingerprints. The session has a random number of
// 62 bits or more, which only the page and its signaling know: it is in no datagram. The
// connection keeps its DTLS, its association and its channels.
//
// A restart alone changes nothing: the credentials before stay valid until the page has proved an
// address with the new ones, by its DTLS keys. So whoever knows the session and the fingerprint of
// another page, but not its keys, can do as much as with a replayed check. All other offers make new
// connections.
//
// Pages of an engine, such as those of package godwit, get a new connection for every offer: their
// sessions resume.

// How many restarts a connection may begin in restartWindow. The server refuses one more with the
// status 429.
const (
	maxRestarts   = 16
	restartWindow = 10 * time.Second
)

// A sessionKey is a hash of what identifies the offers of one RTCPeerConnection, and a sum is one of the
// credentials of an offer. They are short, because each connection has them, and keyed, so that nobody
// can look for others with the same hash.
type (
	sessionKey uint64
	sum        uint64
)

// hash returns the first half of a keyed SHA-256 hash of the parts.
func (s *Server) hash(parts ...string) uint64 {
	h := hmac.New(sha256.New, s.pathKey[:])
	for _, p := range parts {
		h.Write(binary.BigEndian.AppendUint16(nil, uint16(len(p))))
		h.Write([]byte(p))
	}
	return binary.BigEndian.Uint64(h.Sum(nil))
}

// keyOf returns the key of an offer; false if it has none.
func (s *Server) keyOf(o *sdp.Offer) (k sessionKey, ok bool) {
	parts := []string{"offer", o.Session}
	for _, f := range o.Fingerprints {
		parts = append(parts, f.String())
	}
	return sessionKey(s.hash(parts...)), o.Session != ""
}

// sumOf returns the sum of the credentials of an offer.
func (s *Server) sumOf(o *sdp.Offer) sum { return sum(s.hash("credentials", o.Ufrag, o.Pwd)) }

// answerSession returns the session id of the answers to a page: random, as RFC 9429, section 5.2.1
// recommends, and the same for all offers with a key.
func (s *Server) answerSession(k sessionKey) uint64 {
	return s.hash("answer", string(binary.BigEndian.AppendUint64(nil, uint64(k)))) >> 1
}

// A renewal has what a connection needs for further offers of its page. The lock of the shard guards
// it, except key, which never changes.
type renewal struct {
	key     sessionKey
	theirs  sum      // of the page's credentials
	offer   uint64   // version of the last offer
	further *further // nil before the second offer
}

// A further is the part of a renewal that most connections never need.
type further struct {
	names   [2]string // further username fragments of this end, which restarts have made; guarded by the registry's lock
	latest  sum       // of the page's credentials of the last restart; zero if there is none, or if it is complete
	answers uint64    // number of answers, without the first
	since   time.Time // beginning of the window in which restarts count
	count   int       // restarts in it
}

// renewable prepares c for further offers of its page, before c is in the registry. It returns the
// session id of the answers.
func (s *Server) renewable(c *Conn, offer *sdp.Offer, setup sdp.Setup) (session uint64) {
	d, ok := c.engine.(*datagrams)
	key, known := s.keyOf(offer)
	if !ok || !known {
		var random [8]byte
		rand.Read(random[:])
		return binary.BigEndian.Uint64(random[:]) >> 1
	}
	d.renews, d.setup = true, setup
	d.renewal = renewal{key: key, offer: offer.Version, theirs: s.sumOf(offer)}
	return s.answerSession(key)
}

// renewal returns what c needs for further offers; nil if there will be none.
func (c *Conn) renewal() *renewal {
	if d, ok := c.engine.(*datagrams); ok && d.renews {
		return &d.renewal
	}
	return nil
}

// renew answers an offer for a connection that the page has. fresh are the credentials of this end if
// the offer begins a restart. If there is no such connection, renew returns nil and no refusal: the
// offer is for a new one.
func (s *Server) renew(offer *sdp.Offer, fresh peer.Credentials, r *http.Request, from remote) (*sdp.Answer, *StatusError) {
	key, ok := s.keyOf(offer)
	if !ok {
		return nil, nil
	}
	c, sh := s.registry.inSession(key)
	if c == nil {
		return nil, nil
	}
	a, no := s.renewConn(c, sh, offer, fresh)
	if a != nil {
		a.Candidates = s.candidates(r, from.addr)
		s.stats.answered.Add(1)
	}
	return a, no
}

// renewConn is renew for a connection of a shard.
func (s *Server) renewConn(c *Conn, sh *shard, offer *sdp.Offer, fresh peer.Credentials) (*sdp.Answer, *StatusError) {
	sh.loop.Lock()
	defer sh.loop.Unlock()
	n, setup := c.renewal(), c.engine.(*datagrams).setup
	if c.state == stateWaiting || c.state >= stateClosing || offer.Setup.Answer(setup) != setup || offer.Version < n.offer {
		return nil, nil
	}
	if n.further == nil {
		n.further = new(further)
	}
	f := n.further
	local, next, restarting := c.peer.LocalCredentials()
	if !restarting && f.latest != 0 { // it is complete
		n.theirs, f.latest = f.latest, 0
	}
	switch theirs := s.sumOf(offer); {
	case theirs == n.theirs:
	case theirs == f.latest: // of the restart that goes on
		local = next
	case offer.Version == n.offer:
		return nil, nil
	default:
		now := time.Now()
		if now.Sub(f.since) >= restartWindow {
			f.since, f.count = now, 0
		}
		if f.count == maxRestarts {
			return nil, refuse(http.StatusTooManyRequests, "rate", "too many ICE restarts of this connection: try again in ten seconds")
		}
		f.count++
		s.registry.rename(c, local.Ufrag, fresh.Ufrag)
		c.peer.Restart(fresh, peer.Credentials{Ufrag: offer.Ufrag, Pwd: offer.Pwd})
		f.latest, local = theirs, fresh
		sh.stats.restarts++
		c.log("restarts")
	}
	n.offer = offer.Version
	f.answers++
	var init []byte
	if offer.SCTPInit != nil {
		init = c.peer.SentInit() // as in the first answer: it must not change while the association lasts
	}
	return &sdp.Answer{
		Offer: offer, Ufrag: local.Ufrag, Pwd: local.Pwd,
		Fingerprint:    fingerprint(s.config.Certificate),
		Setup:          setup,
		MaxMessageSize: s.config.MaxReceive,
		SCTPInit:       init,
		SessionID:      s.answerSession(n.key),
		SessionVersion: f.answers,
	}, nil
}

// inSession returns the connection with a key and its shard; nil if there is none. A connection that
// still waits for its first check has no shard, and is not in the table.
func (r *registry) inSession(k sessionKey) (*Conn, *shard) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if c := r.bySession[k]; c != nil {
		return c, c.shard
	}
	return nil, nil
}

// addSession makes c, which has got its shard, the connection of its key, unless there is one.
// r.mu is held.
func (r *registry) addSession(c *Conn) {
	if n := c.renewal(); n != nil && r.bySession[n.key] == nil {
		r.bySession[n.key] = c
	}
}

// removeSession removes c from the tables that further offers use. r.mu is held.
func (r *registry) removeSession(c *Conn) {
	n := c.renewal()
	if n == nil {
		return
	}
	if r.bySession[n.key] == c {
		delete(r.bySession, n.key)
	}
	if n.further != nil {
		for _, name := range n.further.names {
			delete(r.renamed, name)
		}
	}
}

// rename makes c known by one more username fragment, that of a restart which begins. Of those that
// restarts have made before, only current stays, which checks may have until the restart is complete.
func (r *registry) rename(c *Conn, current, name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byUfrag[c.ufrag] != c {
		return // it is over
	}
	names := &c.renewal().further.names
	if names[0] != current {
		names[0], names[1] = names[1], names[0]
	}
	if names[0] != current { // the first restart, or none before was complete
		delete(r.renamed, names[0])
	}
	delete(r.renamed, names[1])
	names[1] = name
	r.renamed[name] = c
}
