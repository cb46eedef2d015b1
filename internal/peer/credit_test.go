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
	sealedRecord = append([]byte{23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 9, 9, 0, 40}, make([]byte, 40)...) // no keys open it
)

// useCredit uses up the credit of an address, and returns how many bytes it was.
func (s *side) useCredit(now time.Time, to netip.AddrPort) (n int) {
	for step := 1 << 20; step > 0; step /= 2 {
		if s.ice.maySend(now, to, step) {
			n += step
		}
	}
	return n
}

// checkFrom gives the server a check of the client that arrives from the address from. It is
// always the same check.
func (h *hostile) checkFrom(from netip.AddrPort) (answer []byte, granted bool) {
	h.t.Helper()
	if h.check == nil {
		h.check, _ = h.client.Append(h.now.Add(3*time.Second), nil)
	}
	if h.server.request.Parse(h.check) != 0 {
		h.t.Fatal("the client's check is not a valid STUN request")
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
	s.pair.t.Helper()
	s.Flush(now)
	for {
		b, path := s.Append(now, []byte("before"))
		b, ok := bytes.CutPrefix(b, []byte("before"))
		if !ok || (len(b) == 0) != (path == Path{}) {
			s.pair.t.Fatalf("Append after 6 bytes of the caller: %q to path %v; want these bytes first, and a path only with a datagram", b, path)
		}
		if len(b) == 0 {
			return all
		}
		if path.Remote != s.Remote() {
			s.pair.t.Fatalf("a datagram is sent to %v, want %v", path.Remote, s.Remote())
		}
		all = append(all, b)
	}
}

// receiveAll gives s the datagrams of the other side that are DTLS.
func (s *side) receiveAll(now time.Time, all [][]byte) {
	for _, b := range all {
		if Classify(b) == DTLS {
			s.events, _ = s.Receive(now, s.other.addr, b, s.events[:0])
			s.note()
		}
	}
}

// While the handshake runs, each byte of a plaintext datagram gives credit for three. An
// encrypted record and a datagram of ReceivePassed may be for another peer at the address. So
// they give no credit.
func TestWhatAllowsMoreToBeSentInTheHandshake(t *testing.T) {
	h := newChecked(t, nil)
	h.server.Begin()
	h.server.useCredit(h.now, h.client.addr)
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
		h.server.useCredit(h.now, h.client.addr)
		c.receive(h.now, c.from, c.datagram, nil)
		if n := h.server.useCredit(h.now, h.client.addr); n != c.want || h.server.Authentic() {
			t.Errorf("%s allows %d bytes, want %d; authentic: %v", c.name, n, c.want, h.server.Authentic())
		}
		if h.server.useCredit(h.now, unknown) != 0 {
			t.Error("a datagram may be sent to an address without a check")
		}
	}
	if h.server.drops.Stranger != 1 {
		t.Errorf("%d datagrams of strangers are counted, want 1", h.server.drops.Stranger)
	}
}

// The handshake gets a datagram of ReceivePassed like any other datagram.
func TestPassedDatagramsReachTheHandshake(t *testing.T) {
	h := newChecked(t, nil)
	h.server.Begin()
	before := []Event{{Type: Message}}
	events, part := h.server.ReceivePassed(h.now, h.client.addr, piece(0), before)
	if len(part) == 0 || len(events) != 1 {
		t.Errorf("%d bytes for the handshake, want some; %d events, want the caller's 1", len(part), len(events))
	}
}

