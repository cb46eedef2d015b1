package dtls

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A testClock is the time of tests in which no two datagrams come within an interval
// of repeats.
type testClock struct{ time.Time }

func (c *testClock) now() time.Time {
	c.Time = c.Add(repeatInterval)
	return c.Time
}

var clock = testClock{time.Unix(1, 0)}

// frag returns the content of a handshake record: n bytes at off of a message.
func frag(kind uint8, seq, length, off, n int) string {
	message := make([]byte, length+1<<16)
	for i := range message {
		message[i] = byte(i * (seq + 3))
	}
	f := fragment{kind: kind, length: length, seq: seq, off: off, end: off + n, body: message[off : off+n]}
	return string(appendFragment(nil, &f, off, off+n))
}

// pieces lists the fragments in b that pion gets, as "seq:off-end".
func pieces(b []byte) (got []string) {
	for r := range Records(b) {
		switch {
		case r.Type == TypeChangeCipherSpec:
			got = append(got, "ccs")
			continue
		case r.Epoch == 1:
			got = append(got, "finished")
			continue
		}
		for rest := r.Body(); len(rest) > 0; {
			f, tail, ok := parseFragment(rest)
			if !ok {
				return append(got, "broken")
			}
			got, rest = append(got, fmt.Sprintf("%d:%d-%d", f.seq, f.off, f.end)), tail
		}
	}
	return got
}

func wantPieces(t *testing.T, s *Sieve, what string, datagram []byte, want ...string) {
	t.Helper()
	prefix := []byte("prefix")
	before := bytes.Clone(datagram)
	got := s.Append(clock.now(), prefix, datagram)
	if !bytes.HasPrefix(got, prefix) || !bytes.Equal(before, datagram) {
		t.Errorf("%s: Append changes the datagram or the bytes before it", what)
	}
	if p := pieces(got[len(prefix):]); !slices.Equal(p, want) {
		t.Errorf("%s: pion sees %v, want %v", what, p, want)
	}
}

func handshakeRecord(bodies ...string) []byte {
	body := ""
	for _, b := range bodies {
		body += b
	}
	return plaintextRecord(TypeHandshake, 5, body)
}

// finishedRecord returns a record with the form of a sealed Finished.
func finishedRecord() []byte {
	b := plaintextRecord(TypeHandshake, 0, string(make([]byte, 48)))
	putRecordNumber(b, 1, 0)
	return b
}

func epoch1(t ContentType, body string) []byte {
	b := plaintextRecord(t, 0, body)
	putRecordNumber(b, 1, 32)
	return b
}

// A browser's post-quantum ClientHello takes two datagrams.
func TestSieveTwoDatagramHello(t *testing.T) {
	a, b := handshakeRecord(frag(1, 0, 1500, 0, 1100)), handshakeRecord(frag(1, 0, 1500, 1100, 400))
	for name, order := range map[string][][]byte{"in order": {a, b}, "reordered": {b, a}} {
		t.Run(name, func(t *testing.T) {
			var s Sieve
			for _, d := range order {
				wantPieces(t, &s, "a fragment passes", d, pieces(d)...)
			}
			if !s.messages[0].complete() {
				t.Error("the ClientHello is not complete")
			}
			wantPieces(t, &s, "a repeated beginning goes again", a, "0:0-1100")
			wantPieces(t, &s, "so does a repeated rest", b, "0:1100-1500")
		})
	}
}

func TestSieveOverlaps(t *testing.T) {
	var s Sieve
	wantPieces(t, &s, "the middle", handshakeRecord(frag(1, 0, 1000, 400, 100)), "0:400-500")
	wantPieces(t, &s, "all of it: what comes before the middle", handshakeRecord(frag(1, 0, 1000, 0, 1000)), "0:0-400")
	wantPieces(t, &s, "half of it, seen already: the same piece again", handshakeRecord(frag(1, 0, 1000, 0, 450)), "0:0-400")
	wantPieces(t, &s, "inside a piece: nothing", handshakeRecord(frag(1, 0, 1000, 100, 100)))
	wantPieces(t, &s, "all of it again: what comes after", handshakeRecord(frag(1, 0, 1000, 0, 1000)), "0:500-1000")
	if !s.messages[0].complete() {
		t.Error("the message is not complete")
	}
}

