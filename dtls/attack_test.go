package dtls

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The sieve limits the length of each kind of message, and drops longer ones.
func TestSieveBoundsKinds(t *testing.T) {
	for kind := range 256 {
		want := map[int]int{1: 4096, 2: 4096, 3: 4096, 13: 4096, 14: 4096, 11: 3072, 12: 1024, 15: 1024, 16: 1024}[kind]
		for _, length := range []int{want, want + 1} {
			var s Sieve
			got := pieces(s.Append(clock.now(), nil, handshakeRecord(frag(uint8(kind), 0, length, 0, min(length, 100)))))
			if passed := len(got) == 1; passed != (length == want && want > 0) {
				t.Errorf("type %d with %d bytes: pion gets %v, want that it gets the message: %v", kind, length, got, length == want && want > 0)
			}
		}
	}
}

// A fragment counts with the whole length of its message, because the screen allocates memory
// for it.
func TestSieveBoundsAnnounced(t *testing.T) {
	var s Sieve
	announced := 0
	for seq := range maxMessages {
		if len(s.Append(clock.now(), nil, handshakeRecord(frag(msgClientHello, seq, 1500, 0, 1)))) > 0 {
			announced += 1500
		}
	}
	if announced != 7500 || s.Drops()[dropFull] != maxMessages-5 {
		t.Errorf("%d bytes are announced, want 7500; drops %v, want %d as full", announced, s.Drops(), maxMessages-5)
	}
}

// A flight that is repeated again and again is passed on at most 8 pieces at a time, every 50
// ms, and no piece twice in that time.
func TestSieveBoundsRepeats(t *testing.T) {
	now := time.Unix(1, 0)
	var s Sieve
	var flight [][]byte
	for i, kind := range []uint8{msgClientHello, msgCertificate, msgClientKeyExchange, msgCertificateVerify} {
		for off := range 5 {
			flight = append(flight, handshakeRecord(frag(kind, i, 50, 10*off, 10)))
		}
	}
	for _, d := range flight {
		wantPieces(t, &s, "a piece", d, pieces(d)...)
	}
	for round := range 20 {
		now = now.Add(time.Hour) // wantPieces has another clock
		passed := map[string]int{}
		for repeat := range 10 {
			for i := range flight {
				d := flight[(i+round)%len(flight)]
				for _, p := range pieces(s.Append(now.Add(time.Duration(repeat)*4*time.Millisecond), nil, d)) {
					passed[p]++
				}
			}
		}
		for p, n := range passed {
			if n > 1 {
				t.Errorf("%s was passed on %d times in one interval, want once at most", p, n)
			}
		}
		if len(passed) != maxRepeats {
			t.Errorf("%d pieces went again, want %d", len(passed), maxRepeats)
		}
	}
	s = Sieve{}
	for _, d := range flight {
		s.Append(now, nil, d)
	}
	ccs := plaintextRecord(TypeChangeCipherSpec, 9, "\x01")
	n := 0
	for range 100 {
		n += len(pieces(s.Append(now, nil, ccs)))
	}
	if n != 1 {
		t.Errorf("ChangeCipherSpec was passed on %d times in one interval, want once", n)
	}
}

// A piece that is new does not pass a second time in the interval in which it has passed first.
func TestSieveBoundsRepeatsOfANewPiece(t *testing.T) {
	var s Sieve
	first := handshakeRecord(frag(msgClientHello, 0, 50, 0, 10))
	second := handshakeRecord(frag(msgClientHello, 0, 50, 10, 10))
	now := time.Unix(1, 0)
	for _, step := range []struct {
		piece []byte
		after time.Duration
		want  int
	}{{first, 0, 1}, {first, time.Hour, 1}, {second, 0, 1}, {second, 0, 0}, {second, time.Hour, 1}} {
		now = now.Add(step.after)
		if n := len(pieces(s.Append(now, nil, step.piece))); n != step.want {
			t.Errorf("%+v: %d pieces pass", step, n)
		}
	}
}

// An attacked is our end of a handshake that its peer, a pion, never ends: the peer's
// ChangeCipherSpec and Finished are lost.
type attacked struct {
	*side
	peer   *pionSide
	given  atomic.Int64 // datagrams that pion was given
	mu     sync.Mutex
	flight [][]byte // the peer's, datagram by datagram
}

// said returns the messages that the peer has sent.
func (a *attacked) said() [][]byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.flight)
}

