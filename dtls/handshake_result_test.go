package dtls

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
)

// withHandshake calls f, in a bubble, with both ends of a handshake that is over.
func withHandshake(t *testing.T, f func(t *testing.T, h *Handshake)) {
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newWorld(t, 1))
		defer a.close()
		defer b.close()
		wantNil(t, "client", <-a.finished)
		wantNil(t, "server", <-b.finished)
		for _, s := range []*side{a, b} {
			t.Logf("client %v", s.client)
			f(t, s.h)
		}
	})
}

// A rerun is a handshake in the state of another handshake, before its first event.
type rerun struct {
	*Handshake
	events []HandshakeEvent
}

func rerunOf(h *Handshake) *rerun {
	r := new(rerun)
	r.Handshake = &Handshake{
		config: HandshakeConfig{Client: h.config.Client, Emit: func(e HandshakeEvent) { r.events = append(r.events, e) }},
		pipe:   newPipe(nil, nil), screen: h.screen, known: h.known, proved: true,
	}
	return r
}

// wantEvents compares the events since the last call.
func (r *rerun) wantEvents(t *testing.T, what string, want ...EventKind) {
	t.Helper()
	var got []EventKind
	for _, e := range r.events {
		got = append(got, e.Kind)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: events %v, want %v", what, got, want)
	}
	r.events = nil
}

// Done needs more than a success of pion's, and of several failures the first one is reported.
func TestVerdict(t *testing.T) {
	other := errors.New("another")
	withHandshake(t, func(t *testing.T, h *Handshake) {
		silent := map[bool]error{true: ErrNoAnswer, false: errNoHello}[h.config.Client]
		for name, c := range map[string]struct {
			edit func(*Handshake)
			err  error
			late bool
			want error
		}{
			"success":                         {func(*Handshake) {}, nil, false, nil},
			"success at the last moment":      {func(*Handshake) {}, nil, true, nil},
			"stopped":                         {func(h *Handshake) { h.Stop() }, nil, false, ErrStopped},
			"stopped and refused":             {func(h *Handshake) { h.Stop(); h.fail(ErrPeer) }, other, true, ErrStopped},
			"refused":                         {func(h *Handshake) { h.fail(ErrPeer); h.fail(errKey) }, nil, false, ErrPeer},
			"refused, and pion gives up":      {func(h *Handshake) { h.fail(ErrPeer) }, other, true, ErrPeer},
			"no keys":                         {func(h *Handshake) { h.keys = false }, nil, false, errFinished},
			"no Finished":                     {func(h *Handshake) { h.screen.finished = nil }, nil, false, errFinished},
			"another Finished":                {func(h *Handshake) { h.screen.finished = [][]byte{finishedRecord()} }, nil, false, errFinished},
			"pion gives up":                   {func(*Handshake) {}, other, false, other},
			"the time is over":                {func(*Handshake) {}, other, true, ErrTimeout},
			"the time is over, nothing heard": {func(h *Handshake) { h.screen.prev = 0 }, other, true, silent},
		} {
			r := rerunOf(h)
			r.keys = true
			c.edit(r.Handshake)
			r.finish(c.err, c.late)
			if len(r.events) != 1 {
				t.Errorf("%s: %d events, want one", name, len(r.events))
				continue
			}
			wantKind := Done
			if c.want != nil {
				wantKind = Failed
			}
			if e := r.events[0]; e.Kind != wantKind || e.Err != c.want {
				t.Errorf("%s: %v, %v, want %v, %v", name, e.Kind, e.Err, wantKind, c.want)
			}
			r.events = nil
			wantNil(t, "write after the end", r.write(plaintextRecord(TypeHandshake, 0, frag(1, 0, 1, 0, 1))))
			r.wantEvents(t, "write after the end")
		}
	})
}

