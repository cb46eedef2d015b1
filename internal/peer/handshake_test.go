package peer

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

const ms = time.Millisecond

// flight gives s a datagram of its handshake to send.
func (s *side) flight(now time.Time, text string, first, again bool) {
	s.ProcessHandshake(now, dtls.HandshakeEvent{Kind: dtls.Flight, Datagram: []byte(text), First: first, Again: again}, nil)
}

// wantDue fails unless exactly these datagrams are due.
func (s *side) wantDue(now time.Time, what string, want ...string) {
	s.pair.t.Helper()
	var got []string
	for _, b := range s.due(now) {
		got = append(got, string(b))
	}
	if !slices.Equal(got, want) {
		s.pair.t.Errorf("%s: %q, want %q", what, got, want)
	}
}

// A flight is sent at once, and again as a whole after 25 ms, until a datagram for the
// handshake arrives. A datagram that the handshake itself repeats is sent once.
func TestFlightIsRepeatedUntilItIsAnswered(t *testing.T) {
	h := newChecked(t, nil)
	s, t0 := h.server, h.now
	s.Begin()
	s.flight(t0, "one", true, false)
	s.flight(t0, "two", false, false)
	s.flight(t0, "one again", true, true)
	s.wantDue(t0, "at once", "one", "two", "one again")
	if d := s.Deadline(); !d.Equal(t0.Add(25 * ms)) {
		t.Errorf("the repetition is due after %v, want 25 ms", d.Sub(t0))
	}
	s.wantDue(t0.Add(24*ms), "too early")
	s.wantDue(t0.Add(25*ms), "repeated", "one", "two")
	s.Receive(t0.Add(30*ms), h.client.addr, sealedRecord, nil) // not for the handshake
	s.wantDue(t0.Add(75*ms), "repeated again", "one", "two")
	s.Receive(t0.Add(80*ms), h.client.addr, piece(0), nil)
	s.wantDue(t0.Add(time.Second), "answered")
	if d := s.Deadline(); d.Before(t0.Add(time.Second)) {
		t.Errorf("a repetition is due after %v, though the flight is answered", d.Sub(t0))
	}
}

// The first flight and its answer measure the round trip. It sets how long the next flight
// waits for its answer, and it is the first RTT of the association.
func TestHandshakeMeasuresTheRoundTrip(t *testing.T) {
	for name, c := range map[string]struct {
		receive  []time.Duration // when datagrams arrive after the first flight
		rtt      time.Duration
		repeated time.Duration // when the second flight is repeated
	}{
		"40 ms":                {[]time.Duration{40 * ms}, 40 * ms, 65 * ms},
		"the first answer":     {[]time.Duration{40 * ms, 90 * ms}, 40 * ms, 65 * ms},
		"more than is waited":  {[]time.Duration{900 * ms}, 900 * ms, 400 * ms},
		"no time":              {[]time.Duration{0}, ms, 26 * ms},
		"no answer to measure": {nil, 0, 25 * ms},
	} {
		h := newChecked(t, nil)
		s, t0 := h.server, h.now
		s.Begin()
		_, part := s.Receive(t0.Add(-time.Second), h.client.addr, piece(0), nil) // a ClientHello
		if len(part) == 0 {
			t.Fatal("the handshake gets no bytes of a fragment")
		}
		s.flight(t0, "one", true, false)
		if got := s.ProcessHandshake(t0.Add(5*ms), dtls.HandshakeEvent{Kind: dtls.Flight, Datagram: []byte("two")}, make([]Event, 1)); len(got) != 1 {
			t.Errorf("ProcessHandshake returns %d events, want the caller's 1", len(got))
		}
		s.due(t0)
		for i, d := range c.receive {
			s.Receive(t0.Add(d), h.client.addr, piece(1+i), nil)
		}
		t1 := t0.Add(time.Second)
		s.flight(t1, "three", true, false)
		s.wantDue(t1, name, "three")
		if d := s.Deadline(); !d.Equal(t1.Add(c.repeated)) {
			t.Errorf("%s: repeated after %v, want %v", name, d.Sub(t1), c.repeated)
		}
		s.ProcessHandshake(t1, dtls.HandshakeEvent{Kind: dtls.KeysReady, Keys: keysOf(t)}, nil)
		if st, _ := s.Stats(); st.RTT != c.rtt {
			t.Errorf("%s: the association begins with %v, want %v", name, st.RTT, c.rtt)
		}
	}
}

// The queue of a handshake is bounded. A datagram before Begin, when there is no queue, is
// dropped.
func TestQueueOfTheHandshake(t *testing.T) {
	h := newChecked(t, nil)
	s := h.server
	s.flight(h.now, "before Begin", true, false)
	s.Begin()
	for range maxQueued + 2 {
		s.flight(h.now, "x", true, false)
	}
	if n := len(s.due(h.now)); n != maxQueued || s.drops.Unsendable != 3 {
		t.Errorf("%d datagrams are sent, want %d; %d drops are counted, want 3", n, maxQueued, s.drops.Unsendable)
	}
}

