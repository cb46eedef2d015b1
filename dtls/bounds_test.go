package dtls

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// Each body of a handshake message is read to its last byte, and a shorter or longer body is
// refused.
func TestBodiesAreReadToTheLastByte(t *testing.T) {
	leaf, other := []byte("a certificate"), []byte("another")
	suite := ECDSAWithAES128GCM
	plain := helloBody(msgServerHello, version12, suite)
	for name, c := range map[string]struct {
		parse func([]byte) bool
		body  []byte
	}{
		"ClientHello":        {func(b []byte) bool { _, ok := parseHello(msgClientHello, b); return ok }, helloBody(msgClientHello, version12, suite, 10, extendedMasterSecret)},
		"ServerHello":        {func(b []byte) bool { _, ok := parseHello(msgServerHello, b); return ok }, helloBody(msgServerHello, version12, suite, extendedMasterSecret)},
		"Certificate":        {func(b []byte) bool { _, ok := parseLeaf(b); return ok }, certificateBody(leaf, other)},
		"ServerKeyExchange":  {func(b []byte) bool { _, _, ok := parseKeyExchange(b); return ok }, keyExchangeBody(curveP256, 0x0403)},
		"CertificateVerify":  {func(b []byte) bool { _, ok := parseVerify(b); return ok }, verifyBody(0x0403)},
		"handshake fragment": {func(b []byte) bool { _, rest, ok := parseFragment(b); return ok && len(rest) == 0 }, []byte(frag(1, 0, 10, 2, 8))},
		"alert":              {AlertCloses, []byte{alertWarning, alertCloseNotify}},
	} {
		if !c.parse(c.body) {
			t.Errorf("%s is refused", name)
		}
		if c.parse(append(bytes.Clone(c.body), 0)) {
			t.Errorf("%s is accepted with one more byte", name)
		}
		for n := range c.body {
			whole := strings.HasSuffix(name, "Hello") && n == len(c.body)-bodyOfExtensions(c.body, plain, name)
			if got := c.parse(c.body[:n:n]); got != whole {
				t.Errorf("%s: its first %d of %d bytes are taken: %v, want %v", name, n, len(c.body), got, whole)
			}
		}
	}
	if got, ok := parseLeaf(certificateBody(leaf, other)); !ok || !bytes.Equal(got, leaf) {
		t.Errorf("the first certificate is %q, want %q", got, leaf)
	}
	if got, ok := parseLeaf(certificateBody()); !ok || got != nil {
		t.Errorf("without certificates: %q, %v; want nil, true", got, ok)
	}
	inner := certificateBody(leaf)
	inner[5]++ // the certificate is longer than its list
	if _, ok := parseLeaf(inner); ok {
		t.Error("a certificate that ends after its list is accepted")
	}
}

// bodyOfExtensions returns how many bytes of a hello are its extensions, which may be
// missing as a whole.
func bodyOfExtensions(body, plain []byte, name string) int {
	fixed := len(plain) - 2
	if name == "ClientHello" {
		fixed += 4
	}
	return len(body) - fixed
}