// The keys are given to the owner once: when they are known and the peer is proved, and not
// after the end.
func TestKeysGoOnce(t *testing.T) {
	withHandshake(t, func(t *testing.T, h *Handshake) {
		state := &pion.State{PeerCertificates: [][]byte{h.screen.leaf}, CipherSuiteID: pion.CipherSuiteID(h.screen.serverHello.suite)}
		r := rerunOf(h)
		r.proved, r.known = false, nil
		wantNil(t, "nothing", r.emitKeys())
		r.known = h.known
		wantNil(t, "keys only", r.emitKeys())
		r.wantEvents(t, "keys only")
		r.known = nil
		wantNil(t, "proof only", r.verify(state))
		r.wantEvents(t, "proof only")
		r.known = h.known
		wantNil(t, "both", r.emitKeys())
		if len(r.events) == 1 && r.events[0].Keys != h.known.keys {
			t.Error("the keys differ from those of the handshake")
		}
		r.wantEvents(t, "both", KeysReady)
		wantNil(t, "again", r.verify(state))
		r.wantEvents(t, "again")
		for name, edit := range map[string]func(*Handshake){
			"after the end": func(h *Handshake) { h.over = true },
			"stopped":       func(h *Handshake) { h.stopped.Store(true) },
		} {
			r := rerunOf(h)
			edit(r.Handshake)
			wantNil(t, name, r.emitKeys())
			r.wantEvents(t, name)
		}

		r = rerunOf(h)
		r.proved = false
		if err := r.verify(&pion.State{}); !errors.Is(err, ErrMessage) || !errors.Is(r.cause, ErrMessage) || r.proved {
			t.Errorf("another suite: %v, cause %v, want ErrMessage for both; proved %v, want false", err, r.cause, r.proved)
		}
		r.wantEvents(t, "another suite")

		r = rerunOf(h)
		r.screen.finished = nil // a server has the client's Finished by then, a client not yet the server's
		if err := r.emitKeys(); h.config.Client {
			wantNil(t, "client", err)
			r.wantEvents(t, "client", KeysReady)
		} else {
			if !errors.Is(err, errFinished) || !errors.Is(r.cause, errFinished) {
				t.Errorf("a server without the client's Finished: %v, cause %v; want ErrFinished for both", err, r.cause)
			}
			r.wantEvents(t, "server without Finished")
		}
	})
}

