// Package deflate makes and reads the messages of channels with Compress: a first byte, and then
// the message as it is or as raw DEFLATE. docs/PROTOCOL.md describes them.
//
// The state of DEFLATE is large. The package keeps it for use again: at most one state for each
// direction and processor. [TakePacker] waits for a free one, so a caller must not hold a lock.
// [TakeReader] does not wait.
//
// https://www.rfc-editor.org/rfc/rfc1951.html
package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"runtime"
	"slices"
)

// The first byte of a message.
const (
	AsIs     = 0
	Deflated = 1
)

// Least is the length of the shortest message that is deflated.
const Least = 512

// level is the fastest level that looks for repetitions; docs/decisions.md has the figures.
const level = flate.BestSpeed

// maxKept limits the capacity of a buffer that is kept with its state.
const maxKept = 512 << 10

// Errors of Inflate.
var (
	ErrLarge     = errors.New("deflate: the message inflates beyond the limit")
	ErrMalformed = errors.New("deflate: malformed, or bytes behind the end")
)

var (
	packers = make(chan *Packer, runtime.GOMAXPROCS(0)) // nil stands for a state that was not needed yet
	readers = make(chan *Reader, cap(packers))
)

func init() {
	for range cap(packers) {
		packers <- nil
	}
}

// States returns the number of Packers that can be taken at once.
func States() int { return cap(packers) }

// A Packer makes messages smaller. It is not safe for concurrent use.
type Packer struct {
	w     *flate.Writer
	out   []byte
	limit int // largest length of out

	// Calls counts the calls of Pack.
	Calls uint64
}

// TakePacker returns a Packer, which must be returned. It waits while all are taken.
func TakePacker() *Packer {
	p := <-packers
	if p == nil {
		p = new(Packer)
		p.w, _ = flate.NewWriter(p, level)
	}
	return p
}

// Return gives p back.
func (p *Packer) Return() {
	if cap(p.out) > maxKept {
		p.out = nil
	}
	packers <- p
}

// Pack returns the message b as it is sent: deflated if that makes it smaller. The result is valid
// until the next call of Pack or Return.
func (p *Packer) Pack(b []byte) []byte {
	p.Calls++
	p.out = append(p.out[:0], Deflated)
	p.limit = len(b)
	p.w.Reset(p)
	_, err := p.w.Write(b)
	if err == nil {
		err = p.w.Close()
	}
	if err != nil {
		p.out = append(append(p.out[:0], AsIs), b...)
	}
	return p.out
}

var errLonger = errors.New("deflate: the message does not get smaller")

// Write is for the flate.Writer. It fails when the message does not get smaller.
func (p *Packer) Write(b []byte) (int, error) {
	if len(p.out)+len(b) > p.limit {
		return 0, errLonger
	}
	p.out = append(p.out, b...)
	return len(b), nil
}

// A Reader inflates messages. It is not safe for concurrent use.
type Reader struct {
	in  bytes.Reader
	r   io.ReadCloser
	out []byte
}

// TakeReader returns a Reader, which must be returned.
func TakeReader() *Reader {
	select {
	case r := <-readers:
		return r
	default:
	}
	r := new(Reader)
	r.r = flate.NewReader(&r.in)
	return r
}

// Return gives r back. If enough are kept, the garbage collector gets it.
func (r *Reader) Return() {
	if cap(r.out) > maxKept {
		r.out = nil
	}
	r.in.Reset(nil)
	select {
	case readers <- r:
	default:
	}
}

// Inflate returns the message that was deflated to b, if it has at most limit bytes. Inflate uses
// memory for no more than that. The result is valid until the next call of Inflate or Return.
func (r *Reader) Inflate(b []byte, limit int) ([]byte, error) {
	r.in.Reset(b)
	if err := r.r.(flate.Resetter).Reset(&r.in, nil); err != nil {
		return nil, err
	}
	for r.out = r.out[:0]; ; {
		if len(r.out) == cap(r.out) {
			r.out = slices.Grow(r.out, min(max(len(r.out), 4<<10), limit+1-len(r.out)))
		}
		n, err := r.r.Read(r.out[len(r.out):min(cap(r.out), limit+1)])
		switch r.out = r.out[:len(r.out)+n]; {
		case len(r.out) > limit:
			return nil, ErrLarge
		case err == io.EOF && r.in.Len() == 0:
			return r.out, nil
		case err != nil:
			return nil, ErrMalformed
		}
	}
}
