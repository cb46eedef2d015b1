// Package ufrag has the username fragments of a server, and what is derived from them: see
// docs/SESSION.md, section 11.
//
// The first character of a fragment is its form, the next four are the node. A fragment of the
// form [Offer] is random, and for one answer. Those of the forms [Invite] and [Resume]
// carry a MAC under the server's key, so the server keeps nothing for them: a [Reader] opens
// them. The functions are pure. Package auth makes invites of them.
package ufrag

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
)

// The forms of a username fragment: its first character.
const (
	Offer  = 'P' // made for one answer
	Invite = 'D' // made by whoever has the key
	Resume = 'R' // made for the next link of a session
)

// Datagrams of a link that began without a request, below its packets: their first byte. That of a packet
// is at least FirstOfPacket.
const (
	TypeAdmit     = 0x01
	TypeRefused   = 0x02
	FirstOfPacket = 0x10
)

// Sizes in bytes.
const (
	MaxSubject = 64
	MaxData    = 48
	IDLen      = 8
	MarkLen    = 16
	PwdLen     = 32 // characters

	nodeLen   = 3
	expiryLen = 4
	macLen    = 16
	resumeLen = nodeLen + MarkLen + macLen
	minInvite = nodeLen + expiryLen + IDLen + 1 + macLen
	maxInvite = minInvite + MaxSubject + MaxData

	initLen = 11 // characters of the tag and the TSN that WithInit appends

	// MaxLen is the length of the longest fragment in characters, without those of WithInit. ICE
	// allows 256.
	// https://www.rfc-editor.org/rfc/rfc8839.html#section-5.4
	MaxLen = 1 + maxInvite*4/3
)

// MaxNode is the highest number of a node. Node 0 is a server that is not in a fleet.
const MaxNode = 1<<24 - 1

// nodeText is the length of the node in a fragment, in characters.
const nodeText = 4

// encoding is the alphabet of ICE.
var encoding = base64.RawStdEncoding.Strict()

// ForOffer returns a fragment of the form Offer for a node, with the length of random, which are
// random ice-chars.
func ForOffer(node uint32, random string) string {
	b := []byte{byte(node >> 16), byte(node >> 8), byte(node)}
	return string(Offer) + encoding.EncodeToString(b) + random[1+nodeText:]
}

// Node returns the node of a fragment of any form. It returns false if the fragment is not one of
// a server. It does not look at a MAC.
func Node(fragment []byte) (node uint32, ok bool) {
	if len(fragment) < 1+nodeText || fragment[0] != Offer && !IsDirect(fragment) {
		return 0, false
	}
	var b [nodeLen]byte
	n, err := encoding.Decode(b[:], fragment[1:1+nodeText])
	if err != nil || n != nodeLen { // Decode skips ends of lines
		return 0, false
	}
	return uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]), true
}

// IsDirect reports whether a fragment has a form with which a connection begins without an
// offer.
func IsDirect(fragment []byte) bool {
	return len(fragment) > 0 && (fragment[0] == Invite || fragment[0] == Resume || hasInit(fragment[0]))
}

// lower is the difference between a form and that of the same fragment with an INIT.
const lower = 'd' - 'D'

// hasInit reports whether the fragment with this form has the end that WithInit appends.
func hasInit(form byte) bool { return form == Invite+lower || form == Resume+lower }

// WithInit returns the fragment that a client puts into the answer that it writes itself if its
// offer has an INIT: so the server knows the client's tag and its initial TSN (docs/snap.md), which
// no offer tells it. The form becomes a small letter, and the tag and the TSN follow.
func WithInit(fragment string, tag, tsn uint32) string {
	b := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, tag), tsn)
	return string(fragment[0]+lower) + fragment[1:] + encoding.EncodeToString(b)
}

// Plain returns the fragment without what WithInit has changed.
func Plain(fragment string) string {
	if fragment == "" || !hasInit(fragment[0]) || len(fragment) <= initLen {
		return fragment
	}
	return string(fragment[0]-lower) + fragment[1:len(fragment)-initLen]
}

// A Key is the key of a server's fragments.
type Key [32]byte

// A Fragment is the content of a fragment of the form Invite or Resume.
type Fragment struct {
	Form byte
	Node uint32 // 24 bits

	// Of an Invite.
	Expires       int64 // Unix time in seconds
	ID            [IDLen]byte
	Subject, Data []byte // at most MaxSubject and MaxData bytes

	// Of a Resume: the mark of a session's resume token.
	Mark [MarkLen]byte
}

// Text returns the fragment as a username fragment.
func (f *Fragment) Text(k *Key) string {
	b := []byte{f.Form, byte(f.Node >> 16), byte(f.Node >> 8), byte(f.Node)}
	if f.Form == Resume {
		b = append(b, f.Mark[:]...)
	} else {
		b = binary.BigEndian.AppendUint32(b, uint32(f.Expires))
		b = append(b, f.ID[:]...)
		b = append(b, byte(len(f.Subject)))
		b = append(append(b, f.Subject...), f.Data...)
	}
	m := hmac.New(sha256.New, k[:])
	m.Write(b)
	b = append(b, m.Sum(nil)[:macLen]...)
	return string(f.Form) + encoding.EncodeToString(b[1:])
}

