package dtls

import (
	"bytes"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// meet connects a side with a pion peer in a new world.
func meet(t *testing.T, w *world, s *side, peer tls.Certificate, c HandshakeConfig, extra ...pion.Option) *pionSide {
	var p *pionSide
	ready := make(chan struct{})
	p = startPion(t, !s.client, peer, func(b []byte) { w.carry(nil, b, s.receive) }, extra...)
	s.start(c, func(b []byte) { <-ready; w.carry(s, b, p.receive) })
	close(ready)
	return p
}

func TestHandshakeWithPion(t *testing.T) {
	for _, test := range []struct {
		name   string
		client bool
		cert   func() tls.Certificate
		suite  pion.CipherSuiteID
		want   Suite
	}{
		{"active, ECDSA, AES", true, peerCertificate, pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSAWithAES128GCM},
		{"active, ECDSA, ChaCha20", true, peerCertificate, pion.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ECDSAWithChaCha20},
		{"active, RSA, AES", true, rsaCertificate, pion.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, RSAWithAES128GCM},
		{"active, RSA, ChaCha20", true, rsaCertificate, pion.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256, RSAWithChaCha20},
		{"active, P-384", true, p384Certificate, pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSAWithAES128GCM},
		{"passive, ECDSA, AES", false, peerCertificate, pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSAWithAES128GCM},
		{"passive, ECDSA, ChaCha20", false, peerCertificate, pion.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, ECDSAWithChaCha20},
		{"passive, RSA client", false, rsaCertificate, pion.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, ECDSAWithAES128GCM},
	} {
		t.Run(test.name, func(t *testing.T) {
			cert := test.cert()
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t, 1), newSide(t, test.client)
				p := meet(t, w, s, cert, configFor(cert), pion.WithCipherSuites(test.suite))
				defer p.close()
				defer s.close()
				wantNil(t, "our handshake", <-s.finished)
				wantNil(t, "pion's handshake", <-p.finished)
				if s.suite != test.want {
					t.Errorf("suite is %v, want %v", s.suite, test.want)
				}
				// Records of this package and of pion, in both directions.
				for _, msg := range []string{"first", strings.Repeat("x", 1160), "third"} {
					wantNil(t, "write", s.write(msg))
					wantString(t, "pion reads", <-p.received, msg)
					testkit.Must(p.conn.Write([]byte(msg)))
					wantString(t, "we read", <-s.received, msg)
				}
				if n := s.conn.Drops().Total(); n != 0 {
					t.Errorf("%d records are dropped, want 0: %v", n, s.conn.drops)
				}
			})
		})
	}
}

func TestHandshakeBothOurs(t *testing.T) {
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newWorld(t, 1))
		defer a.close()
		defer b.close()
		wantNil(t, "client", <-a.finished)
		wantNil(t, "server", <-b.finished)
		wantNil(t, "write", a.write("ping"))
		wantString(t, "server reads", <-b.received, "ping")
		wantNil(t, "write", b.write("pong"))
		wantString(t, "client reads", <-a.received, "pong")
	})
}

// pair starts two sides that share one certificate.
func pair(t *testing.T, w *world) (client, server *side) { return pairWith(t, w, pairConfig()) }

func pairConfig() HandshakeConfig {
	return configFor(tls.Certificate{Certificate: [][]byte{testCertificate().der}})
}

func pairWith(t *testing.T, w *world, c HandshakeConfig) (client, server *side) {
	client, server = newSide(t, true), newSide(t, false)
	client.peer, server.peer = server, client
	ready := make(chan struct{})
	server.start(c, func(b []byte) { <-ready; w.carry(server, b, client.receive) })
	client.start(c, func(b []byte) { <-ready; w.carry(client, b, server.receive) })
	close(ready)
	return client, server
}

