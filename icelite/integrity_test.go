package icelite

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"strings"
	"testing"

	"github.com/pion/stun/v3"
)

func TestHMACAgreesWithTheStandardLibrary(t *testing.T) {
	var h hmacSHA1
	message := []byte("what is written in two pieces")
	for n := range 3 * sha1.BlockSize {
		key := strings.Repeat("k", n)
		std := hmac.New(sha1.New, []byte(key))
		std.Write(message)
		h.begin(key)
		h.write(message[:7])
		h.write(message[7:])
		if got, want := h.end(key), std.Sum(nil); !bytes.Equal(got, want) {
			t.Fatalf("key of %d bytes: %x, want %x", n, got, want)
		}
	}
}

// The sample request of RFC 5769 section 2.1, which RFC 8489 still uses. It has ICE-CONTROLLED,
// so an agent that verifies its integrity answers 487.
func TestSampleRequestOfRFC5769(t *testing.T) {
	sample := []byte("\x00\x01\x00\x58\x21\x12\xa4\x42" +
		"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae" +
		"\x80\x22\x00\x10STUN test client" +
		"\x00\x24\x00\x04\x6e\x00\x01\xff" +
		"\x80\x29\x00\x08\x93\x2f\xf9\xb1\x51\x26\x3b\x36" +
		"\x00\x06\x00\x09evtj:h6vY   " + // padded with spaces
		"\x00\x08\x00\x14\x9a\xea\xa7\x0c\xbf\xd8\xcb\x56\x78\x1e\xf2\xb5\xb2\xd3\xf2\x49\xc1\xb5\x71\xa2" +
		"\x80\x28\x00\x04\xe5\x7a\x3b\xcf")
	a := newTestAgentWith(t, Config{Local: Credentials{Ufrag: "evtj", Pwd: "VOkJxbRl1RmTxUk/WvJxBt"}})
	a.want("the sample", verdictRoleConflict, home, sample)
}

func TestWrongIntegrityIsSilent(t *testing.T) {
	a := newTestAgent(t)
	for _, pwd := range []string{"", "x", theirs.Pwd, ours.Pwd[1:], ours.Pwd + "x", strings.ToUpper(ours.Pwd)} {
		c := aCheck()
		c.pwd = pwd
		a.want("a check under "+pwd, verdictWrongIntegrity, home, c.nominating().chromium())
		a.wantSilence("a check under " + pwd)
	}
	if _, ok := a.Selected(); ok || a.Path(home) != nil || a.MaySend(a.now, home, 1) {
		t.Error("a check with wrong integrity has created a path")
	}
}

// "agents MUST ignore all attributes that follow MESSAGE-INTEGRITY".
func TestAttributesAfterIntegrityAreIgnored(t *testing.T) {
	a := newTestAgent(t)
	a.want("the first check", verdictMoved, home, aCheck().chromium())
	for _, late := range []stun.RawAttribute{
		{Type: stun.AttrUseCandidate},
		{Type: stun.AttrICEControlled, Value: make([]byte, 8)},
		{Type: stun.AttrUsername, Value: []byte("someoneElse0:abcd")},
		{Type: stun.AttrMessageIntegrity, Value: make([]byte, 20)},
		{Type: stun.AttrMessageIntegrity, Value: make([]byte, 3)},
		{Type: 0x7777, Value: []byte{1}},
		{Type: stun.AttrMessageIntegritySHA256, Value: make([]byte, 32)},
	} {
		c := aCheck()
		c.after = []stun.RawAttribute{late}
		a.want("a check followed by "+late.Type.String(), verdictChecked, mobile, c.chromium())
		a.wantResponse(stun.ClassSuccessResponse)
	}
	a.wantSelected("nothing nominated the other address", home)
}

// If an attribute appears twice, the first one is used.
func TestFirstOfTwoAttributesCounts(t *testing.T) {
	a := newTestAgent(t)
	c := aCheck()
	c.extra = []stun.RawAttribute{{Type: stun.AttrUsername, Value: []byte("someoneElse0:abcd")}}
	a.want("two usernames", verdictMoved, home, c.chromium())
}
