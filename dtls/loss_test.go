package dtls

import (
	"bytes"
	"crypto/tls"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/protocol/extension"
	"github.com/pion/dtls/v3/pkg/protocol/handshake"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The first ClientHello is lost. The stored bytes are sent again after 25 ms, not after pion's
// interval.
func TestLostHelloCosts25ms(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, true)
		var hellos []string
		w.tap = func(from *side, b []byte) bool {
			if from == s && !s.conn.Ready() {
				hellos = append(hellos, string(b))
				return len(hellos) == 1
			}
			return false
		}
		start := time.Now()
		p := meet(t, w, s, cert, configFor(cert))
		defer p.close()
		defer s.close()
		wantNil(t, "handshake", <-s.finished)
		if took, want := time.Since(start), 4*w.delay+25*time.Millisecond; took != want {
			t.Errorf("handshake took %v, want %v", took, want)
		}
		if len(hellos) < 2 || hellos[0] != hellos[1] {
			t.Errorf("%d ClientHellos, want two or more that are equal", len(hellos))
		}
	})
}

// The server's last flight is lost on its way to us. It sends that again when our
// flight comes in new records, which pion makes, and not in those of the Repeater.
func TestLostFinishedOfServerCostsOneInterval(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, true)
		lost := false
		w.tap = func(from *side, b []byte) bool {
			if from == nil && slices.Contains(pieces(b), "finished") && !lost {
				lost = true
				return true
			}
			return false
		}
		start := time.Now()
		p := meet(t, w, s, cert, configFor(cert))
		defer p.close()
		defer s.close()
		wantNil(t, "handshake", <-s.finished)
		if took, want := time.Since(start), 4*w.delay+flightInterval; took != want {
			t.Errorf("handshake took %v, want %v", took, want)
		}
	})
}

// The server's last flight is lost. Nothing obliges the client to ask for it, so
// the server repeats it unasked, byte for byte, until data comes.
func TestLostFinalFlightIsRepeated(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, false)
		lost := 0
		w.tap = func(from *side, b []byte) bool {
			if from == s && slices.Contains(pieces(b), "finished") && lost < 3 {
				lost++
				return true
			}
			return false
		}
		start := time.Now()
		p := meet(t, w, s, cert, configFor(cert))
		defer p.close()
		defer s.close()
		wantNil(t, "our handshake", <-s.finished)
		wantNil(t, "pion's handshake", <-p.finished)
		if took, want := time.Since(start), 4*w.delay+(25+50+100)*time.Millisecond; took != want {
			t.Errorf("handshake took %v, want %v", took, want)
		}
		testkit.Must(p.conn.Write([]byte("data")))
		wantString(t, "we read", <-s.received, "data")
		if s.repeat.Active() {
			t.Error("the last flight is still repeated after data has arrived")
		}
	})
}

// Data that overtakes the peer's Finished waits in the sieve. Two records of it would block
// pion's reader.
func TestEarlyDataWaits(t *testing.T) {
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		var held [][]byte
		var a, b *side
		w.tap = func(from *side, d []byte) bool { // delays the client's last flight until after its data
			if from == a && from != nil && slices.Contains(pieces(d), "finished") && held == nil {
				held = append(held, slices.Clone(d))
				time.AfterFunc(50*time.Millisecond, func() { b.receive(held[0]) })
				return true
			}
			return false
		}
		ready := make(chan struct{})
		c := configFor(tls.Certificate{Certificate: [][]byte{testCertificate().der}})
		a, b = newSide(t, true), newSide(t, false)
		a.onKeys = func() {
			for _, msg := range []string{"one", "two", "three"} {
				time.AfterFunc(time.Millisecond, func() { wantNil(t, "early write", a.write(msg)) })
			}
		}
		b.start(c, func(d []byte) { <-ready; w.carry(b, d, a.receive) })
		a.start(c, func(d []byte) { <-ready; w.carry(a, d, b.receive) })
		a.repeat.Limit = 1
		close(ready)
		wantNil(t, "server", <-b.finished)
		got := []string{<-b.received, <-b.received, <-b.received}
		slices.Sort(got)
		wantString(t, "server reads", strings.Join(got, " "), "one three two")
		a.close()
		b.close()
	})
}

// A post-quantum ClientHello has two datagrams, which arrive in both orders, repeated, and a
// second late.
func TestFragmentedHello(t *testing.T) {
	cert := peerCertificate()
	for name, deliver := range map[string]func(s *side, first, second []byte){
		"in order":  func(s *side, a, b []byte) { s.receive(a); s.receive(b) },
		"reordered": func(s *side, a, b []byte) { s.receive(b); s.receive(a) },
		"repeated":  func(s *side, a, b []byte) { s.receive(b); s.receive(b); s.receive(a); s.receive(a); s.receive(b) },
		"late":      func(s *side, a, b []byte) { s.receive(a); time.AfterFunc(time.Second, func() { s.receive(b) }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t, 1), newSide(t, false)
				var parts [][]byte
				w.tap = func(from *side, b []byte) bool {
					if from != nil || len(parts) == 2 {
						return false
					}
					if parts = append(parts, slices.Clone(b)); len(parts) == 2 {
						time.AfterFunc(w.delay, func() { deliver(s, parts[0], parts[1]) })
					}
					return true
				}
				p := meet(t, w, s, cert, configFor(cert),
					pion.WithClientHelloMessageHook(bigHello), pion.WithFlightInterval(5*time.Second))
				defer p.close()
				defer s.close()
				wantNil(t, "our handshake", <-s.finished)
				wantNil(t, "pion's handshake", <-p.finished)
			})
		})
	}
}