// This package verifies the peer's identity itself, too.
func TestProofIsComparedByUs(t *testing.T) {
	withHandshake(t, func(t *testing.T, h *Handshake) {
		leaf, suite := h.screen.leaf, h.screen.serverHello.suite
		for name, c := range map[string]struct {
			edit  func(*screen)
			chain [][]byte
			suite Suite
			want  error
		}{
			"the peer":                     {func(*screen) {}, [][]byte{leaf}, suite, nil},
			"another suite":                {func(*screen) {}, [][]byte{leaf}, suite + 1, ErrMessage},
			"no extended master secret":    {func(s *screen) { s.serverHello.extendedMaster = false }, [][]byte{leaf}, suite, ErrMessage},
			"a message is missing":         {func(s *screen) { s.prev = msgCertificate }, [][]byte{leaf}, suite, ErrMessage},
			"another certificate":          {func(*screen) {}, [][]byte{leaf[1:], leaf}, suite, ErrPeer},
			"no certificate":               {func(*screen) {}, nil, suite, ErrPeer},
			"an empty one":                 {func(*screen) {}, [][]byte{nil}, suite, ErrPeer},
			"none that we saw":             {func(s *screen) { s.leaf = nil }, [][]byte{leaf}, suite, ErrPeer},
			"none that we saw, nor pion":   {func(s *screen) { s.leaf = nil }, [][]byte{nil}, suite, ErrPeer},
			"none that either side showed": {func(s *screen) { s.leaf = nil }, nil, suite, ErrPeer},
		} {
			s := h.screen
			c.edit(&s)
			if err := s.proved(c.chain, c.suite); !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	})
}

// The secrets are accepted only once, and only if they are those of this handshake.
func TestSecretsOfAKeyLog(t *testing.T) {
	withHandshake(t, func(t *testing.T, h *Handshake) {
		random, master := fmt.Sprintf("%x", h.screen.clientHello.random), fmt.Sprintf("%x", h.known.master)
		good := "CLIENT_RANDOM " + random + " " + master + "\n"

		r := rerunOf(h)
		r.known = nil
		if n, err := (keyLog{r.Handshake}).Write([]byte(good)); n != len(good) || err != nil {
			t.Errorf("wrote %d of %d bytes, %v", n, len(good), err)
		}
		if r.known == nil || *r.known.keys != *h.known.keys || r.known.master != h.known.master {
			t.Error("the secrets differ from those of the handshake")
		}
		r.wantEvents(t, "secrets", KeysReady)
		if n, err := (keyLog{r.Handshake}).Write([]byte(good)); n != 0 || !errors.Is(err, errKeyLog) {
			t.Errorf("the same line again: wrote %d bytes, %v; want 0, errKeyLog", n, err)
		}

		var log bytes.Buffer
		r = rerunOf(h)
		r.known, r.config.KeyLog = nil, &log
		if n, err := (keyLog{r.Handshake}).Write([]byte(good)); n != len(good) || err != nil || log.String() != good {
			t.Errorf("wrote %d of %d bytes, %v; the owner's log is %q, want the same line", n, len(good), err, log.String())
		}

		for name, line := range map[string]string{
			"another label":          "CLIENT_HANDSHAKE " + random + " " + master,
			"another handshake":      "CLIENT_RANDOM " + strings.Repeat("00", randomLen) + " " + master,
			"a short random":         "CLIENT_RANDOM " + random[2:] + " " + master,
			"a random with an end":   "CLIENT_RANDOM " + random + "zz " + master,
			"a short master secret":  "CLIENT_RANDOM " + random + " " + master[2:],
			"a long master secret":   "CLIENT_RANDOM " + random + " " + master + "00",
			"a secret with an end":   "CLIENT_RANDOM " + random + " " + master + "zz",
			"no master secret":       "CLIENT_RANDOM " + random,
			"more behind the secret": "CLIENT_RANDOM " + random + " " + master + " x",
			"nothing":                "",
		} {
			r := rerunOf(h)
			r.known = nil
			n, err := keyLog{r.Handshake}.Write([]byte(line))
			if n != 0 || !errors.Is(err, errKeyLog) || !errors.Is(r.cause, errKeyLog) || r.known != nil {
				t.Errorf("%s: wrote %d bytes, %v, cause %v; want 0, errKeyLog for both", name, n, err, r.cause)
			}
			r.wantEvents(t, name)
		}

		r = rerunOf(h)
		r.known, r.screen.serverHello.suite = nil, 0
		if _, err := (keyLog{r.Handshake}).Write([]byte(good)); !errors.Is(err, errSuite) || r.known != nil {
			t.Errorf("a line before the suite is known: %v, want ErrSuite", err)
		}
		r.wantEvents(t, "no suite")
	})
}

// A refused peer gets one alert, with an unused record number, while this end can still send
// plaintext.
func TestRefusalIsToldByAnAlert(t *testing.T) {
	bad := handshakeRecord(string(appendMessage(nil, msgServerHelloDone, 0, nil)))
	start := func() *rerun {
		r := rerunOf(&Handshake{})
		wantNil(t, "write", r.write(plaintextRecord(TypeHandshake, 7, frag(msgServerHello, 0, 10, 0, 10))))
		r.wantEvents(t, "our flight", Flight)
		return r
	}
	r := start()
	out, err := r.read([]byte("before"), bad)
	if string(out) != "before" || !errors.Is(err, ErrMessage) || len(r.events) != 1 {
		t.Fatalf("refused with %v, want ErrMessage; pion gets %q, want nothing more; events %v, want 1", err, out, r.events)
	}
	want := plaintextRecord(TypeAlert, 8, "\x02\x28")
	if e := r.events[0]; e.Kind != Flight || !e.Again || e.First || !bytes.Equal(e.Datagram, want) {
		t.Errorf("event %+v, want the alert %x, which is not to be repeated", e, want)
	}
	r.events = nil
	if out, err := r.read([]byte("before"), handshakeRecord(frag(msgClientHello, 1, 10, 0, 5))); string(out) != "before" || !errors.Is(err, ErrMessage) {
		t.Errorf("a datagram later: %v, want ErrMessage; pion gets %q, want nothing more", err, out)
	}
	r.wantEvents(t, "a datagram later")

	for name, edit := range map[string]func(*Handshake){
		"our Finished has gone": func(h *Handshake) { h.last.finished = true },
		"it is over":            func(h *Handshake) { h.over = true },
		"it is stopped":         func(h *Handshake) { h.stopped.Store(true) },
	} {
		r := start()
		edit(r.Handshake)
		if _, err := r.read(nil, bad); !errors.Is(err, ErrMessage) || !errors.Is(r.cause, ErrMessage) {
			t.Errorf("%s: %v, cause %v; want ErrMessage for both", name, err, r.cause)
		}
		r.wantEvents(t, name)
	}
}

// Both ends of a refusal end at once.
func TestRefusalEndsBothAtOnce(t *testing.T) {
	cert := peerCertificate()
	for name, client := range map[string]bool{"active": true, "passive": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t, 1), newSide(t, client)
				c := configFor(cert)
				c.Peer = nil
				p := meet(t, w, s, cert, c)
				defer p.close()
				defer s.close()
				start := time.Now()
				if err := <-s.finished; !errors.Is(err, ErrPeer) {
					t.Errorf("handshake: %v, want %v", err, ErrPeer)
				}
				if took := time.Since(start); took > 4*w.delay {
					t.Errorf("it took %v, want no wait", took)
				}
				if s.h.Receive([]byte{22}) {
					t.Error("a refused handshake accepts a datagram")
				}
				if err := <-p.finished; err == nil || time.Since(start) > 5*w.delay {
					t.Errorf("the peer ended with %v after %v, want an error within %v", err, time.Since(start), 5*w.delay)
				}
			})
		})
	}
}

