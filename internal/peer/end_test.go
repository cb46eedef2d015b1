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

// wantEnd fails unless s has ended for the reason want, with an error of the text cause.
func (s *side) wantEnd(what string, want Reason, cause string) {
	s.pair.t.Helper()
	why, err := s.Why()
	text := ""
	if err != nil {
		text = err.Error()
	}
	if s.State() != Closing || why != want || text != cause {
		s.pair.t.Errorf("%s: state %d, reason %d, %q, want reason %d, %q", what, s.State(), why, text, want, cause)
	}
}

// A closed peer sends its farewell at once, and repeats it after 250, 500 and 1000 ms more.
// Then it is gone.
func TestWhenTheFarewellIsRepeated(t *testing.T) {
	h := newHostile(t, nil)
	begin := h.now
	h.server.Close(h.now, "bye")
	h.server.wantEnd("Close", LocalClose, "")
	var sentAt []time.Duration
	for h.server.State() != Gone {
		for range h.server.due(h.now) {
			sentAt = append(sentAt, h.now.Sub(begin))
		}
		due := h.server.Deadline()
		if !due.After(h.now) || due.After(begin.Add(lingerTime)) {
			t.Fatalf("at %v after Close the deadline is %v after Close, want it later than now and within 2 s", h.now.Sub(begin), due.Sub(begin))
		}
		h.server.Advance(due.Add(-time.Millisecond), nil) // too early
		if h.server.State() == Gone || len(h.server.due(h.now)) > 0 {
			t.Fatalf("1 ms before the deadline at %v after Close: state %d, or a datagram is sent; want neither Gone nor a datagram", due.Sub(begin), h.server.State())
		}
		h.now = due
		before := []Event{{Type: Message}}
		if got := h.server.Advance(h.now, before); len(got) != 1 {
			t.Errorf("Advance returns %d events, want the caller's 1", len(got))
		}
	}
	if want := []time.Duration{0, 250 * ms, 750 * ms, 1750 * ms}; !slices.Equal(sentAt, want) {
		t.Errorf("the farewell is sent at %v after Close, want %v", sentAt, want)
	}
	if h.now.Sub(begin) != lingerTime {
		t.Errorf("gone %v after Close, want %v", h.now.Sub(begin), lingerTime)
	}
	early := h.server.drops.Early
	events, part := h.server.Receive(h.now, h.client.addr, h.message(), []Event{{Type: Message}})
	if len(events) != 1 || part != nil || h.server.drops.Early != early+1 {
		t.Errorf("Receive of a peer that is gone: %d events, want the caller's 1; %d bytes for the handshake, want 0; %d drops, want 1", len(events), len(part), h.server.drops.Early-early)
	}
	b, granted := h.server.Check(h.now, h.client.addr, h.server.addr.Addr(), &h.server.request, []byte("x"))
	if string(b) != "x" || granted || len(h.server.due(h.now)) > 0 {
		t.Error("a peer that is gone answers a check")
	}
	if got := h.server.Advance(h.now, []Event{{Type: Message}}); len(got) != 1 || !h.server.Deadline().IsZero() {
		t.Errorf("Advance of a peer that is gone: %d events, want the caller's 1; deadline %v, want none", len(got), h.server.Deadline())
	}
}

// A closed peer sends its farewell for each datagram and each check that arrives, eight times
// in all.
func TestFarewellAnswersWhatStillComes(t *testing.T) {
	h := newHostile(t, nil)
	h.server.Close(h.now, "bye")
	sent := len(h.server.due(h.now))
	for i := range 20 {
		if i%2 == 0 {
			events, part := h.server.Receive(h.now, h.client.addr, h.message(), []Event{{Type: Message}})
			if len(events) != 1 || part != nil {
				t.Errorf("Receive of a closed peer returns %d events, want the caller's 1, and %d bytes for the handshake, want 0", len(events), len(part))
			}
		} else {
			b, granted := h.checkFrom(h.client.addr)
			if len(b) > 0 || granted {
				t.Error("a closed peer grants or answers a check")
			}
		}
		n := len(h.server.due(h.now))
		if want := min(1, maxFarewells-sent); n != want {
			t.Errorf("%d answers to datagram %d, want %d", n, i, want)
		}
		sent += n
	}
	if b, _ := h.server.Check(h.now, h.client.addr, h.server.addr.Addr(), &h.server.request, []byte("x")); string(b) != "x" {
		t.Errorf("Check of a closed peer returns %q, want the caller's x alone", b)
	}
}

