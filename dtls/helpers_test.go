package dtls

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	pion "github.com/pion/dtls/v3"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A world has two ends and the links between them, in a synctest bubble.
type world struct {
	t   *testing.T
	rng *mathrand.Rand
	mu  sync.Mutex // guards rng and numbers
	// The records of epoch 1 that were sent, by sender and number: the same bytes may be sent
	// again, other bytes with the same number may not.
	numbers map[*side]map[uint64]string

	loss, duplicate, reorder float64
	delay                    time.Duration
	tap                      func(from *side, b []byte) (drop bool) // nil passes all
}

func newWorld(t *testing.T, seed uint64) *world {
	return &world{
		t:       t,
		rng:     mathrand.New(mathrand.NewPCG(seed, 0)),
		numbers: make(map[*side]map[uint64]string),
		delay:   10 * time.Millisecond,
	}
}

// carry passes the datagrams of from to the other end.
func (w *world) carry(from *side, b []byte, to func([]byte)) {
	if w.tap != nil && w.tap(from, b) {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if from != nil {
		w.recordNumbers(from, b)
	}
	for range 1 + w.chance(w.duplicate) {
		if w.chance(w.loss) == 1 {
			continue
		}
		delay := w.delay + time.Duration(w.chance(w.reorder))*w.delay
		datagram := slices.Clone(b)
		time.AfterFunc(delay, func() { to(datagram) })
	}
}

func (w *world) chance(p float64) int {
	if w.rng.Float64() < p {
		return 1
	}
	return 0
}

func (w *world) recordNumbers(from *side, b []byte) {
	if w.numbers[from] == nil {
		w.numbers[from] = make(map[uint64]string)
	}
	for r := range Records(b) {
		if r.Epoch == 0 {
			continue
		}
		if before, ok := w.numbers[from][r.Number]; ok && before != string(r.Raw) {
			w.t.Errorf("record number %d was sent twice with different bytes", r.Number)
		}
		w.numbers[from][r.Number] = string(r.Raw)
	}
}

// A side is one end with this package's handshake; the test does the work of its owner.
type side struct {
	t        *testing.T
	mu       sync.Mutex
	client   bool
	peer     *side // if it is one of ours
	send     func([]byte)
	h        *Handshake
	sieve    Sieve
	raw      bool // without a sieve: pion gets all datagrams
	conn     Conn
	repeat   Repeater
	timer    *time.Timer
	kinds    []EventKind
	isDone   bool
	suite    Suite
	onKeys   func() // called under mu at KeysReady
	finished chan error
	received chan string
}

func newSide(t *testing.T, client bool) *side {
	return &side{t: t, client: client, finished: make(chan error, 1), received: make(chan string, 100)}
}

// start begins the handshake; send takes our datagrams.
func (s *side) start(c HandshakeConfig, send func([]byte)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.send = send
	s.timer = time.AfterFunc(time.Hour, s.tick)
	c.Client = s.client
	c.Emit = s.emit
	s.h = StartHandshake(c)
}

func (s *side) emit(e HandshakeEvent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.kinds); n > 0 && s.kinds[n-1] >= Done {
		s.t.Errorf("event %v comes after %v, want no event after the end", e.Kind, s.kinds[n-1])
	}
	s.kinds = append(s.kinds, e.Kind)
	switch e.Kind {
	case Flight:
		s.flight(e)
	case KeysReady:
		s.suite = e.Keys.Suite
		s.conn.Init(e.Keys, s.client, FirstRecord)
		if s.onKeys != nil {
			s.onKeys()
		}
	case Done:
		s.conn.Done()
		s.isDone = true
		for raw := range s.sieve.Early() {
			s.open(raw)
		}
		s.finished <- nil
	case Failed:
		s.repeat.Stop()
		s.finished <- e.Err
	}
}

func (s *side) flight(e HandshakeEvent) {
	s.send(e.Datagram)
	switch {
	case e.Again:
	case e.First:
		s.repeat.Set(time.Now(), e.Datagram)
	default:
		s.repeat.Add(e.Datagram)
	}
	s.arm()
}

func (s *side) arm() {
	if d := s.repeat.Deadline(); !d.IsZero() {
		s.timer.Reset(time.Until(d))
	}
}