// Fragments of several messages in one record, which contradict each other.
func TestSieveMixedMessages(t *testing.T) {
	var s Sieve
	wantPieces(t, &s, "two messages in one record",
		handshakeRecord(frag(11, 1, 100, 0, 60), frag(16, 2, 50, 0, 50)), "1:0-60", "2:0-50")
	wantPieces(t, &s, "another length", handshakeRecord(frag(11, 1, 101, 60, 41)))
	wantPieces(t, &s, "another type", handshakeRecord(frag(15, 1, 100, 60, 40)))
	wantPieces(t, &s, "the next message's bytes under this number are its own",
		handshakeRecord(frag(16, 2, 60, 50, 10), frag(11, 1, 100, 60, 40)), "1:60-100")
	if n := s.Drops()[dropFragment]; n != 3 {
		t.Errorf("%d contradictions counted, want 3", n)
	}
}

func TestSieveZeroLength(t *testing.T) {
	var s Sieve
	wantPieces(t, &s, "no fragment at all", plaintextRecord(TypeHandshake, 0, ""))
	wantPieces(t, &s, "an empty fragment of a message that is not", handshakeRecord(frag(1, 0, 10, 0, 0)))
	wantPieces(t, &s, "an empty fragment at its end", handshakeRecord(frag(1, 0, 10, 10, 0)))
	wantPieces(t, &s, "an empty message", handshakeRecord(frag(14, 3, 0, 0, 0)), "3:0-0")
	for range 100 {
		wantPieces(t, &s, "the empty message again", handshakeRecord(frag(14, 3, 0, 0, 0)), "3:0-0")
	}
	wantPieces(t, &s, "then the real one", handshakeRecord(frag(1, 0, 10, 0, 10)), "0:0-10")
}

func TestSieveBounds(t *testing.T) {
	var s Sieve
	wantPieces(t, &s, "message_seq 16", handshakeRecord(frag(1, maxMessages, 10, 0, 10)))
	wantPieces(t, &s, "17 KiB message", handshakeRecord(frag(1, 0, 17<<10, 0, 10)))
	wantPieces(t, &s, "a datagram of 4 KiB", make([]byte, 4096))
	for i := range maxMessagePieces {
		wantPieces(t, &s, "a byte", handshakeRecord(frag(1, 0, 1000, 2*i, 1)), fmt.Sprintf("0:%d-%d", 2*i, 2*i+1))
	}
	wantPieces(t, &s, "one piece too many", handshakeRecord(frag(1, 0, 1000, 900, 1)))
	passed := maxMessagePieces
	for seq := 1; seq < maxMessages; seq++ {
		passed += len(s.Append(clock.now(), nil, handshakeRecord(frag(1, seq, 1500, 0, 1500)))) / 1500 * 1500
	}
	// The first message counts with its greatest length.
	if most := maxHandshakeBytes - 1000 + maxMessagePieces; passed > most || passed < most-1500 {
		t.Errorf("%d bytes passed, want nearly %d and no more", passed, most)
	}
}

// The bound is the same for any number of messages.
func TestSieveBoundsPieces(t *testing.T) {
	var s Sieve
	passed := 0
	for seq := range maxMessages {
		for i := range maxMessagePieces {
			passed += len(pieces(s.Append(clock.now(), nil, handshakeRecord(frag(1, seq, 100, 2*i, 1)))))
		}
	}
	if passed != maxPieces {
		t.Errorf("%d pieces passed, want %d", passed, maxPieces)
	}
}

// The records that wait for Done are bounded in number and in bytes.
func TestSieveBoundsEarly(t *testing.T) {
	for size, want := range map[int]int{30: maxEarly, 1000: 4, 1024 - headerLen: 4, 1987: 2} {
		var s Sieve
		for range 2 * maxEarly {
			record := plaintextRecord(TypeApplicationData, 0, strings.Repeat("x", size))
			putRecordNumber(record, epochOfData, 0)
			s.Append(clock.now(), nil, record)
		}
		if got := len(slices.Collect(s.Early())); got != want || s.Drops().Total() != uint64(2*maxEarly-want) {
			t.Errorf("%d records of %d bytes are kept, want %d; %d dropped", got, size, want, s.Drops().Total())
		}
	}
}