// Each of the two records of a farewell is enough to close the other end.
func TestBothPartsOfTheFarewellClose(t *testing.T) {
	for i := range 2 {
		h := newHostile(t, nil)
		h.server.Close(h.now, "bye")
		var parts [][]byte
		for r := range dtls.Records(h.server.due(h.now)[0]) {
			parts = append(parts, r.Raw)
		}
		if len(parts) != 2 {
			t.Fatalf("the farewell has %d records, want 2: ABORT and close_notify", len(parts))
		}
		h.client.Receive(h.now, h.server.addr, parts[i], nil)
		h.client.wantEnd("one of the records", RemoteClose, "")
	}
}

// A peer that ends without a farewell sends nothing, and is gone as soon as its owner calls
// Advance.
func TestEndWithoutFarewell(t *testing.T) {
	cause := errors.New("a bad certificate")
	for name, c := range map[string]struct {
		end  func(h *hostile)
		want Reason
	}{
		"given up before its first check": {func(h *hostile) {
			h.server.Peer = New(h.now, Config{})
			h.server.GiveUp(h.now)
		}, NoContact},
		"closed before the handshake": {func(h *hostile) { h.server.Close(h.now, "") }, LocalClose},
		"a handshake that fails": {func(h *hostile) {
			h.server.Begin()
			h.server.GiveUp(h.now) // without effect: it is not Waiting any more
			h.server.Fail(h.now, cause)
		}, HandshakeFailed},
		"closed with one record number left": {func(h *hostile) {
			h.server.setKeys(h.now, h.client.addr)
			h.server.records.Init(keysOf(t), true, 1<<48-1) // one record is left
			h.server.records.Done()
			h.server.Close(h.now, "")
		}, LocalClose},
		"a close_notify": {func(h *hostile) {
			for _, s := range []*side{h.server, h.client} {
				s.setKeys(h.now, s.other.addr)
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
		h.server.wantEnd(name, c.want, text)
		if d := h.server.Deadline(); !d.Equal(h.now) {
			t.Errorf("%s: Advance is due in %v, want now", name, d.Sub(h.now))
		}
		b, granted := h.checkFrom(h.client.addr)
		answers := len(h.server.due(h.now))
		h.server.Receive(h.now, h.client.addr, piece(0), nil)
		answers += len(h.server.due(h.now))
		h.server.Advance(h.now.Add(-ms), nil) // too early
		answers += len(h.server.due(h.now))
		if len(b) > 0 || granted || answers > 0 {
			t.Errorf("%s: it answers a check with %d bytes, granted %v, and sends %d datagrams; want none", name, len(b), granted, answers)
		}
		h.server.Close(h.now, "again")
		h.server.wantEnd(name+", and closed", c.want, text)
		if h.server.Advance(h.now, nil); h.server.State() != Gone {
			t.Errorf("%s: state %d after Advance, want %d (Gone)", name, h.server.State(), Gone)
		}
	}
}

// An alert of the handshake is sent after its failure, but not by a peer that is gone.
func TestAlertLeavesAfterTheFailure(t *testing.T) {
	for _, gone := range []bool{false, true} {
		h := newChecked(t, nil)
		h.server.Begin()
		alert := []byte("an alert")
		h.server.ProcessHandshake(h.now, dtls.HandshakeEvent{Kind: dtls.Flight, Datagram: alert, Again: true}, nil)
		h.server.ProcessHandshake(h.now, dtls.HandshakeEvent{Kind: dtls.Failed, Err: errForged}, nil)
		want := [][]byte{alert}
		if gone {
			h.server.Advance(h.now, nil)
			want = nil
		}
		if got := h.server.due(h.now); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("gone: %v: the datagrams %q are sent, want %q", gone, got, want)
		}
	}
}

// Fail and GiveUp do nothing after the handshake.
func TestFailureAfterTheHandshake(t *testing.T) {
	h := newHostile(t, nil)
	h.server.Fail(h.now, errForged)
	h.server.GiveUp(h.now)
	if h.server.State() != Secure {
		t.Errorf("state %d, want %d (Secure)", h.server.State(), Secure)
	}
}

// Which datagrams of the other end end a peer.
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
			h.useUpRecords()
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
				t.Errorf("%s: state %d, want %d (Secure)", name, h.server.State(), Secure)
			}
			continue
		}
		h.server.wantEnd(name, c.want, c.cause)
	}
}

