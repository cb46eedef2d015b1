package dtls

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the datagrams that wait for pion while other handshakes compute: their
// number and their bytes. The longest flight of a browser has six datagrams and 3 KB.
// The peer repeats a datagram that does not fit.
const (
	queueLen   = 16
	queueBytes = 4 << 10
)

// A pipe is the connection of pion: pion reads datagrams from a bounded queue, and the
// Handshake gets the datagrams that pion writes. It implements [net.PacketConn].
//
// At the end ReadFrom returns io.EOF. Then pion's goroutines return and send nothing;
// pion's Close would send an alert.
type pipe struct {
	queue  chan []byte
	bytes  atomic.Int32  // bytes of the datagrams in queue, and of the one that waits for the gate
	end    chan struct{} // closed when the handshake is over
	once   sync.Once
	write  func([]byte) error
	screen func(b, datagram []byte) ([]byte, error) // returns the part of a datagram for pion; nil means all
	gate   Gate
	inside atomic.Bool // the handshake is inside the gate

	screened, rest []byte // output of the screen, and the part that pion has not read
}

func newPipe(gate Gate, write func([]byte) error) *pipe {
	return &pipe{
		gate:  gate,
		queue: make(chan []byte, queueLen),
		end:   make(chan struct{}),
		write: write,
	}
}

// deliver queues a copy of b. It never blocks.
func (p *pipe) deliver(b []byte) bool {
	n := int32(len(b))
	if p.ended() {
		return false
	}
	if p.bytes.Add(n) <= queueBytes {
		select {
		case p.queue <- bytes.Clone(b):
			return true
		default:
		}
	}
	p.bytes.Add(-n)
	return false
}

func (p *pipe) finish() {
	p.once.Do(func() { close(p.end) })
	p.leave()
}

// enter waits for a place in the gate, or for the end.
func (p *pipe) enter() {
	if p.gate == nil {
		return
	}
	select {
	case p.gate <- struct{}{}:
		if p.inside.Store(true); p.ended() {
			p.leave() // finish may have run before inside was set
		}
	case <-p.end:
	}
}

func (p *pipe) leave() {
	if p.inside.Swap(false) {
		<-p.gate
	}
}

func (p *pipe) ended() bool {
	select {
	case <-p.end:
		return true
	default:
		return false
	}
}

// ReadFrom implements net.PacketConn. pion calls it again when it has parsed the bytes
// of the last call; with one processor it has also answered them.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	for !p.ended() {
		if len(p.rest) > 0 {
			return p.take(b), pipeAddr, nil
		}
		p.leave()
		select {
		case q := <-p.queue:
			p.enter()
			p.bytes.Add(-int32(len(q)))
			if p.screen != nil {
				var err error
				if p.screened, err = p.screen(p.screened[:0], q); err != nil {
					p.finish()
				}
				q = p.screened
			}
			p.rest = q
		case <-p.end:
		}
	}
	return 0, nil, io.EOF
}

// take moves whole records from rest to b, as many as fit.
func (p *pipe) take(b []byte) (n int) {
	for r := range Records(p.rest) {
		if n+len(r.Raw) > len(b) {
			break
		}
		n += copy(b[n:], r.Raw)
	}
	if n == 0 { // no record, or one that does not fit
		n = copy(b, p.rest)
	}
	p.rest = p.rest[n:]
	if cap(p.screened) > maxHandshake {
		p.screened = nil // do not keep the memory of a long flight; rest still has the unread part
	}
	return n
}

func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	if p.ended() {
		return len(b), nil // pion may still write an alert
	}
	if err := p.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SetReadDeadline ends the pipe if t lies in the past. pion sets such a deadline when its
// handshake is over, to make its reader return, and takes it back when the reader has
// returned. It sets no other.
func (p *pipe) SetReadDeadline(t time.Time) error {
	if !t.IsZero() && !t.After(time.Now()) {
		p.finish()
	}
	return nil
}

func (p *pipe) Close() error                     { p.finish(); return nil }
func (p *pipe) LocalAddr() net.Addr              { return pipeAddr }
func (p *pipe) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil } // a write never blocks

// pipeAddr is the address of both ends: pion needs one, but does not use it.
var pipeAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