// pion gets none of these records, whatever their type and epoch.
func TestSieveTypesAndEpochs(t *testing.T) {
	for typ := range 256 {
		for epoch := range uint16(3) {
			var s Sieve
			b := plaintextRecord(ContentType(typ), 0, "\x02\x28")
			putRecordNumber(b, epoch, 0)
			if got := s.Append(clock.now(), nil, b); len(got) > 0 {
				t.Errorf("type %d, epoch %d: pion gets the record", typ, epoch)
			}
			early := epoch == 1 && (typ == 21 || typ == 23)
			if kept := len(s.early) == 1; kept != early || kept == (s.Drops().Total() == 1) {
				t.Errorf("type %d, epoch %d: the record waits: %v, want %v; drops %v", typ, epoch, kept, early, s.drops)
			}
		}
	}
}

func TestSieveOrdersFinished(t *testing.T) {
	var s Sieve
	ccs := plaintextRecord(TypeChangeCipherSpec, 9, "\x01")
	wantPieces(t, &s, "a bad ChangeCipherSpec", plaintextRecord(TypeChangeCipherSpec, 9, "\x02"))
	wantPieces(t, &s, "Finished overtakes its flight", finishedRecord())
	wantPieces(t, &s, "so does ChangeCipherSpec", ccs)
	wantPieces(t, &s, "a message of the flight", handshakeRecord(frag(1, 0, 10, 0, 10)), "0:0-10")
	wantPieces(t, &s, "its last, but one is missing", handshakeRecord(frag(15, 2, 10, 0, 10)), "2:0-10")
	wantPieces(t, &s, "the missing one", handshakeRecord(frag(11, 1, 10, 0, 10)), "1:0-10", "ccs", "finished")
	wantPieces(t, &s, "all again", append(bytes.Clone(ccs), finishedRecord()...), "ccs", "finished")
	wantPieces(t, &s, "the last of the flight again", handshakeRecord(frag(15, 2, 10, 0, 10)), "2:0-10")
	wantPieces(t, &s, "nothing may follow in plaintext", handshakeRecord(frag(11, 3, 10, 0, 10)))
	now := clock.now()
	s.Append(now, nil, ccs)
	if out := s.Append(now, []byte("before"), append(bytes.Clone(ccs), finishedRecord()...)); s.Drops()[dropReplay] != 1 || !bytes.HasPrefix(out, []byte("before")) ||
		!slices.Equal(pieces(out[6:]), []string{"finished"}) {
		t.Errorf("ChangeCipherSpec twice in an interval: pion gets %q, drops %v", out, s.drops)
	}

	s = Sieve{}
	wantPieces(t, &s, "a flight of one message", handshakeRecord(frag(14, 0, 0, 0, 0)), "0:0-0")
	wantPieces(t, &s, "nothing may follow that either", handshakeRecord(frag(11, 1, 10, 0, 10)))
	wantPieces(t, &s, "but ChangeCipherSpec", ccs, "ccs")

	s = Sieve{}
	for range 100 {
		s.Append(clock.now(), nil, finishedRecord())
	}
	if len(s.held) > maxHeld {
		t.Errorf("%d bytes held, want at most %d", len(s.held), maxHeld)
	}
	wantPieces(t, &s, "an oversized Finished", epoch1(TypeHandshake, string(make([]byte, 200))))
}

func TestSieveEarlyQueue(t *testing.T) {
	var s Sieve
	for i := range maxEarly + 3 {
		s.Append(clock.now(), nil, epoch1(TypeApplicationData, string(rune('a'+i))))
	}
	var got []byte
	for raw := range s.Early() {
		got = append(got, raw[headerLen])
	}
	wantString(t, "early records are", string(got), "abcdefgh")
	if n := s.Drops()[dropFull]; n != 3 {
		t.Errorf("%d counted as too many, want 3", n)
	}
}