func attack(t *testing.T, w *world, client bool, cert tls.Certificate) *attacked {
	a := &attacked{side: newSide(t, client)}
	w.tap = func(from *side, b []byte) bool {
		if from != nil {
			return false
		}
		a.mu.Lock()
		a.flight = append(a.flight, bytes.Clone(b))
		a.mu.Unlock()
		for r := range Records(b) {
			if r.Type == TypeChangeCipherSpec || r.Epoch != 0 {
				r.Raw[0] = 99 // no such type
			}
		}
		return false
	}
	c := configFor(cert)
	c.given = func(b []byte) {
		if len(b) > 0 {
			a.given.Add(1)
		}
	}
	a.peer = meet(t, w, a.side, cert, c)
	return a
}

// A repeated fragment of one byte of CertificateVerify makes pion verify nothing again: pion
// does not get it.
func TestRepeatedFragmentsCostNothing(t *testing.T) {
	cert := peerCertificate()
	for name, client := range map[string]bool{"of a server": true, "of a client": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 1)
				a := attack(t, w, client, cert)
				defer a.peer.close()
				defer a.close()
				time.Sleep(200 * time.Millisecond)
				synctest.Wait()
				before, flight := a.given.Load(), a.said()
				if before == 0 {
					t.Fatal("pion has got no datagram")
				}
				for range 1000 {
					for _, d := range flight {
						for r := range Records(d) {
							f, _, ok := parseFragment(r.Body())
							if !ok || r.Epoch != 0 || f.kind == msgClientHello {
								continue
							}
							for _, off := range []int{0, f.end - 1} {
								if end := off + 1; off >= 0 && end <= f.end {
									a.receive(handshakeRecord(string(appendFragment(nil, &f, off, end))))
								}
							}
							a.receive(bytes.Clone(r.Raw))
						}
					}
					time.Sleep(time.Millisecond)
				}
				synctest.Wait()
				if n := a.given.Load() - before; n > 0 {
					t.Errorf("pion has got %d more datagrams, want 0", n)
				}
			})
		})
	}
}

// A repeated ClientHello makes pion repeat its flight, but not for each copy.
func TestRepeatedHelloIsRare(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		a := attack(t, w, false, cert)
		defer a.peer.close()
		defer a.close()
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		before, hello := a.given.Load(), a.said()[0]
		for range 1000 {
			a.receive(bytes.Clone(hello))
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		if n := a.given.Load() - before; n == 0 || n > 20 {
			t.Errorf("pion was given %d of 1,000 ClientHellos in a second, want at most 20", n)
		}
	})
}

// From a peer with another certificate than the one of the offer, or with a costly key, pion
// gets only the hello: it verifies no signature and computes no key exchange.
func TestStrangersReachNoSignature(t *testing.T) {
	cert := peerCertificate()
	for name, client := range map[string]bool{"a server": true, "a client": false} {
		for what, expect := range map[string]error{"another's fingerprint": ErrPeer, "a costly key": errKey} {
			t.Run(name+"/"+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, s := newWorld(t, 1), newSide(t, client)
					c, shown := configFor(cert), cert
					if expect == errKey {
						shown = tls.Certificate{Certificate: [][]byte{certify(rsaOf(16384))}, PrivateKey: cert.PrivateKey}
						c.Peer = []Fingerprint{fingerprintOf(shown.Certificate[0])}
					} else {
						c.Peer = []Fingerprint{testCertificate().Fingerprint()}
					}
					var kinds []uint8
					c.given = func(b []byte) {
						for r := range Records(b) {
							if f, _, ok := parseFragment(r.Body()); ok && r.Epoch == 0 {
								kinds = append(kinds, f.kind)
							}
						}
					}
					p := meet(t, w, s, shown, c)
					defer p.close()
					defer s.close()
					if err := <-s.finished; err == nil || err.Error() != expect.Error() {
						t.Errorf("handshake: %v, want %v", err, expect)
					}
					for _, k := range kinds {
						if k != msgServerHello && k != msgClientHello && k != msgHelloVerifyRequest {
							t.Errorf("pion has got messages of the types %v, want only hellos", kinds)
						}
					}
					if !slices.Contains(kinds, map[bool]uint8{true: msgServerHello, false: msgClientHello}[client]) {
						t.Errorf("pion has got messages of the types %v, want a hello among them", kinds)
					}
				})
			})
		}
	}
}