// The keys are known before the flight with this end's Finished. A client may seal records from
// then on; they arrive with the Finished or after it.
func TestFalseStart(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, true)
		s.onKeys = func() { time.AfterFunc(time.Millisecond, func() { wantNil(t, "early write", s.write("early")) }) }
		start := time.Now()
		p := meet(t, w, s, cert, configFor(cert))
		defer p.close()
		defer s.close()
		wantString(t, "pion reads", <-p.received, "early")
		if rtt, took := 2*w.delay, time.Since(start); took >= 2*rtt {
			t.Errorf("first message took %v, want less than two round trips of %v", took, rtt)
		}
		<-s.finished
		want := []EventKind{Flight, KeysReady, Flight, Done}
		if !slices.Equal(s.kinds, want) {
			t.Errorf("events %v, want %v", s.kinds, want)
		}
	})
}

func TestPassiveSealsNothingBeforeDone(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, false)
		s.onKeys = func() {
			if err := s.writeLocked("early"); !errors.Is(err, errNotDone) {
				t.Errorf("write at KeysReady: %v, want %v", err, errNotDone)
			}
		}
		p := meet(t, w, s, cert, configFor(cert))
		defer p.close()
		defer s.close()
		wantNil(t, "handshake", <-s.finished)
		want := []EventKind{Flight, KeysReady, Flight, Done}
		if !slices.Equal(s.kinds, want) {
			t.Errorf("events %v, want %v", s.kinds, want)
		}
	})
}

func TestWrongFingerprintIsRefused(t *testing.T) {
	cert := peerCertificate()
	for name, client := range map[string]bool{"active": true, "passive": false} {
		for peers, fingerprints := range map[string][]Fingerprint{
			"another": {testCertificate().Fingerprint()}, "none": nil, "zero": {{}},
		} {
			t.Run(name+"/"+peers, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w, s := newWorld(t, 1), newSide(t, client)
					c := configFor(cert)
					c.Peer = fingerprints
					p := meet(t, w, s, cert, c)
					defer p.close()
					defer s.close()
					if err := <-s.finished; !errors.Is(err, ErrPeer) || !strings.Contains(err.Error(), "fingerprint") {
						t.Errorf("handshake: %v, want %v", err, ErrPeer)
					}
					if slices.Contains(s.kinds, KeysReady) {
						t.Errorf("a peer with another certificate gets keys: events %v", s.kinds)
					}
				})
			})
		}
	}
}

func TestOneOfSeveralFingerprintsSuffices(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, true)
		c := configFor(cert)
		c.Peer = append([]Fingerprint{testCertificate().Fingerprint()}, c.Peer...)
		p := meet(t, w, s, cert, c)
		defer p.close()
		defer s.close()
		wantNil(t, "handshake", <-s.finished)
	})
}

// Without the extended master secret the keys would not be bound to the
// certificates (RFC 7627), so the handshake must fail, in both roles.
func TestExtendedMasterSecretIsRequired(t *testing.T) {
	cert := peerCertificate()
	for name, client := range map[string]bool{"active": true, "passive": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t, 1), newSide(t, client)
				p := meet(t, w, s, cert, configFor(cert), pion.WithExtendedMasterSecret(pion.DisableExtendedMasterSecret))
				defer p.close()
				defer s.close()
				if err := <-s.finished; err == nil || slices.Contains(s.kinds, KeysReady) {
					t.Errorf("without extended master secret: %v, events %v; want an error and no keys", err, s.kinds)
				}
			})
		})
	}
}

func TestForeignSuiteIsRefused(t *testing.T) {
	cert := peerCertificate()
	for name, client := range map[string]bool{"active": true, "passive": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t, 1), newSide(t, client)
				p := meet(t, w, s, cert, configFor(cert),
					pion.WithCipherSuites(pion.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, pion.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384))
				defer p.close()
				defer s.close()
				if err := <-s.finished; err == nil {
					t.Error("the handshake succeeds with a suite that is not offered")
				}
			})
		})
	}
}

