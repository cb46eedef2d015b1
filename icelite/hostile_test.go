package icelite

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"github.com/pion/stun/v3"
)

func sizeOf[T any]() uintptr { return reflect.TypeFor[T]().Size() }

// clip returns a copy of b whose capacity is its length.
func clip(b []byte) []byte {
	out := make([]byte, len(b))
	copy(out, b)
	return out
}

func TestTruncatedChecksAreSilent(t *testing.T) {
	a := newTestAgent(t)
	for _, whole := range [][]byte{aCheck().nominating().chromium(), aCheck().firefox()} {
		for n := range whole {
			if d, _ := a.deliver(home, server, clip(whole[:n])); d == DropNone {
				t.Errorf("%d of %d bytes count as a request", n, len(whole))
			}
			// The same with a correct length and FINGERPRINT.
			if n < headerLen || n%4 != 0 {
				continue
			}
			if d, v := a.deliver(home, server, fingerprinted(whole[:n])); d == DropNone && v.Granted() && n < len(whole)-8 {
				t.Errorf("%d of %d bytes, with a correct FINGERPRINT, count as a valid check", n, len(whole))
			}
		}
	}
}

func TestFlippedBitsAreSilent(t *testing.T) {
	a := newTestAgent(t)
	for _, whole := range [][]byte{aCheck().nominating().chromium(), aCheck().firefox()} {
		for bit := range 8 * len(whole) {
			b := clip(whole)
			b[bit/8] ^= 1 << (bit % 8)
			if a.deliver(home, server, b); len(a.answer) > 0 {
				t.Fatalf("a check with bit %d flipped is answered: %x", bit, a.answer)
			}
			if bit/8 >= len(whole)-8 {
				continue
			}
			// An attacker can correct FINGERPRINT, but not MESSAGE-INTEGRITY.
			if a.deliver(home, server, repaired(b)); len(a.answer) > 0 {
				t.Fatalf("a check with bit %d flipped and a correct FINGERPRINT is answered: %x", bit, a.answer)
			}
		}
	}
	if len(a.paths) > 0 {
		t.Error("a check with a flipped bit has created a path")
	}
}

// The peer can sign any bytes. Then a check with a flipped bit is granted, refused with 4xx, or
// dropped, and the answer is never longer than the check.
func TestFlippedBitsSignedByThePeer(t *testing.T) {
	seen := map[Verdict]int{}
	whole := aCheck().chromium()
	signed := len(whole) - 8 - 24
	for bit := range 8 * signed {
		b := clip(whole[:signed])
		b[bit/8] ^= 1 << (bit % 8)
		a := newTestAgent(t)
		b = resigned(b)
		d, v := a.deliver(home, server, b)
		if d != DropNone {
			v = verdicts
		}
		seen[v]++
		if len(a.answer) > len(b) {
			t.Fatalf("bit %d: an answer of %d bytes for a check of %d, want one that is not longer", bit, len(a.answer), len(b))
		}
		switch {
		case v.Granted():
			a.wantResponse(stun.ClassSuccessResponse)
		case v == verdictUnknownAttribute || v == verdictRoleConflict:
			a.wantResponse(stun.ClassErrorResponse)
		default:
			a.wantSilence("not for us")
		}
	}
	for _, v := range []Verdict{verdictMoved, verdictUnknownAttribute, verdictWrongUsername, verdicts} {
		if seen[v] == 0 {
			t.Errorf("no flipped bit has led to the verdict %q", v)
		}
	}
}

// repaired returns b, a check, with a correct FINGERPRINT.
func repaired(b []byte) []byte {
	out := clip(b)
	at := len(out) - 8
	binary.BigEndian.PutUint32(out[at+4:], stun.FingerprintValue(out[:at]))
	return out
}

// resigned returns b, the part of a check before MESSAGE-INTEGRITY, signed with
// our password.
func resigned(b []byte) []byte {
	var h hmacSHA1
	out := append(clip(b), 0, 8, 0, 20)
	out = append(out, h.message(ours.Pwd, b)...)
	return fingerprinted(out)
}

