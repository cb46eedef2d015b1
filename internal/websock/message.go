package websock

import (
	"encoding/binary"
	"io"
	"syscall"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// message returns the next message if it is a binary one of one frame, as clients send them. It
// waits for it with a small stack and without a buffer. The bytes are valid until the next call.
// It returns false if something else comes, which the library must read.
func (w *wire) message() (b []byte, ok bool, err error) {
	for {
		b, n := cutMessage(w.in)
		switch {
		case n > 0:
			w.in = w.in[n:]
			return b, true, nil
		case n < 0:
			return nil, false, nil
		}
		if err := w.fill(); err != nil {
			return nil, false, err
		}
	}
}

// Read is how the library reads.
func (w *wire) Read(p []byte) (int, error) {
	if len(w.in) == 0 {
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

// fill waits until the socket has something, and reads it.
func (w *wire) fill() error {
	switch {
	case len(w.in) == 0:
		w.release()
	case w.buffer == nil: // it came with the request
		w.buffer = w.buffers.get()
		fallthrough
	default: // a part of a message, for whose rest there is room
		w.in = append(w.buffer, w.in...)
	}
	if err := w.raw.Read(w.readOnce); err != nil {
		return err
	}
	return w.fault
}

// release gives the buffer back, which has nothing any more.
func (w *wire) release() {
	if w.buffer != nil {
		w.buffers.put(w.buffer)
	}
	w.buffer, w.in = nil, nil
}

// tryRead reads once. It returns false if there is nothing yet.
func (w *wire) tryRead(fd uintptr) bool {
	if w.buffer == nil {
		w.buffer = w.buffers.get()
		w.in = w.buffer
	}
	n, err := udpio.TryRead(fd, w.in[len(w.in):cap(w.buffer)])
	switch {
	case err == syscall.EAGAIN:
		if len(w.in) == 0 {
			w.release()
		}
		return false
	case err == nil && n == 0:
		err = io.ErrUnexpectedEOF // see unended
	}
	w.in, w.fault = w.in[:len(w.in)+n], err
	return true
}

// cutMessage returns the payload of the first frame of b, unmasked in its place, and the length
// of the frame. The length is 0 if b has only a part of the frame, and -1 if the frame is not a
// whole binary message of a client or is too large.
// https://www.rfc-editor.org/rfc/rfc6455#section-5.2
func cutMessage(b []byte) (payload []byte, n int) {
	const masked, keyLen = 0x80, 4
	head := 2
	switch {
	case len(b) > 0 && b[0] != final|binaryMessage, len(b) > 1 && b[1]&masked == 0:
		return nil, -1
	case len(b) < head:
		return nil, 0
	}
	size := int(b[1] &^ masked)
	switch size {
	case 126:
		if head += 2; len(b) < head {
			return nil, 0
		}
		size = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return nil, -1
	}
	if size > MaxDatagram {
		return nil, -1
	}
	if n = head + keyLen + size; len(b) < n {
		return nil, 0
	}
	payload = b[head+keyLen : n]
	unmask(payload, binary.LittleEndian.Uint32(b[head:]))
	return payload, n
}

// unmask unmasks a payload.
// https://www.rfc-editor.org/rfc/rfc6455#section-5.3
func unmask(b []byte, key uint32) {
	for key := uint64(key)<<32 | uint64(key); len(b) >= 8; b = b[8:] {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^key)
	}
	for i := range b {
		b[i] ^= byte(key >> (8 * (i % 4)))
	}
}
