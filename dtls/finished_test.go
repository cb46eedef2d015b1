package dtls

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A liar is an attacker on the path of a pion peer. It has the peer's keys and changes the
// peer's Finished: the record is authentic, and its content is wrong.
type liar struct {
	t            *testing.T
	client       bool // the peer is the DTLS client
	mu           sync.Mutex
	log          bytes.Buffer
	clientRandom []byte
	serverRandom []byte
	suite        Suite
	changed      int
}

func (l *liar) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.log.Write(b)
}

// see takes a datagram of either side.
func (l *liar) see(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for r := range Records(b) {
		f, _, ok := parseFragment(r.Body())
		if r.Epoch != 0 || r.Type != TypeHandshake || !ok {
			continue
		}
		if h, ok := parseHello(f.kind, f.body); ok && f.kind == msgClientHello {
			l.clientRandom = h.random[:]
		} else if ok && f.kind == msgServerHello {
			l.serverRandom, l.suite = h.random[:], h.suite
		}
	}
}

// lie returns the peer's datagram with another Finished in it.
func (l *liar) lie(b []byte) []byte {
	l.see(b)
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []byte
	for r := range Records(b) {
		if r.Epoch != epochOfData || r.Type != TypeHandshake {
			out = append(out, r.Raw...)
			continue
		}
		_, master, ok := parseKeyLog(l.log.Bytes())
		if !ok {
			l.t.Errorf("the key log has no keys: %q", l.log.String())
		}
		keys := testkit.Must(DeriveKeys(l.suite, master, l.clientRandom, l.serverRandom))
		var opener, sealer Conn
		opener.Init(keys, !l.client, 0)
		opener.Done()
		plain, _, drop := opener.Open(bytes.Clone(r.Raw))
		if drop != DropNone || plain[0] != msgFinished {
			l.t.Errorf("the peer's Finished: drop %v, content %x", drop, plain)
		}
		plain = bytes.Clone(plain)
		plain[len(plain)-1] ^= 1
		sealer.Init(keys, l.client, r.Number)
		sealer.Done()
		out = append(out, testkit.Must(sealer.Seal(append(sealer.Reserve(nil), plain...), 0, TypeHandshake))...)
		l.changed++
	}
	return out
}

// A peer whose Finished is wrong has no connection, in either role.
func TestWrongFinishedIsRefused(t *testing.T) {
	cert := peerCertificate()
	for name, client := range map[string]bool{"of a server": true, "of a client": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t, 1), newSide(t, client)
				l := &liar{t: t, client: !client}
				ready := make(chan struct{})
				p := startPion(t, !client, cert, func(b []byte) { w.carry(nil, l.lie(b), s.receive) }, pion.WithKeyLogWriter(l))
				s.start(configFor(cert), func(b []byte) { <-ready; l.see(b); w.carry(s, b, p.receive) })
				close(ready)
				defer p.close()
				defer s.close()
				err := <-s.finished
				if err == nil || errors.Is(err, ErrTimeout) || l.changed == 0 {
					t.Errorf("%d Finished were changed, and the handshake ended with %v; want one at least, and a refusal", l.changed, err)
				}
				if !client && slices.Contains(s.kinds, KeysReady) {
					t.Error("the keys are given to the owner before Finished is verified")
				}
			})
		})
	}
}

// This package compares Finished itself, whether or not pion does.
func TestFinishedIsComparedByUs(t *testing.T) {
	withHandshake(t, func(t *testing.T, h *Handshake) {
		screen, known := &h.screen, h.known
		wantNil(t, "the true Finished", screen.checkFinished(known))
		var peer Conn
		say := func(plain string) {
			peer.Init(known.keys, !h.config.Client, 0)
			peer.Done()
			screen.finished = [][]byte{seal(t, &peer, TypeHandshake, plain)}
		}
		data := string(screen.verifyData(known.master[:]))
		message := string(appendMessage(nil, msgFinished, 0, []byte(data)))
		say(message)
		wantNil(t, "the same again", screen.checkFinished(known))
		for what, plain := range map[string]string{
			"a bit changed":   message[:len(message)-1] + string(message[len(message)-1]^1),
			"another message": string(appendMessage(nil, msgClientHello, 0, []byte(data))),
			"a short one":     string(appendMessage(nil, msgFinished, 0, []byte(data[:11]))),
			"an empty one":    string(appendMessage(nil, msgFinished, 0, nil)),
			"more behind it":  message + "x",
			"a fragment":      strings.Replace(message, "\x00\x00\x0c", "\x00\x00\x0d", 1),
			"no message":      "x",
		} {
			say(plain)
			if err := screen.checkFinished(known); !errors.Is(err, errFinished) {
				t.Errorf("client %v, %s: %v, want ErrFinished", h.config.Client, what, err)
			}
			if out, err := screen.sealed(nil, screen.finished[0], known); !errors.Is(err, errFinished) || len(out) > 0 {
				t.Errorf("client %v, %s: pion gets %x, error %v; want nothing, ErrFinished", h.config.Client, what, out, err)
			}
		}
		screen.finished = [][]byte{finishedRecord()}
		if err := screen.checkFinished(known); !errors.Is(err, errFinished) {
			t.Errorf("a forged record: %v, want ErrFinished", err)
		}
		if out, err := screen.sealed(nil, finishedRecord(), known); err != nil || len(out) > 0 {
			t.Errorf("a forged record: pion gets %x, %v; want nothing, no error", out, err)
		}
		if screen.finished = nil; !errors.Is(screen.checkFinished(known), errFinished) {
			t.Error("checkFinished accepts a handshake without Finished")
		}
	})
}

