package peer

import (
	"bytes"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

var (
	elsewhere    = netip.MustParseAddrPort("203.0.113.5:5555")
	unknown      = netip.MustParseAddrPort("203.0.113.6:6666")
	sealedRecord = append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 9, 9, 0, 40}, make([]byte, 40)...) // nobody's
)

// credit uses up what may be sent to an address, and returns how many bytes that were.
func (s *side) credit(now time.Time, to netip.AddrPort) (n int) {
	for step := 1 << 20; step > 0; step /= 2 {
		if s.ice.maySend(now, to, step) {
			n += step
		}
	}
	return n
}

// checkFrom gives the server a check of the client, each time the same, from an address.
func (h *hostile) checkFrom(from netip.AddrPort) (answer []byte, granted bool) {
	h.t.Helper()
	if h.check == nil {
		h.check, _ = h.client.Append(h.now.Add(3*time.Second), nil)
	}
	if h.server.request.Parse(h.check) != 0 {
		h.t.Fatal("no check")
	}
	return h.server.Check(h.now, from, h.server.addr.Addr(), &h.server.request, nil)
}

// message returns a datagram with one message of the client.
func (h *hostile) message() []byte {
	h.t.Helper()
	b, _, err := h.client.Send(h.now, nil, 0, 0, []byte("message"))
	if err != nil {
		h.t.Fatal(err)
	}
	return b
}

// due returns the datagrams that s has to send now.
func (s *side) due(now time.Time) (all [][]byte) {
	s.world.t.Helper()
	s.Flush(now)
	for {
		b, path := s.Append(now, []byte("before"))
		b, ok := bytes.CutPrefix(b, []byte("before"))
		if !ok || (len(b) == 0) != (path == Path{}) {
			s.world.t.Fatalf("%q to %v", b, path)
		}
		if len(b) == 0 {
			return all
		}
		if path.Remote != s.Remote() {
			s.world.t.Fatalf("a datagram to %v, not to %v", path.Remote, s.Remote())
		}
		all = append(all, b)
	}
}

// hear gives s datagrams of the other side.
func (s *side) hear(now time.Time, all [][]byte) {
	for _, b := range all {
		if Classify(b) == DTLS {
			s.events, _ = s.Receive(now, s.other.addr, b, s.events[:0])
			s.note()
		}
	}
}

// While the handshake runs, three bytes may be sent for each that arrives in plaintext. An
// encrypted record may be for another peer at the address, and so may a datagram that was
// passed on: they allow nothing.
func TestWhatAllowsMoreToBeSentInTheHandshake(t *testing.T) {
	h := newChecked(t, nil)
	h.server.Begin()
	h.server.credit(h.now, h.client.addr)
	plain := piece(0)
	for _, c := range []struct {
		name     string
		receive  func(time.Time, netip.AddrPort, []byte, []Event) ([]Event, []byte)
		from     netip.AddrPort
		datagram []byte
		want     int
	}{
		{"plaintext", h.server.Receive, h.client.addr, plain, 3 * len(plain)},
		{"passed plaintext", h.server.ReceivePassed, h.client.addr, plain, 0},
		{"plaintext after that", h.server.Receive, h.client.addr, plain, 3 * len(plain)},
		{"an encrypted record", h.server.Receive, h.client.addr, sealedRecord, 0},
		{"less than an epoch", h.server.Receive, h.client.addr, plain[:4], 0},
		{"an epoch", h.server.Receive, h.client.addr, plain[:5], 3 * 5},
		{"a stranger's plaintext", h.server.Receive, unknown, plain, 0},
	} {
		h.server.credit(h.now, h.client.addr)
		c.receive(h.now, c.from, c.datagram, nil)
		if n := h.server.credit(h.now, h.client.addr); n != c.want || h.server.Authentic() {
			t.Errorf("%s allows %d bytes, want %d; authentic: %v", c.name, n, c.want, h.server.Authentic())
		}
		if h.server.credit(h.now, unknown) != 0 {
			t.Error("a stranger may be sent to")
		}
	}
	if h.server.drops.Stranger != 1 {
		t.Errorf("%d strangers are counted", h.server.drops.Stranger)
	}
}

// What is passed on reaches the handshake like any other datagram.
func TestPassedDatagramsReachTheHandshake(t *testing.T) {
	h := newChecked(t, nil)
	h.server.Begin()
	before := []Event{{Type: Message}}
	events, part := h.server.ReceivePassed(h.now, h.client.addr, piece(0), before)
	if len(part) == 0 || len(events) != 1 {
		t.Errorf("%d bytes for the handshake, %d events", len(part), len(events))
	}
}

