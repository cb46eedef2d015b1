package dtls

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// handshakeRuns is how many handshakes TestNumbersAreUsedOnce runs. The long
// form sets GODWIT_HANDSHAKES=10000.
func handshakeRuns() int {
	if n, err := strconv.Atoi(os.Getenv("GODWIT_HANDSHAKES")); err == nil {
		return n
	}
	return 100
}

// The link loses, repeats and reorders, and an attacker sends invalid datagrams. No record
// number of epoch 1 is ever sent with two different plaintexts, neither by pion nor by this
// package. The world checks this.
func TestNumbersAreUsedOnce(t *testing.T) {
	cert := peerCertificate()
	failed := 0
	n := handshakeRuns()
	for seed := range uint64(n) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, seed)
			w.loss, w.duplicate, w.reorder = 0.15, 0.1, 0.2
			var ours []*side
			var theirs []*pionSide
			switch seed % 3 {
			case 0: // DTLS client, with pion
				s := newSide(t, true)
				s.onKeys = func() { s.writeLocked("early") }
				ours, theirs = []*side{s}, []*pionSide{meet(t, w, s, cert, configFor(cert))}
			case 1: // DTLS server, with pion
				s := newSide(t, false)
				ours, theirs = []*side{s}, []*pionSide{meet(t, w, s, cert, configFor(cert))}
			default:
				a, b := pair(t, w)
				ours = []*side{a, b}
			}
			over := make(chan struct{})
			for _, s := range ours {
				go junk(s, over)
			}
			for i, s := range ours {
				if err := <-s.finished; err != nil {
					failed++
					continue
				}
				for j := range 20 {
					wantNil(t, "write", s.write(fmt.Sprint(i, j)))
				}
			}
			close(over)
			for _, s := range ours {
				s.close()
			}
			for _, p := range theirs {
				p.close()
			}
		})
	}
	if failed > n/20 {
		t.Errorf("%d of %d handshakes failed, want at most 5 %%", failed, n)
	}
}

// junk sends, as an attacker on the path, the datagrams that cost pion most: new plaintext
// messages, forged alerts, and invalid sealed records.
func junk(s *side, over chan struct{}) {
	for i := range 60 {
		select {
		case <-time.After(150 * time.Millisecond):
		case <-over:
			return
		}
		s.receive(handshakeRecord(frag(20, 15-i%8, 1000, 10*i, 5)))
		s.receive(plaintextRecord(TypeAlert, uint64(i), "\x02\x28"))
		s.receive(plaintextRecord(TypeApplicationData, uint64(i), "x"))
		s.receive(finishedRecord())
	}
}

// An older pion repeated its Finished without end under this attack: the attacker drops the
// server's last flight and sends new plaintext messages, at which pion's timer started again.
// The attack has no effect, with a sieve or without one.
func TestFinishedFlood(t *testing.T) {
	cert := peerCertificate()
	for _, raw := range []bool{false, true} {
		t.Run(fmt.Sprintf("raw=%v", raw), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, s := newWorld(t, 1), newSide(t, true)
				s.raw = raw
				s.onKeys = func() {
					for range 5 {
						wantNil(t, "early write", s.writeLocked("early"))
					}
				}
				w.tap = func(from *side, b []byte) bool { // drops the server's Finished
					return from == nil && slices.Contains(pieces(b), "finished")
				}
				c := configFor(cert)
				p := meet(t, w, s, cert, c)
				defer p.close()
				defer s.close()
				attack := time.NewTicker(150 * time.Millisecond)
				defer attack.Stop()
				var err error
				for i, over := 0, false; !over; i++ {
					select {
					case <-attack.C:
						b := handshakeRecord(frag(20, 15, 8000, 10*i, 5))
						putRecordNumber(b, 0, uint64(1000+i))
						s.receive(b)
					case err = <-s.finished:
						over = true
					}
				}
				highest := uint64(0)
				for n := range w.numbers[s] {
					if n < FirstRecord {
						highest = max(highest, n)
					}
				}
				t.Logf("pion came to number %d: %v", highest, err)
				if !errors.Is(err, ErrTimeout) || highest > 8 {
					t.Errorf("%v at number %d, want %v by 8", err, highest, ErrTimeout)
				}
			})
		})
	}
}

// Alerts and data that pion seals with the session keys are never sent, because this package
// uses the record numbers.
func TestPionSealsOnlyFinished(t *testing.T) {
	var sent []HandshakeEvent
	h := &Handshake{config: HandshakeConfig{Client: true, Emit: func(e HandshakeEvent) { sent = append(sent, e) }}}
	wantNil(t, "an alert", h.write(epoch1(TypeAlert, "x")))
	wantNil(t, "data", h.write(epoch1(TypeApplicationData, "x")))
	wantNil(t, "epoch 2", h.write(func() []byte { b := finishedRecord(); putRecordNumber(b, 2, 0); return b }()))
	if len(sent) != 0 {
		t.Fatalf("%d datagrams are sent, want 0", len(sent))
	}
	last := finishedRecord()
	putRecordNumber(last, 1, maxHandshakeNumber)
	wantNil(t, "the last number", h.write(append(epoch1(TypeAlert, "x"), last...)))
	if len(sent) != 1 || string(sent[0].Datagram) != string(last) {
		t.Fatalf("sent %v, want the last flight alone", sent)
	}
	putRecordNumber(last, 1, FirstRecord)
	if err := h.write(last); !errors.Is(err, errRecordNumbers) {
		t.Errorf("a number of ours: %v, want %v", err, errRecordNumbers)
	}
	h.over = true
	wantNil(t, "after the end", h.write(plaintextRecord(TypeHandshake, 0, frag(1, 0, 1, 0, 1))))
	if len(sent) != 1 {
		t.Errorf("%d datagrams are sent, want 1: a datagram was sent after the end", len(sent))
	}
}

func TestFlightMarks(t *testing.T) {
	type want struct{ first, again bool }
	run := func(client bool, datagrams [][]byte, wants []want) {
		t.Helper()
		var got []want
		h := &Handshake{config: HandshakeConfig{Client: client, Emit: func(e HandshakeEvent) {
			got = append(got, want{e.First, e.Again})
		}}}
		for _, b := range datagrams {
			wantNil(t, "write", h.write(b))
		}
		if !slices.Equal(got, wants) {
			t.Errorf("client %v: marks %v, want %v", client, got, wants)
		}
	}
	hello, cookie := handshakeRecord(frag(1, 0, 200, 0, 200)), handshakeRecord(frag(1, 1, 220, 0, 220))
	cert, verify := handshakeRecord(frag(11, 1, 300, 0, 300)), handshakeRecord(frag(15, 3, 80, 0, 80))
	ccs, alert := plaintextRecord(TypeChangeCipherSpec, 9, "\x01"), plaintextRecord(TypeAlert, 9, "\x02\x28")
	begins, goesOn, repeats := want{true, false}, want{false, false}, want{false, true}

	run(true, [][]byte{hello, hello, cookie, cookie, cert, append(verify, ccs...), finishedRecord(), cert, finishedRecord(), alert},
		[]want{begins, repeats, begins, repeats, begins, goesOn, goesOn, repeats, repeats, repeats})
	run(false, [][]byte{handshakeRecord(frag(2, 0, 90, 0, 90)), cert, cert, ccs, finishedRecord(), ccs},
		[]want{begins, goesOn, repeats, begins, goesOn, repeats})
}
