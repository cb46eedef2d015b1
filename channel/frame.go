package channel

import (
	"iter"
	"unicode/utf8"
)

// A frame begins with a byte: its kind in the upper two bits, and a channel, or
// the control kind, in the lower six.
const (
	frameControl  = 0 << 6
	frameMessage  = 1 << 6 // id varint, length varint, bytes
	frameFragment = 2 << 6 // id varint, index varint, total varint, bytes
	frameBare     = 3 << 6 // length varint, bytes: a whole unreliable message
	frameKind     = 3 << 6
	frameChannel  = 1<<6 - 1
)

// Control kinds. A frame of kind 32 or more is a length varint and as many bytes; an end
// that does not know the kind skips it.
const (
	controlPadding   = 0 // nothing follows
	controlPing      = 1 // nothing follows; the packet must be acknowledged
	controlClose     = 2 // code varint, length varint, text
	controlExtension = 32
	controlGivenUp   = 32 // an extension: bytes varint; more is ignored. Just before a close frame
)

const (
	// pieceSize is the length of each fragment except the last. It is the same on all
	// links, so channel, id and index identify a fragment also after Relink.
	pieceSize = 1024
	// maxFragmentHeader is the kind, an id of 8 bytes, index and total.
	maxFragmentHeader = 1 + 8 + 2 + 4
	// maxCloseText is the longest text of a close frame in bytes.
	maxCloseText = 256
)

// pieces returns the number of pieces of a message of n bytes.
func pieces(n int) int {
	return max(1, (n+pieceSize-1)/pieceSize)
}

// frame is a parsed frame: a view of the datagram.
type frame struct {
	kind    byte // frameControl ... frameBare
	channel byte // or the control kind
	id      uint64
	index   int
	total   int
	code    uint64
	payload []byte
}

// parse reads the frame at the start of b and returns its length, or 0 if it is
// malformed.
func (f *frame) parse(b []byte) int {
	f.kind, f.channel = b[0]&frameKind, b[0]&frameChannel
	var n uint64
	var ok bool
	at := 1
	switch f.kind {
	case frameControl:
		return f.parseControl(b)
	case frameMessage:
		if f.id, at, ok = read(b, at); !ok {
			return 0
		}
	case frameFragment:
		return f.parseFragment(b)
	}
	if n, at, ok = read(b, at); !ok || n > pieceSize || uint64(len(b)-at) < n {
		return 0
	}
	f.payload = b[at : at+int(n)]
	return at + int(n)
}

func (f *frame) parseFragment(b []byte) int {
	var index, total uint64
	var ok bool
	at := 1
	if f.id, at, ok = read(b, at); !ok {
		return 0
	}
	if index, at, ok = read(b, at); !ok {
		return 0
	}
	// A message that fits one piece is never a fragment.
	total, at, _ = read(b, at) // 0 if there is none
	if total <= pieceSize || total > maxMessage || index >= uint64(pieces(int(total))) {
		return 0
	}
	f.index, f.total = int(index), int(total)
	n := min(pieceSize, f.total-f.index*pieceSize)
	if len(b)-at < n {
		return 0
	}
	f.payload = b[at : at+n]
	return at + n
}

func (f *frame) parseControl(b []byte) int {
	var n uint64
	var ok bool
	at := 1
	switch {
	case f.channel == controlPadding || f.channel == controlPing:
		return 1
	case f.channel == controlClose:
		if f.code, at, ok = read(b, at); !ok {
			return 0
		}
	case f.channel < controlExtension:
		return 0
	}
	if n, at, ok = read(b, at); !ok || uint64(len(b)-at) < n {
		return 0
	}
	f.payload = b[at : at+int(n)]
	if f.channel == controlClose && (n > maxCloseText || !utf8.Valid(f.payload)) {
		return 0
	}
	return at + int(n)
}

// appendGivenUp appends a frame with the number of bytes that a close gives up.
func appendGivenUp(b []byte, n uint64) []byte {
	b = append(b, frameControl|controlGivenUp, byte(varintLen(n)))
	return appendVarint(b, n)
}

// eliciting reports whether the packet of the frame must be acknowledged.
func (f *frame) eliciting() bool { return f.kind != frameControl || f.channel != controlPadding }

// wellFormed reports whether b consists of well-formed frames, and whether their packet
// must be acknowledged.
func wellFormed(b []byte) (ok, eliciting bool) {
	var f frame
	for len(b) > 0 {
		n := f.parse(b)
		if n == 0 {
			return false, false
		}
		eliciting = eliciting || f.eliciting()
		b = b[n:]
	}
	return true, eliciting
}

// ControlMessages yields the messages of the Control channel that are whole in a packet. It
// changes nothing, and yields nothing for a malformed packet. The messages are views of b.
func ControlMessages(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var p packet
		if !p.parse(b) {
			return
		}
		if ok, _ := wellFormed(p.frames); !ok {
			return
		}
		var f frame
		for b := p.frames; len(b) > 0; {
			b = b[f.parse(b):]
			if f.kind == frameMessage && ID(f.channel) == Control && !yield(f.payload) {
				return
			}
		}
	}
}

// pieceLen returns the length in bytes of piece i of a message in a packet.
func pieceLen(bare bool, id uint64, size, i int) int {
	switch {
	case size > pieceSize:
		n := min(pieceSize, size-i*pieceSize)
		return 1 + varintLen(id) + varintLen(uint64(i)) + varintLen(uint64(size)) + n
	case bare:
		return 1 + varintLen(uint64(size)) + size
	}
	return 1 + varintLen(id) + varintLen(uint64(size)) + size
}

// appendPiece appends piece i of a message.
func appendPiece(b []byte, ch ID, bare bool, id uint64, message []byte, i int) []byte {
	switch {
	case len(message) > pieceSize:
		b = appendVarint(append(b, frameFragment|byte(ch)), id)
		b = appendVarint(appendVarint(b, uint64(i)), uint64(len(message)))
		return append(b, message[i*pieceSize:min(len(message), (i+1)*pieceSize)]...)
	case bare:
		b = append(b, frameBare|byte(ch))
	default:
		b = appendVarint(append(b, frameMessage|byte(ch)), id)
	}
	b = appendVarint(b, uint64(len(message)))
	return append(b, message...)
}

func appendClose(b []byte, code uint64, text string) []byte {
	b = appendVarint(append(b, frameControl|controlClose), code)
	b = appendVarint(b, uint64(len(text)))
	return append(b, text...)
}
