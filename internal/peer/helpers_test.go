package peer

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A world is a server's peer and a client's, with nothing but memory between
// them. Each side does what an owner of a Peer does.
type world struct {
	t              testing.TB
	server, client *side
	outbox         chan outboxed // what handshakes say

	// lose, if not nil, is asked whether a datagram is lost.
	lose func(from *side, b []byte) bool

	room, back [2048]byte // of echo
	payload    [200]byte
}

type outboxed struct {
	side  *side
	event dtls.HandshakeEvent
}

// A side is one peer, its handshake and what it has received.
type side struct {
	*Peer
	world       *world
	other       *side
	addr        netip.AddrPort
	certificate *dtls.Certificate
	handshake   *dtls.Handshake
	request     Request
	events      []Event
	opened      bool
	got         []string
	sent        int // datagrams
}

// newWorld makes two peers that have not met. The client is the DTLS client if
// dtlsClient says so.
func newWorld(t testing.TB, dtlsClient bool) *world { return newWorldWith(t, dtlsClient, nil) }

// newWorldWith is newWorld with the server's configuration changed by edit.
func newWorldWith(t testing.TB, dtlsClient bool, edit func(*Config)) *world {
	w := &world{t: t, outbox: make(chan outboxed, 64)}
	w.server = newSide(w, "192.0.2.1:7777", serverCertificate)
	w.client = newSide(w, "198.51.100.7:40000", clientCertificate)
	w.server.other, w.client.other = w.client, w.server
	s, c := credentials(t), credentials(t)
	now := time.Now()
	config := Config{
		ICE:    ICEConfig{Local: s, Remote: c},
		SCTP:   SCTPConfig{LocalTag: 1, InitialTSN: 100},
		Client: !dtlsClient,
	}
	if edit != nil {
		edit(&config)
	}
	w.server.Peer = New(now, config)
	w.client.Peer = New(now, Config{
		Check: &CheckConfig{
			LocalUfrag: c.Ufrag, RemoteUfrag: s.Ufrag, RemotePwd: s.Pwd,
			Candidates: []netip.AddrPort{w.server.addr}, Secret: [32]byte{1},
		},
		SCTP:   SCTPConfig{LocalTag: 2, InitialTSN: 2 * config.SCTP.InitialTSN}, // both wrap, or none
		Client: dtlsClient,
	})
	return w
}

func credentials(t testing.TB) Credentials {
	c, err := NewCredentials(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Certificates cost more than all else here, so tests share them.
var (
	serverCertificate = testkit.Must(dtls.GenerateCertificate(time.Now()))
	clientCertificate = testkit.Must(dtls.GenerateCertificate(time.Now()))
)

func newSide(w *world, addr string, c *dtls.Certificate) *side {
	return &side{world: w, addr: netip.MustParseAddrPort(addr), certificate: c}
}

// run lets both sides talk until done.
func (w *world) run(done func() bool) {
	for end := time.Now().Add(time.Minute); !done(); {
		now := time.Now()
		if now.After(end) {
			w.t.Fatal("nothing more happens")
		}
		w.server.pump(now)
		w.client.pump(now)
		if done() {
			return
		}
		due := sooner(w.server.Deadline(), w.client.Deadline())
		if due.IsZero() {
			w.t.Fatal("nothing will ever happen")
		}
		next := time.NewTimer(time.Until(due))
		select {
		case o := <-w.outbox:
			o.side.take(time.Now(), o.event)
		case <-next.C:
			w.server.advance(time.Now())
			w.client.advance(time.Now())
		}
		next.Stop()
	}
}

// connect runs until both sides are open.
func (w *world) connect() {
	w.run(func() bool { return w.server.opened && w.client.opened })
}

// pump delivers all that s has to say.
func (s *side) pump(now time.Time) {
	s.Flush(now)
	for {
		b, to := s.Append(now, nil)
		if len(b) == 0 {
			return
		}
		s.sent++
		if to.Remote != s.other.addr {
			s.world.t.Fatalf("a datagram to %v", to.Remote)
		}
		if s.world.lose == nil || !s.world.lose(s, b) {
			s.other.receive(now, b)
		}
	}
}

// receive is what an owner does with a datagram.
func (s *side) receive(now time.Time, b []byte) {
	isClient := s == s.world.client
	switch {
	case Classify(b) == STUN && isClient:
		if s.Answered(now, s.other.addr, b) && s.State() == Waiting {
			s.begin()
		}
	case Classify(b) == STUN:
		if s.request.Parse(b) != 0 {
			s.world.t.Fatal("a bad check")
		}
		answer, granted := s.Check(now, s.other.addr, s.addr.Addr(), &s.request, nil)
		s.other.receive(now, answer)
		if granted && s.State() == Waiting {
			s.begin()
		}
	default:
		if isClient && s.State() == Waiting {
			s.begin()
		}
		var forHandshake []byte
		s.events, forHandshake = s.Receive(now, s.other.addr, b, s.events[:0])
		if len(forHandshake) > 0 && s.handshake != nil {
			s.handshake.Receive(forHandshake)
		}
		s.note()
	}
	s.pump(now)
}

func (s *side) begin() {
	s.Begin()
	s.handshake = dtls.StartHandshake(dtls.HandshakeConfig{
		Certificate: s.certificate,
		Client:      s.Peer.client,
		Peer:        []dtls.Fingerprint{s.other.certificate.Fingerprint()},
		SRTP:        true,
		Emit:        func(ev dtls.HandshakeEvent) { s.world.outbox <- outboxed{s, ev} },
	})
}

// take takes an event of the handshake.
func (s *side) take(now time.Time, ev dtls.HandshakeEvent) {
	s.events = s.events[:0]
	switch ev.Kind {
	case dtls.Flight:
		s.Flight(now, ev)
	case dtls.KeysReady:
		s.Keys(now, ev.Keys)
	case dtls.Done:
		s.handshake = nil
		s.events = s.Done(now, s.events)
	case dtls.Failed:
		s.handshake = nil
		s.Fail(now, ev.Err)
	}
	s.note()
}

func (s *side) advance(now time.Time) {
	s.events = s.Advance(now, s.events[:0])
	s.note()
}

func (s *side) note() {
	for _, ev := range s.events {
		switch ev.Type {
		case Established:
			s.opened = true
		case Message:
			s.got = append(s.got, string(ev.Payload))
		}
	}
}

// say sends a message from s to the other side.
func (s *side) say(text string) {
	s.world.t.Helper()
	b, _, err := s.Send(time.Now(), nil, 0, 0, []byte(text))
	if err != nil {
		s.world.t.Fatal(err)
	}
	s.other.receive(time.Now(), b)
}