// The number of records that wait for the keys is bounded, and pion gets only those.
func TestFinishedBeforeKeysIsBounded(t *testing.T) {
	var s screen
	var out []byte
	for range 100 {
		var err error
		out, err = s.read(out, finishedRecord(), nil)
		wantNil(t, "read", err)
	}
	if n := len(pieces(out)); n != maxFinishedKept || len(s.finished) != n {
		t.Errorf("pion is given %d, %d are kept, want %d", n, len(s.finished), maxFinishedKept)
	}
}

// The messages of this end count as a whole for Finished, also if they are sent in fragments.
// So do the peer's messages that arrive in fragments.
func TestFinishedOfAFragmentedHandshake(t *testing.T) {
	testCertificate()
	for _, mtu := range []int{150, 256, 600} {
		synctest.Test(t, func(t *testing.T) {
			w, c := newWorld(t, 1), pairConfig()
			c.MTU = mtu
			fragmented := false
			w.tap = func(_ *side, b []byte) bool {
				for r := range Records(b) {
					f, _, ok := parseFragment(r.Body())
					fragmented = fragmented || ok && r.Epoch == 0 && len(f.body) < f.length
				}
				return false
			}
			a, b := pairWith(t, w, c)
			defer a.close()
			defer b.close()
			wantNil(t, "client", <-a.finished)
			wantNil(t, "server", <-b.finished)
			if fragmented != (mtu < 500) {
				t.Errorf("MTU %d: fragmented %v, want %v", mtu, fragmented, mtu < 500)
			}
		})
	}
}

// Of many sealed handshake records the sieve accepts few in a datagram and few in a time. It
// counts the first ones that it drops of each datagram.
func TestSieveBoundsFinished(t *testing.T) {
	flight := handshakeRecord(frag(msgClientHello, 0, 10, 0, 10), frag(msgCertificateVerify, 1, 10, 0, 10))
	ccs := plaintextRecord(TypeChangeCipherSpec, 9, "\x01")
	many := manyFinished(0)
	for name, passed := range map[string]bool{"before ChangeCipherSpec": false, "after it": true} {
		var s Sieve
		begin := clock.now()
		if passed {
			s.Append(begin, nil, append(bytes.Clone(flight), ccs...))
		}
		taken := func(at time.Duration, d []byte) int {
			held := len(s.held)
			got := pieces(s.Append(begin.Add(at), nil, d))
			return strings.Count(strings.Join(got, " "), "finished") + len(pieces(s.held[held:]))
		}
		for round := range 3 {
			sum := 0
			for i := range 10 {
				n := taken(time.Duration(round)*repeatInterval+time.Duration(i)*time.Millisecond, many)
				if sum += n; n > maxSealedTogether {
					t.Errorf("%s: %d of a datagram are taken, want at most %d", name, n, maxSealedTogether)
				}
			}
			if want := maxSealed; sum != want && (passed || round < 2) {
				t.Errorf("%s: %d are taken in an interval, want %d", name, sum, want)
			}
			if len(s.held) > maxHeld {
				t.Errorf("%s: %d bytes are held, want at most %d", name, len(s.held), maxHeld)
			}
		}
		if want := 30 * maxRefused; passed && s.Drops()[dropFull] != uint32(want) || s.Drops().Total() != uint64(s.Drops()[dropFull]) {
			t.Errorf("%s: drops %v, want %d full", name, s.drops, want)
		}
		if n := taken(4*repeatInterval, append(bytes.Clone(finishedRecord()), ccs...)); n != 1 && passed {
			t.Errorf("%s: a valid Finished is not accepted in the next interval", name)
		}
	}
}

// An attacker that holds Finished back makes this end, which has the keys, open few records,
// however many are sent; the true Finished is accepted when it arrives.
func TestForgedFinishedCostLittle(t *testing.T) {
	cert := peerCertificate()
	synctest.Test(t, func(t *testing.T) {
		a := attack(t, newWorld(t, 1), true, cert)
		defer a.peer.close()
		defer a.close()
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		a.receive(plaintextRecord(TypeChangeCipherSpec, 9, "\x01"))
		many := manyFinished(explicitLen)
		for range 1000 {
			a.receive(many)
			time.Sleep(time.Millisecond)
		}
		synctest.Wait()
		a.h.mu.Lock()
		opened, drops := a.h.known.opener.drops[dropAuth], a.h.known.opener.drops.Total()
		a.h.mu.Unlock()
		if most := uint32(maxSealed * (int(time.Second/repeatInterval) + 1)); opened > most || opened < maxSealed || uint64(opened) != drops {
			t.Errorf("%d records of %d are opened and %d dropped, want %d to %d", opened, 1000*len(pieces(many)), drops, maxSealed, most)
		}
		time.Sleep(repeatInterval)
		for _, d := range a.said() {
			a.receive(d)
		}
		wantNil(t, "handshake", <-a.finished)
	})
}

// Opening a Finished builds no new cipher: the cipher is built once.
func TestOpenerIsBuiltOnce(t *testing.T) {
	testCertificate()
	synctest.Test(t, func(t *testing.T) {
		a, b := pair(t, newWorld(t, 1))
		defer a.close()
		defer b.close()
		wantNil(t, "client", <-a.finished)
		wantNil(t, "server", <-b.finished)
		forged := finishedRecord()
		for _, s := range []*side{a, b} {
			if n := testing.AllocsPerRun(100, func() { s.h.screen.verify(forged, s.h.known) }); n > 1 {
				t.Errorf("client %v: a forged Finished allocates %v times, want once, for its copy", s.client, n)
			}
		}
	})
}