// After the handshake only a datagram that the peer has encrypted allows more to be sent to an
// address that is not proved, and only if it does not begin with plaintext, for which another
// peer at the address is credited.
func TestWhatAllowsMoreToBeSent(t *testing.T) {
	h := newHostile(t, nil)
	if _, granted := h.checkFrom(elsewhere); !granted {
		t.Fatal("a bad check")
	}
	record := func(parts ...[]byte) []byte { return slices.Concat(append(parts, h.message())...) }
	tail := append(h.message(), sealedRecord...)
	sealed, mixed, second := record(), record(piece(0)), record(sealedRecord)
	for _, c := range []struct {
		name      string
		from      netip.AddrPort
		datagram  []byte
		want      int
		authentic bool
	}{
		{"one behind plaintext", elsewhere, mixed, 0, true},
		{"one behind a forged one", elsewhere, second, 3 * len(second), true},
		{"one before a forged one", elsewhere, tail, 3 * len(tail), true},
		{"one at an unknown address", unknown, record(), 0, false},
		{"a record of the peer", elsewhere, sealed, 3 * len(sealed), true},
		{"the same again", elsewhere, slices.Clone(sealed), 0, false},
		{"a forged one", elsewhere, slices.Clone(sealedRecord), 0, false},
		{"plaintext", elsewhere, piece(0), 0, false},
	} {
		h.server.credit(h.now, elsewhere)
		events, part := h.server.Receive(h.now, c.from, c.datagram, make([]Event, 1))
		messages := 0
		for _, ev := range events {
			if ev.Type == Message {
				messages++
			}
		}
		if (messages == 1) != c.authentic || messages > 1 || len(events) == 0 || part != nil {
			t.Errorf("%s: %d messages, %d events", c.name, messages, len(events))
		}
		if n := h.server.credit(h.now, elsewhere); n != c.want || h.server.Authentic() != c.authentic {
			t.Errorf("%s allows %d bytes, want %d; authentic: %v", c.name, n, c.want, h.server.Authentic())
		}
	}
}

// The keys prove the address of the handshake if it was the only one from and to which its
// datagrams went.
func TestHandshakeOfOneAddressProvesIt(t *testing.T) {
	flight := dtls.HandshakeEvent{Kind: dtls.Flight, Datagram: make([]byte, 100), First: true}
	repeated := func(h *hostile) time.Time { return h.server.shake.flight.Deadline() }
	for _, c := range []struct {
		name  string
		shake func(h *hostile, first, second netip.AddrPort)
		want  bool
	}{
		{"one", func(h *hostile, first, second netip.AddrPort) {
			h.server.Receive(h.now, first, piece(0), nil)
			h.server.Flight(h.now, flight)
			h.server.due(h.now)
			h.server.due(repeated(h))
			h.server.Receive(h.now, first, piece(1), nil)
		}, true},
		{"a second from which something came", func(h *hostile, first, second netip.AddrPort) {
			for i, a := range []netip.AddrPort{first, second, first} {
				h.server.Receive(h.now, a, piece(i), nil)
			}
		}, false},
		{"a second from which nothing for the handshake came", func(h *hostile, first, second netip.AddrPort) {
			h.server.Receive(h.now, first, piece(0), nil)
			h.server.Receive(h.now, second, sealedRecord, nil)
		}, true},
		{"a second to which a flight went", func(h *hostile, first, second netip.AddrPort) {
			h.server.Receive(h.now, second, piece(0), nil)
			h.server.Flight(h.now, flight)
			h.server.due(h.now)
			h.server.Receive(h.now, second, piece(1), nil)
		}, false},
		{"a second to which a flight was repeated", func(h *hostile, first, second netip.AddrPort) {
			h.server.Flight(h.now, flight)
			h.server.due(h.now)
			h.now = h.now.Add(7 * time.Second) // the first is silent
			h.server.shake.flight.Set(h.now, flight.Datagram)
			h.checkFrom(second)
			if n := len(h.server.due(repeated(h))); n != 1 || h.server.Remote() != second {
				t.Errorf("%d repetitions to %v", n, h.server.Remote())
			}
			h.server.Receive(h.now, first, piece(1), nil)
		}, false},
	} {
		h := newChecked(t, nil)
		h.checkFrom(elsewhere)
		h.checkFrom(h.client.addr)
		h.server.Begin()
		c.shake(h, h.client.addr, elsewhere)
		h.server.Keys(h.now, keysOf(t))
		for _, a := range []netip.AddrPort{h.client.addr, elsewhere} {
			if got := h.server.Holds(h.now, a); got != (c.want && a == h.client.addr) {
				t.Errorf("%s: %v is proved: %v", c.name, a, got)
			}
		}
	}
}

// challenged returns a world whose server has just established the association, and has not
// proved the address of its client yet.
func challenged(t *testing.T) *hostile {
	t.Helper()
	h := newChecked(t, func(c *Config) { c.ICE.Secret = &[32]byte{7} })
	h.server.shakeHands(h.now, h.client.addr, elsewhere)
	h.client.shakeHands(h.now, h.server.addr)
	for range 10 {
		if h.server.hear(h.now, h.client.due(h.now)); h.server.opened {
			return h
		}
		h.client.hear(h.now, h.server.due(h.now))
	}
	t.Fatal("no association")
	return nil
}

const challengeLen = 81 // a HEARTBEAT in a record

