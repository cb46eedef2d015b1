package rtcserver

import (
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/prefetch"
)

// Broadcast sends one message to every open connection, on the channel with this stream
// id. It returns the number of connections to which it has sent. It is faster than Send for
// each of them. Like Send it copies b and does not wait. A connection for which Send would
// return an error does not get the message. Broadcast may be called from any goroutine and
// in handlers. It does not hold the lock of a shard all the time: other calls on the
// connections run in between.
func (s *Server) Broadcast(stream uint16, k Kind, b []byte) (n int) {
	for _, sh := range s.shards {
		n += sh.broadcast(stream, k, b)
	}
	return n
}

// broadcast sends the message to the shard's open connections. It locks the shard for one
// batch of datagrams at a time.
func (s *shard) broadcast(stream uint16, k Kind, b []byte) (n int) {
	for conns := s.allOpen(); len(conns) > 0; {
		batch := conns[:min(len(conns), batchLen)]
		conns = conns[len(batch):]
		n += s.sendTo(batch, stream, k, b)
	}
	return n
}

func (s *shard) sendTo(conns []*Conn, stream uint16, k Kind, b []byte) (n int) {
	s.loop.Lock()
	defer s.loop.Unlock()
	now := time.Now()
	for i, c := range conns {
		s.preload(conns, i)
		if c.write(now, stream, k, b) == nil {
			n++
		}
		s.loop.Pushed(c)
	}
	s.loop.SendBatch()
	return n
}

// preload loads memory that the next turns of a loop over conns need; the loop is at index
// i. Thousands of connections do not fit the cache, and a message needs thirty cache lines
// of four objects that point to each other. To load them when they are needed takes longer
// than everything else in the loop. To load them a few turns before, one pointer in each
// turn, takes almost no time.
func (s *shard) preload(conns []*Conn, i int) {
	if j := i + preloadSteps + 1; j < len(conns) {
		prefetch.All(conns[j])
	}
	for step := range preloadSteps {
		if j := i + preloadSteps - step; j < len(conns) {
			conns[j].peer.Preload(step)
			conns[j].engine.Preload(step)
		}
	}
}

// preloadSteps is the number of steps in which preload loads what a Conn points to.
const preloadSteps = max(peer.PreloadSteps, enginePreloadSteps)

// enginePreloadSteps is the number of steps of Engine.Preload.
const enginePreloadSteps = 4

// find sets s.found to the connections whose addresses the datagrams of the batch come
// from.
func (s *shard) find() {
	clear(s.found)
	s.found = s.found[:0]
	for i := range s.batch {
		if c := s.byAddr[s.batch[i].Remote]; c != nil {
			s.found = append(s.found, c)
		}
	}
}