func alert(b ...byte) func(h *hostile) {
	return func(h *hostile) { h.sealed(append(h.client.records.Reserve(nil), b...), dtls.TypeAlert) }
}

// forge gives the server a record that its keys do not open.
func (h *hostile) forge() {
	b := slices.Clone(sealedRecord)
	b[10] = 77 // a number that was not received before
	h.server.Receive(h.now, h.client.addr, b, nil)
}

// useUpRecords uses up the server's record numbers.
func (h *hostile) useUpRecords() {
	h.t.Helper()
	h.server.records.Init(keysOf(h.t), true, 1<<48-1)
	h.server.records.Done()
	if _, err := h.server.records.Seal(h.server.records.Reserve(nil), 0, dtls.TypeApplicationData); err != nil {
		h.t.Fatal(err)
	}
}

// A challenge ends the peer if no record number is left for it.
func TestChallengeWithWornOutKeys(t *testing.T) {
	h := challenged(t)
	h.server.due(h.now)
	h.useUpRecords()
	h.now = h.now.Add(250 * time.Millisecond)
	if got := h.server.due(h.now); len(got) > 0 {
		t.Errorf("%d datagrams are sent without a record number, want 0", len(got))
	}
	h.server.wantEnd("a challenge", AssociationFailed, dtls.ErrExhausted.Error())
}

// If the page never answers the INIT, the association fails.
func TestAssociationThatIsNeverAnswered(t *testing.T) {
	h := newChecked(t, nil)
	h.server.setKeys(h.now, h.client.addr) // it is the DTLS client, and sends the INIT
	if h.server.Send(h.now, nil, 0, 0, nil); h.server.State() != Secure {
		t.Fatalf("state %d after a Send before the association, want %d (Secure)", h.server.State(), Secure)
	}
	if b, _, err := h.server.Send(h.now, []byte("x"), 0, 0, nil); string(b) != "x" || !errors.Is(err, ErrNotOpen) {
		t.Errorf("Send before the association: %q, %v; want the caller's x alone, ErrNotOpen", b, err)
	}
	for range 1000 {
		if h.server.State() != Secure {
			break
		}
		h.server.due(h.now)
		h.now = latest(h.now, h.server.Deadline())
		h.checkFrom(h.client.addr)
		if got := h.server.Advance(h.now, []Event{{Type: Message}}); len(got) == 0 || got[0].Type != Message {
			t.Errorf("Advance returns %d events, want the caller's event first", len(got))
		}
	}
	h.server.wantEnd("no answer", AssociationFailed, "sctp: no answer to INIT")
}

// A peer whose other end is silent for 30 s ends. Advance keeps the events of the caller.
func TestSilence(t *testing.T) {
	h := newHostile(t, nil)
	h.now = h.now.Add(30 * time.Second)
	if got := h.server.Advance(h.now, make([]Event, 1)); len(got) != 1 {
		t.Errorf("Advance returns %d events, want the caller's 1", len(got))
	}
	h.server.wantEnd("silence", TimedOut, "")
}

// Send returns the caller's bytes alone if the message is too large or the peer is closed.
func TestSendRefuses(t *testing.T) {
	h := newHostile(t, nil)
	b, path, err := h.server.Send(h.now, []byte("x"), 0, 0, make([]byte, MaxPayload+1))
	if string(b) != "x" || path != (Path{}) || !errors.Is(err, ErrTooLarge) {
		t.Errorf("Send of a message that is too large: %q to %v, %v; want the caller's x alone, no path, ErrTooLarge", b, path, err)
	}
	h.server.Close(h.now, "")
	if b, path, err = h.server.Send(h.now, []byte("x"), 0, 0, nil); string(b) != "x" || path != (Path{}) || !errors.Is(err, ErrNotOpen) {
		t.Errorf("Send after Close: %q to %v, %v; want the caller's x alone, no path, ErrNotOpen", b, path, err)
	}
}
