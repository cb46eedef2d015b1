package peer

import (
	"crypto/rand"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A pair is a server's peer and a client's peer without a network between them. Each side does
// what the owner of a Peer must do.
type pair struct {
	t              testing.TB
	server, client *side
	outbox         chan sideEvent // events of the handshakes

	// lose, if not nil, reports whether a datagram is lost.
	lose func(from *side, b []byte) bool

	room, back [2048]byte // output buffers of echo
	payload    [200]byte
}

type sideEvent struct {
	side  *side
	event dtls.HandshakeEvent
}

// A side is one peer, its handshake and what it has received.
type side struct {
	*Peer
	pair        *pair
	other       *side
	addr        netip.AddrPort
	certificate *dtls.Certificate
	dtls        *dtls.Handshake
	request     Request
	events      []Event
	opened      bool
	got         []string
	sent        int // number of datagrams
}

// newPair makes two peers that have exchanged nothing. dtlsClient says whether the client is
// the DTLS client.
func newPair(t testing.TB, dtlsClient bool) *pair { return newPairWith(t, dtlsClient, nil) }

// newPairWith is newPair with the server's configuration changed by edit.
func newPairWith(t testing.TB, dtlsClient bool, edit func(*Config)) *pair {
	w := &pair{t: t, outbox: make(chan sideEvent, 64)}
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
		SCTP:   SCTPConfig{LocalTag: 2, InitialTSN: 2 * config.SCTP.InitialTSN}, // so the TSNs of both wrap in one test, or of neither
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

// Nothing else here costs as much time as a certificate, so tests share them.
var (
	serverCertificate = testkit.Must(dtls.GenerateCertificate(time.Now()))
	clientCertificate = testkit.Must(dtls.GenerateCertificate(time.Now()))
)

func newSide(w *pair, addr string, c *dtls.Certificate) *side {
	return &side{pair: w, addr: netip.MustParseAddrPort(addr), certificate: c}
}

// run exchanges datagrams between both sides until done returns true.
func (w *pair) run(done func() bool) {
	for end := time.Now().Add(time.Minute); !done(); {
		now := time.Now()
		if now.After(end) {
			w.t.Fatal("run: done is still false after a minute")
		}
		w.server.pump(now)
		w.client.pump(now)
		if done() {
			return
		}
		due := sooner(w.server.Deadline(), w.client.Deadline())
		if due.IsZero() {
			w.t.Fatal("run: done is false, and neither side has a deadline")
		}
		next := time.NewTimer(time.Until(due))
		select {
		case o := <-w.outbox:
			o.side.processHandshake(time.Now(), o.event)
		case <-next.C:
			w.server.advance(time.Now())
			w.client.advance(time.Now())
		}
		next.Stop()
	}
}

// connect runs until both sides are open.
func (w *pair) connect() {
	w.run(func() bool { return w.server.opened && w.client.opened })
}

// pump gives the other side all datagrams of s that are due, except those that lose drops.
func (s *side) pump(now time.Time) {
	s.Flush(now)
	for {
		b, to := s.Append(now, nil)
		if len(b) == 0 {
			return
		}
		s.sent++
		if to.Remote != s.other.addr {
			s.pair.t.Fatalf("a datagram is sent to %v, want %v", to.Remote, s.other.addr)
		}
		if s.pair.lose == nil || !s.pair.lose(s, b) {
			s.other.receive(now, b)
		}
	}
}

// receive processes a datagram as an owner must do it.
func (s *side) receive(now time.Time, b []byte) {
	isClient := s == s.pair.client
	switch {
	case Classify(b) == STUN && isClient:
		if s.Answered(now, s.other.addr, b) && s.State() == Waiting {
			s.begin()
		}
	case Classify(b) == STUN:
		if s.request.Parse(b) != 0 {
			s.pair.t.Fatal("the client's check is not a valid STUN request")
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
		if len(forHandshake) > 0 && s.dtls != nil {
			s.dtls.Receive(forHandshake)
		}
		s.note()
	}
	s.pump(now)
}

func (s *side) begin() {
	s.Begin()
	s.dtls = dtls.StartHandshake(dtls.HandshakeConfig{
		Certificate: s.certificate,
		Client:      s.Peer.client,
		Peer:        []dtls.Fingerprint{s.other.certificate.Fingerprint()},
		SRTP:        true,
		Emit:        func(ev dtls.HandshakeEvent) { s.pair.outbox <- sideEvent{s, ev} },
	})
}

// processHandshake processes an event of the handshake.
func (s *side) processHandshake(now time.Time, ev dtls.HandshakeEvent) {
	s.events = s.events[:0]
	switch ev.Kind {
	case dtls.Flight:
		s.Flight(now, ev)
	case dtls.KeysReady:
		s.Keys(now, ev.Keys)
	case dtls.Done:
		s.dtls = nil
		s.events = s.Done(now, s.events)
	case dtls.Failed:
		s.dtls = nil
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

// sendText sends a message from s to the other side.
func (s *side) sendText(text string) {
	s.pair.t.Helper()
	b, _, err := s.Send(time.Now(), nil, 0, 0, []byte(text))
	if err != nil {
		s.pair.t.Fatal(err)
	}
	s.other.receive(time.Now(), b)
}
