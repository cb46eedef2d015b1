package icelite

import (
	"encoding/binary"
	"testing"

	"github.com/pion/stun/v3"
)

// FuzzAnswer gives an agent any bytes, first unchanged, and then signed with the peer's
// password, so that the code after the integrity check is reached, too. There must be no panic,
// no answer without the password, and otherwise a well-formed response that is not longer than
// the request.
func FuzzAnswer(f *testing.F) {
	mixed := aCheck()
	mixed.controlled = true
	mixed.extra = []stun.RawAttribute{{Type: 0x7fff, Value: []byte{1, 2, 3}}, {Type: 0x0003}}
	mixed.after = []stun.RawAttribute{{Type: stun.AttrMessageIntegritySHA256, Value: make([]byte, 32)}}
	for _, b := range [][]byte{
		aCheck().chromium(), aCheck().nominating().chromium(),
		aCheck().firefox(), aCheck().nominating().firefox(),
		mixed.chromium(),
		newRequest(stun.BindingRequest).Raw,
		fingerprinted(newRequest(stun.NewType(stun.MethodBinding, stun.ClassIndication)).Raw),
	} {
		f.Add(b)
	}
	for _, c := range captures(f) {
		for _, check := range c.checks {
			f.Add(check.datagram)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a := newTestAgentWith(t, Config{Local: ours})
		b = clip(b)
		_, v := a.deliver(cafe, server, b)
		fuzzedAnswer(a, v, b)
		if len(b) < headerLen || len(b)%4 != 0 || len(b) > 1500 {
			return
		}
		b = resigned(b)
		_, v = a.deliver(home, server, b)
		fuzzedAnswer(a, v, b)
	})
}

func fuzzedAnswer(a *testAgent, v Verdict, b []byte) {
	granted := v.Granted()
	switch {
	case granted:
		a.wantResponse(stun.ClassSuccessResponse)
	case v == verdictRoleConflict || v == verdictUnknownAttribute:
		a.wantResponse(stun.ClassErrorResponse)
	default:
		a.wantSilence("neither granted nor refused")
	}
	if _, ok := a.Selected(); granted && !ok {
		a.t.Error("a check is granted, and nothing is selected")
	}
	if len(a.answer) > len(b) {
		a.t.Errorf("an answer of %d bytes for a request of %d, want one that is not longer", len(a.answer), len(b))
	}
	if len(a.answer) > 0 && binary.BigEndian.Uint16(a.answer) == typeRequest {
		a.t.Error("the agent has sent a request")
	}
}
