package peer

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/godwit-rtc/godwit/dtls"
)

// ended fails unless s has ended for a reason.
func (s *side) ended(what string, want Reason, cause string) {
	s.world.t.Helper()
	why, err := s.Why()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if s.State() != Closing || why != want || text != cause {
		s.world.t.Errorf("%s: state %d, reason %d, %q, want reason %d, %q", what, s.State(), why, text, want, cause)
	}
}

// A closed peer says its farewell at once, and again after 250, 500 and 1000 ms; then it is
// gone.
func TestWhenTheFarewellIsRepeated(t *testing.T) {
	h := newHostile(t, nil)
	begin := h.now
	h.server.Close(h.now, "bye")
	h.server.ended("Close", LocalClose, "")
	var said []time.Duration
	for h.server.State() != Gone {
		for range h.server.due(h.now) {
			said = append(said, h.now.Sub(begin))
		}
		due := h.server.Deadline()
		if !due.After(h.now) || due.After(begin.Add(lingering)) {
			t.Fatalf("due %v after Close, at %v", due.Sub(begin), h.now.Sub(begin))
		}
		h.server.Advance(due.Add(-time.Millisecond), nil) // too early
		if h.server.State() == Gone || len(h.server.due(h.now)) > 0 {
			t.Fatalf("at %v, before its time: state %d", due.Sub(begin), h.server.State())
		}
		h.now = due
		before := []Event{{Type: Message}}
		if got := h.server.Advance(h.now, before); len(got) != 1 {
			t.Errorf("%d events", len(got))
		}
	}
	if want := []time.Duration{0, 250 * ms, 750 * ms, 1750 * ms}; !slices.Equal(said, want) {
		t.Errorf("said at %v, want %v", said, want)
	}
	if h.now.Sub(begin) != lingering {
		t.Errorf("gone after %v", h.now.Sub(begin))
	}
	early := h.server.drops.Early
	events, part := h.server.Receive(h.now, h.client.addr, h.message(), []Event{{Type: Message}})
	if len(events) != 1 || part != nil || h.server.drops.Early != early+1 {
		t.Errorf("%d events, %d dropped", len(events), h.server.drops.Early-early)
	}
	b, granted := h.server.Check(h.now, h.client.addr, h.server.addr.Addr(), &h.server.request, []byte("x"))
	if string(b) != "x" || granted || len(h.server.due(h.now)) > 0 {
		t.Error("a peer that is gone answers")
	}
	if got := h.server.Advance(h.now, []Event{{Type: Message}}); len(got) != 1 || !h.server.Deadline().IsZero() {
		t.Errorf("%d events, due %v", len(got), h.server.Deadline())
	}
}

// A closed peer answers each datagram and each check with its farewell, eight times in all.
func TestFarewellAnswersWhatStillComes(t *testing.T) {
	h := newHostile(t, nil)
	h.server.Close(h.now, "bye")
	said := len(h.server.due(h.now))
	for i := range 20 {
		if i%2 == 0 {
			events, part := h.server.Receive(h.now, h.client.addr, h.message(), []Event{{Type: Message}})
			if len(events) != 1 || part != nil {
				t.Errorf("%d events", len(events))
			}
		} else {
			b, granted := h.checkFrom(h.client.addr)
			if len(b) > 0 || granted {
				t.Error("the check is answered")
			}
		}
		n := len(h.server.due(h.now))
		if want := min(1, farewells-said); n != want {
			t.Errorf("%d answers to datagram %d, want %d", n, i, want)
		}
		said += n
	}
	if b, _ := h.server.Check(h.now, h.client.addr, h.server.addr.Addr(), &h.server.request, []byte("x")); string(b) != "x" {
		t.Errorf("%q", b)
	}
}

// Each of the two parts of a farewell closes the other end by itself.
func TestBothPartsOfTheFarewellClose(t *testing.T) {
	for i := range 2 {
		h := newHostile(t, nil)
		h.server.Close(h.now, "bye")
		var parts [][]byte
		for r := range dtls.Records(h.server.due(h.now)[0]) {
			parts = append(parts, r.Raw)
		}
		if len(parts) != 2 {
			t.Fatalf("%d parts", len(parts))
		}
		h.client.Receive(h.now, h.server.addr, parts[i], nil)
		h.client.ended("a part", RemoteClose, "")
	}
}

