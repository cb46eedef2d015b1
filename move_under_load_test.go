package godwit

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"
)

// A session moves back and forth between links that have different locks and goroutines, while
// both ends send from several goroutines and handlers answer. No message may be lost, duplicated
// or out of order, and handlers of one Conn may not overlap. All goroutines wake at the same
// times, so that they collide.
func TestSessionMovesUnderLoad(t *testing.T) { bubble(t, movesUnderLoad) }

func movesUnderLoad(t *testing.T) {
	const messages, senders, moves = 300, 3, 40
	type side struct {
		mu    sync.Mutex // held by handlers: two at once are a bug, which TryLock finds
		count [senders]uint32
		total int
		done  chan struct{}
	}
	ends := [2]*side{{done: make(chan struct{})}, {done: make(chan struct{})}}
	handler := func(s *side) Handler {
		return Handler{Message: func(c *Conn, ch ChannelID, b []byte) {
			if !s.mu.TryLock() {
				t.Error("two handlers of one Conn run at the same time")
				return
			}
			defer s.mu.Unlock()
			from, n := b[0], binary.BigEndian.Uint32(b[1:])
			if n != s.count[from] {
				t.Errorf("message %d of sender %d has arrived, want %d", n, from, s.count[from])
			}
			s.count[from] = n + 1
			if s.total++; s.total == messages*senders {
				close(s.done)
			}
			c.Send(move, b) // it may be interrupted, and does not matter
		}}
	}
	opened := make(chan *Conn, 1)
	srv, _ := newTestServer(t, func(c *Config) {
		c.Handler = handler(ends[0])
		c.Handler.Message = onlyChat(c.Handler.Message)
		c.Handler.Open = func(c *Conn) { opened <- c }
		c.Limits = Limits{Messages: -1, Bytes: -1}
		c.Ceiling = -1
	})
	h := handler(ends[1])
	h.Message = onlyChat(h.Message)
	client, err := srv.Local(LocalConfig{Handler: h})
	must(t, err)
	server := <-opened
	other := newLinks(srv)
	other.start()
	defer other.stop()

	var sending sync.WaitGroup
	for _, c := range []*Conn{client, server} {
		for from := range senders {
			sending.Go(func() {
				for n := uint32(0); n < messages; {
					b := binary.BigEndian.AppendUint32([]byte{byte(from)}, n)
					err := c.Send(chat, b)
					if err == nil {
						n++
					}
					if err != nil || n%4 == 0 {
						time.Sleep(ms)
					}
				}
			})
		}
	}
	for i := range moves {
		l := srv.links
		if i%2 == 0 {
			l = other
		}
		from := client.home.Load().link.(*linkEnd)
		l.connect(server, client)
		l.loop.Lock()
		a := l.ends[len(l.ends)-1].anchor
		l.loop.Unlock()
		if i%3 == 0 {
			from.Close("") // the old link dies first
		}
		client.move(a)
		time.Sleep(2 * ms)
	}
	sending.Wait()
	<-ends[0].done
	<-ends[1].done
	if n := server.Stats().Resumed; n != moves {
		t.Errorf("the session has moved %d times, want %d", n, moves)
	}
}

func onlyChat(f func(*Conn, ChannelID, []byte)) func(*Conn, ChannelID, []byte) {
	return func(c *Conn, ch ChannelID, b []byte) {
		if ch == chat {
			f(c, ch, b)
		}
	}
}