func TestWithoutSRTP(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, true)
		c := configFor(cert)
		c.SRTP = false
		p := meet(t, w, s, cert, c)
		defer p.close()
		defer s.close()
		wantNil(t, "handshake", <-s.finished)
	})
}

// A peer without media selects no SRTP profile, and pion fails.
func TestServerWithoutSRTP(t *testing.T) {
	cert := peerCertificate()
	for _, offered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w, s := newWorld(t, 1), newSide(t, true)
			p := &pionSide{finished: make(chan error, 1), received: make(chan string, 1)}
			p.pipe = newPipe(nil, func(b []byte) error { w.carry(nil, b, s.receive); return nil })
			p.conn = testkit.Must(pion.ServerWithOptions(p.pipe, pipeAddr, pion.WithCertificates(cert),
				pion.WithLoggerFactory(discard{}), pion.WithServerHelloMessageHook(withoutSRTP),
				pion.WithSRTPProtectionProfiles(pion.SRTP_AEAD_AES_128_GCM), pion.WithInsecureSkipVerifyHello(true)))
			go p.run()
			c := configFor(cert)
			c.SRTP = offered
			s.start(c, func(b []byte) { w.carry(s, b, p.receive) })
			if err := <-s.finished; (err == nil) == offered {
				t.Errorf("profiles offered %v: the handshake ends with %v, want an error: %v", offered, err, offered)
			}
			p.close()
			s.close()
		})
	}
}

func withoutSRTP(h handshake.MessageServerHello) handshake.Message {
	h.Extensions = slices.DeleteFunc(h.Extensions, func(e extension.Extension) bool {
		_, srtp := e.(*extension.UseSRTP)
		return srtp
	})
	return &h
}

// A client sends a certificate, and no proof that it has the key.
func TestCertificateWithoutVerifyIsRefused(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, false)
		w.tap = func(from *side, b []byte) bool {
			for r := range Records(b) {
				if f, _, ok := parseFragment(r.Body()); from == nil && r.Epoch == 0 && r.Type == TypeHandshake && ok &&
					f.kind == msgCertificateVerify {
					r.Raw[headerLen] = 99 // no such message
				}
			}
			return false
		}
		p := meet(t, w, s, cert, configFor(cert))
		defer p.close()
		defer s.close()
		if err := <-s.finished; err == nil || slices.Contains(s.kinds, KeysReady) {
			t.Errorf("without CertificateVerify: %v, events %v; want an error and no keys", err, s.kinds)
		}
	})
}

func TestClientWithoutCertificateIsRefused(t *testing.T) {
	testCertificate()
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, false)
		p := meet(t, w, s, cert, configFor(cert), pion.WithGetClientCertificate(
			func(*pion.CertificateRequestInfo) (*tls.Certificate, error) { return new(tls.Certificate), nil }))
		defer p.close()
		defer s.close()
		if err := <-s.finished; err == nil || slices.Contains(s.kinds, KeysReady) {
			t.Errorf("without a client certificate: %v, events %v; want an error and no keys", err, s.kinds)
		}
	})
}

func TestTimeout(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, true)
		w.loss = 1
		start := time.Now()
		p := meet(t, w, s, cert, configFor(cert))
		defer p.close()
		if err := <-s.finished; !errors.Is(err, ErrTimeout) {
			t.Errorf("handshake into the void: %v, want %v", err, ErrTimeout)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("it took %v, want 10 s", took)
		}
		s.close()
	})
}

