package icelite

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/pion/stun/v3"
)

func TestFirstByteTellsSTUNFromDTLS(t *testing.T) {
	for first := range 256 {
		if got, want := IsSTUN([]byte{byte(first)}), first <= 3; got != want {
			t.Errorf("IsSTUN(%#x) = %v, want %v", first, got, want)
		}
	}
	if IsSTUN(nil) {
		t.Error("IsSTUN(nil) = true")
	}
}

func TestHeaderMustBeABindingRequest(t *testing.T) {
	change := func(at int, v ...byte) []byte {
		b := aCheck().chromium()
		copy(b[at:], v)
		return fingerprinted(b[:len(b)-8])
	}
	long := append(aCheck().chromium(), 0, 0, 0, 0)
	for _, tt := range []struct {
		name string
		b    []byte
		want Drop
	}{
		{"a request of Chromium", aCheck().chromium(), DropNone},
		{"a request of Firefox", aCheck().firefox(), DropNone},
		{"nothing", nil, dropMalformed},
		{"half a header", aCheck().chromium()[:12], dropMalformed},
		{"top bits set", change(0, 0xc0), dropMalformed},
		{"another magic cookie", change(4, 1), dropMalformed},
		{"bytes behind the message", long, dropMalformed},
		{"a length that is no multiple of four", aCheck().chromium()[:102], dropMalformed},
		{"an indication", change(0, 0x00, 0x11), dropNotRequest},
		{"a success response", change(0, 0x01, 0x01), dropNotRequest},
		{"an error response", change(0, 0x01, 0x11), dropNotRequest},
		{"an Allocate request", change(0, 0x00, 0x03), dropNotRequest},
		{"method zero", change(0, 0x00, 0x00), dropNotRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r Request
			if got := r.Parse(bytes.Clone(tt.b)); got != tt.want {
				t.Errorf("Parse = %q, want %q", got, tt.want)
			}
		})
	}
}

// A keepalive of RFC 8445 section 11 has only FINGERPRINT.
func TestIndicationIsSilent(t *testing.T) {
	a := newTestAgent(t)
	m := newRequest(stun.NewType(stun.MethodBinding, stun.ClassIndication))
	a.wantDrop("a keepalive", dropNotRequest, fingerprinted(m.Raw))
}

func TestFingerprintMustBeLastAndRight(t *testing.T) {
	a := newTestAgent(t)
	whole := aCheck().chromium()
	bare := whole[:len(whole)-8]

	missing := bytes.Clone(bare)
	binary.BigEndian.PutUint16(missing[2:], uint16(len(missing)-headerLen))
	a.wantDrop("missing", dropNoFingerprint, missing)

	wrong := bytes.Clone(whole)
	wrong[len(wrong)-1] ^= 1
	a.wantDrop("wrong", dropNoFingerprint, wrong)

	notLast := append(bytes.Clone(whole), 0x80, 0x22, 0, 0) // an empty SOFTWARE
	binary.BigEndian.PutUint16(notLast[2:], uint16(len(notLast)-headerLen))
	a.wantDrop("not last", dropNoFingerprint, notLast)
}

func TestUsernameIsTwoFragments(t *testing.T) {
	long := strings.Repeat("x", maxUfragLen)
	for _, tt := range []struct {
		username      string
		local, remote string
		want          Drop
	}{
		{"hJ3+/kf09Qaz:Kx7e", "hJ3+/kf09Qaz", "Kx7e", DropNone},
		{"four:" + long, "four", long, DropNone},
		{long + ":four", long, "four", DropNone},
		{"", "", "", dropNoUsername},
		{":", "", "", dropNoUsername},
		{"hJ3+/kf09Qaz", "", "", dropNoUsername},
		{"hJ3+/kf09Qaz:", "", "", dropNoUsername},
		{":Kx7e", "", "", dropNoUsername},
		{"abc:Kx7e", "", "", dropNoUsername},
		{"hJ3+/kf09Qaz:abc", "", "", dropNoUsername},
		{"four:" + long + "x", "", "", dropNoUsername},
		{long + "x:four", "", "", dropNoUsername},
	} {
		c := aCheck()
		c.username = tt.username
		var r Request
		if d := r.Parse(c.chromium()); d != tt.want {
			t.Errorf("%.20q: Parse = %q, want %q", tt.username, d, tt.want)
		}
		if string(r.LocalUfrag()) != tt.local || string(r.RemoteUfrag()) != tt.remote {
			t.Errorf("%.20q: the fragments are %.20q and %.20q, want %.20q and %.20q", tt.username, r.LocalUfrag(), r.RemoteUfrag(), tt.local, tt.remote)
		}
	}
}

