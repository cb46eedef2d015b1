package client

import (
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
)

// The functions below send datagrams and wake the loop. The caller holds the endpoint's
// lock.

// arm sets the socket's read deadline to the first deadline of a connection, or to past
// if the loop has something to do at once.
func (e *Endpoint) arm() {
	d := e.timers.Next()
	if len(e.touched)+len(e.outbox) > 0 || e.closed {
		d = past
	}
	if !d.Equal(e.deadline) {
		e.deadline = d
		e.socket.SetReadDeadline(d)
	}
}

// past is a read deadline that wakes the loop.
var past = time.Unix(1, 0)

// wake makes the loop take another turn at once.
func (e *Endpoint) wake() {
	if !e.busy {
		e.arm()
	}
}

// slot returns an empty buffer at the end of the outgoing batch.
func (e *Endpoint) slot() []byte {
	if len(e.out) == cap(e.out) {
		e.flush()
	}
	return e.out[:len(e.out)+1][len(e.out)].B[:0]
}

// push adds b, which was appended to the slot, to the batch.
func (e *Endpoint) push(b []byte, to peer.Path, local netip.Addr) {
	e.out = e.out[:len(e.out)+1]
	d := &e.out[len(e.out)-1]
	d.B, d.Remote, d.Local = b, to.Remote, local
	e.stats.BytesOut += uint64(len(b))
}

// flush sends the batch.
func (e *Endpoint) flush() {
	if len(e.out) == 0 {
		return
	}
	e.stats.DatagramsOut += uint64(len(e.out))
	e.socket.WriteBatch(e.out) // counts the datagrams it drops; its only error is that the socket is closed
	e.out = e.out[:0]
}