// After the handshake a datagram gives credit to an address that is not proved only for its
// authentic records, because its other records may be another peer's, which gives credit for
// them, and only if the datagram does not begin with plaintext: such a datagram may be for
// another peer as a whole.
func TestWhatAllowsMoreToBeSent(t *testing.T) {
	h := newHostile(t, nil)
	if _, granted := h.checkFrom(elsewhere); !granted {
		t.Fatal("the check is not granted")
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
		{"one behind a forged one", elsewhere, second, 3 * len(sealed), true},
		{"one before a forged one", elsewhere, tail, 3 * len(sealed), true},
		{"one at an unknown address", unknown, record(), 0, false},
		{"a record of the peer", elsewhere, sealed, 3 * len(sealed), true},
		{"the same again", elsewhere, slices.Clone(sealed), 0, false},
		{"a forged one", elsewhere, slices.Clone(sealedRecord), 0, false},
		{"plaintext", elsewhere, piece(0), 0, false},
	} {
		h.server.useCredit(h.now, elsewhere)
		events, part := h.server.Receive(h.now, c.from, c.datagram, make([]Event, 1))
		messages := 0
		for _, ev := range events {
			if ev.Type == Message {
				messages++
			}
		}
		if (messages == 1) != c.authentic || messages > 1 || len(events) == 0 || part != nil {
			t.Errorf("%s: %d messages of %d events, %d bytes for the handshake; want a message: %v, the caller's event first, no bytes", c.name, messages, len(events), len(part), c.authentic)
		}
		if n := h.server.useCredit(h.now, elsewhere); n != c.want || h.server.Authentic() != c.authentic {
			t.Errorf("%s allows %d bytes, want %d; authentic: %v", c.name, n, c.want, h.server.Authentic())
		}
	}
}

// The keys prove the address of the handshake if all datagrams of the handshake came from there
// and were sent to it.
func TestHandshakeOfOneAddressProvesIt(t *testing.T) {
	flight := dtls.HandshakeEvent{Kind: dtls.Flight, Datagram: make([]byte, 100), First: true}
	repeated := func(h *hostile) time.Time { return h.server.handshake.flight.Deadline() }
	for _, c := range []struct {
		name      string
		handshake func(h *hostile, first, second netip.AddrPort)
		want      bool
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
			h.now = h.now.Add(7 * time.Second) // no datagram has arrived from first for 7 s
			h.server.handshake.flight.Set(h.now, flight.Datagram)
			h.checkFrom(second)
			if n := len(h.server.due(repeated(h))); n != 1 || h.server.Remote() != second {
				t.Errorf("%d repetitions are sent to %v, want 1 to %v", n, h.server.Remote(), second)
			}
			h.server.Receive(h.now, first, piece(1), nil)
		}, false},
	} {
		h := newChecked(t, nil)
		h.checkFrom(elsewhere)
		h.checkFrom(h.client.addr)
		h.server.Begin()
		c.handshake(h, h.client.addr, elsewhere)
		h.server.Keys(h.now, keysOf(t))
		for _, a := range []netip.AddrPort{h.client.addr, elsewhere} {
			if got := h.server.Holds(h.now, a); got != (c.want && a == h.client.addr) {
				t.Errorf("%s: Holds(%v) = %v, want %v", c.name, a, got, c.want && a == h.client.addr)
			}
		}
	}
}

// challenged returns a hostile client whose server has just established the association, and
// has not proved the client's address yet.
func challenged(t *testing.T) *hostile {
	t.Helper()
	h := newChecked(t, func(c *Config) { c.ICE.Secret = &[32]byte{7} })
	h.server.setKeys(h.now, h.client.addr, elsewhere)
	h.client.setKeys(h.now, h.server.addr)
	for range 10 {
		if h.server.receiveAll(h.now, h.client.due(h.now)); h.server.opened {
			return h
		}
		h.client.receiveAll(h.now, h.server.due(h.now))
	}
	t.Fatal("the association is not established after 10 rounds")
	return nil
}

const challengeLen = 81 // bytes of a record with a HEARTBEAT

// An address that is not proved gets a challenge at once, before other datagrams, and again
// after 250 ms. The answer proves the address.
func TestAnsweredChallengeProvesTheAddress(t *testing.T) {
	h := challenged(t)
	if d := h.server.Deadline(); d.After(h.now) {
		t.Errorf("the first challenge is due in %v, want at once", d.Sub(h.now))
	}
	first := h.server.due(h.now)
	if len(first) < 2 || len(first[0]) != challengeLen {
		t.Fatalf("%d datagrams, want 2 or more; the first has %d bytes, want %d", len(first), len(first[0]), challengeLen)
	}
	if all := h.server.due(h.now.Add(249 * time.Millisecond)); len(all) > 0 {
		t.Errorf("%d datagrams after 249 ms, want none before 250 ms", len(all))
	}
	if d := h.server.Deadline(); !d.Equal(h.now.Add(250 * time.Millisecond)) {
		t.Errorf("the next challenge is due in %v, want 250 ms", d.Sub(h.now))
	}
	if h.server.Holds(h.now, h.client.addr) {
		t.Error("the address counts as proved before the answer")
	}
	h.client.receiveAll(h.now, first)
	h.server.receiveAll(h.now, h.client.due(h.now))
	if !h.server.Holds(h.now, h.client.addr) || h.server.useCredit(h.now, h.client.addr) < 1<<20 {
		t.Error("the address does not count as proved after the answer, or its credit is limited")
	}
}