// An address without a valid check gets at most as many bytes as it has sent, and none if the
// fragment or the password is unknown. The server never sends a request.
func TestSpoofedTrafficIsNotAmplified(t *testing.T) {
	unknown, wrong, conflict, required := aCheck(), aCheck(), aCheck(), aCheck()
	unknown.username = "someoneElse0:" + theirs.Ufrag
	wrong.pwd = theirs.Pwd
	conflict.controlled = true
	for range 20 {
		required.extra = append(required.extra, stun.RawAttribute{Type: 0x7ffe})
	}
	random := rand.New(rand.NewPCG(1, 2))
	garbage := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	for _, tt := range []struct {
		name    string
		corpus  [][]byte
		answers bool
	}{
		{"unknown fragment", [][]byte{unknown.chromium(), unknown.firefox()}, false},
		{"wrong password", [][]byte{wrong.chromium(), wrong.nominating().firefox()}, false},
		{"garbage", [][]byte{garbage(0), garbage(1), garbage(20), garbage(100), garbage(2000)}, false},
		{"responses", [][]byte{fingerprinted(newRequest(stun.BindingSuccess).Raw)}, false},
		{"known password, role conflict", [][]byte{conflict.chromium()}, true},
		{"known password, unknown attributes", [][]byte{required.chromium()}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newTestAgent(t)
			in, out := 0, 0
			for i := range 1000 {
				b := tt.corpus[i%len(tt.corpus)]
				a.wait(30 * time.Millisecond)
				a.deliver(home, server, clip(b))
				in += len(b)
				out += len(a.answer)
				if len(a.answer) > 0 && binary.BigEndian.Uint16(a.answer) == typeRequest {
					t.Fatal("the agent has sent a request")
				}
				a.Heard(a.now, home, len(b), false)
				if a.MaySend(a.now, home, 1) {
					t.Fatal("MaySend allows a datagram to an address without a valid check")
				}
			}
			if out > in || (out > 0) != tt.answers {
				t.Errorf("%d bytes are sent for %d received; want not more, and some: %v", out, in, tt.answers)
			}
		})
	}
}

// For 30 s an address without a proof sends checks, and the server sends all that it may.
func TestUnprovedTrafficIsBounded(t *testing.T) {
	a := newTestAgent(t)
	in, out := 0, 0
	for i := range 10_000 {
		a.wait(3 * time.Millisecond)
		switch i % 100 {
		case 0:
			b := aCheck().nominating().chromium()
			a.deliver(home, server, b)
			in += len(b)
			out += len(a.answer)
		case 50:
			a.Heard(a.now, home, 100, false)
			in += 100
		}
		if a.MaySend(a.now, home, 1+i%1200) {
			out += 1 + i%1200
		}
		if out > 3*in {
			t.Fatalf("%d bytes are sent for %d received, want at most three times as many", out, in)
		}
	}
	if out < 2*in {
		t.Errorf("only %d bytes are sent for %d received, want twice as many: a ClientHello must fit", out, in)
	}
}

// One Request reads a check; only the agent of its fragment grants it.
func TestOneRequestServesManyAgents(t *testing.T) {
	var r Request
	one := New(origin, Config{Local: ours, Remote: theirs})
	two := New(origin, Config{Local: Credentials{Ufrag: "anotherOne12", Pwd: theirs.Pwd}})
	c := check{username: "anotherOne12:Kx7e", pwd: theirs.Pwd}
	for range 3 {
		for _, tt := range []struct {
			a    *Agent
			b    []byte
			want bool
		}{
			{one, aCheck().chromium(), true}, {one, c.chromium(), false},
			{two, c.chromium(), true}, {two, aCheck().chromium(), false},
		} {
			r.Parse(tt.b)
			if b, v := tt.a.Answer(origin, home, server, &r, nil); v.Granted() != tt.want || (len(b) > 0) != tt.want {
				t.Fatalf("verdict %q, an answer of %d bytes; want a granted check: %v", v, len(b), tt.want)
			}
		}
	}
}

// Parse does not write to the datagram or to the bytes after it.
func TestDatagramIsLeftAsItIs(t *testing.T) {
	a := newTestAgent(t)
	b := aCheck().chromium()
	room := append(clip(b), bytes.Repeat([]byte{0xee}, 64)...)
	a.want("a check", verdictMoved, home, room[:len(b)])
	if !bytes.Equal(room[:len(b)], b) || !bytes.Equal(room[len(b):], bytes.Repeat([]byte{0xee}, 64)) {
		t.Error("Parse has changed the buffer")
	}
}

func TestAnswerDoesNotAllocate(t *testing.T) {
	wrong := aCheck()
	wrong.pwd = theirs.Pwd
	conflict := aCheck()
	conflict.controlled = true
	required := aCheck()
	required.extra = []stun.RawAttribute{{Type: 0x7fff}}
	flipped := aCheck().chromium()
	flipped[50] ^= 1
	short := clip(aCheck().chromium()[:40])
	for _, tt := range []struct {
		name string
		b    []byte
	}{
		{"Chromium", aCheck().nominating().chromium()},
		{"Firefox", aCheck().firefox()},
		{"wrong integrity", wrong.chromium()},
		{"role conflict", conflict.chromium()},
		{"unknown attribute", required.chromium()},
		{"flipped bit", flipped},
		{"truncated", short},
	} {
		a := New(origin, Config{Local: ours, Remote: theirs})
		var r Request
		out := make([]byte, 0, 1500)
		from := [...]netip.AddrPort{home, mobile, cafe}
		i := 0
		run := func() {
			if r.Parse(tt.b) == DropNone {
				a.Answer(origin, from[i%len(from)], server, &r, out)
				a.Heard(origin, home, 100, true)
				a.MaySend(origin, home, 100)
			}
			i++
		}
		for range from {
			run() // allocates the paths and the memory of the Request
		}
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations, want 0", tt.name, n)
		}
	}
}