// This end sends only a part of the datagrams that pion writes. For sealed records see
// TestPionSealsOnlyFinished.
func TestWhatLeaves(t *testing.T) {
	hello := func(number uint64) []byte {
		return plaintextRecord(TypeHandshake, number, frag(msgServerHello, 0, 10, 0, 10))
	}
	alert := plaintextRecord(TypeAlert, 9, "\x02\x28")

	r := rerunOf(&Handshake{})
	wantNil(t, "plaintext has numbers of its own", r.write(hello(maxHandshakeNumber+1)))
	r.wantEvents(t, "plaintext has numbers of its own", Flight)

	r = rerunOf(&Handshake{})
	r.stopped.Store(true)
	wantNil(t, "stopped", r.write(hello(0)))
	r.wantEvents(t, "stopped")

	r = rerunOf(&Handshake{})
	r.fail(ErrPeer)
	if err := r.write(hello(0)); !errors.Is(err, ErrPeer) {
		t.Errorf("a flight after a refusal: %v, want %v", err, ErrPeer)
	}
	r.wantEvents(t, "a flight after a refusal")
	wantNil(t, "an alert after a refusal", r.write(alert))
	r.wantEvents(t, "an alert after a refusal", Flight)

	// Only plaintext handshake messages are part of the transcript.
	message := string(appendMessage(nil, msgServerHello, 0, make([]byte, 20)))
	for name, c := range map[string]struct {
		record []byte
		said   int
	}{
		"a message": {plaintextRecord(TypeHandshake, 0, message), 1},
		"an alert":  {plaintextRecord(TypeAlert, 0, message), 0},
		"Finished":  {epochRecord(TypeHandshake, epochOfData, message), 0},
	} {
		r := rerunOf(&Handshake{})
		wantNil(t, name, r.write(c.record))
		if got := r.screen.outNext; got != c.said {
			t.Errorf("%s: %d messages were said, want %d", name, got, c.said)
		}
		r.wantEvents(t, name, Flight)
	}
}

func epochRecord(t ContentType, epoch uint16, body string) []byte {
	b := plaintextRecord(t, 0, body)
	putRecordNumber(b, epoch, 0)
	return b
}

// Before its turn at the gate a handshake computes nothing, not even its hello. A handshake
// that is stopped there computes nothing either.
func TestNothingIsSaidBeforeTheGate(t *testing.T) {
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		gate := make(Gate, 1)
		gate <- struct{}{} // others compute
		c := pairConfig()
		c.Gate = gate
		s, stopped := newSide(t, true), newSide(t, true)
		s.start(c, func([]byte) {})
		stopped.start(c, func([]byte) {})
		synctest.Wait()
		if len(s.kinds) != 0 {
			t.Errorf("events %v before its turn, want none", s.kinds)
		}
		stopped.close()
		if err := <-stopped.finished; !errors.Is(err, ErrStopped) || len(stopped.kinds) != 1 {
			t.Errorf("stopped: %v, want ErrStopped; events %v, want 1", err, stopped.kinds)
		}
		<-gate
		synctest.Wait()
		if !slices.Equal(s.kinds, []EventKind{Flight}) {
			t.Errorf("events %v in its turn, want one Flight", s.kinds)
		}
		s.close()
		<-s.finished
	})
}

func TestReceiveOfNothing(t *testing.T) {
	h := &Handshake{pipe: newPipe(nil, nil)}
	if h.Receive(nil) || h.Receive([]byte{}) || len(h.pipe.queue) != 0 {
		t.Error("an empty datagram is accepted")
	}
	if !h.Receive([]byte{22}) {
		t.Error("a datagram is refused")
	}
	if h.Stop(); h.Receive([]byte{22}) {
		t.Error("a stopped handshake accepts a datagram")
	}
}

// The error of a timeout says what was missing.
func TestTimeoutSaysWhatWasLacking(t *testing.T) {
	testCertificate()
	for want, client := range map[error]bool{ErrNoAnswer: true, errNoHello: false} {
		synctest.Test(t, func(t *testing.T) {
			s := newSide(t, client)
			c := pairConfig()
			c.Timeout = time.Second
			start := time.Now()
			s.start(c, func([]byte) {})
			if err := <-s.finished; err != want || time.Since(start) != c.Timeout {
				t.Errorf("%v after %v, want %v after %v", err, time.Since(start), want, c.Timeout)
			}
			s.close()
		})
	}
}

// A key of an unsupported type is valid for no suite.
func TestSuitesOfKeys(t *testing.T) {
	public, _, err := ed25519.GenerateKey(nil)
	wantNil(t, "generate", err)
	for _, s := range testSuites {
		if s.certifiedBy(public) || s.certifiedBy(nil) {
			t.Errorf("%v is valid for an Ed25519 key, or for none", s)
		}
	}
}
