package rtcserver

import (
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// The functions below send datagrams, pass them to other shards, and wake the loop. The
// shard's lock is held, except in passOn.

// slot returns an empty buffer at the end of the outgoing batch.
func (s *shard) slot() []byte {
	if len(s.out) == cap(s.out) {
		s.flush()
	}
	return s.out[:len(s.out)+1][len(s.out)].B[:0]
}

// push adds b, which was appended to the slot, to the batch, unless b is empty.
func (s *shard) push(b []byte, to peer.Path) {
	if len(b) == 0 {
		return
	}
	s.out = s.out[:len(s.out)+1]
	d := &s.out[len(s.out)-1]
	d.B, d.Remote, d.Local = b, to.Remote, to.Local
	s.stats.bytesOut += uint64(len(b))
}

// flush sends the batch.
func (s *shard) flush() {
	if len(s.out) == 0 {
		return
	}
	s.stats.datagramsOut += uint64(len(s.out))
	s.socket.WriteBatch(s.out) // counts the datagrams it drops; its only error is that the socket is closed
	s.out = s.out[:0]
}

// arm sets the socket's read deadline to the first deadline of the shard, or to past if the
// loop has something to do at once.
func (s *shard) arm() {
	d := sooner(sooner(s.timers.Next(), s.expiry), s.places.yieldAt)
	if len(s.touched)+len(s.outbox)+len(s.inbox) > 0 || s.closed {
		d = past
	}
	if !d.Equal(s.deadline) {
		s.deadline = d
		s.socket.SetReadDeadline(d)
	}
}

// past is a read deadline that wakes the loop.
var past = time.Unix(1, 0)

// wake makes the loop take another turn at once.
func (s *shard) wake() {
	if !s.busy {
		s.arm()
	}
}

// forward notes that a datagram of the batch belongs to another shard.
func (s *shard) forward(to *shard, i int, copied bool) {
	s.forwards = append(s.forwards, forward{to, i, copied})
}

// passOn copies the datagrams for other shards into their inboxes. It does not hold this
// shard's lock, and takes the locks of the others one at a time.
func (s *shard) passOn() {
	for _, f := range s.forwards {
		f.to.mu.Lock()
		f.to.leave(&s.in[f.i], f.copied)
		f.to.mu.Unlock()
	}
	s.forwards = s.forwards[:0]
}

// leave copies a datagram into the inbox.
func (s *shard) leave(d *udpio.Datagram, copied bool) {
	if len(s.inbox) == inboxLen || s.closed {
		s.stats.drops[DropInbox]++
		return
	}
	if len(s.inbox) < cap(s.inbox) {
		s.inbox = s.inbox[:len(s.inbox)+1]
	} else {
		s.inbox = append(s.inbox, left{Datagram: udpio.Datagram{B: make([]byte, 0, inLen)}})
	}
	to := &s.inbox[len(s.inbox)-1]
	to.Remote, to.Local, to.B, to.copied = d.Remote, d.Local, append(to.B[:0], d.B...), copied
	s.wake()
}

// takeInbox processes the datagrams in the inbox. Their memory does not change until the
// handlers of this batch have run.
func (s *shard) takeInbox(now time.Time) {
	s.inbox, s.spare = s.spare[:0], s.inbox
	for i := range s.spare {
		d := &s.spare[i].Datagram
		s.passed = s.spare[i].copied
		if peer.Classify(d.B) == peer.STUN {
			s.check(now, d, -1)
		} else {
			s.records(now, d, -1)
		}
	}
	s.passed = false
}

// sooner returns the earlier of two deadlines, of which zero is the latest.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
