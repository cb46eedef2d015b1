package rtcserver

import (
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// The functions below pass datagrams from one shard to another. The shard's lock is held,
// except in forwardAll.

// forward notes that a datagram of the batch belongs to another shard.
func (s *shard) forward(to *shard, i int, copied bool) {
	s.forwards = append(s.forwards, forward{to, i, copied})
}

// forwardAll copies the datagrams for other shards into their inboxes. It does not hold this
// shard's lock, and takes the locks of the others one at a time.
func (s *shard) forwardAll() {
	for _, f := range s.forwards {
		f.to.loop.Lock()
		f.to.addToInbox(&s.batch[f.i], f.copied)
		f.to.loop.Unlock()
	}
	s.forwards = s.forwards[:0]
}

// addToInbox copies a datagram into the inbox.
func (s *shard) addToInbox(d *udpio.Datagram, copied bool) {
	if s.inbox.Len() == inboxLen || s.loop.Closed() {
		s.stats.drops[DropInbox]++
		return
	}
	to := s.inbox.Add()
	to.Remote, to.Local, to.B, to.copied = d.Remote, d.Local, append(to.B[:0], d.B...), copied
	s.loop.Wake()
}

// takeInbox processes the datagrams in the inbox. Their memory does not change until the
// handlers of this batch have run.
func (s *shard) takeInbox(now time.Time) {
	taken := s.inbox.Take()
	for i := range taken {
		d := &taken[i].Datagram
		s.passed = taken[i].copied
		if peer.Classify(d.B) == peer.STUN {
			s.receiveCheck(now, d, -1)
		} else {
			s.receiveDTLS(now, d, -1)
		}
	}
	s.passed = false
}
