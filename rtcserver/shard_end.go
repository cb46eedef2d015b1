package rtcserver

import (
	"errors"
	"log/slog"
	"net"
	"slices"
	"time"
)

// The beginning and the end of connections and shards.

// addOpen adds c to the open connections.
func (s *shard) addOpen(c *Conn) {
	s.open = append(s.open, c)
	c.openIndex = int32(len(s.open))
	s.stats.opened++
	s.server.registry.noteOpen(c)
}

// removeOpen removes c from the open connections, if it is one.
func (s *shard) removeOpen(c *Conn) {
	if c.openIndex == 0 {
		return
	}
	last := s.open[len(s.open)-1]
	s.open[c.openIndex-1], last.openIndex = last, c.openIndex
	s.open[len(s.open)-1] = nil
	s.open = s.open[:len(s.open)-1]
	c.openIndex = 0
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
		for _, c := range s.server.registry.popAllWaiting(s) {
			s.conns[c] = struct{}{}
		}
	}
	for c := range s.conns {
		c.close(now, CloseShutdown, text)
	}
}

// endConns closes every connection and stops all handshakes; no new one begins. The lock is
// held.
func (s *shard) endConns(text string) {
	s.closeAll(text)
	s.loop.Close()
	for c := range s.conns {
		s.endHandshake(c)
	}
}

// lastTurns takes the last turns of a shard whose loop does not run. If it was called before and the socket is closed, it
// only runs the handlers that were not due then.
func (s *shard) lastTurns() {
	if s.over {
		s.fail(net.ErrClosed)
	} else {
		s.ended(s.loop.Run())
	}
	s.removeAll()
}

// closeSocket closes the socket, once.
func (s *shard) closeSocket() {
	if !s.over {
		s.over = true
		s.socket.Close()
	}
}

// removeAll removes the closed connections that are left after the last turn: their pages would be told once more of
// the end.
func (s *shard) removeAll() {
	s.loop.Lock()
	defer s.loop.Unlock()
	for c := range s.conns {
		s.remove(c)
	}
}

// refuseLate closes and removes the connections that wait for their first check, of a shard that may have taken its
// last turn. The lock is held.
func (s *shard) refuseLate() {
	s.closeAll("")
	for c := range s.conns {
		if len(c.addrs) == 0 {
			s.remove(c)
		}
	}
}

// close makes the loop end after a last turn, which closes late connections and runs the
// last handlers.
func (s *shard) close() {
	s.loop.Lock()
	defer s.loop.Unlock()
	s.endConns("")
}

// fail ends a shard whose socket has failed or is closed. It runs the last handlers and
// sends nothing. The server refuses offers from then on, because pages could not connect.
func (s *shard) fail(err error) {
	s.server.refuseOffers()
	s.loop.Lock()
	if !s.loop.Closed() && !errors.Is(err, net.ErrClosed) {
		s.stats.stopped = true
		s.log(slog.LevelError, "rtcserver: reading failed: the shard has stopped and the server refuses every offer; close the server and listen again", "err", err)
	}
	s.endConns("the socket is closed")
	s.loop.Unlock()
	s.loop.Drain()
}