// A challenge for which the credit is too small is counted, and waits for a datagram of the
// peer.
func TestChallengeWaitsForCredit(t *testing.T) {
	h := challenged(t)
	h.server.due(h.now)
	h.now = h.now.Add(250 * time.Millisecond)
	h.server.useCredit(h.now, h.client.addr)
	before := h.server.drops.Unsendable
	if all := h.server.due(h.now); len(all) > 0 || h.server.drops.Unsendable != before+1 {
		t.Errorf("%d datagrams are sent without credit, want 0; %d drops are counted, want 1", len(all), h.server.drops.Unsendable-before)
	}
	if d := h.server.Deadline(); !d.After(h.now) {
		t.Error("Deadline is not in the future, though the challenge waits for credit")
	}
	h.packet(chunk(0xff, 0, make([]byte, 100)))
	if all := h.server.due(h.now); len(all) == 0 || len(all[0]) != challengeLen {
		t.Errorf("%d datagrams after one of the peer, want a challenge of %d bytes first", len(all), challengeLen)
	}
}

// An address that is not proved gets no bytes beyond its credit. Datagrams that are held back
// are counted.
func TestNothingIsSentBeyondTheCredit(t *testing.T) {
	h := challenged(t)
	h.server.due(h.now)
	h.packet(data(3, h.tsn, 0, 0, 53, []byte("x"))) // an acknowledgement is due
	h.server.useCredit(h.now, h.client.addr)
	before := h.server.drops.Unsendable
	b, path, err := h.server.Send(h.now, []byte("before"), 0, 0, []byte("x"))
	if string(b) != "before" || path != (Path{}) || !errors.Is(err, ErrSilenced) || h.server.drops.Unsendable != before+1 {
		t.Errorf("Send without credit: %q to %v, error %v, %d drops are counted; want the caller's bytes, no path, ErrSilenced, 1", b, path, err, h.server.drops.Unsendable-before)
	}
	for i := range uint32(4) {
		h.packet(data(3, h.tsn+1+i, 0, 0, 53, []byte("x")))
	}
	h.server.useCredit(h.now, h.client.addr)
	before = h.server.drops.Unsendable
	if all := h.server.due(h.now); len(all) > 0 || h.server.drops.Unsendable != before+1 {
		t.Errorf("%d datagrams are sent without credit, want 0; %d drops are counted, want 1", len(all), h.server.drops.Unsendable-before)
	}
	h.server.useCredit(h.now, h.client.addr)
	h.server.Close(h.now, "")
	if all := h.server.due(h.now); len(all) > 0 {
		t.Error("the farewell is sent without credit")
	}
}

// Datagrams of a flight for which the credit is too small wait, in order, for more credit.
func TestFlightWaitsForCredit(t *testing.T) {
	h := newChecked(t, nil)
	h.server.Begin()
	h.server.useCredit(h.now, h.client.addr)
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
	plain := piece(0)[:400/3+1] // not a whole record, so it gives credit and nothing to the handshake
	h.server.Receive(h.now, h.client.addr, plain, nil)
	want("with credit for one", one)
	h.server.Receive(h.now, h.client.addr, plain, nil)
	want("with credit for the other", two)

	// A repetition waits, too.
	h.server.useCredit(h.now, h.client.addr)
	h.now = h.server.Deadline()
	want("repeated without credit")
	if d := h.server.Deadline(); d.Before(h.now.Add(time.Second)) {
		t.Error("another repetition is due while one waits")
	}
	h.server.Receive(h.now, h.client.addr, plain, nil)
	h.server.Receive(h.now, h.client.addr, plain, nil)
	want("repeated", one, two)
}
