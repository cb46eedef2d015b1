package rtcserver

import (
	"crypto/sha256"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// A Direct lets connections begin with a connectivity check, without an offer, if the username
// fragment of the check was made with a key: docs/SESSION.md, section 11. It is for an engine
// that finds out itself who the page is, as that of package godwit: the page's certificate is not
// known before the handshake. So the server accepts any, and Conn.Certificate names it.
//
// The server calls the funcs with a lock held. They must not wait, and must not call methods of
// this package except those of the Conn that need no lock.
type Direct struct {
	// Key is the key of the fragments.
	Key [32]byte

	// Known reports whether a session can be resumed now; mark is that of a Fragment. It must not
	// allocate.
	Known func(mark [16]byte) bool

	// Spent reports whether an invite was used; id is that of a Fragment. It must not allocate.
	Spent func(id [8]byte) bool

	// Engine returns the engine of a new connection, or nil: then the server drops the check. The
	// engine calls Conn.Admit when it knows who the page is. The slices of f are valid until
	// Engine returns. If two shards get checks of one page at the same time, the server calls Engine for
	// both, and one of the two engines gets no event.
	Engine func(c *Conn, f *Fragment) Engine
}

// A Fragment is what the username fragment of a check says, which the key has made.
type Fragment struct {
	Resume bool      // it is for the next link of a session; else it is an invite
	Ufrag  string    // the fragment itself
	Pwd    string    // its password
	Until  time.Time // when an invite expires

	Subject, Data []byte   // of an invite
	ID            [8]byte  // of an invite
	Mark          [16]byte // of the session's resume token
}

// A directStage says how much is known of the page of a connection. The source of a check can be forged.
// So until the page has opened the connection, it counts only beside others of its party, and takes no offer
// of the site.
type directStage uint8

const (
	stageAdmitted directStage = iota // admitted, or it began with an offer
	stageOpen                        // it is open, and not admitted
	stageBegun                       // it is not open: its site may be another page's
)

// maxUnproved limits the connections of one fragment that are not admitted yet.
const maxUnproved = 4

// beginDirect makes a connection for the check at hand, whose fragment has a form that needs no
// offer. It returns nil if it drops the check. It allocates nothing before the fragment, and the
// check under its password, are authentic, and nothing is against a connection.
// room says that the shard has room for a connection.
func (s *shard) beginDirect(now time.Time, d *udpio.Datagram, room bool) *Conn {
	f := &s.fragment
	text, tag, tsn, ok := s.fragments.Plain(s.request.LocalUfrag())
	x := s.server.config.Direct
	if !ok || !s.fragments.Read(text, f) || f.Node != s.server.config.Node {
		return s.dropDirect(DropForged)
	}
	until := time.Unix(f.Expires, 0)
	resume := f.Form == ufrag.Resume
	switch {
	case resume && !x.Known(f.Mark):
		return s.dropDirect(DropNoSession)
	case !resume && now.After(until):
		return s.dropDirect(DropExpired)
	}
	pwd := s.fragments.Pwd(text)
	if !s.request.Verify(string(pwd)) {
		return s.dropDirect(DropBadCheck)
	}
	if !room {
		return s.dropDirect(DropFull)
	}
	select {
	case <-s.server.down:
		return s.dropDirect(DropLimited)
	default:
	}
	if !resume && x.Spent(f.ID) {
		return s.dropDirect(DropSpent)
	}
	of := party{site(d.Remote.Addr()), byInvite}
	if resume {
		of.by = byResume
	}
	if !s.server.registry.hasRoomFor(text, of, s.server.config.MaxPerIP) || !s.server.rates[of.by].allow(now, of.site) {
		return s.dropDirect(DropLimited)
	}
	c, ok := s.server.registry.reserveDirect(s.request.Username(), text, of, s.server.config.MaxPerIP)
	if c != nil {
		return c // another shard was faster
	}
	if !ok {
		return s.dropDirect(DropLimited)
	}
	known := Fragment{
		Resume: resume, Ufrag: string(text), Pwd: string(pwd), Until: until,
		Subject: f.Subject, Data: f.Data, ID: f.ID, Mark: f.Mark,
	}
	c = s.newDirect(now, of.site, &known, tag, tsn)
	if c.engine = x.Engine(c, &known); c.engine == nil {
		s.server.registry.releaseDirect(c)
		return s.dropDirect(DropLimited)
	}
	if o := s.server.registry.addDirect(c); o != c {
		return o
	}
	if tag != 0 {
		s.server.stats.snaps.Add(1)
	}
	return c
}

func (s *shard) dropDirect(why DropReason) *Conn {
	s.stats.drops[why]++
	return nil
}

// newDirect makes a connection for the check at hand. tag and tsn are those of the page's INIT; tag is
// 0 if the page does not do SNAP.
func (s *shard) newDirect(now time.Time, site netip.Addr, f *Fragment, tag, tsn uint32) *Conn {
	c := &Conn{
		ufrag:  string(s.request.Username()),
		site:   site,
		active: true,
		resume: f.Resume,
		direct: true,
		stage:  stageBegun,
		shard:  s,
	}
	config := s.server.peerConfig(c, peer.Credentials{Ufrag: string(s.request.LocalUfrag()), Pwd: f.Pwd}, peer.Credentials{Ufrag: string(s.request.RemoteUfrag())}, 0)
	config.SCTP.Ack = peer.AckEager
	config.SCTP.LocalTag, config.SCTP.InitialTSN = ufrag.SCTP(f.Pwd)
	if tag != 0 {
		config.RemoteInit, _ = peer.ParseInit(peer.LocalInit(&peer.SCTPConfig{LocalTag: tag, InitialTSN: tsn}))
	}
	c.peer = peer.New(now, config)
	return c
}

// fragmentOf returns the fragment of a connection that began without an offer.
func (c *Conn) fragmentOf() string {
	text, _, _ := strings.Cut(c.ufrag, ":")
	return ufrag.Plain(text)
}

// Certificate returns the SHA-256 hash of the page's certificate, whose key the page has shown
// to have. It is for the engine of a connection of Direct, from LinkOpened on; the lock must be
// held (Acquire).
func (c *Conn) Certificate() (sum [sha256.Size]byte) {
	if c.direct && len(c.expected) == 1 {
		copy(sum[:], c.expected[0].Sum())
	}
	return sum
}

// Admit makes e the engine of a connection of Direct: the page is known now. Before Admit at most
// 4 connections of one fragment, and MaxPending of all, wait. Call it in the Deliver of the engine of before, with the
// lock held (Acquire).
func (c *Conn) Admit(e Engine) {
	c.engine = e
	c.shard.server.registry.prove(c)
}

// noteSite notes from where the page of a connection of Direct has opened it. The source of its first
// check may have been forged, so that another address would count it.
func (c *Conn) noteSite(now time.Time) {
	if !c.direct {
		return
	}
	from := c.peer.Remote()
	if i := slices.IndexFunc(c.addrs, func(a netip.AddrPort) bool { return c.peer.Holds(now, a) }); i >= 0 {
		from = c.addrs[i]
	}
	c.shard.server.registry.moveSite(c, site(from.Addr()))
}

// moveSite makes another site count a connection.
func (r *registry) moveSite(c *Conn, to netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byUfrag[c.ufrag] != c {
		return
	}
	r.uncountSite(c)
	if c.site = to; c.stage == stageBegun { // else it is admitted already
		c.stage = stageOpen
	}
	r.perIP[to]++
}

// noteCertificate notes the certificate of the page of a connection of Direct.
func (c *Conn) noteCertificate(f dtls.Fingerprint) {
	if c.direct {
		c.expected = []dtls.Fingerprint{f}
	}
}

// WithdrawDirect closes the connections with a fragment that are not admitted: their page has another
// one.
func (s *Server) WithdrawDirect(fragment, text string) {
	for _, c := range s.registry.unprovedOf(fragment) {
		c.Close(text)
	}
}

// unprovedOf returns the connections with a fragment that are not admitted.
func (r *registry) unprovedOf(fragment string) (all []*Conn) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.byFragment[fragment] == 0 {
		return nil
	}
	for _, c := range r.byUfrag {
		if c.stage != stageAdmitted && c.fragmentOf() == fragment {
			all = append(all, c)
		}
	}
	return all
}