// pion remembers the numbers of unauthenticated records, so a single one with a high number
// would make it drop all later ones. The sieve gives pion its own numbers, each once.
func TestSieveRenumbers(t *testing.T) {
	var s Sieve
	next := uint64(0)
	for i, number := range []uint64{3, maxNumber, 3, 4} {
		b := plaintextRecord(TypeHandshake, number, frag(1, i, 10, 0, 10))
		for r := range Records(s.Append(clock.now(), nil, b)) {
			if r.Number != next {
				t.Errorf("record %d, want %d", r.Number, next)
			}
			next++
		}
	}
	s.Append(clock.now(), nil, handshakeRecord(frag(14, 4, 0, 0, 0)))
	next++
	ccs := plaintextRecord(TypeChangeCipherSpec, maxNumber, "\x01")
	for range 2 {
		for r := range Records(s.Append(clock.now(), nil, ccs)) {
			if r.Type != TypeChangeCipherSpec || r.Number != next {
				t.Errorf("record %d of type %d, want ChangeCipherSpec in record %d", r.Number, r.Type, next)
			}
			next++
		}
	}
	if next != 7 {
		t.Errorf("%d records passed, want 7", next)
	}
}

// However a message is cut, repeated and shuffled, pion sees every byte, and no
// two pieces overlap.
func TestSieveReassembly(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		var s Sieve
		const length = 700
		seen := make([]int, length)
		starts := map[int]int{}
		for round := 0; !s.messages[0].complete(); round++ {
			if round > 100 {
				t.Fatal("the message is not complete after 100 rounds")
			}
			cut := 50 + rng.IntN(length)
			var cuts [][]byte
			for off := 0; off < length; off += cut {
				cuts = append(cuts, handshakeRecord(frag(1, 0, length, off, min(cut, length-off))))
			}
			rng.Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
			for _, c := range cuts {
				if rng.IntN(4) == 0 {
					continue // lost
				}
				for r := range Records(s.Append(clock.now(), nil, c)) {
					f, _, ok := parseFragment(r.Body())
					if !ok {
						t.Fatal("pion gets a broken fragment")
					}
					if end, again := starts[f.off]; again {
						if end != f.end {
							t.Fatalf("the fragment at %d ends at %d and at %d", f.off, end, f.end)
						}
						continue
					}
					starts[f.off] = f.end
					for i := f.off; i < f.end; i++ {
						seen[i]++
						if f.body[i-f.off] != byte(i*3) {
							t.Fatalf("pion gets a wrong byte at %d", i)
						}
					}
				}
			}
		}
		if slices.Max(seen) != 1 || slices.Min(seen) != 1 {
			t.Fatal("fragments overlap or leave a gap")
		}
	}
}

func TestSieveTruncated(t *testing.T) {
	datagram := append(handshakeRecord(frag(1, 0, 20, 0, 20)), finishedRecord()...)
	for n := range datagram {
		var s Sieve
		s.Append(clock.now(), nil, datagram[:n])
		s = Sieve{}
		b := bytes.Clone(datagram[:max(n, headerLen)])
		b[offLength], b[offLength+1] = 0, byte(max(n, headerLen)-headerLen)
		if p := pieces(s.Append(clock.now(), nil, b)); slices.Contains(p, "broken") {
			t.Errorf("%d bytes: pion gets a broken fragment", n)
		}
	}
}