// bigHello returns a ClientHello as long as one with an ML-KEM key share.
func bigHello(h handshake.MessageClientHello) handshake.Message {
	protocols := make([]string, 6)
	for i := range protocols {
		protocols[i] = strings.Repeat(strconv.Itoa(i), 200)
	}
	h.Extensions = append(h.Extensions, &extension.ALPN{ProtocolNameList: protocols})
	return &h
}

// The client's last flight arrives in two datagrams, the second first. pion would keep it in a
// buffer that it reuses. So the sieve holds it.
func TestReorderedClientFlight(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, false)
		w.tap = func(from *side, b []byte) bool {
			if from == s || !slices.Contains(pieces(b), "finished") {
				return false
			}
			var front, back []byte
			for r := range Records(b) {
				if r.Epoch == 0 && r.Type == TypeHandshake {
					front = append(front, r.Raw...)
				} else {
					back = append(back, r.Raw...)
				}
			}
			s.receive(back)
			time.AfterFunc(w.delay, func() { s.receive(front) })
			return true
		}
		p := meet(t, w, s, cert, configFor(cert), pion.WithFlightInterval(5*time.Second))
		defer p.close()
		defer s.close()
		start := time.Now()
		wantNil(t, "handshake", <-s.finished)
		if took := time.Since(start); took > time.Second {
			t.Errorf("it took %v, want at most 1 s: the second datagram was not used", took)
		}
	})
}

// A server may send HelloVerifyRequest first.
func TestHelloVerifyRequest(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		w, s := newWorld(t, 1), newSide(t, true)
		p := &pionSide{finished: make(chan error, 1), received: make(chan string, 1)}
		p.pipe = newPipe(nil, func(b []byte) error { w.carry(nil, b, s.receive); return nil })
		p.conn = testkit.Must(pion.ServerWithOptions(p.pipe, pipeAddr, pion.WithCertificates(cert),
			pion.WithSRTPProtectionProfiles(pion.SRTP_AEAD_AES_128_GCM), pion.WithLoggerFactory(discard{}),
			pion.WithClientAuth(pion.RequireAnyClientCert)))
		go p.run()
		s.start(configFor(cert), func(b []byte) { w.carry(s, b, p.receive) })
		defer p.close()
		defer s.close()
		wantNil(t, "handshake", <-s.finished)
	})
}

// Invalid datagrams of every kind during the handshake change nothing.
func TestGarbageDuringHandshake(t *testing.T) {
	testCertificate()
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			w.tap = func(from *side, b []byte) bool {
				if from == nil {
					return false
				}
				for range 5 {
					d := slices.Clone(b)
					switch rng.IntN(3) {
					case 0:
						d = d[:rng.IntN(len(d))]
					case 1:
						d = plaintextRecord(ContentType(rng.IntN(64)), rng.Uint64N(maxNumber), string(d[:rng.IntN(40)]))
						putRecordNumber(d, uint16(rng.IntN(3)), rng.Uint64N(maxNumber))
						if d[0] == byte(TypeHandshake) && d[offEpoch+1] == 0 {
							continue // may be a fragment, and this one would be accepted
						}
					default:
						d = append(plaintextRecord(TypeAlert, 0, "\x02\x28"), d[:rng.IntN(len(d))]...)
					}
					w.carry(nil, d, from.peer.receive)
				}
				return false
			}
			client, server := pair(t, w)
			wantNil(t, "client", <-client.finished)
			wantNil(t, "server", <-server.finished)
			wantNil(t, "write", client.write("alive"))
			wantString(t, "server reads", <-server.received, "alive")
			client.close()
			server.close()
		})
	}
}

// The secrets come from the line that pion writes to a key log. If a new version of pion writes
// another line, this test fails before a server does.
func TestParseKeyLog(t *testing.T) {
	random, master := strings.Repeat("01", randomLen), strings.Repeat("02", masterSecretLen)
	line := "CLIENT_RANDOM " + random + " " + master + "\n"
	r, m, ok := parseKeyLog([]byte(line))
	if !ok || !bytes.Equal(r, bytes.Repeat([]byte{1}, randomLen)) || !bytes.Equal(m, bytes.Repeat([]byte{2}, masterSecretLen)) {
		t.Errorf("the line is read as %x, %x, %v", r, m, ok)
	}
	for _, line := range []string{
		"", "CLIENT_RANDOM", "CLIENT_RANDOM " + random, "CLIENT_RANDOM " + random + " " + master[2:],
		"CLIENT_RANDOM " + random[2:] + " " + master, "CLIENT_RANDOM " + random + " x" + master[1:],
		"CLIENT_HANDSHAKE_TRAFFIC_SECRET " + random + " " + master, line + line,
	} {
		if _, _, ok := parseKeyLog([]byte(line)); ok {
			t.Errorf("%q is accepted as a line of the key log", line)
		}
	}
}
