package envelope

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"testing"
)

// The bytes are in docs/relay.md, too.
var headers = []struct {
	client string
	proved bool
	hex    string
}{
	{"192.0.2.7:40000", false, "0f670101c00002079c40"},
	{"192.0.2.7:40000", true, "0f670181c00002079c40"},
	{"[2001:db8::7]:1", false, "0f67010220010db80000000000000000000000070001"},
	{"[2001:db8::7]:65535", true, "0f67018220010db8000000000000000000000007ffff"},
}

func TestHeaders(t *testing.T) {
	for _, h := range headers {
		client := netip.MustParseAddrPort(h.client)
		b := Append(nil, client, h.proved)
		if got := hex.EncodeToString(b); got != h.hex {
			t.Errorf("%v: the header is %s, want %s", h.client, got, h.hex)
		}
		for _, inner := range []string{"", "x", "a datagram that is longer than the header"} {
			slot := append(make([]byte, 0, 100), inner...)
			all := Wrap(slot, client, h.proved)
			if !bytes.Equal(all, append(bytes.Clone(b), inner...)) {
				t.Errorf("%v: wrapped as %x", h.client, all)
			}
			got, proved, rest, ok := Parse(all)
			if !ok || got != client || proved != h.proved || string(rest) != inner {
				t.Errorf("%v: %v, %v, %q, %v", h.client, got, proved, rest, ok)
			}
		}
		for n := range b {
			if _, _, _, ok := Parse(b[:n]); ok {
				t.Errorf("%v: %d bytes are a header", h.client, n)
			}
		}
	}
	mapped := netip.MustParseAddrPort("[::ffff:192.0.2.7]:40000")
	if got := hex.EncodeToString(Append(nil, mapped, false)); got != headers[0].hex {
		t.Errorf("a mapped address is %s, want %s", got, headers[0].hex)
	}
}

// Headers of another version, of an unknown family, or of a client to whom nobody can send, are none.
func TestBadHeaders(t *testing.T) {
	for name, text := range map[string]string{
		"another first byte":  "0e670101c00002079c40",
		"another second byte": "0f660101c00002079c40",
		"another version":     "0f670201c00002079c40",
		"no family":           "0f670100c00002079c40",
		"an unknown family":   "0f670103c00002079c4000000000000000000000000000",
		"port 0":              "0f670101c00002070000",
		"no address":          "0f670101000000009c40",
		"a multicast address": "0f670101e00000019c40",
		"a mapped address":    "0f67010200000000000000000000ffffc00002079c40",
		"no IPv6 address":     "0f670102000000000000000000000000000000009c40",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if client, _, _, ok := Parse(b); ok {
			t.Errorf("%s: a header of %v", name, client)
		}
	}
}

func TestNothingIsAllocated(t *testing.T) {
	client := netip.MustParseAddrPort("[2001:db8::7]:1")
	b := make([]byte, 0, 100)
	if n := testing.AllocsPerRun(100, func() {
		if _, _, _, ok := Parse(Wrap(append(b[:0], "datagram"...), client, true)); !ok {
			t.Error("not a header")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func FuzzParse(f *testing.F) {
	for _, h := range headers {
		b, _ := hex.DecodeString(h.hex)
		f.Add(append(b, "datagram"...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		client, proved, inner, ok := Parse(b)
		if !ok {
			return
		}
		if got := append(Append(nil, client, proved), inner...); !bytes.Equal(got, b) {
			t.Errorf("%x is read as %v, %v, which is %x", b, client, proved, got)
		}
	})
}
