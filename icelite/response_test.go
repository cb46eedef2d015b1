package icelite

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/pion/stun/v3"
)

func TestSuccessTellsTheAddress(t *testing.T) {
	for _, tt := range []struct {
		from string
		size int
	}{
		{"198.51.100.7:40000", 64},
		{"[::ffff:198.51.100.7]:40000", 64},
		{"[2001:db8::5]:60000", 76},
		{"[fe80::1%eth0]:1", 76},
		{"0.0.0.0:0", 64},
		{"255.255.255.255:65535", 64},
	} {
		t.Run(tt.from, func(t *testing.T) {
			a := newTestAgent(t)
			from := netip.MustParseAddrPort(tt.from)
			a.want("a check", verdictMoved, from, aCheck().chromium())
			m := a.wantResponse(stun.ClassSuccessResponse)
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(m); err != nil {
				t.Fatal(err)
			}
			got, _ := netip.AddrFromSlice(mapped.IP)
			want := netip.AddrPortFrom(from.Addr().Unmap().WithZone(""), from.Port())
			if netip.AddrPortFrom(got.Unmap(), uint16(mapped.Port)) != want {
				t.Errorf("mapped address %v, want %v", mapped, want)
			}
			if len(a.answer) != tt.size {
				t.Errorf("response is %d bytes, want %d", len(a.answer), tt.size)
			}
		})
	}
}

func TestResponseIsSmallerThanBrowsersRequests(t *testing.T) {
	a := newTestAgent(t)
	c := aCheck()
	chromium := c.chromium()
	if len(chromium) != 104 {
		t.Errorf("the request has %d bytes, want 104 as in Chromium", len(chromium))
	}
	a.want("a check of Chromium", verdictMoved, home, chromium)
	if ratio := float64(len(a.answer)) / float64(len(chromium)); ratio >= 0.8 {
		t.Errorf("the answer has %.2f times the bytes of Chromium's request, want less than 0.8", ratio)
	}
	a.want("a check of Firefox", verdictChecked, home, c.firefox())
	if ratio := float64(len(a.answer)) / float64(len(c.firefox())); ratio >= 0.8 {
		t.Errorf("the answer has %.2f times the bytes of Firefox's request, want less than 0.8", ratio)
	}
}

func TestUnknownRequiredAttributeIsRefused(t *testing.T) {
	a := newTestAgent(t)
	c := aCheck().nominating()
	c.extra = []stun.RawAttribute{
		{Type: 0x0003, Value: []byte{0, 0, 0, 6}},
		{Type: 0x7fff},
		{Type: 0x8fff, Value: []byte{1}},
		{Type: 0x002b, Value: []byte{1, 2, 3}},
	}
	a.want("a check", verdictUnknownAttribute, home, c.chromium())
	m := a.wantResponse(stun.ClassErrorResponse)
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil || code.Code != 420 {
		t.Errorf("error code %v, %v; want 420", code, err)
	}
	var unknown stun.UnknownAttributes
	if err := unknown.GetFrom(m); err != nil || !slices.Equal(unknown, []stun.AttrType{0x0003, 0x7fff, 0x002b}) {
		t.Errorf("unknown attributes %v, %v; want 0x0003, 0x7fff and 0x002b", unknown, err)
	}
	if _, ok := a.Selected(); ok {
		t.Error("a refused check is selected")
	}
}

// Chromium's network cost, attributes of the drafts for DTLS in STUN, and one of a later RFC.
func TestOptionalAndMisplacedAttributesAreIgnored(t *testing.T) {
	a := newTestAgent(t)
	c := aCheck()
	for _, typ := range []stun.AttrType{
		attrNetworkCost, stun.AttrDtlsInStun, stun.AttrDtlsInStunAck, stun.AttrSoftware, 0xffff, 0x8020,
		stun.AttrRealm, stun.AttrNonce, stun.AttrXORMappedAddress, stun.AttrMessageIntegritySHA256,
	} {
		c.extra = append(c.extra, stun.RawAttribute{Type: typ, Value: []byte{1, 2, 3, 4, 5}})
	}
	a.want("a check", verdictMoved, home, c.firefox())
}

func TestControlledPeerIsToldOfTheConflict(t *testing.T) {
	a := newTestAgent(t)
	c := aCheck()
	c.controlled = true
	a.want("a check of a controlled peer", verdictRoleConflict, home, c.chromium())
	m := a.wantResponse(stun.ClassErrorResponse)
	var code stun.ErrorCodeAttribute
	if err := code.GetFrom(m); err != nil || code.Code != 487 {
		t.Errorf("error code %v, %v; want 487", code, err)
	}
	if a.Path(home) != nil {
		t.Error("a refused check has created a path")
	}
	a.want("the peer has switched", verdictMoved, home, aCheck().chromium())
}

// Only a check with the right password gets an error response.
func TestErrorsNeedIntegrity(t *testing.T) {
	a := newTestAgent(t)
	c := aCheck()
	c.pwd = theirs.Pwd
	c.controlled = true
	c.extra = []stun.RawAttribute{{Type: 0x7fff}}
	a.want("a stranger's check", verdictWrongIntegrity, home, c.chromium())
	a.wantSilence("a stranger's check")
}

// An answer is never longer than the request, even with the shortest fragments and without
// optional attributes.
func TestAnswerIsNeverTheLongerOne(t *testing.T) {
	a := newTestAgentWith(t, Config{Local: Credentials{Ufrag: "four", Pwd: ours.Pwd}})
	m := newRequest(stun.BindingRequest)
	m.Add(stun.AttrUsername, []byte("four:four"))
	least := check{pwd: ours.Pwd}.sign(m)
	a.want("68 bytes from IPv4", verdictMoved, home, least)
	if len(a.answer) > len(least) {
		t.Errorf("an answer of %d bytes for a request of %d, want one that is not longer", len(a.answer), len(least))
	}
	a.want("68 bytes from IPv6", verdictTooShort, cafe, least)
	a.wantSilence("68 bytes from IPv6")
	if a.Path(cafe) != nil {
		t.Error("a check without an answer has created a path")
	}
}

// The response is appended after the bytes of the caller.
func TestResponseIsAppended(t *testing.T) {
	a := New(origin, Config{Local: ours, Remote: theirs})
	var r Request
	r.Parse(aCheck().chromium())
	alone, _ := a.Answer(origin, home, server, &r, nil)
	r.Parse(aCheck().chromium())
	behind, _ := a.Answer(origin, home, server, &r, []byte("before"))
	if string(behind[:6]) != "before" || !bytes.Equal(behind[6:], alone) {
		t.Errorf("the buffer is %q, want the caller's 6 bytes and then the answer", behind)
	}
}