// An agent does not answer a check with another fragment.
func TestUnknownUsernameIsSilent(t *testing.T) {
	a := newTestAgent(t)
	c := aCheck()
	c.username = "someoneElse0:" + theirs.Ufrag
	a.want("a check for another session", verdictWrongUsername, home, c.chromium())
	a.wantSilence("a check for another session")

	c.username = ours.Ufrag + ":other"
	a.want("a check by another peer", verdictWrongUsername, home, c.chromium())
	a.wantSilence("a check by another peer")

	open := newTestAgentWith(t, Config{Local: ours})
	open.want("a check before the peer's fragment is known", verdictMoved, home, c.chromium())
}

// A request without MESSAGE-INTEGRITY, or with one of a wrong size, is dropped without an
// answer.
func TestMissingIntegrityIsSilent(t *testing.T) {
	a := newTestAgent(t)
	m := newRequest(stun.BindingRequest)
	m.Add(stun.AttrUsername, []byte(aCheck().username))
	m.Add(stun.AttrPriority, []byte{1, 2, 3, 4})
	a.wantDrop("none", dropNoIntegrity, fingerprinted(m.Raw))

	m.Add(stun.AttrMessageIntegrity, make([]byte, 16))
	a.wantDrop("too short", dropNoIntegrity, fingerprinted(m.Raw))

	m = newRequest(stun.BindingRequest)
	m.Add(stun.AttrMessageIntegrity, make([]byte, 20))
	m.Add(stun.AttrUsername, []byte(aCheck().username))
	a.wantDrop("before USERNAME", dropNoUsername, fingerprinted(m.Raw))
}

// A request with more than 32 attributes is malformed.
func TestAttributesAreBounded(t *testing.T) {
	c := aCheck()
	for range maxAttributes - 6 {
		c.extra = append(c.extra, stun.RawAttribute{Type: stun.AttrSoftware})
	}
	var r Request
	if d := r.Parse(c.chromium()); d != DropNone {
		t.Errorf("%d attributes: Parse = %q, want %q", maxAttributes, d, DropNone)
	}
	c.extra = append(c.extra, stun.RawAttribute{Type: stun.AttrSoftware})
	if d := r.Parse(c.chromium()); d != dropMalformed {
		t.Errorf("%d attributes: Parse = %q, want %q", maxAttributes+1, d, dropMalformed)
	}
}

// Parse removes all results of the datagram before, also when the new one is dropped.
func TestRequestIsReused(t *testing.T) {
	var r Request
	r.Parse(aCheck().nominating().chromium())
	if !r.UseCandidate() {
		t.Fatal("UseCandidate() = false for a check with USE-CANDIDATE")
	}
	r.Parse(nil)
	if r.UseCandidate() || r.LocalUfrag() != nil || r.RemoteUfrag() != nil {
		t.Error("a dropped datagram leaves results of the one before")
	}
	r.Parse(aCheck().firefox())
	if r.UseCandidate() {
		t.Error("UseCandidate() is still true for a check without USE-CANDIDATE")
	}
}

func TestDropsAndVerdictsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for d := range drops + 1 {
		seen[d.String()] = true
	}
	for v := range verdicts + 1 {
		seen[v.String()] = true
	}
	if want := int(drops) + int(verdicts) + 2; len(seen) != want || seen[""] {
		t.Errorf("%d names, want %d", len(seen), want)
	}
}
