package rtcserver

import (
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
)

// Broadcast sends one message to every connection that is open, on the channel of
// that stream id, and returns to how many. It takes less time than Send for each of
// them, and like that copies b and does not wait. Who cannot be sent to, as when b is
// larger than MaxMessage, goes without. It may be called from any goroutine, handlers
// included; other calls on the connections go on in between.
func (s *Server) Broadcast(stream uint16, k Kind, b []byte) (n int) {
	for _, sh := range s.shards {
		n += sh.broadcast(stream, k, b)
	}
	return n
}

// broadcast holds the lock for one batch of datagrams at a time.
func (s *shard) broadcast(stream uint16, k Kind, b []byte) (n int) {
	for conns := s.allOpen(); len(conns) > 0; {
		batch := conns[:min(len(conns), batchLen)]
		conns = conns[len(batch):]
		n += s.sendTo(batch, stream, k, b)
	}
	return n
}

func (s *shard) sendTo(conns []*Conn, stream uint16, k Kind, b []byte) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i, c := range conns {
		s.preload(conns, i)
		if c.write(now, stream, k, b) == nil {
			n++
		}
		if !c.inBatch {
			s.timers.Set(c, &c.timer, c.deadline())
		}
	}
	if !s.busy {
		s.flush()
		s.arm()
	}
	return n
}

// preload prepares a loop over conns that has come to the i-th. Thousands of
// connections do not fit the cache, and a message needs thirty lines of it from
// four objects that point to each other. Fetched when they are needed they take
// longer than all that is done with them; fetched a few turns ahead, a step of
// pointers a turn, they take next to nothing.
func (s *shard) preload(conns []*Conn, i int) {
	const conn = peer.PreloadSteps + 1 // the connection comes first
	if i+conn < len(conns) {
		s.preloaded += int(conns[i+conn].sent)
		if conns[i+conn].peer == nil {
			s.preloaded++
		}
	}
	for step := range peer.PreloadSteps {
		if j := i + peer.PreloadSteps - step; j < len(conns) {
			s.preloaded += conns[j].peer.Preload(step)
		}
	}
}

// find notes whose datagrams are in the batch of n, as far as that is known.
func (s *shard) find(n int) {
	clear(s.found)
	s.found = s.found[:0]
	for i := range n {
		if c := s.byAddr[s.in[i].Remote]; c != nil {
			s.found = append(s.found, c)
		}
	}
}