// BenchmarkAttackHandshake measures the cost of a datagram that an attacker repeats while a
// handshake is unfinished: in sieve, queue, screen and pion. Divide the CPU time of the process
// by the datagrams.
func BenchmarkAttackHandshake(b *testing.B) {
	cert := peerCertificate()
	for role, repeated := range map[string][]string{
		"server": {"CertificateVerify/one byte", "CertificateVerify", "Certificate", "ClientHello", "Finished", "many Finished"},
		"client": {"ServerKeyExchange", "Certificate", "Finished", "many Finished"},
	} {
		for _, part := range repeated {
			b.Run(role+"/"+part, func(b *testing.B) {
				victim, datagram := unfinished(b, cert, role == "client", part)
				defer victim.h.Stop()
				b.ReportAllocs()
				for b.Loop() {
					if out := victim.sieve.Append(time.Now(), nil, datagram); len(out) > 0 {
						for !victim.h.Receive(out) { // the queue is full: pion computes
							time.Sleep(time.Microsecond)
						}
					}
				}
			})
		}
	}
}

// manyFinished is a datagram with as many records as possible that may be the Finished of a
// suite.
func manyFinished(explicit int) (datagram []byte) {
	for record := epoch1(TypeHandshake, string(make([]byte, explicit+tagLen+1))); len(datagram)+len(record) <= maxHandshake; {
		datagram = append(datagram, record...)
	}
	return datagram
}

// unfinished is our end of a handshake whose peer sends no Finished, and the part of
// the peer's flight that is to be repeated. A client knows the keys.
func unfinished(b *testing.B, cert tls.Certificate, client bool, part string) (victim *side, datagram []byte) {
	victim = &side{finished: make(chan error, 1)}
	ready, complete := make(chan struct{}), make(chan struct{})
	var last atomic.Bool
	parts := make(map[string][]byte)
	p := &pionSide{finished: make(chan error, 1), received: make(chan string, 1)}
	c := configFor(cert)
	c.Timeout, c.Client = time.Hour, client
	c.Emit = func(e HandshakeEvent) {
		switch <-ready; e.Kind {
		case Flight:
			p.receive(e.Datagram)
		case KeysReady:
			close(complete)
		}
	}
	victim.h = StartHandshake(c)
	q := startPion(b, !client, cert, func(d []byte) {
		<-ready
		victim.mu.Lock()
		defer victim.mu.Unlock()
		for r := range Records(d) {
			f, _, ok := parseFragment(r.Body())
			if !ok || r.Epoch != 0 || r.Type != TypeHandshake {
				continue
			}
			for out := victim.sieve.Append(time.Now(), nil, r.Raw); len(out) > 0 && !victim.h.Receive(out); {
				time.Sleep(time.Microsecond)
			}
			name := map[uint8]string{
				msgClientHello: "ClientHello", msgCertificate: "Certificate",
				msgServerKeyExchange: "ServerKeyExchange", msgCertificateVerify: "CertificateVerify",
			}[f.kind]
			parts[name] = bytes.Clone(r.Raw)
			if f.kind == msgCertificateVerify {
				parts[name+"/one byte"] = handshakeRecord(string(appendFragment(nil, &f, 0, 1)))
				if !last.Swap(true) {
					close(complete)
				}
			}
		}
	})
	*p = *q
	close(ready)
	<-complete
	q.close()
	victim.mu.Lock()
	defer victim.mu.Unlock()
	victim.h.Receive(victim.sieve.Append(time.Now(), nil, plaintextRecord(TypeChangeCipherSpec, 9, "\x01")))
	parts["Finished"], parts["many Finished"] = finishedRecord(), manyFinished(explicitLen)
	return victim, parts[part]
}

// wrongFlight returns a flight of a DTLS server in which only the signature is wrong; making it
// needs no computation.
func wrongFlight(t testing.TB, leaf []byte, suite Suite, c curve, s tls.SignatureScheme) (datagrams [][]byte) {
	t.Helper()
	key := testkit.Must(x509.ParseCertificate(leaf)).PublicKey
	signature := make([]byte, maxRSABits/8)
	if k, ok := key.(*ecdsa.PublicKey); ok {
		r := new(big.Int).Rsh(k.Params().N, 1)
		signature = testkit.Must(asn1.Marshal(struct{ R, S *big.Int }{r, r}))
	}
	point := testkit.Must(map[curve]ecdh.Curve{curveX25519: ecdh.X25519(), curveP256: ecdh.P256()}[c].GenerateKey(rand.Reader)).PublicKey().Bytes()
	body := binary.BigEndian.AppendUint16([]byte{3}, uint16(c))
	body = append(append(body, byte(len(point))), point...)
	body = binary.BigEndian.AppendUint16(body, uint16(s))
	body = append(binary.BigEndian.AppendUint16(body, uint16(len(signature))), signature...)

	flight := serverFlight(leaf, suite, s)
	flight[0].body = helloBody(msgServerHello, version12, suite, extendedMasterSecret)
	flight[2].body = body
	for i, m := range flight {
		datagrams = append(datagrams, handshakeRecord(string(appendMessage(nil, m.kind, i, m.body))))
	}
	return datagrams
}

