package rtcserver

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"time"
)

// The beginning and the end of connections and shards.

// enlist adds c to the open connections.
func (s *shard) enlist(c *Conn) {
	s.open = append(s.open, c)
	c.place = len(s.open)
	s.stats.opened++
}

// strike removes c from the open connections, if it is one.
func (s *shard) strike(c *Conn) {
	if c.place == 0 {
		return
	}
	last := s.open[len(s.open)-1]
	s.open[c.place-1], last.place = last, c.place
	s.open[len(s.open)-1] = nil
	s.open = s.open[:len(s.open)-1]
	c.place = 0
}

// allOpen returns the shard's connections that are open.
func (s *shard) allOpen() []*Conn {
	s.loop.Lock()
	defer s.loop.Unlock()
	return slices.Clone(s.open)
}

// closeAll closes every connection of the shard. The first shard also closes the
// connections that wait for their first check. The lock is held.
func (s *shard) closeAll(text string) {
	now := time.Now()
	if s == s.server.shards[0] {
		for _, c := range s.server.registry.adoptAll(s) {
			s.conns[c] = struct{}{}
		}
	}
	for c := range s.conns {
		c.close(now, CloseShutdown, text)
	}
}

// end closes every connection and stops all handshakes; no new one begins. The lock is
// held.
func (s *shard) end(text string) {
	s.closeAll(text)
	s.loop.Close()
	for c := range s.conns {
		s.endHandshake(c)
	}
}

// close makes the loop end after a last turn, which closes late connections and runs the
// last handlers.
func (s *shard) close() {
	s.loop.Lock()
	defer s.loop.Unlock()
	s.end("")
}

// stop ends a shard whose socket has failed or is closed. It runs the last handlers and
// sends nothing. The server refuses offers from then on, because pages could not connect.
func (s *shard) stop(err error) {
	s.server.refuseOffers()
	s.loop.Lock()
	if !s.loop.Closed() && !errors.Is(err, net.ErrClosed) {
		s.stats.stopped = true
		s.log(slog.LevelError, "rtcserver: reading failed: the shard has stopped and the server refuses every offer; close the server and listen again", "err", err)
	}
	s.end("the socket is closed")
	s.loop.Unlock()
	s.loop.Drain()
}