// Stop ends the handshake in any state, with one Failed event and no leak: a bubble does not end
// while a goroutine is left.
func TestStop(t *testing.T) {
	cert := peerCertificate()
	for after := time.Duration(0); after < 60*time.Millisecond; after += 5 * time.Millisecond {
		synctest.Test(t, func(t *testing.T) {
			w, s := newWorld(t, 1), newSide(t, true)
			p := meet(t, w, s, cert, configFor(cert))
			<-time.After(after)
			synctest.Wait()
			stop := time.Now()
			s.h.Stop()
			if s.h.Receive([]byte{22}) {
				t.Error("a stopped handshake accepts a datagram")
			}
			if err := <-s.finished; err != nil && !errors.Is(err, ErrStopped) || !time.Now().Equal(stop) {
				t.Errorf("stopped after %v: %v, %v later; want ErrStopped at once", after, err, time.Since(stop))
			}
			s.close()
			p.close()
		})
	}
}

// After Done no goroutine of pion is left, and nothing that pion writes is sent.
func TestNothingRemains(t *testing.T) {
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		before := testkit.BubbleGoroutines()
		w := newWorld(t, 1)
		a, b := pair(t, w)
		wantNil(t, "client", <-a.finished)
		wantNil(t, "server", <-b.finished)
		synctest.Wait()
		if n := testkit.BubbleGoroutines(); n > before {
			t.Errorf("%d goroutines, want the %d before the handshakes", n, before)
		}
		if a.h.Receive([]byte{22}) {
			t.Error("a finished handshake accepts a datagram")
		}
		a.close()
		b.close()
	})
}

// The queue to pion is bounded, and Receive never blocks.
func TestReceiveIsBounded(t *testing.T) {
	p := newPipe(nil, func([]byte) error { return nil })
	for range queueLen {
		if !p.deliver([]byte{22}) {
			t.Fatal("the queue is full too early")
		}
	}
	if p.deliver([]byte{22}) {
		t.Error("the queue is not bounded")
	}
	p = newPipe(nil, func([]byte) error { return nil })
	room := make([]byte, 2048)
	for round := range 3 { // what was read makes room
		n := 0
		for p.deliver(room[:1000]) {
			n += 1000
		}
		if n != 4000 || !p.deliver(room[:96]) || p.deliver(room[:1]) {
			t.Errorf("round %d: %d bytes wait, want 4000 and room for 96 more", round, n)
		}
		for len(p.queue) > 0 {
			if _, _, err := p.ReadFrom(room); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p.deliver(make([]byte, 1<<16)) {
		t.Error("the size of a datagram is not bounded")
	}
}

// Datagrams that wait for the gate count until the handshake is inside.
func TestReceiveIsBoundedBeforeTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(Gate, 1)
		p := newPipe(gate, func([]byte) error { return nil })
		gate <- struct{}{} // others compute
		go p.ReadFrom(make([]byte, 2048))
		if !p.deliver(make([]byte, 2000)) {
			t.Fatal("the queue is full too early")
		}
		synctest.Wait()
		if !p.deliver(make([]byte, 2000)) || p.deliver(make([]byte, 2000)) {
			t.Error("want room for one more such datagram")
		}
		<-gate
		synctest.Wait()
		if !p.deliver(make([]byte, 2000)) {
			t.Error("want room for what was read")
		}
		p.finish()
	})
}

func TestConfigErrorsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan HandshakeEvent, 1)
		StartHandshake(HandshakeConfig{Emit: func(e HandshakeEvent) { events <- e }})
		if e := <-events; e.Kind != Failed || !strings.Contains(e.Err.Error(), "Certificate") {
			t.Errorf("without a certificate: %v, %v; want Failed and an error that says Certificate", e.Kind, e.Err)
		}
	})
}

func TestKeyLog(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, true)
		var log bytes.Buffer
		c := configFor(cert)
		c.KeyLog = &log
		p := meet(t, w, s, cert, c)
		defer p.close()
		defer s.close()
		wantNil(t, "handshake", <-s.finished)
		if !strings.HasPrefix(log.String(), "CLIENT_RANDOM ") {
			t.Errorf("the key log is %q, want CLIENT_RANDOM first", log.String())
		}
	})
}

func wantNil(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

func wantString(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s %q, want %q", what, got, want)
	}
}
