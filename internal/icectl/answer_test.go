package icectl

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"hash"
	"testing"
)

func newMAC(pwd string) hash.Hash { return hmac.New(sha1.New, []byte(pwd)) }

// An answer is a response that a test builds.
type answer []byte

func newAnswer(id transactionID) answer {
	b := binary.BigEndian.AppendUint16(nil, typeSuccess)
	b = binary.BigEndian.AppendUint32(append(b, 0, 0), magicCookie)
	return append(b, id[:]...)
}

func (b answer) with(t uint16, value []byte) answer {
	b = append(appendAttr(b, t, len(value)), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

func (b answer) refusing(code uint16) answer {
	binary.BigEndian.PutUint16(b, typeError)
	return b.with(attrErrorCode, []byte{0, 0, byte(code >> 8), byte(code)})
}

// sealed completes the answer with the password that a has of the server.
func (b answer) sealed(a *Agent) []byte { return a.seal(b, 0) }

// FuzzReceive checks that no datagram panics, and that only the answer to the check is valid.
func FuzzReceive(f *testing.F) {
	script := newTestAgent(&testing.T{}, front)
	script.wantCheck("", front, true)
	f.Add(script.answer)
	f.Add(newAnswer(script.inFlight[1].id).refusing(codeRoleConflict).sealed(script.Agent))
	f.Add([]byte(newAnswer(script.inFlight[1].id)))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := newTestAgent(t, front)
		a.wantCheck("", front, true)
		v := a.Receive(a.now, front, b)
		if v == WrongAddress || v == Answered {
			t.Fatalf("verdict %d for a datagram from the right address before any selection", v)
		}
		if _, ok := a.Selected(); ok != (v == Selected) {
			t.Fatalf("verdict %d, but a candidate is selected: %v", v, ok)
		}
	})
}
