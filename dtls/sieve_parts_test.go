package dtls

import (
	"bytes"
	"slices"
	"testing"
)

// The sieve drops the rest of a datagram of which it has dropped some records or fragments, so
// that a datagram of a hundred of them costs little. A new piece before passes; the next datagram
// is looked at again.
func TestSieveLooksAtFewRefusedParts(t *testing.T) {
	known := frag(msgClientHello, 0, 10, 0, 10)
	piece := func(n int) string { return frag(msgCertificate, 1, 100, n, 1) }
	nothing := plaintextRecord(TypeHandshake, 0, "")
	later := plaintextRecord(TypeApplicationData, 0, "x")
	putRecordNumber(later, epochOfData+1, 0)
	for what, refused := range map[string][]byte{
		"repeated fragments":        handshakeRecord(known),
		"handshake records without": nothing,
		"records of a later epoch":  later,
		"alerts":                    plaintextRecord(TypeAlert, 0, "\x02\x28"),
		"wrong ChangeCipherSpecs":   plaintextRecord(TypeChangeCipherSpec, 0, "\x02"),
	} {
		var s Sieve
		now := clock.now()
		s.Append(now, nil, handshakeRecord(known)) // a repetition may pass in the next interval only
		datagram := func(n, next int) []byte {
			return append(bytes.Repeat(refused, n), handshakeRecord(piece(next))...)
		}
		for n, want := range map[int]bool{maxRefused - 1: true, maxRefused: false} {
			if got := len(s.Append(now, nil, datagram(n, n))) > 0; got != want {
				t.Errorf("%d %s before a new piece: the piece passes: %v, want %v", n, what, got, want)
			}
		}
		if got := s.Drops().Total(); got != 2*maxRefused-1 {
			t.Errorf("%s: %d drops are counted, want %d", what, got, 2*maxRefused-1)
		}
	}

	// The same within one record.
	var s Sieve
	now := clock.now()
	s.Append(now, nil, handshakeRecord(known))
	for n, want := range map[int]bool{maxRefused - 1: true, maxRefused: false} {
		bodies := append(slices.Repeat([]string{known}, n), piece(n))
		if got := len(s.Append(now, nil, handshakeRecord(bodies...))) > 0; got != want {
			t.Errorf("%d repeated fragments and a new one in a record: the new one passes: %v, want %v", n, got, want)
		}
	}
	// All new pieces before the eighth refused fragment pass.
	many := slices.Repeat([]string{known}, maxRefused-1)
	for i := range 20 {
		many = append(many, piece(20+i))
	}
	if got := len(pieces(s.Append(now, nil, handshakeRecord(many...)))); got != 20 {
		t.Errorf("%d of 20 new pieces pass, want all", got)
	}
	before := append([]string{piece(50)}, slices.Repeat([]string{known}, 3*maxRefused)...)
	if got := len(pieces(s.Append(now, nil, handshakeRecord(before...)))); got != 1 {
		t.Errorf("%d pieces pass before refused ones, want 1", got)
	}
}

// The same for ChangeCipherSpecs before the flight is complete, of which the first is kept.
func TestSieveLooksAtFewChangeCipherSpecs(t *testing.T) {
	for n, want := range map[int]bool{maxRefused: true, maxRefused + 1: false} {
		var s Sieve
		ccs := plaintextRecord(TypeChangeCipherSpec, 0, "\x01")
		hello := handshakeRecord(frag(msgClientHello, 0, 10, 0, 10))
		got := len(s.Append(clock.now(), nil, append(bytes.Repeat(ccs, n), hello...))) > 0
		if got != want || s.Drops()[dropReplay] != uint32(n-1) {
			t.Errorf("%d ChangeCipherSpecs before a hello: it passes: %v, want %v; drops %v", n, got, want, s.drops)
		}
	}
}

// IsRival looks at as few records and fragments.
func TestIsRivalLooksAtFewParts(t *testing.T) {
	hello, other := frag(msgClientHello, 0, 10, 0, 10), frag(msgCertificate, 1, 100, 0, 1)
	nothing := plaintextRecord(TypeHandshake, 0, "")
	for n, want := range map[int]bool{maxRefused - 1: true, maxRefused: false} {
		s := Sieve{Client: true}
		if got := s.IsRival(append(bytes.Repeat(nothing, n), handshakeRecord(hello)...)); got != want {
			t.Errorf("%d empty records before a hello: a rival: %v, want %v", n, got, want)
		}
		if got := s.IsRival(handshakeRecord(append(slices.Repeat([]string{other}, n), hello)...)); got != want {
			t.Errorf("%d fragments before a hello: a rival: %v, want %v", n, got, want)
		}
	}
}

// A datagram that the sieve refuses, when somebody has sent many pieces before, the last one first.
func BenchmarkSieveRefuses(b *testing.B) {
	var s Sieve
	now := clock.now()
	piece := func(i int) string { return frag(msgCertificate, 1, 100, 2*i, 1) }
	for i := range maxMessagePieces {
		s.Append(now, nil, handshakeRecord(piece(maxMessagePieces-1-i)))
	}
	d := handshakeRecord(slices.Repeat([]string{piece(maxMessagePieces - 1)}, 45)...)
	out := make([]byte, 0, maxHandshake)
	for b.Loop() {
		s.Append(now, out, d)
	}
}