// An address that is not proved gets a challenge at once, before all else, and again in 250
// ms; the answer proves it.
func TestAnsweredChallengeProvesTheAddress(t *testing.T) {
	h := challenged(t)
	if d := h.server.Deadline(); d.After(h.now) {
		t.Errorf("the challenge is due in %v", d.Sub(h.now))
	}
	first := h.server.due(h.now)
	if len(first) < 2 || len(first[0]) != challengeLen {
		t.Fatalf("%d datagrams, the first of %d bytes", len(first), len(first[0]))
	}
	if all := h.server.due(h.now.Add(249 * time.Millisecond)); len(all) > 0 {
		t.Errorf("%d datagrams before the time", len(all))
	}
	if d := h.server.Deadline(); !d.Equal(h.now.Add(250 * time.Millisecond)) {
		t.Errorf("the next challenge is due in %v", d.Sub(h.now))
	}
	if h.server.Holds(h.now, h.client.addr) {
		t.Error("the address is proved before the answer")
	}
	h.client.hear(h.now, first)
	h.server.hear(h.now, h.client.due(h.now))
	if !h.server.Holds(h.now, h.client.addr) || h.server.credit(h.now, h.client.addr) < 1<<20 {
		t.Error("the answer has proved nothing")
	}
}

// A challenge that may not be sent is counted, and waits for a datagram of the peer.
func TestChallengeWaitsForCredit(t *testing.T) {
	h := challenged(t)
	h.server.due(h.now)
	h.now = h.now.Add(250 * time.Millisecond)
	h.server.credit(h.now, h.client.addr)
	before := h.server.drops.Unsendable
	if all := h.server.due(h.now); len(all) > 0 || h.server.drops.Unsendable != before+1 {
		t.Errorf("%d datagrams, %d are counted", len(all), h.server.drops.Unsendable-before)
	}
	if d := h.server.Deadline(); !d.After(h.now) {
		t.Error("it does not wait")
	}
	h.packet(chunk(0xff, 0, make([]byte, 100)))
	if all := h.server.due(h.now); len(all) == 0 || len(all[0]) != challengeLen {
		t.Errorf("%d datagrams after one of the peer", len(all))
	}
}

// An address that is not proved gets no more than it is allowed: what is held back is counted.
func TestNothingIsSentBeyondTheCredit(t *testing.T) {
	h := challenged(t)
	h.server.due(h.now)
	h.packet(data(3, h.tsn, 0, 0, 53, []byte("x"))) // an acknowledgement is due
	h.server.credit(h.now, h.client.addr)
	before := h.server.drops.Unsendable
	b, path, err := h.server.Send(h.now, []byte("before"), 0, 0, []byte("x"))
	if string(b) != "before" || path != (Path{}) || !errors.Is(err, ErrSilenced) || h.server.drops.Unsendable != before+1 {
		t.Errorf("%q to %v: %v; %d are counted", b, path, err, h.server.drops.Unsendable-before)
	}
	for i := range uint32(4) {
		h.packet(data(3, h.tsn+1+i, 0, 0, 53, []byte("x")))
	}
	h.server.credit(h.now, h.client.addr)
	before = h.server.drops.Unsendable
	if all := h.server.due(h.now); len(all) > 0 || h.server.drops.Unsendable != before+1 {
		t.Errorf("%d datagrams leave, %d are counted", len(all), h.server.drops.Unsendable-before)
	}
	h.server.credit(h.now, h.client.addr)
	h.server.Close(h.now, "")
	if all := h.server.due(h.now); len(all) > 0 {
		t.Error("the farewell leaves")
	}
}

// Datagrams of a flight that may not be sent yet wait, in order, for what allows them.
func TestFlightWaitsForCredit(t *testing.T) {
	h := newChecked(t, nil)
	h.server.Begin()
	h.server.credit(h.now, h.client.addr)
	one, two := bytes.Repeat([]byte{1}, 400), bytes.Repeat([]byte{2}, 400)
	h.server.Flight(h.now, dtls.HandshakeEvent{Datagram: one, First: true})
	h.server.Flight(h.now, dtls.HandshakeEvent{Datagram: two})
	want := func(what string, datagrams ...[]byte) {
		t.Helper()
		if got := h.server.due(h.now); !slices.EqualFunc(got, datagrams, bytes.Equal) {
			t.Errorf("%s: %d datagrams, want %d", what, len(got), len(datagrams))
		}
	}
	want("without credit")
	if d := h.server.Deadline(); d.Before(h.now.Add(time.Second)) {
		t.Error("a repetition is due before the flight has left")
	}
	plain := piece(0)[:400/3+1] // not a whole record: nothing for the handshake
	h.server.Receive(h.now, h.client.addr, plain, nil)
	want("with credit for one", one)
	h.server.Receive(h.now, h.client.addr, plain, nil)
	want("with credit for the other", two)

	// A repetition waits, too.
	h.server.credit(h.now, h.client.addr)
	h.now = h.server.Deadline()
	want("repeated without credit")
	if d := h.server.Deadline(); d.Before(h.now.Add(time.Second)) {
		t.Error("another repetition is due while one waits")
	}
	h.server.Receive(h.now, h.client.addr, plain, nil)
	h.server.Receive(h.now, h.client.addr, plain, nil)
	want("repeated", one, two)
}
