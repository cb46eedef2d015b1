package fleet

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// version is the version of the envelope. Nodes drop messages of other versions and count them.
const version = 1

// A kind says what a message between nodes is. The numbers do not change their meaning within a version.
type kind uint8

const (
	kindGroup    kind = 1  // a message for the members of a group: groupHeader, payload
	kindHere     kind = 2  // the sender has members of the group: name
	kindGone     kind = 3  // the sender has no members of the group any more: name
	kindWho      kind = 4  // which nodes have members of the group? Each answers with kindHere: name
	kindSendOld  kind = 5  // kindSend of nodes that do not say which table they have: name, channel, payload
	kindAsk      kind = 6  // a request for a player: name, name of the request, payload
	kindKick     kind = 7  // ends the sessions of a player: name, text
	kindWhere    kind = 8  // where is the player? name
	kindAnswer   kind = 9  // answer to kindAsk, kindWhere, kindCheck and kindElse: code, then by code
	kindCheck    kind = 10 // has the node this session? name, session
	kindReplaced kind = 11 // the session has been replaced by one of another node: name, session
	kindBeat     kind = 12 // once a second, what a node is and does: JSON of a beat
	kindSeat     kind = 13 // a seat for a player, please: JSON of a seatRequest
	kindState    kind = 14 // the state of a player who comes: name, state
	// 15 is a question of older nodes to NATS, which no node gets.
	kindSend  kind = 16 // a message for a player: name, table, channel, payload
	kindElse  kind = 17 // who has a session of the player now? kind of the question, name. NATS says so if nobody has. Earlier nodes send it without a body
	kindStays kind = 18 // no state comes of a player for whom a seat was made: name, 1 if the client may come nevertheless or 0. Earlier nodes send no number
)

// An instance is a node's life from Join to Close: a node that starts again is another instance.
type instance [8]byte

func newInstance() (i instance) {
	rand.Read(i[:])
	return i
}

func (i instance) String() string { return hex.EncodeToString(i[:]) }

// A message is a message of another node. Its bytes belong to the func that handles it.
type message struct {
	subject string
	reply   string // subject for an answer; may be empty
	kind    kind
	from    instance
	body    []byte
}

// headerLen is the length of the envelope: version, kind, instance.
const headerLen = 2 + len(instance{})

// appendHeader appends the envelope of a message.
func appendHeader(b []byte, k kind, from instance) []byte {
	return append(append(b, version, byte(k)), from[:]...)
}

// parseHeader reads the envelope of m.body into m. It returns false if it is not one of this version.
func (m *message) parseHeader() bool {
	b := m.body
	if len(b) < headerLen || b[0] != version {
		return false
	}
	m.kind, m.from, m.body = kind(b[1]), instance(b[2:headerLen]), b[headerLen:]
	return true
}

// appendString appends a string behind its length.
func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// A reader reads the parts of a body. After a part that is cut off, bad is true and all parts are empty.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uint32() uint32 {
	b := r.take(4)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint32(b)
}

func (r *reader) string() string { return string(r.take(r.uint())) }

func (r *reader) uint64() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// A groupHeader begins the body of kindGroup.
type groupHeader struct {
	table  uint32 // of the sender's hash of the table of channels: nodes with another table drop the message
	stream uint32 // random number of the sender's series of numbers
	number uint64 // in the series
	ch     uint64 // number of the channel; 0 if it has a name
	name   string // name of the channel
}

func (h *groupHeader) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, h.table)
	b = binary.BigEndian.AppendUint32(b, h.stream)
	b = binary.AppendUvarint(b, h.number)
	b = binary.AppendUvarint(b, h.ch)
	if h.ch == 0 {
		b = appendString(b, h.name)
	}
	return b
}

func (h *groupHeader) read(r *reader) {
	v := r.uint64()
	h.table, h.stream = uint32(v>>32), uint32(v)
	h.number = r.uint()
	if h.ch = r.uint(); h.ch == 0 {
		h.name = r.string()
	}
}

// token returns the part of a subject, and the key in a bucket, for a name: the name itself if
// it has only characters that both may have, otherwise "=" and a hash.
func token(name string) string {
	plain := name != "" && len(name) <= 64
	for i := 0; plain && i < len(name); i++ {
		c := name[i]
		plain = 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
	}
	if plain {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return "=" + base64.RawURLEncoding.EncodeToString(sum[:16])
}

// arrivals watches the numbers of one series of messages.
type arrivals struct {
	next uint64 // number after the highest that has arrived
	seen uint64 // bit i: number next-1-i has arrived
}

// note notes that a number has arrived. It returns false if the message must be dropped: a later one has
// arrived before. lost is the number of messages that a gap before this one says are lost; late is
// true if the message was counted as lost before, and not if it has arrived twice.
func (a *arrivals) note(number uint64) (ok bool, lost uint64, late bool) {
	if a.seen == 0 {
		a.next, a.seen = number+1, 1
		return true, 0, false
	}
	if number >= a.next {
		lost = number - a.next
		if shift := lost + 1; shift < 64 {
			a.seen = a.seen<<shift | 1
		} else {
			a.seen = 1
		}
		a.next = number + 1
		return true, lost, false
	}
	back := a.next - 1 - number
	if back >= 64 {
		return false, 0, true // or it has arrived twice: so far back nobody knows
	}
	late = a.seen&(1<<back) == 0
	a.seen |= 1 << back
	return false, 0, late
}
