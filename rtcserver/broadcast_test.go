package rtcserver

import (
	"testing"
	"testing/synctest"
)

// There are more pages than a batch holds, and one has closed.
func TestBroadcastReachesThoseThatAreOpen(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxPerIP: -1, MaxOffers: -1}}, func(w *world) {
		var pages []*page
		for range batchLen + 3 {
			pages = append(pages, w.open())
		}
		pages[1].conn.Close()
		synctest.Wait()
		if n := w.server.Broadcast(7, Text, []byte("all")); n != len(pages)-1 {
			t.Errorf("Broadcast = %d, want %d", n, len(pages)-1)
		}
		synctest.Wait()
		for i, p := range pages {
			if i == 1 {
				p.want("the one that has gone", "close: closed by the client")
				continue
			}
			p.want("one of those that are open", "7 0 all")
		}
		if n := w.server.Broadcast(7, Text, make([]byte, MaxMessage+1)); n != 0 {
			t.Errorf("Broadcast of a message that is too large = %d, want 0", n)
		}
	})
}

// A broadcast in a handler leaves with the handler's batch, and reaches its sender, too.
func TestBroadcastInAHandler(t *testing.T) {
	var s *Server
	inWorld(t, Config{Handler: Handler{Message: func(_ *Conn, m Message) {
		if n := s.Broadcast(m.Stream, m.Kind, m.Data); n != 2 {
			t.Errorf("Broadcast = %d, want 2", n)
		}
	}}}, func(w *world) {
		s = w.server
		a, b := w.open(), w.open()
		synctest.Wait() // until the server's turn in which b opens is over
		a.send("both")
		a.want("who said it", "3 0 both")
		b.want("the other", "3 0 both")
	})
}

// The list of open connections is right after connections close in any order.
func TestListOfOpenConnections(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		pages := []*page{w.open(), w.open(), w.open()}
		synctest.Wait()
		for left, i := range []int{0, 2, 1} {
			seen := 0
			for range w.server.Conns() {
				seen++
			}
			if want := 3 - left; seen != want || len(w.server.shards[0].open) != want {
				t.Errorf("%d are open, want %d", seen, want)
			}
			pages[i].conn.Close()
			synctest.Wait()
		}
		wantNothing(t, w.server)
	})
}

// One allocation a call: the list.
func TestBroadcastDoesNotAllocatePerMessage(t *testing.T) {
	onRecording(t, 1, func(w *world, rec *recordingSocket) {
		send := func() { w.server.Broadcast(0, Binary, []byte("0123456789")) }
		send()
		rec.sent = 0
		if n := testing.AllocsPerRun(100, send); n > 1 {
			t.Errorf("%v allocations, want at most 1", n)
		}
		if rec.sent == 0 {
			t.Error("no datagram is sent")
		}
	})
}