// A peer that ends without a farewell is gone at once, and answers nothing.
func TestEndWithoutFarewell(t *testing.T) {
	cause := errors.New("a bad certificate")
	for name, c := range map[string]struct {
		end  func(h *hostile)
		want Reason
	}{
		"given up before its first check": {func(h *hostile) {
			h.server.Peer = New(h.now, Config{})
			h.server.GiveUp(h.now)
		}, Unheard},
		"closed before the handshake": {func(h *hostile) { h.server.Close(h.now, "") }, LocalClose},
		"a handshake that fails": {func(h *hostile) {
			h.server.Begin()
			h.server.GiveUp(h.now) // too late for that
			h.server.Fail(h.now, cause)
		}, HandshakeFailed},
		"closed with worn-out keys": {func(h *hostile) {
			h.server.shakeHands(h.now, h.client.addr)
			h.server.records.Init(keysOf(t), true, 1<<48-1) // one record is left
			h.server.records.Done()
			h.server.Close(h.now, "")
		}, LocalClose},
		"a close_notify": {func(h *hostile) {
			for _, s := range []*side{h.server, h.client} {
				s.shakeHands(h.now, s.other.addr)
			}
			h.sealed(dtls.AppendCloseNotify(h.client.records.Reserve(nil)), dtls.TypeAlert)
		}, RemoteClose},
	} {
		h := newChecked(t, nil)
		c.end(h)
		text := ""
		if c.want == HandshakeFailed {
			text = cause.Error()
		}
		h.server.ended(name, c.want, text)
		if d := h.server.Deadline(); !d.Equal(h.now) {
			t.Errorf("%s: due in %v", name, d.Sub(h.now))
		}
		b, granted := h.checkFrom(h.client.addr)
		answers := len(h.server.due(h.now))
		h.server.Receive(h.now, h.client.addr, piece(0), nil)
		answers += len(h.server.due(h.now))
		h.server.Advance(h.now.Add(-ms), nil) // before its time
		answers += len(h.server.due(h.now))
		if len(b) > 0 || granted || answers > 0 {
			t.Errorf("%s: it answers", name)
		}
		h.server.Close(h.now, "again")
		h.server.ended(name+", and closed", c.want, text)
		if h.server.Advance(h.now, nil); h.server.State() != Gone {
			t.Errorf("%s: state %d", name, h.server.State())
		}
	}
}

// An alert of the handshake leaves after its failure, but not when the peer is gone.
func TestAlertLeavesAfterTheFailure(t *testing.T) {
	for _, gone := range []bool{false, true} {
		h := newChecked(t, nil)
		h.server.Begin()
		alert := []byte("an alert")
		h.server.Shake(h.now, dtls.HandshakeEvent{Kind: dtls.Flight, Datagram: alert, Again: true}, nil)
		h.server.Shake(h.now, dtls.HandshakeEvent{Kind: dtls.Failed, Err: errForged}, nil)
		want := [][]byte{alert}
		if gone {
			h.server.Advance(h.now, nil)
			want = nil
		}
		if got := h.server.due(h.now); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("gone: %v: %q leaves", gone, got)
		}
	}
}

// After the handshake it cannot fail any more.
func TestFailureAfterTheHandshake(t *testing.T) {
	h := newHostile(t, nil)
	h.server.Fail(h.now, errForged)
	h.server.GiveUp(h.now)
	if h.server.State() != Secure {
		t.Errorf("state %d", h.server.State())
	}
}

// What the other end may say that ends a peer, and what does not.
func TestWhatEndsAPeer(t *testing.T) {
	for name, c := range map[string]struct {
		do    func(h *hostile)
		want  Reason
		cause string
	}{
		"a fatal alert":             {alert(2, 40), RemoteClose, ""},
		"a close_notify":            {alert(1, 0), RemoteClose, ""},
		"a warning":                 {alert(1, 90), Alive, ""},
		"an alert of no level":      {alert(3, 0), Alive, ""},
		"an alert of no known form": {alert(2, 40, 1), Alive, ""},
		"an ABORT":                  {func(h *hostile) { h.packet(chunk(6, 0, nil)) }, RemoteClose, ""},
		"a SHUTDOWN":                {func(h *hostile) { h.packet(chunk(7, 0, make([]byte, 4))) }, RemoteClose, ""},
		"an ABORT behind a forgery": {func(h *hostile) { h.forge(); h.packet(chunk(6, 0, nil)) }, RemoteClose, ""},
		"one forged record":         {(*hostile).forge, Alive, ""},
		"more forgeries than keys bear": {func(h *hostile) {
			failures := reflect.ValueOf(&h.server.records).Elem().FieldByName("failures")
			*(*uint64)(unsafe.Pointer(failures.UnsafeAddr())) = 1 << 36
			h.forge()
		}, AssociationFailed, errForged.Error()},
		"the last record of an acknowledgement": {func(h *hostile) {
			h.wearOut()
			for i := range uint32(4) {
				h.packet(data(3, h.tsn+i, 0, 0, 53, []byte("x")))
			}
			h.server.due(h.now)
		}, AssociationFailed, dtls.ErrExhausted.Error()},
	} {
		h := newHostile(t, nil)
		c.do(h)
		if c.want == Alive {
			if h.server.State() != Secure {
				t.Errorf("%s ends the peer", name)
			}
			continue
		}
		h.server.ended(name, c.want, c.cause)
	}
}

