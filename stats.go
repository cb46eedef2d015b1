package godwit

import (
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Stats are the counters of a server since it was made.
type Stats struct {
	Open    int    // sessions that are open now, interrupted ones included
	Pending int    // sessions that are not open yet
	Begun   uint64 // sessions that have opened
	Refused uint64 // connect requests refused: malformed, authorization, version, table, resume token, Duplicates, MaxConns, sessions per address
	Unsent  uint64 // messages of Broadcast and groups that a session did not get: its queue was full, it was interrupted, or the message did not fit its channel

	Closed map[session.CloseCode]uint64 // sessions that were open and are over, by code; the program's own codes are counted as CloseProgram
	Left   uint64                       // those of Closed that the client ended

	RTC   rtcserver.Stats // counters of the WebRTC side; zero if the server has no port
	Links LinkStats       // counters of the links that are not WebRTC

	Direct DirectStats // counters of the links that begin without a request
}

// endings counts how sessions ended.
type endings struct {
	byCode [32]atomic.Uint64 // by code; the last element is for all codes from 31 on
	remote atomic.Uint64
}

func (e *endings) count(why CloseReason) {
	e.byCode[min(int(why.Code), len(e.byCode)-1)].Add(1)
	if why.Remote {
		e.remote.Add(1)
	}
}

// Stats returns the counters as they are now.
func (s *Server) Stats() Stats {
	t := Stats{
		Open:    s.Len(),
		Begun:   s.begun.Load(),
		Refused: s.refused.Load(),
		Unsent:  s.unsent.Load(),
		Left:    s.ended.remote.Load(),
		Closed:  make(map[session.CloseCode]uint64),
	}
	t.Pending = max(0, s.directory.count()-t.Open)
	for i := range s.ended.byCode {
		code := session.CloseCode(i)
		if i == len(s.ended.byCode)-1 {
			code = session.CloseProgram
		}
		if n := s.ended.byCode[i].Load(); n > 0 {
			t.Closed[code] = n
		}
	}
	if s.rtc != nil {
		t.RTC = s.rtc.Stats()
	}
	t.Links = s.links.linkStats()
	t.Direct = s.direct.stats()
	return t
}

// Stats returns the counters as they are now.
func (c *Conn) Stats() session.Stats {
	a := c.acquire()
	defer c.release(a)
	return c.session.Stats(time.Now())
}

// ChannelStats returns the counters of one channel as they are now.
func (c *Conn) ChannelStats(ch ChannelID) channel.ChannelStats {
	a := c.acquire()
	defer c.release(a)
	return c.session.Mux().ChannelStats(ch)
}