func (s *side) tick() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		b := s.repeat.Append(time.Now(), nil)
		if len(b) == 0 {
			break
		}
		s.send(b)
	}
	s.arm()
}

func (s *side) receive(b []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDone {
		for r := range Records(b) {
			s.open(r.Raw)
		}
		return
	}
	if !s.raw {
		b = s.sieve.Append(time.Now(), nil, b)
	}
	if len(b) > 0 && s.h.Receive(b) && s.client && !s.conn.Ready() {
		s.repeat.Stop() // the peer has answered our ClientHello
	}
}

func (s *side) open(raw []byte) {
	plain, typ, drop := s.conn.Open(raw)
	if drop == DropNone && typ == TypeApplicationData {
		s.repeat.Stop()
		s.received <- string(plain)
	}
}

// write seals and sends a message.
func (s *side) write(msg string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writeLocked(msg)
}

func (s *side) writeLocked(msg string) error {
	b := append(s.conn.Reserve(nil), msg...)
	b, err := s.conn.Seal(b, 0, TypeApplicationData)
	if err == nil {
		s.send(b)
	}
	return err
}

// close ends what still runs, under the lock that events take.
func (s *side) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.Stop()
	s.timer.Stop()
}

// A pionSide is a real pion/dtls peer.
type pionSide struct {
	pipe     *pipe
	conn     *pion.Conn
	finished chan error
	received chan string
}

// startPion starts pion as a DTLS client or server with this certificate.
func startPion(t testing.TB, client bool, cert tls.Certificate, send func([]byte), extra ...pion.Option) *pionSide {
	p := &pionSide{finished: make(chan error, 1), received: make(chan string, 100)}
	p.pipe = newPipe(nil, func(b []byte) error { send(b); return nil })
	options := append([]pion.Option{
		pion.WithCertificates(cert),
		pion.WithInsecureSkipVerify(true),
		pion.WithExtendedMasterSecret(pion.RequireExtendedMasterSecret),
		pion.WithSRTPProtectionProfiles(pion.SRTP_AEAD_AES_128_GCM),
		pion.WithLoggerFactory(discard{}),
		pion.WithFlightInterval(100 * time.Millisecond),
	}, extra...)
	var err error
	if client {
		var o []pion.ClientOption
		for _, v := range options {
			o = append(o, v)
		}
		p.conn, err = pion.ClientWithOptions(p.pipe, pipeAddr, o...)
	} else {
		o := []pion.ServerOption{pion.WithClientAuth(pion.RequireAnyClientCert), pion.WithInsecureSkipVerifyHello(true)}
		for _, v := range options {
			o = append(o, v)
		}
		p.conn, err = pion.ServerWithOptions(p.pipe, pipeAddr, o...)
	}
	if err != nil {
		t.Fatal(err)
	}
	go p.run()
	return p
}

func (p *pionSide) run() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	err := p.conn.HandshakeContext(ctx)
	p.finished <- err
	for b := make([]byte, 2048); err == nil; {
		var n int
		if n, err = p.conn.Read(b); err == nil {
			p.received <- string(b[:n])
		}
	}
}

func (p *pionSide) receive(b []byte) { p.pipe.deliver(b) }
func (p *pionSide) close()           { p.conn.Close(); p.pipe.finish() }

// Certificates for both kinds of peers, made once, because keys take long.
var (
	testCertificate = sync.OnceValue(func() *Certificate { return testkit.Must(GenerateCertificate(time.Now())) })
	peerCertificate = sync.OnceValue(func() tls.Certificate {
		c := testkit.Must(GenerateCertificate(time.Now()))
		return tls.Certificate{Certificate: [][]byte{c.der}, PrivateKey: c.key}
	})
	rsaCertificate = sync.OnceValue(func() tls.Certificate {
		key := testkit.Must(rsa.GenerateKey(rand.Reader, 2048))
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		der := testkit.Must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	})
	p384Certificate = sync.OnceValue(func() tls.Certificate {
		key := testkit.Must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
		der := testkit.Must(x509.CreateCertificate(rand.Reader, template, template, key.Public(), key))
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	})
)

// configFor returns a config that expects this peer.
func configFor(peer tls.Certificate) HandshakeConfig {
	return HandshakeConfig{
		Certificate: testCertificate(),
		Peer:        []Fingerprint{fingerprintOf(peer.Certificate[0])},
		SRTP:        true,
	}
}
