package rtcserver

import (
	"crypto/sha256"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// newDirectShards returns a server whose handshakes end with the test.
func newDirectShards(t *testing.T, shards int, c Config) *bareShards {
	x := newBareShards(t, shards, c)
	t.Cleanup(func() {
		for _, s := range x.shards {
			s.loop.Lock()
			s.endConns("")
			s.loop.Unlock()
		}
	})
	return x
}

// wantPlaces expects that so many connections which began with a check are not admitted, that
// so many of one address are not open, and that so many of the address are.
func (x *bareShards) wantPlaces(what string, a netip.Addr, waiting, begun, open int) {
	x.t.Helper()
	r := x.registry
	n := r.begunPerIP[party{a, byInvite}] + r.begunPerIP[party{a, byResume}]
	if w := r.unproved[byInvite] + r.unproved[byResume]; w != waiting || n != begun || r.perIP[a] != open {
		x.t.Errorf("%s: %d connections wait, %d of %v are not open, %d are; want %d, %d, %d", what, w, n, a, r.perIP[a], waiting, begun, open)
	}
}

// A server without room for a connection drops and counts the check, and so does one whose engine does
// not want the connection: then its place is free again.
func TestDirectChecksThatBeginNothing(t *testing.T) {
	var d directState
	x := newDirectShards(t, 1, d.config(Settings{MaxConns: 1}))
	x.bareConn(0)
	x.hand(0, attackerAddr, checkOf(inviteFor(1, time.Minute), "page"))
	if n := x.shards[0].stats.drops[DropFull]; n != 1 || len(d.engines) != 0 {
		t.Errorf("a full server drops %d checks and has %d engines, want 1 and none", n, len(d.engines))
	}

	c := d.config(Settings{MaxOffers: -1, MaxPerIP: 1})
	wanted, engine := false, c.Direct.Engine
	c.Direct.Engine = func(c *Conn, f *Fragment) Engine {
		if !wanted {
			return nil
		}
		return engine(c, f)
	}
	x = newDirectShards(t, 1, c)
	for i := range byte(10) {
		invite := inviteFor(i, time.Minute)
		text := invite.Text(&directKey)
		x.hand(0, attackerAddr, checkFor(ufrag.WithInit(text, 7, 9)+":page", directKey.Pwd(text), true))
	}
	x.wantPlaces("no connection is wanted", attackerAddr.Addr(), 0, 0, 0)
	if n := x.Stats().SNAPs; n != 0 {
		t.Errorf("%d connections have got an INIT with the check, want 0", n)
	}
	if n := x.shards[0].stats.drops[DropLimited]; n != 10 || len(x.registry.byUfrag) != 0 || len(x.registry.byFragment) != 0 {
		t.Errorf("%d checks are dropped, want 10; %d connections and %d fragments are kept", n, len(x.registry.byUfrag), len(x.registry.byFragment))
	}
	wanted = true
	x.hand(0, attackerAddr, checkOf(inviteFor(1, time.Minute), "page"))
	x.wantPlaces("one is wanted", attackerAddr.Addr(), 1, 1, 0)
}

// The invites and the sessions of an address begin as many connections as MaxOffers says, each for itself. What
// an invite with the number 0 was used for says nothing about a session.
func TestChecksOfAnAddressAreLimited(t *testing.T) {
	var d directState
	x := newDirectShards(t, 1, d.config(Settings{MaxOffers: 1, MaxPerIP: -1}))
	d.spent[[8]byte{}] = true
	for i := range byte(6) {
		x.hand(0, attackerAddr, checkOf(inviteFor(1+i, time.Minute), "page"))
	}
	x.wantPlaces("six invites", attackerAddr.Addr(), 4, 4, 0)
	for i := range byte(6) {
		d.sessions[[16]byte{i}] = true
		x.hand(0, attackerAddr, checkOf(ufrag.Fragment{Form: ufrag.Resume, Mark: [16]byte{i}}, "page"))
	}
	x.wantPlaces("and six sessions", attackerAddr.Addr(), 8, 8, 0)
	if n := x.shards[0].stats.drops[DropLimited]; n != 4 {
		t.Errorf("%d checks are dropped for a limit, want 4", n)
	}
	x.hand(0, victimAddr, checkOf(inviteFor(9, time.Minute), "page"))
	x.wantPlaces("and an invite at another address", victimAddr.Addr(), 9, 1, 0)
	ids := make(map[uint64]bool)
	for _, e := range d.engines {
		ids[e.conn.ID()] = true
	}
	if len(ids) != 9 || ids[0] {
		t.Errorf("the connections have the numbers %v, want 9 that are not 0", ids)
	}
}

// Once a check has made its connection, further checks find it, although the invite is spent and has
// expired, and the server refuses new connections.
func TestChecksOfAConnectionNeedNoGoodInvite(t *testing.T) {
	var d directState
	x := newDirectShards(t, 1, d.config(Settings{MaxOffers: -1}))
	invite := inviteFor(1, time.Minute)
	x.hand(0, attackerAddr, checkOf(invite, "page"))
	d.spent[invite.ID] = true
	x.Refuse()
	x.now = x.now.Add(2 * time.Minute)
	x.hand(0, victimAddr, checkOf(invite, "page"))
	s := x.shards[0]
	if c := s.byAddr[victimAddr]; len(d.engines) != 1 || c != d.engines[0].conn || s.stats.drops != [dropReasons]uint64{} {
		t.Errorf("%d connections, of which %v has the second address; drops: %v", len(d.engines), c, s.stats.drops)
	}
}

// Sessions have three times the connections of an address, and at most half of all places.
func TestRoomForDirectConnections(t *testing.T) {
	r := newRegistry(8, time.Minute)
	a := attackerAddr.Addr()
	for _, tt := range []struct {
		by                      beginning
		maxPerIP                int
		begun, open             int // of the address
		waiting, others, resume int // of the fragment, in all but sessions, and of sessions
		room                    bool
	}{
		{by: byInvite, maxPerIP: 2, begun: 1, room: true},
		{by: byInvite, maxPerIP: 2, begun: 1, open: 1},
		{by: byInvite, maxPerIP: 2, open: 2},
		{by: byInvite, maxPerIP: 0, open: 9, room: true},
		{by: byInvite, maxPerIP: -1, open: 9, room: true},
		{by: byInvite, maxPerIP: 2, waiting: maxUnproved - 1, room: true},
		{by: byInvite, maxPerIP: 2, waiting: maxUnproved},
		{by: byInvite, maxPerIP: 2, others: 4, resume: 3, room: true},
		{by: byInvite, maxPerIP: 2, others: 4, resume: 4},
		{by: byResume, maxPerIP: 1, begun: 2, room: true},
		{by: byResume, maxPerIP: 1, begun: 2, open: 1},
		{by: byResume, maxPerIP: 1, others: 4, resume: 3, room: true},
		{by: byResume, maxPerIP: 1, others: 5, resume: 3},
		{by: byResume, maxPerIP: 1, resume: 4},
	} {
		r.begunPerIP[party{a, tt.by}], r.perIP[a] = tt.begun, tt.open
		r.byFragment["fragment"] = tt.waiting
		r.unproved = [beginnings]int{byInvite: tt.others, byResume: tt.resume}
		if room := r.hasRoomFor([]byte("fragment"), party{a, tt.by}, tt.maxPerIP); room != tt.room {
			t.Errorf("%+v: there is room: %v", tt, room)
		}
	}
}

// WithdrawDirect closes the connections with a fragment that are not admitted, and no other ones.
func TestWithdrawDirect(t *testing.T) {
	var d directState
	x := newDirectShards(t, 1, d.config(Settings{MaxOffers: -1, MaxPerIP: -1}))
	one, other := inviteFor(1, time.Minute), inviteFor(2, time.Minute)
	for i, f := range []ufrag.Fragment{one, one, other} {
		x.hand(0, attackerAddr, checkOf(f, fmt.Sprintf("page%d", i)))
	}
	text := one.Text(&directKey)
	x.hand(0, attackerAddr, checkFor(ufrag.WithInit(text, 7, 9)+":page", directKey.Pwd(text), true))
	first := d.engines[0].conn
	first.Acquire()
	first.Admit(d.engines[0])
	first.Release(true, false)
	x.wantPlaces("one is admitted", attackerAddr.Addr(), 3, 3, 1)
	x.WithdrawDirect(text, "another link")
	for i, closed := range []bool{false, true, false, true} {
		if why := d.engines[i].why; (why != nil) != closed || closed && why.Text != "another link" {
			t.Errorf("connection %d is closed: %v, want %v", i, why, closed)
		}
	}
	if n := x.Stats().SNAPs; n != 1 {
		t.Errorf("%d connections have got an INIT with the check, want 1", n)
	}
}

// direct returns a connection that began with a check of an invite, whose source seems to be at.
func (x *bareShards) direct(at netip.Addr) *bareConn {
	a := x.bareConn(0)
	a.Conn.direct, a.stage, a.site = true, stageBegun, at
	x.registry.begunPerIP[a.party()]++
	x.registry.unproved[byInvite]++
	x.registry.byFragment[a.fragmentOf()]++
	return a
}

// A connection that is admitted before it opens counts once: for its address, and not among those that wait, also after its end.
func TestAdmittedBeforeItOpens(t *testing.T) {
	var d directState
	x := newDirectShards(t, 1, d.config(Settings{}))
	forged, page := netip.MustParseAddr("198.51.100.7"), victimAddr.Addr()
	a := x.direct(forged)
	a.become(lives, victimAddr)
	a.own(victimAddr)
	a.Acquire()
	a.Admit(a.engine)
	a.Release(true, false)
	x.wantPlaces("it is admitted", forged, 0, 0, 1)
	a.event(x.now, &peer.Event{Type: peer.Established})
	x.wantPlaces("it is open", page, 0, 0, 1)
	x.wantPlaces("at the other address", forged, 0, 0, 0)
	x.registry.remove(a.Conn)
	x.wantPlaces("it is gone", page, 0, 0, 0)
}

// A connection that opens counts for the address that its page has proved, also if its last check seems
// to come from another one.
func TestSiteOfADirectConnection(t *testing.T) {
	var d directState
	x := newDirectShards(t, 1, d.config(Settings{}))
	forged := netip.MustParseAddrPort("198.51.100.7:99")
	a := x.direct(forged.Addr())
	a.become(lives, victimAddr)
	a.own(victimAddr)
	a.comes(forged)
	a.own(forged)
	if a.peer.Remote() != forged || a.addrs[0] != victimAddr {
		t.Fatalf("the server sends to %v, and knows %v", a.peer.Remote(), a.addrs)
	}
	a.event(x.now, &peer.Event{Type: peer.Established})
	x.wantPlaces("it is open", victimAddr.Addr(), 1, 0, 1)
	x.wantPlaces("at the other address", forged.Addr(), 1, 0, 0)
	if a.Site() != victimAddr.Addr() {
		t.Errorf("Site() = %v, want %v", a.Site(), victimAddr.Addr())
	}
	x.registry.remove(a.Conn)
	x.wantPlaces("it is gone", victimAddr.Addr(), 0, 0, 0)
}

// Certificate is that of a page without an offer, once the handshake has shown it. The one that an offer
// names is no proof of anything.
func TestCertificateOfADirectConnection(t *testing.T) {
	f := pageCertificate.Fingerprint()
	none := [sha256.Size]byte{}
	offered := &Conn{expected: []dtls.Fingerprint{f}}
	direct := &Conn{direct: true}
	if offered.Certificate() != none || direct.Certificate() != none {
		t.Errorf("%x and %x, want none", offered.Certificate(), direct.Certificate())
	}
	direct.noteCertificate(f)
	if got := direct.Certificate(); string(got[:]) != string(f.Sum()) {
		t.Errorf("the certificate is %x, want %x", got, f.Sum())
	}
	other := serverCertificate.Fingerprint()
	offered.noteCertificate(other)
	if len(offered.expected) != 1 || string(offered.expected[0].Sum()) != string(f.Sum()) {
		t.Error("the handshake has changed what the offer names")
	}
}