// A DTLS client sends the INIT when it has its keys. A DTLS server sends no INIT: it repeats
// only its last flight.
func TestWhoSpeaksFirst(t *testing.T) {
	for _, client := range []bool{true, false} {
		h := newChecked(t, func(c *Config) { c.Client = client })
		s := h.server
		s.Begin()
		s.flight(h.now, "Finished", true, false)
		s.wantDue(h.now, "the last flight", "Finished")
		s.ProcessHandshake(h.now, dtls.HandshakeEvent{Kind: dtls.KeysReady, Keys: keysOf(t)}, nil)
		s.Receive(h.now, h.client.addr, piece(0), nil) // does not stop the last flight
		if s.State() != Keyed {
			t.Fatalf("state %d, want %d (Keyed)", s.State(), Keyed)
		}
		if n := len(s.due(h.now)); (n == 1) != client || n > 1 {
			t.Errorf("DTLS client: %v: %d datagrams with the keys, want 1 of a client and 0 of a server", client, n)
		}
		h.now = h.now.Add(25 * ms)
		if all := s.due(h.now); len(all) == 0 || string(all[0]) != "Finished" {
			t.Errorf("DTLS client: %v: %q , want the last flight first", client, all)
		}
		before := []Event{{Type: Message}}
		if got := s.ProcessHandshake(h.now, dtls.HandshakeEvent{Kind: dtls.Done}, before); len(got) != 1 || s.State() != Secure {
			t.Errorf("Done: %d events, want the caller's 1; state %d, want %d (Secure)", len(got), s.State(), Secure)
		}
		if got := s.ProcessHandshake(h.now, dtls.HandshakeEvent{Kind: dtls.Done}, before); len(got) != 1 {
			t.Errorf("the second Done: %d events, want the caller's 1", len(got))
		}
		repeats, others := 0, 0
		for range 200 {
			for _, b := range s.due(h.now) {
				if string(b) == "Finished" {
					repeats++
				} else {
					others++
				}
			}
			h.now = h.now.Add(100 * ms)
			h.checkFrom(h.client.addr)
			s.Advance(h.now, nil)
		}
		if client && (repeats > 0 || others == 0) || !client && (repeats != lastRepeats-1 || others > 0) {
			t.Errorf("DTLS client: %v: the last flight is repeated %d times, and %d other datagrams are sent; want 0 and some of a client, %d and 0 of a server", client, repeats, others, lastRepeats-1)
		}
		if s.handshake != nil {
			t.Error("the state of the handshake is not freed")
		}
	}
}

// An ICE client begins the association itself, also if it is the DTLS server.
func TestNativeClientSendsAnINIT(t *testing.T) {
	h := newChecked(t, nil) // the client is the DTLS server
	h.client.setKeys(h.now, h.server.addr)
	if n := len(h.client.due(h.now)); n != 1 {
		t.Errorf("%d datagrams, want 1 with the INIT", n)
	}
}

// The last flight of a DTLS client may wait for credit. Then it is sent after the handshake is
// done.
func TestLastFlightWaitsForCredit(t *testing.T) {
	h := newChecked(t, nil)
	s := h.server
	s.Begin()
	s.handshake.noteAddress(h.client.addr)
	s.handshake.noteAddress(elsewhere)
	s.useCredit(h.now, h.client.addr)
	s.flight(h.now, "Finished", true, false)
	s.Keys(h.now, keysOf(t))
	s.Done(h.now, nil)
	s.Append(h.now, nil)
	s.flight(h.now, "more", false, true)
	h.checkFrom(h.client.addr)
	if all := s.due(h.now); len(all) < 2 || string(all[0]) != "Finished" || string(all[1]) != "more" || s.handshake != nil {
		t.Errorf("the datagrams %q, want Finished and more first; or the state of the handshake is not freed", all)
	}
}

// The state of a DTLS server's handshake is freed when the association is established, and when
// the peer ends. From then on the last flight is not repeated.
func TestLastFlightEnds(t *testing.T) {
	for name, established := range map[string]bool{"established": true, "closed": false} {
		h := newChecked(t, func(c *Config) { c.Client = false })
		s := h.server
		s.Begin()
		s.handshake.noteAddress(h.client.addr)
		s.flight(h.now, "Finished", true, false)
		s.due(h.now)
		s.Keys(h.now, keysOf(t))
		s.Done(h.now, nil)
		h.client.Peer.client = true
		h.client.setKeys(h.now, h.server.addr)
		if established {
			for range 5 {
				h.server.receiveAll(h.now, h.client.due(h.now))
				h.client.receiveAll(h.now, h.server.due(h.now))
			}
			if !s.opened {
				t.Fatal("the association is not established")
			}
		} else {
			h.sealed(dtls.AppendCloseNotify(h.client.records.Reserve(nil)), dtls.TypeAlert)
		}
		if s.handshake != nil {
			t.Errorf("%s: the state of the handshake is not freed", name)
		}
		for _, b := range s.due(h.now.Add(30 * ms)) {
			if bytes.Equal(b, []byte("Finished")) {
				t.Errorf("%s: the last flight is repeated", name)
			}
		}
	}
}