// attackFlights returns the most costly flights, by their content.
func attackFlights(t testing.TB) map[string][][]byte {
	p521 := certify(testkit.Must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)).Public())
	rsa := certify(rsaOf(maxRSABits))
	return map[string][][]byte{
		"P-256 and X25519": wrongFlight(t, peerCertificate().Certificate[0], ECDSAWithAES128GCM, curveX25519, tls.ECDSAWithP256AndSHA256),
		"P-384 and X25519": wrongFlight(t, p384Certificate().Certificate[0], ECDSAWithAES128GCM, curveX25519, tls.ECDSAWithP384AndSHA384),
		"P-521 and X25519": wrongFlight(t, p521, ECDSAWithAES128GCM, curveX25519, tls.ECDSAWithP521AndSHA512),
		"P-521 and P-256":  wrongFlight(t, p521, ECDSAWithAES128GCM, curveP256, tls.ECDSAWithP521AndSHA512),
		"RSA and X25519":   wrongFlight(t, rsa, RSAWithAES128GCM, curveX25519, tls.PKCS1WithSHA512),
	}
}

// answered runs a handshake of a client against a flight, and returns its end.
func answered(flight [][]byte) error {
	leaf, _ := parseLeaf(flight[1][headerLen+fragmentHeaderLen:])
	_, err := answeredBy(fingerprintOf(leaf), flight)
	return err
}

func answeredBy(peer Fingerprint, flight [][]byte) (*Handshake, error) {
	ended := make(chan error, 1)
	var h *Handshake
	ready := make(chan struct{})
	h = StartHandshake(HandshakeConfig{
		Certificate: testCertificate(), Client: true, Peer: []Fingerprint{peer},
		Emit: func(e HandshakeEvent) {
			<-ready
			switch e.Kind {
			case Flight:
				for _, d := range flight {
					h.Receive(d)
				}
			case KeysReady:
				ended <- nil
			case Failed:
				ended <- e.Err
			}
		},
	})
	close(ready)
	return h, <-ended
}

// The owner of a handshake can find out whether it was costly: it was, if the certificate is the
// one of the offer and has a key of P-384 or P-521. This end computes with no other costly key.
func TestCostlyKeysAreToldOf(t *testing.T) {
	for name, flight := range attackFlights(t) {
		leaf, _ := parseLeaf(flight[1][headerLen+fragmentHeaderLen:])
		h, err := answeredBy(fingerprintOf(leaf), flight)
		if want := name[:3] == "P-3" || name[:3] == "P-5"; err == nil || h.Costly() != want {
			t.Errorf("%s: %v, costly %v, want %v", name, err, h.Costly(), want)
		}
		h, err = answeredBy(fingerprintOf([]byte("another certificate")), flight)
		if !errors.Is(err, ErrPeer) || h.Costly() {
			t.Errorf("%s, not of the offer: %v, want ErrPeer; costly %v, want false", name, err, h.Costly())
		}
	}
}

// A wrong signature ends the handshake at once, with every kind of key.
func TestWrongSignatureIsRefused(t *testing.T) {
	for name, flight := range attackFlights(t) {
		if err := answered(flight); err == nil || !strings.Contains(err.Error(), "signature do not match") {
			t.Errorf("%s: %v, want pion to refuse the signature", name, err)
		}
	}
}

// BenchmarkAttackWrongSignature measures the cost of a handshake that fails because of a wrong
// signature, which costs the attacker nothing: one for each offer.
func BenchmarkAttackWrongSignature(b *testing.B) {
	for name, flight := range attackFlights(b) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if answered(flight) == nil {
					b.Fatal("a wrong signature is accepted")
				}
			}
		})
	}
}