// reserveDirect takes a place for the connection of a check with a username and a fragment. It returns
// the connection if there is one already, and false if there is no room.
func (r *registry) reserveDirect(username, fragment []byte, of party, maxPerIP int) (*Conn, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.byUfrag[string(username)]; c != nil {
		return c, true
	}
	if !r.roomFor(fragment, of, maxPerIP) {
		return nil, false
	}
	r.begunPerIP[of]++
	r.unproved[of.by]++
	r.byFragment[string(fragment)]++
	return nil, true
}

// hasRoomFor reports whether reserveDirect would find room now.
func (r *registry) hasRoomFor(fragment []byte, of party, maxPerIP int) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.roomFor(fragment, of, maxPerIP)
}

// roomFor is hasRoomFor. r.mu is held.
func (r *registry) roomFor(fragment []byte, of party, maxPerIP int) bool {
	if of.by == byResume {
		maxPerIP *= linksOfSession
		if 2*r.unproved[byResume] >= r.limit {
			return false // invites keep the other half: their clients have no other way
		}
	}
	return r.unproved[byInvite]+r.unproved[byResume] < r.limit &&
		(maxPerIP <= 0 || r.perIP[of.site]+r.begunPerIP[of] < maxPerIP) &&
		r.byFragment[string(fragment)] < maxUnproved
}

// releaseDirect gives back the place that reserveDirect took.
func (r *registry) releaseDirect(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uncountSite(c)
	r.uncountDirect(c)
}

// addDirect enters a connection that has a shard. Another shard may have been faster: then it
// returns the connection of that shard.
func (r *registry) addDirect(c *Conn) *Conn {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o := r.byUfrag[c.ufrag]; o != nil {
		r.uncountSite(c)
		r.uncountDirect(c)
		return o
	}
	r.nextID++
	c.id = r.nextID
	r.byUfrag[c.ufrag] = c
	return c
}

// prove notes that a connection of Direct is admitted.
func (r *registry) prove(c *Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c.stage == stageBegun { // its engine has not waited for LinkOpened
		r.uncountSite(c)
		r.perIP[c.site]++
	}
	r.uncountDirect(c)
}

// uncountDirect removes a connection from those that are not admitted, if it is one.
func (r *registry) uncountDirect(c *Conn) {
	if c.stage == stageAdmitted {
		return
	}
	c.stage = stageAdmitted
	r.unproved[c.party().by]--
	if f := c.fragmentOf(); r.byFragment[f] > 1 {
		r.byFragment[f]--
	} else {
		delete(r.byFragment, f)
	}
}
