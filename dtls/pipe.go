package dtls

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// How many datagrams may wait for pion, and how many bytes they may have. They wait
// while other handshakes compute. The longest flight of a browser has six datagrams
// and 3 KB; a datagram that does not fit comes again.
const (
	queueLen   = 16
	queueBytes = 4 << 10
)

// A pipe is the connection pion believes in: datagrams come from a bounded
// queue, and what pion writes goes to the Handshake. It implements
// [net.PacketConn].
//
// It ends with io.EOF from ReadFrom, which makes pion's goroutines return
// and send nothing; pion's Close would write an alert.
type pipe struct {
	queue  chan []byte
	bytes  atomic.Int32  // of those in queue, and the one that waits for the gate
	end    chan struct{} // closed when nothing is read or written any more
	once   sync.Once
	write  func([]byte) error
	screen func(b, datagram []byte) ([]byte, error) // what pion gets of a datagram; nil is all
	gate   Gate
	inside atomic.Bool // of the gate

	screened, rest []byte // what the screen let pass, and what of it pion has not read

	mu      sync.Mutex
	expired chan struct{} // closed while the read deadline lies in the past
}

func newPipe(gate Gate, write func([]byte) error) *pipe {
	return &pipe{
		gate:    gate,
		queue:   make(chan []byte, queueLen),
		end:     make(chan struct{}),
		write:   write,
		expired: make(chan struct{}),
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

// enter waits for a place inside the gate, or for the end.
func (p *pipe) enter() {
	if p.gate == nil {
		return
	}
	select {
	case p.gate <- struct{}{}:
		if p.inside.Store(true); p.ended() {
			p.leave() // finish may not have seen it
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

// ReadFrom is called again when pion has parsed what the last call returned; on
// one processor it has answered it by then.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	for !p.ended() {
		if len(p.rest) > 0 {
			return p.take(b), pipeAddr, nil
		}
		p.leave()
		p.mu.Lock()
		expired := p.expired
		p.mu.Unlock()
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
		case <-expired:
			return 0, nil, os.ErrDeadlineExceeded
		}
	}
	return 0, nil, io.EOF
}

// take moves whole records from rest to b, as many as there is room for.
func (p *pipe) take(b []byte) (n int) {
	for r := range Records(p.rest) {
		if n+len(r.Raw) > len(b) {
			break
		}
		n += copy(b[n:], r.Raw)
	}
	if n == 0 { // no record, or one that never fits
		n = copy(b, p.rest)
	}
	p.rest = p.rest[n:]
	if cap(p.screened) > maxHandshake {
		p.screened = nil // it holds a long flight; rest keeps what of it is not read
	}
	return n
}

func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	if p.ended() {
		return len(b), nil // pion may still have an alert to write
	}
	if err := p.write(b); err != nil {
		return 0, err
	}
	return len(b), nil
}

// SetReadDeadline knows the two values pion sets: a time long past, to make a
// reader return, and the zero time, to let it read again.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	expired := false
	select {
	case <-p.expired:
		expired = true
	default:
	}
	switch past := !t.IsZero() && !t.After(time.Now()); {
	case past && !expired:
		close(p.expired)
	case !past && expired:
		p.expired = make(chan struct{})
	}
	return nil
}

func (p *pipe) Close() error                     { p.finish(); return nil }
func (p *pipe) LocalAddr() net.Addr              { return pipeAddr }
func (p *pipe) SetDeadline(t time.Time) error    { return p.SetReadDeadline(t) }
func (p *pipe) SetWriteDeadline(time.Time) error { return nil } // a write never blocks

// pipeAddr stands for both ends: pion wants an address, and uses it for nothing.
var pipeAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