func TestWhatAHelloMustSay(t *testing.T) {
	server := func(edit func([]byte)) bool {
		b := helloBody(msgServerHello, version12, ECDSAWithAES128GCM, extendedMasterSecret)
		edit(b)
		h, ok := parseHello(msgServerHello, b)
		return ok && h.extendedMaster && h.suite == ECDSAWithAES128GCM
	}
	if !server(func([]byte) {}) {
		t.Error("a valid hello is refused")
	}
	if server(func(b []byte) { b[2+randomLen+1+2] = 1 }) {
		t.Error("a hello with compression is accepted")
	}
	if server(func(b []byte) { binary.BigEndian.PutUint16(b, version10) }) {
		t.Error("a hello of another version is accepted")
	}
	full := binary.BigEndian.AppendUint16(helloBody(msgServerHello, version12, ECDSAWithAES128GCM), 0)
	full = full[:len(full)-4]
	full = append(full, 0, 5, 0, extendedMasterSecret, 0, 1, 9)
	if h, ok := parseHello(msgServerHello, full); !ok || h.extendedMaster {
		t.Errorf("an extended master secret with a body: accepted %v, want true; counts %v, want false", ok, h.extendedMaster)
	}
	inner := bytes.Clone(full)
	inner[len(inner)-2]++ // the extension is longer than the list of them
	if _, ok := parseHello(msgServerHello, inner); ok {
		t.Error("a hello is accepted with an extension that ends after it")
	}
	if h, ok := parseHello(msgServerHello, append(bytes.Clone(full), 0)); ok || h.extendedMaster {
		t.Errorf("a hello with one more byte: accepted %v, want false; extended master secret %v, want false", ok, h.extendedMaster)
	}
}

func TestFragmentsStayInTheirMessage(t *testing.T) {
	for _, c := range []struct {
		length, off, n int
		want           bool
	}{{10, 0, 10, true}, {10, 10, 0, true}, {10, 9, 1, true}, {10, 9, 2, false}, {10, 11, 0, false}, {0, 0, 0, true}, {0, 0, 1, false}} {
		b := []byte(frag(1, 0, c.length, c.off, c.n))
		f, rest, ok := parseFragment(append(b, "next"...))
		if ok != c.want || ok && (string(rest) != "next" || len(f.body) != c.n || f.off != c.off || f.end != c.off+c.n) {
			t.Errorf("bytes %d to %d of %d: valid %v, want %v; %d bytes follow", c.off, c.off+c.n, c.length, ok, c.want, len(rest))
		}
	}
}

func TestLengthOfARecordIsExact(t *testing.T) {
	for n, want := range map[int]Drop{maxCiphertext: DropNone, maxCiphertext + 1: dropMalformed} {
		b := append(plaintextRecord(TypeApplicationData, 7, ""), make([]byte, n)...)
		binary.BigEndian.PutUint16(b[offLength:], uint16(n))
		if r, drop := parseRecord(b); drop != want || want == DropNone && (len(r.Body()) != n || r.Number != 7) {
			t.Errorf("a record of %d bytes: %v, want %v", n, drop, want)
		}
	}
}