// Stats adds the drops of the peer, of its records and of its association.
func TestAllDropsAreCounted(t *testing.T) {
	h := newHostile(t, nil)
	st, before := h.server.Stats()
	if st.MessagesIn != 0 || st.Channels != 0 {
		t.Errorf("before any message: %+v, want no messages and no channels", st)
	}
	h.packet(chunk(11, 0, nil)) // a COOKIE ACK that answers nothing
	h.packet(chunk(14, 0, nil)) // a SHUTDOWN COMPLETE
	h.forge()
	h.server.Receive(h.now, unknown, sealedRecord, nil)
	h.packet(data(3, h.tsn, 1, 0, 51, []byte("x")))
	st, after := h.server.Stats()
	if after-before != 3 || st.MessagesIn != 1 || st.Channels != 1 {
		t.Errorf("%d drops, want 3; %+v, want 1 message and 1 channel", after-before, st)
	}
}

// The DTLS client opens channels on even streams, the DTLS server on odd ones. A
// DATA_CHANNEL_OPEN of the other end on a stream of this end is refused.
func TestStreamsOfThePeer(t *testing.T) {
	open := append([]byte{3, 1, 1, 0, 0, 0, 0, 0, 0, 4, 0, 0}, "chat"...)
	for _, client := range []bool{true, false} {
		h := newHostile(t, nil)
		if !client {
			h = newChecked(t, func(c *Config) { c.Client = false })
			h.client.Peer.client = true
			for _, s := range []*side{h.server, h.client} {
				s.setKeys(h.now, s.other.addr)
			}
			h.client.pump(h.now)
		}
		for stream := range uint16(2) {
			var got []Event
			for _, ev := range h.packet(data(3, h.tsn+uint32(stream), stream, 0, 50, open)) {
				if ev.Type == ChannelOpen {
					got = append(got, ev)
				}
			}
			if opened := len(got) == 1; opened != (client == (stream == 1)) {
				t.Errorf("DTLS client: %v: an OPEN on stream %d opens a channel: %v, want %v", client, stream, opened, client == (stream == 1))
			}
		}
	}
}

// The answers of Knows, Holds, Speaks and Since for the addresses of a server's peer, of a
// client's peer, and of a closed peer.
func TestAddressesOfAPeer(t *testing.T) {
	h := newHostile(t, nil)
	h.checkFrom(elsewhere)
	type answers struct{ knows, holds, speaks, since bool }
	ask := func(s *side, a netip.AddrPort) answers {
		return answers{s.Knows(a), s.Holds(h.now, a), s.Speaks(h.now, a), !s.Since(a).IsZero()}
	}
	for _, c := range []struct {
		name string
		side *side
		addr netip.AddrPort
		want answers
	}{
		{"the address of the handshake", h.server, h.client.addr, answers{true, true, true, true}},
		{"one with a check", h.server, elsewhere, answers{true, false, false, true}},
		{"an unknown one", h.server, unknown, answers{}},
		{"the server, for the client", h.client, h.server.addr, answers{knows: true}},
	} {
		if got := ask(c.side, c.addr); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
	if h.server.Remote() != h.client.addr || h.client.Remote() != h.server.addr {
		t.Errorf("the server sends to %v, want %v; the client to %v, want %v", h.server.Remote(), h.client.addr, h.client.Remote(), h.server.addr)
	}
	h.server.Close(h.now, "")
	if got := ask(h.server, h.client.addr); got.holds || got.speaks || !got.knows {
		t.Errorf("the address of a closed peer: %+v, want that only knows and since are true", got)
	}
}

func TestIsPlaintext(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want bool
	}{
		{[]byte{22, 0xfe, 0xfd, 0, 0}, true},
		{[]byte{22, 0xfe, 0xfd, 0}, false},
		{[]byte{22, 0xfe, 0xfd, 0, 1}, false},
		{[]byte{22, 0xfe, 0xfd, 1, 0}, false},
		{nil, false},
	} {
		if got := IsPlaintext(c.b); got != c.want {
			t.Errorf("IsPlaintext(%x) = %v, want %v", c.b, got, c.want)
		}
	}
}

// Preload may be called in every state and at either end.
func TestPreload(t *testing.T) {
	before, after := newChecked(t, nil), newHostile(t, nil)
	for _, s := range []*side{before.server, before.client, after.server, after.client} {
		for step := range PreloadSteps {
			s.Preload(step)
		}
	}
}

func TestSooner(t *testing.T) {
	never, early, late := time.Time{}, time.Unix(1, 0), time.Unix(2, 0)
	for _, c := range [][3]time.Time{{never, never, never}, {early, late, early}, {late, early, early}, {never, late, late}, {late, never, late}} {
		if got := sooner(c[0], c[1]); !got.Equal(c[2]) {
			t.Errorf("sooner(%v, %v) = %v, want %v", c[0], c[1], got, c[2])
		}
	}
}
