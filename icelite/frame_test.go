package icelite

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/stun/v3"
)

// Parse has one reason for each rule of the frame, and gives it from the first byte that breaks
// the rule. It does not allocate, though the STUN package would.
func TestFramesAtTheirLimits(t *testing.T) {
	header := newRequest(stun.BindingRequest).Raw
	whole := aCheck().chromium()
	change := func(at int, v ...byte) []byte {
		b := bytes.Clone(whole)
		copy(b[at:], v)
		return fingerprinted(b[:len(b)-8])
	}
	last := len(whole) - 8
	beyond := bytes.Clone(whole)
	binary.BigEndian.PutUint16(beyond[last+2:], 5) // FINGERPRINT ends after the message
	short := bytes.Clone(whole)
	binary.BigEndian.PutUint16(short[last+2:], 3) // with its padding it still has the right size
	odd := append(bytes.Clone(whole), 0, 0)
	binary.BigEndian.PutUint16(odd[2:], uint16(len(odd)-headerLen))
	crowded := aCheck()
	for range maxAttributes {
		crowded.extra = append(crowded.extra, stun.RawAttribute{Type: stun.AttrSoftware})
	}
	for _, c := range []struct {
		name string
		b    []byte
		want Drop
	}{
		{"a header alone", header, dropNoFingerprint},
		{"a header without its last byte", header[:headerLen-1], dropMalformed},
		{"a type of 0x0301", change(0, 3), dropNotRequest},
		{"a type of 0x4001", change(0, 0x40), dropMalformed},
		{"another cookie", change(4, 1), dropMalformed},
		{"a length that is no multiple of four", odd, dropMalformed},
		{"an attribute that ends behind the message", beyond, dropMalformed},
		{"a FINGERPRINT of three bytes", short, dropNoFingerprint},
		{"more attributes than are read", crowded.chromium(), dropMalformed},
	} {
		var r Request
		r.Parse(whole) // the first call allocates the memory of r
		if got := r.Parse(c.b); got != c.want {
			t.Errorf("%s: Parse = %q, want %q", c.name, got, c.want)
		}
		if n := testing.AllocsPerRun(10, func() { r.Parse(c.b) }); n != 0 {
			t.Errorf("%s: %v allocations, want 0", c.name, n)
		}
	}
}

// An unknown attribute of one request does not affect the next request.
func TestUnknownAttributesAreForgotten(t *testing.T) {
	a := newTestAgent(t)
	var r Request
	bad := aCheck()
	bad.extra = []stun.RawAttribute{{Type: 0x7fff}}
	for _, c := range []struct {
		b    []byte
		want Verdict
	}{{bad.chromium(), verdictUnknownAttribute}, {aCheck().chromium(), verdictMoved}, {bad.firefox(), verdictUnknownAttribute}, {aCheck().firefox(), verdictChecked}} {
		r.Parse(c.b)
		if _, got := a.Answer(a.now, home, server, &r, nil); got != c.want {
			t.Errorf("verdict %q, want %q", got, c.want)
		}
	}
}

// A request as long as its answer is answered.
func TestAnswerAsLongAsTheRequest(t *testing.T) {
	a := newTestAgentWith(t, Config{Local: Credentials{Ufrag: "four", Pwd: ours.Pwd}})
	m := newRequest(stun.BindingRequest)
	m.Add(stun.AttrUsername, []byte("four:four"))
	m.Add(stun.AttrPriority, []byte{1, 2, 3, 4})
	exact := check{pwd: ours.Pwd}.sign(m)
	a.want("76 bytes from IPv6", verdictMoved, cafe, exact)
	if len(a.answer) != len(exact) {
		t.Errorf("an answer of %d bytes for a request of %d, want the same length", len(a.answer), len(exact))
	}
}

// A request without an answer does not change the caller's buffer.
func TestRefusedRequestLeavesTheBuffer(t *testing.T) {
	a := New(origin, Config{Local: ours, Remote: theirs})
	wrong, stranger, peer := aCheck(), aCheck(), aCheck()
	wrong.pwd = theirs.Pwd
	stranger.username = "someoneElse0:" + theirs.Ufrag
	peer.username = ours.Ufrag + ":other"
	var r Request
	for _, c := range []struct {
		check check
		want  Verdict
	}{{stranger, verdictWrongUsername}, {peer, verdictWrongUsername}, {wrong, verdictWrongIntegrity}} {
		r.Parse(c.check.chromium())
		if b, v := a.Answer(origin, home, server, &r, []byte("before")); string(b) != "before" || v != c.want {
			t.Errorf("verdict %q leaves %q, want %q", v, b, c.want)
		}
	}
}