// The sieve accepts each value at its limit and not one byte beyond, and counts drops by cause.
func TestSieveBoundsAreExact(t *testing.T) {
	padded := func(n int) []byte { // a fragment and a record that waits, n bytes in all
		b := handshakeRecord(frag(1, 0, 1000, 0, 500))
		return append(b, epoch1(TypeApplicationData, string(make([]byte, n-len(b)-headerLen)))...)
	}
	sealed := func(raw int) []byte { return epoch1(TypeHandshake, string(make([]byte, raw-headerLen))) }
	at := func(t ContentType, epoch uint16, body string) []byte {
		b := plaintextRecord(t, 0, body)
		putRecordNumber(b, epoch, 0)
		return b
	}
	for _, c := range []struct {
		name     string
		datagram []byte
		cause    Drop
		held     int
	}{
		{"the longest datagram", padded(maxHandshake), DropNone, 0},
		{"a datagram too long", padded(maxHandshake + 1), dropMalformed, 0},
		{"no fragment", handshakeRecord("broken"), dropMalformed, 0},
		{"half a record", handshakeRecord(frag(1, 0, 10, 0, 10))[:20], dropMalformed, 0},
		{"a record of another version", append([]byte{22, 3, 3}, make([]byte, 20)...), dropVersion, 0},
		{"ChangeCipherSpec", at(TypeChangeCipherSpec, 0, "\x01"), DropNone, 0},
		{"ChangeCipherSpec of two bytes", at(TypeChangeCipherSpec, 0, "\x01\x01"), dropMalformed, 0},
		{"ChangeCipherSpec of none", at(TypeChangeCipherSpec, 0, ""), dropMalformed, 0},
		{"ChangeCipherSpec with another value", at(TypeChangeCipherSpec, 0, "\x02"), dropMalformed, 0},
		{"a sealed ChangeCipherSpec", at(TypeChangeCipherSpec, 1, "\x01"), dropType, 0},
		{"an alert in plaintext", at(TypeAlert, 0, "\x02\x28"), dropType, 0},
		{"the epoch after", at(TypeHandshake, 2, "x"), dropEpoch, 0},
		{"the longest Finished", sealed(maxFinished), DropNone, maxFinished},
		{"a Finished too long", sealed(maxFinished + 1), dropMalformed, 0},
		{"the shortest Finished", sealed(headerLen + tagLen + 1), DropNone, headerLen + tagLen + 1},
		{"a Finished of nothing", sealed(headerLen + tagLen), dropMalformed, 0},
		{"message 15", handshakeRecord(frag(1, maxMessages-1, 10, 0, 10)), DropNone, 0},
		{"message 16", handshakeRecord(frag(1, maxMessages, 10, 0, 10)), dropFull, 0},
		{"the longest certificate", handshakeRecord(frag(msgCertificate, 0, maxCertificateLen, 0, 10)), DropNone, 0},
		{"a certificate too long", handshakeRecord(frag(msgCertificate, 0, maxCertificateLen+1, 0, 10)), dropFull, 0},
	} {
		var s Sieve
		out := s.Append(clock.now(), []byte("before"), c.datagram)
		want := Drops{}
		if c.cause != DropNone {
			want[c.cause] = 1
		}
		if *s.Drops() != want || len(s.held) != c.held || string(out[:6]) != "before" {
			t.Errorf("%s: drops %v, want one of %v; %d bytes held, want %d; the buffer begins with %q", c.name, *s.Drops(), c.cause, len(s.held), c.held, out[:6])
		}
	}
	var s Sieve
	for range maxHeld / maxFinished {
		s.Append(clock.now(), nil, sealed(maxFinished))
	}
	if len(s.held) != maxHeld || s.Drops().Total() != 0 {
		t.Errorf("%d bytes are held, want all %d", len(s.held), maxHeld)
	}
	if out := s.Append(clock.now(), []byte("before"), sealed(headerLen+tagLen+1)); len(s.held) != maxHeld || s.Drops()[dropFull] != 1 || string(out) != "before" {
		t.Errorf("one byte more: %d bytes are held, want %d; drops %v, want 1 as full; output %q, want before", len(s.held), maxHeld, s.drops, out)
	}
	s = Sieve{}
	s.Append(clock.now(), nil, handshakeRecord(frag(msgClientHello, 0, 4096, 0, 100)))
	s.Append(clock.now(), nil, handshakeRecord(frag(msgClientHello, 1, 4096, 0, 100)))
	if s.Append(clock.now(), nil, handshakeRecord(frag(msgClientHello, 2, 1, 0, 1))); s.declared != maxHandshakeBytes || s.Drops()[dropFull] != 1 {
		t.Errorf("%d bytes are announced, want %d; drops %v", s.declared, maxHandshakeBytes, s.drops)
	}
}

// A certificate without its key is refused, and a key without its certificate, too.
func TestHalfACertificateIsRefused(t *testing.T) {
	c, err := GenerateCertificate(time.Unix(1_800_000_000, 0))
	if err != nil {
		t.Fatal(err)
	}
	text, err := c.PEM()
	if err != nil {
		t.Fatal(err)
	}
	cert, key := split(text)
	for name, half := range map[string]string{
		"a certificate": cert, "a key": key,
		"a damaged key": cert + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
	} {
		if c, err := ParseCertificatePEM([]byte(half)); err == nil || c != nil {
			t.Errorf("%s alone: %v, want an error", name, err)
		}
	}
}