// Pwd returns the ICE password of a fragment that has a MAC.
func (k *Key) Pwd(fragment string) string {
	return base64.StdEncoding.EncodeToString(sum(k[:], pwdLabel, []byte(fragment)))[:PwdLen]
}

const (
	pwdLabel   = "pwd"
	proofLabel = "hello"
	sctpLabel  = "sctp"
)

// sum returns HMAC-SHA-256 of a label and parts.
func sum(key []byte, label string, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(label))
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// Proof returns the proof of an ADMIT: that whoever has the certificate with the SHA-256 hash
// page has pwd, and means the server whose certificate has the hash server.
func Proof(pwd string, page, server [sha256.Size]byte) [sha256.Size]byte {
	return [sha256.Size]byte(sum([]byte(pwd), proofLabel, page[:], server[:]))
}

// SCTP returns the server's verification tag and initial TSN, so that a page that has pwd knows
// them before the server has sent anything. A tag is never 0.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.2
func SCTP(pwd string) (tag, tsn uint32) {
	b := sum([]byte(pwd), sctpLabel)
	return max(1, binary.BigEndian.Uint32(b)), binary.BigEndian.Uint32(b[4:])
}

// A Reader opens fragments without allocating. It is not safe for concurrent use.
type Reader struct {
	mac   hash.Hash
	label [len(pwdLabel)]byte
	in    [1 + maxInvite]byte // the form and the bytes of a fragment
	sum   [sha256.Size]byte
	text  [44]byte // sum in base64
	plain [MaxLen]byte
}

// NewReader returns a Reader of the fragments of a key.
func NewReader(k *Key) *Reader {
	r := &Reader{mac: hmac.New(sha256.New, k[:])}
	copy(r.label[:], pwdLabel)
	r.mac.Reset() // it keeps its state of this call: later ones allocate nothing
	return r
}

// Plain returns a fragment without what WithInit has changed, and the tag and the TSN of the
// client's INIT, which are 0 if there are none. It returns false if the end is malformed. The bytes are valid
// until the next Plain.
func (r *Reader) Plain(fragment []byte) (plain []byte, tag, tsn uint32, ok bool) {
	if !hasInit(fragment[0]) {
		return fragment, 0, 0, true
	}
	n := len(fragment) - initLen
	if n < 1 || n > MaxLen {
		return nil, 0, 0, false
	}
	copy(r.plain[:], fragment[:n])
	r.plain[0] -= lower
	var b [9]byte // Decode writes whole groups
	if m, err := encoding.Decode(b[:], fragment[n:]); err != nil || m != 8 {
		return nil, 0, 0, false
	}
	tag = binary.BigEndian.Uint32(b[:])
	return r.plain[:n], tag, binary.BigEndian.Uint32(b[4:]), tag != 0
}

// Read opens a fragment of the form Invite or Resume. It returns false if the fragment is not
// one that the key has made. Subject and Data of f are valid until the next Read.
func (r *Reader) Read(fragment []byte, f *Fragment) bool {
	if !IsDirect(fragment) || hasInit(fragment[0]) || len(fragment) > MaxLen {
		return false
	}
	n, err := encoding.Decode(r.in[1:], fragment[1:])
	switch {
	case err != nil, encoding.EncodedLen(n) != len(fragment)-1: // Decode skips ends of lines
		return false
	case fragment[0] == Resume && n != resumeLen, fragment[0] == Invite && n < minInvite:
		return false
	}
	r.in[0] = fragment[0]
	b := r.in[:1+n-macLen]
	r.mac.Reset()
	r.mac.Write(b)
	if !hmac.Equal(r.mac.Sum(r.sum[:0])[:macLen], r.in[1+n-macLen:1+n]) {
		return false
	}
	*f = Fragment{Form: b[0], Node: uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])}
	b = b[1+nodeLen:]
	if f.Form == Resume {
		f.Mark = [MarkLen]byte(b)
		return true
	}
	f.Expires = int64(binary.BigEndian.Uint32(b))
	f.ID = [IDLen]byte(b[expiryLen:])
	b = b[expiryLen+IDLen:]
	n = int(b[0])
	if b = b[1:]; n > MaxSubject || n > len(b) || len(b)-n > MaxData {
		return false
	}
	f.Subject, f.Data = b[:n:n], b[n:]
	return true
}

// Pwd returns the password of a fragment, a view that the next call of a method overwrites.
func (r *Reader) Pwd(fragment []byte) []byte {
	r.mac.Reset()
	r.mac.Write(r.label[:])
	r.mac.Write(fragment)
	base64.StdEncoding.Encode(r.text[:], r.mac.Sum(r.sum[:0]))
	return r.text[:PwdLen]
}