func FuzzSieve(f *testing.F) {
	f.Add(handshakeRecord(frag(1, 0, 1500, 0, 1100)), handshakeRecord(frag(1, 0, 1500, 1100, 400)))
	f.Add(append(handshakeRecord(frag(1, 0, 5, 0, 5), frag(15, 1, 0, 0, 0)), plaintextRecord(20, 1, "\x01")...), finishedRecord())
	f.Add(epoch1(TypeAlert, "x"), epoch1(TypeApplicationData, "x"))
	for _, c := range captures(f) {
		for i := range c.page[1:] {
			f.Add(c.page[i], c.page[i+1])
		}
	}
	// A datagram of the largest size completes the flight, and all that may be held passes with it. The byte
	// that passes before lets it pass in two parts, the second of which comes when as much is held.
	sealed := epoch1(TypeHandshake, string(make([]byte, maxFinished-headerLen)))
	first := handshakeRecord(frag(msgCertificate, 0, maxHandshake-headerLen-fragmentHeaderLen, 1, 1), frag(msgServerHelloDone, 1, 0, 0, 0))
	f.Add(slices.Concat(first, plaintextRecord(TypeChangeCipherSpec, 1, "\x01"), sealed, sealed),
		handshakeRecord(frag(msgCertificate, 0, maxHandshake-headerLen-fragmentHeaderLen, 0, maxHandshake-headerLen-fragmentHeaderLen)))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		const changeLen = headerLen + 1 // of a ChangeCipherSpec
		var s Sieve
		total := 0
		for range 20 {
			for _, d := range [][]byte{a, b} {
				out := s.Append(clock.now(), nil, d)
				n := 0
				for r := range Records(out) {
					n += len(r.Raw)
					ok := r.Epoch == 0 && (r.Type == TypeHandshake || r.Type == TypeChangeCipherSpec) ||
						r.Epoch == 1 && r.Type == TypeHandshake
					if !ok || len(r.Body()) == 0 {
						t.Fatalf("pion gets the record %+v", r)
					}
				}
				if n != len(out) || len(out) > maxHandshake+changeLen+maxHeld || slices.Contains(pieces(out), "broken") {
					t.Fatalf("pion gets %x", out)
				}
				total += n
			}
		}
		if s.declared > maxHandshakeBytes || len(s.early) > maxEarly || len(s.held) > maxHeld {
			t.Fatalf("the sieve exceeds a bound: %d bytes declared, %d records wait, %d bytes held", s.declared, len(s.early), len(s.held))
		}
	})
}

// A ClientHello does not pass at a DTLS client, whole or in pieces. It shows a rival until a message of a
// server has passed.
func TestSieveOfAClientPassesNoClientHello(t *testing.T) {
	hello := handshakeRecord(frag(msgClientHello, 0, 300, 0, 300))
	s := Sieve{Client: true}
	for what, rival := range map[string][]byte{
		"whole":                       hello,
		"a later piece":               handshakeRecord(frag(msgClientHello, 0, 300, 100, 50)),
		"after HelloVerifyRequest":    handshakeRecord(frag(msgClientHello, 1, 300, 0, 300)),
		"after a record that is none": append(plaintextRecord(TypeAlert, 1, "xx"), hello...),
		"as much as there may be":     append(bytes.Clone(hello), make([]byte, maxHandshake-len(hello))...),
		"after a fragment of another": handshakeRecord(frag(msgCertificate, 1, 10, 0, 10), frag(msgClientHello, 0, 300, 0, 300)),
	} {
		if !s.IsRival(rival) {
			t.Errorf("%s: a ClientHello shows no rival", what)
		}
	}
	for what, other := range map[string][]byte{
		"nothing":             nil,
		"a ServerHello":       handshakeRecord(frag(msgServerHello, 0, 300, 0, 300)),
		"an empty piece":      handshakeRecord(frag(msgClientHello, 0, 300, 0, 0)),
		"a cut one":           handshakeRecord(frag(msgClientHello, 0, 300, 0, 300)[:200]),
		"an encrypted record": finishedRecord(),
		"another epoch":       epoch1(TypeHandshake, frag(msgClientHello, 0, 300, 0, 300)),
		"another type":        plaintextRecord(TypeAlert, 0, frag(msgClientHello, 0, 300, 0, 300)),
		"too much":            append(bytes.Clone(hello), make([]byte, maxHandshake)...),
	} {
		if s.IsRival(other) {
			t.Errorf("%s shows a rival", what)
		}
	}
	if server := (Sieve{}); server.IsRival(hello) {
		t.Error("a ClientHello shows a rival of a DTLS server")
	}
	wantPieces(t, &s, "a ClientHello", hello)
	if s.Drops()[dropFragment] != 1 {
		t.Errorf("drops %v, want one fragment", s.Drops())
	}
	wantPieces(t, &s, "a ServerHello with the same number", handshakeRecord(frag(msgServerHello, 0, 300, 0, 100)), "0:0-100")
	if s.IsRival(hello) {
		t.Error("a ClientHello after a piece of a ServerHello shows a rival")
	}
	wantPieces(t, &s, "a ClientHello afterwards", hello)
}
