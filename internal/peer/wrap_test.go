package peer

import (
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// TSNs begin at a random value, so they wrap after some time. Here they wrap after 51 messages
// to the client and after 102 to the server, with losses before and after.
func TestNumbersOfMessagesWrap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPairWith(t, false, func(c *Config) { c.SCTP.InitialTSN = math.MaxUint32 - 50 })
		w.connect()
		n := 0
		w.lose = func(*side, []byte) bool { n++; return n%7 == 0 }
		for range 5000 {
			b, _, err := w.server.Send(time.Now(), nil, 0, 1, []byte("down"))
			if err != nil {
				t.Fatal(err)
			}
			if n++; n%10 != 0 {
				w.client.receive(time.Now(), b)
			}
			if n++; n%10 != 0 {
				w.client.sendText("up")
			}
			time.Sleep(5 * time.Millisecond)
			w.server.advance(time.Now())
			w.client.advance(time.Now())
			w.server.pump(time.Now())
			w.client.pump(time.Now())
		}
		if len(w.client.got) < 4000 || len(w.server.got) < 4000 {
			t.Errorf("the client received %d messages, the server %d; want 4000 of 5000 at least", len(w.client.got), len(w.server.got))
		}
	})
}

// Records with numbers up to the greatest one arrive, in both directions.
func TestLastRecordNumbersArrive(t *testing.T) {
	h := newHostile(t, nil)
	h.server.records.Init(keysOf(t), true, 1<<48-100)
	h.client.records.Init(keysOf(t), false, 1<<48-100)
	h.server.records.Done()
	h.client.records.Done()
	h.server.got, h.client.got = nil, nil
	for _, s := range []*side{h.server, h.client} {
		for range 100 {
			b, _, err := s.Send(h.now, nil, 0, 0, []byte("x"))
			if err != nil {
				t.Fatal(err)
			}
			s.other.events, _ = s.other.Receive(h.now, s.addr, b, s.other.events[:0])
			s.other.note()
		}
	}
	if len(h.server.got) != 100 || len(h.client.got) != 100 {
		t.Errorf("the server received %d messages, the client %d; want 100", len(h.server.got), len(h.client.got))
	}
}

// No record number is used twice. When all are used, the peer ends.
func TestEndOfRecordNumbersIsTheEnd(t *testing.T) {
	h := newHostile(t, nil)
	h.server.records.Init(keysOf(t), true, 1<<48-3)
	h.server.records.Done()
	sent := 0
	var err error
	for err == nil && sent < 10 {
		_, _, err = h.server.Send(h.now, nil, 0, 0, []byte("x"))
		if err == nil {
			sent++
		}
	}
	if sent != 3 || !errors.Is(err, dtls.ErrExhausted) {
		t.Errorf("%d records are sent, then %v; want 3, then ErrExhausted", sent, err)
	}
	if why, err := h.server.Why(); why != AssociationFailed || !errors.Is(err, dtls.ErrExhausted) {
		t.Errorf("the peer ended for reason %d, error %v; want %d (AssociationFailed), ErrExhausted", why, err, AssociationFailed)
	}
}
