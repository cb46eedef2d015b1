package sessioncore

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit/session"
)

// Control messages. Each is one message on channel 0: a type, then fields, big
// endian. docs/SESSION.md, section 3.
const (
	typeHello   = 0x01 // length 2, connect message, what the client supports 1; more is ignored
	typeWelcome = 0x02 // session 8, token 16, grace in ms 4, silence in ms 4, channels that the client may open 1, if not 0 their queues 4, credentials of the next link: ufrag, pwd with their lengths 1; more is ignored
	typeRequest = 0x03 // id 4, length of name 1, name, payload
	typeReply   = 0x04 // id 4, payload
	typeAck     = 0x05 // id 4; more is ignored
	typeReject  = 0x06 // id 4, text
	typeHere    = 0x07 // count 4; more is ignored
	typeOpen    = 0x08 // a line of the table's text, and the values for sending if the client supports them
	typeOpened  = 0x09 // channel 1; more is ignored
	typeShut    = 0x0a // channel 1; more is ignored
	typeMove    = 0x0b // a seat as JSON, to the end

	typeExtension = 0x80 // from here on an unknown type is ignored

	// Bits of what the client supports.
	takesOpen    = 0x01 // OPEN
	takesSending = 0x02 // OPEN with the values for sending
	takesShut    = 0x04 // SHUT, and OPEN of any free number
	takesOwn     = 0x08 // what WELCOME says of channels that the client opens
	takesMove    = 0x10 // MOVE
)

const maxLine = 256 // bytes of OPEN

// Token is a resume token.
type Token [16]byte

// frame is a parsed control message. Its slices are views of the message.
type frame struct {
	kind    byte
	id      uint32 // id of a request, or count of HERE
	session uint64
	token   Token
	grace   uint32
	silence uint32
	takes   byte // of HELLO
	channel byte // of OPENED and SHUT

	channels int    // of WELCOME: channels that the client may open, or -1 if it says nothing of them
	queue    int    // of WELCOME: their largest QueueLimit
	next     []byte // of WELCOME: the credentials of the next link with their lengths; empty if there are none
	name     []byte
	payload  []byte // connect message, payload, text, line or seat
}

// parse reports whether b is well-formed. A type from typeExtension on always is.
func (f *frame) parse(b []byte) bool {
	if len(b) == 0 {
		return false
	}
	*f = frame{kind: b[0]}
	b = b[1:]
	switch f.kind {
	case typeHello:
		if len(b) < 2 {
			return false
		}
		n := int(binary.BigEndian.Uint16(b))
		if n > session.MaxHello || len(b)-2 < n {
			return false
		}
		f.payload = b[2 : 2+n]
		if len(b) > 2+n {
			f.takes = b[2+n]
		}
		return true
	case typeWelcome:
		if len(b) < 8+16+4+4 {
			return false
		}
		f.session = binary.BigEndian.Uint64(b)
		f.token = Token(b[8:24])
		f.grace = binary.BigEndian.Uint32(b[24:])
		f.silence = binary.BigEndian.Uint32(b[28:])
		return f.parseMayOpen(b[32:])
	case typeRequest, typeReply, typeAck, typeReject, typeHere:
		return f.parseNumbered(b)
	case typeOpen:
		f.payload = b
		return len(b) > 0 && len(b) <= maxLine && utf8.Valid(b)
	case typeMove:
		f.payload = b
		return len(b) > 0 && len(b) <= session.MaxMove && utf8.Valid(b)
	case typeOpened, typeShut:
		if len(b) < 1 {
			return false
		}
		f.channel = b[0]
		return true
	}
	return f.kind >= typeExtension
}

// parseMayOpen reads what a WELCOME says of the channels that the client may open.
func (f *frame) parseMayOpen(b []byte) bool {
	f.channels = -1
	if len(b) == 0 {
		return true
	}
	if f.channels = int(b[0]); f.channels == 0 {
		f.parseNext(b[1:])
		return true
	}
	if len(b) < 1+4 {
		return false
	}
	f.queue = int(binary.BigEndian.Uint32(b[1:]))
	f.parseNext(b[5:])
	return true
}

// parseNext reads the credentials of the next link at the end of WELCOME. There are none if a length
// is zero or does not fit.
func (f *frame) parseNext(b []byte) {
	if len(b) == 0 || 1+int(b[0]) >= len(b) {
		return
	}
	n := 1 + int(b[0])
	if m := n + 1 + int(b[n]); m <= len(b) && n > 1 && m > n+1 {
		f.next = b[:m]
	}
}

// Next reads the Data of an EventToken at a client: the resume token and, if the client may make its
// next link without a request, the ICE credentials of that link.
func Next(data []byte) (t Token, ufrag, pwd string) {
	t = Token(data)
	if b := data[len(t):]; len(b) > 0 {
		n := 1 + int(b[0])
		ufrag, pwd = string(b[1:n]), string(b[n+1:])
	}
	return t, ufrag, pwd
}

// appendNext appends the credentials of the next link.
func appendNext(b []byte, next func(Token) (ufrag, pwd string), token Token) []byte {
	ufrag, pwd := next(token)
	b = append(append(b, byte(len(ufrag))), ufrag...)
	return append(append(b, byte(len(pwd))), pwd...)
}

func appendMayOpen(b []byte, channels, queue int) []byte {
	b = append(b, byte(channels))
	if channels == 0 {
		return b
	}
	return binary.BigEndian.AppendUint32(b, uint32(queue))
}

func (f *frame) parseNumbered(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	f.id = binary.BigEndian.Uint32(b)
	f.payload = b[4:]
	switch f.kind {
	case typeRequest:
		if len(f.payload) < 1 {
			return false
		}
		n := int(f.payload[0])
		if n == 0 || n > session.MaxName || len(f.payload)-1 < n {
			return false
		}
		f.name, f.payload = f.payload[1:1+n], f.payload[1+n:]
		return utf8.Valid(f.name) && len(f.payload) <= session.MaxRequest
	case typeReply:
		return len(f.payload) <= session.MaxRequest
	case typeReject:
		return len(f.payload) <= session.MaxText && utf8.Valid(f.payload)
	}
	f.payload = nil
	return true
}

func appendHello(b, hello []byte, takes byte) []byte {
	b = binary.BigEndian.AppendUint16(append(b, typeHello), uint16(len(hello)))
	b = append(b, hello...)
	if takes != 0 {
		b = append(b, takes)
	}
	return b
}

func appendWelcome(b []byte, session uint64, token Token, grace, silence uint32) []byte {
	b = binary.BigEndian.AppendUint64(append(b, typeWelcome), session)
	b = append(b, token[:]...)
	b = binary.BigEndian.AppendUint32(b, grace)
	return binary.BigEndian.AppendUint32(b, silence)
}

func appendRequest(b []byte, id uint32, name string, payload []byte) []byte {
	b = appendNumbered(b, typeRequest, id)
	b = append(append(b, byte(len(name))), name...)
	return append(b, payload...)
}

func appendNumbered(b []byte, kind byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, kind), id)
}