func alert(b ...byte) func(h *hostile) {
	return func(h *hostile) { h.sealed(append(h.client.records.Reserve(nil), b...), dtls.TypeAlert) }
}

// forge gives the server a record that its keys do not open.
func (h *hostile) forge() {
	b := slices.Clone(sealedRecord)
	b[10] = 77 // a number that is new
	h.server.Receive(h.now, h.client.addr, b, nil)
}

// wearOut uses up the server's record numbers.
func (h *hostile) wearOut() {
	h.t.Helper()
	h.server.records.Init(keysOf(h.t), true, 1<<48-1)
	h.server.records.Done()
	if _, err := h.server.records.Seal(h.server.records.Reserve(nil), 0, dtls.TypeApplicationData); err != nil {
		h.t.Fatal(err)
	}
}

// A challenge that no record number is left for ends the peer.
func TestChallengeWithWornOutKeys(t *testing.T) {
	h := challenged(t)
	h.server.due(h.now)
	h.wearOut()
	h.now = h.now.Add(250 * time.Millisecond)
	if got := h.server.due(h.now); len(got) > 0 {
		t.Errorf("%d datagrams", len(got))
	}
	h.server.ended("a challenge", AssociationFailed, dtls.ErrExhausted.Error())
}

// A page that never answers an INIT has no association.
func TestAssociationThatIsNeverAnswered(t *testing.T) {
	h := newChecked(t, nil)
	h.server.shakeHands(h.now, h.client.addr) // it is the DTLS client, and sends the INIT
	if h.server.Send(h.now, nil, 0, 0, nil); h.server.State() != Secure {
		t.Fatalf("state %d", h.server.State())
	}
	if b, _, err := h.server.Send(h.now, []byte("x"), 0, 0, nil); string(b) != "x" || !errors.Is(err, ErrNotOpen) {
		t.Errorf("Send before the association: %q, %v", b, err)
	}
	for range 1000 {
		if h.server.State() != Secure {
			break
		}
		h.server.due(h.now)
		h.now = latest(h.now, h.server.Deadline())
		h.checkFrom(h.client.addr)
		if got := h.server.Advance(h.now, []Event{{Type: Message}}); len(got) == 0 || got[0].Type != Message {
			t.Errorf("%d events", len(got))
		}
	}
	h.server.ended("no answer", AssociationFailed, "sctp: no answer to INIT")
}

// A peer that is silent for too long ends, and loses no event of its owner.
func TestSilence(t *testing.T) {
	h := newHostile(t, nil)
	h.now = h.now.Add(30 * time.Second)
	if got := h.server.Advance(h.now, make([]Event, 1)); len(got) != 1 {
		t.Errorf("%d events", len(got))
	}
	h.server.ended("silence", Silent, "")
}

// A message that is too large leaves nothing behind.
func TestSendRefuses(t *testing.T) {
	h := newHostile(t, nil)
	b, path, err := h.server.Send(h.now, []byte("x"), 0, 0, make([]byte, MaxPayload+1))
	if string(b) != "x" || path != (Path{}) || !errors.Is(err, ErrTooLarge) {
		t.Errorf("%q to %v, %v", b, path, err)
	}
	h.server.Close(h.now, "")
	if b, path, err = h.server.Send(h.now, []byte("x"), 0, 0, nil); string(b) != "x" || path != (Path{}) || !errors.Is(err, ErrNotOpen) {
		t.Errorf("%q to %v, %v", b, path, err)
	}
}
