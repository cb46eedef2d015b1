package godwit

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A message to many sessions is in memory once, in however many queues it is.
func TestBroadcastKeepsOneCopy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Manual = true })
		const players, size = 50, 200 << 10
		for range players {
			_, err := srv.Local(LocalConfig{})
			must(t, err)
		}
		poll := func() {
			for range srv.Poll(0) {
			}
		}
		for srv.Len() < players {
			poll()
			srv.Flush()
		}
		body := make([]byte, size)
		grown := testkit.Allocated(func() { must(t, srv.Broadcast(loot, body)) }) // it stays in the queues until Flush
		queued := 0
		for c := range srv.Conns() {
			queued += c.ChannelStats(loot).QueueBytes
		}
		if queued < players*size || grown > 3*size {
			t.Errorf("%d bytes are queued, and %d were allocated for a message of %d, want at most three times as many", queued, grown, size)
		}
	})
}

// Payloads are used again. A session whose payload still waits, on a slow link, through a resume
// or after other sessions have left, gets the message that was sent to it, and no later one.
func TestBroadcastsDoNotMix(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		var clients, servers []*Conn
		var recorders []*recorder
		for i := range 4 {
			c, s, d := join(t, srv, fmt.Sprint(i))
			clients, servers, recorders = append(clients, c), append(servers, s), append(recorders, d)
		}
		text := func(n int) []byte { return bytes.Repeat(fmt.Appendf(nil, "%03d,", n), 1+n%7*100) }
		cut(clients[1])
		settle()
		for n := range 100 {
			must(t, srv.Broadcast(chat, text(n)))
			must(t, srv.Broadcast(move, text(n)))
			if n == 50 {
				servers[2].Kick("")
			}
			settle()
		}
		resume(clients[1], servers[1])
		time.Sleep(time.Second)
		for i, d := range recorders {
			if i == 2 {
				continue
			}
			next := 0
			for _, line := range d.Take() {
				if rest, ok := bytes.CutPrefix([]byte(line), []byte("chat: ")); ok {
					if !slices.Equal(rest, text(next)) {
						t.Fatalf("client %d: message %d is %.20q with %d bytes", i, next, rest, len(rest))
					}
					next++
				}
			}
			if next != 100 {
				t.Errorf("client %d has %d messages, want 100", i, next)
			}
		}
		if n := srv.Stats().Unsent; n == 0 {
			t.Errorf("the interrupted session was sent sequenced messages: %d unsent", n)
		}
	})
}

// The server counts the sessions that do not get a message to many: a session without room, and
// an interrupted session for which the message would be stale. It does not count a session that
// is being closed.
func TestUnsentMessagesAreCounted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) {
			c.Channels = Channels{{Name: "move", Mode: Sequenced}, {Name: "small", Mode: ReliableOrdered, MaxMessage: 500, QueueLimit: 1000}}
		})
		away, interrupted, _ := join(t, srv, "away")
		_, leaving, _ := join(t, srv, "leaving")
		_, _, d := join(t, srv, "here")
		time.Sleep(time.Second)
		cut(away)
		must(t, leaving.Send(2, make([]byte, 400)))
		leaving.Close(session.CloseNormal, "")
		d.Take()
		must(t, srv.Broadcast(1, []byte("left")))
		must(t, srv.BroadcastExcept(interrupted, 1, []byte("right")))
		if n := srv.Stats().Unsent; n != 1 {
			t.Errorf("%d are unsent, want that to the interrupted one", n)
		}
		settle()
		if got := d.Take(); !slices.Equal(got, []string{"move: left", "move: right"}) {
			t.Errorf("%q, want left and right of move", got)
		}
		room := 0
		for ; interrupted.Free(2) >= 400; room++ {
			must(t, srv.Broadcast(2, make([]byte, 400)))
			time.Sleep(time.Second) // the others' are acknowledged
		}
		must(t, srv.Broadcast(2, make([]byte, 500)))
		if n := srv.Stats().Unsent; room == 0 || n != 2 {
			t.Errorf("%d sessions had room; %d messages are unsent, want 2", room, n)
		}
		if err := srv.Broadcast(2, make([]byte, 501)); err != session.ErrTooLarge {
			t.Errorf("a message of one byte too many: %v, want ErrTooLarge", err)
		}
	})
}

// The server keeps a limited number of payloads for later use, and no large one.
func TestPayloadsAreKeptWithinBounds(t *testing.T) {
	ps := make(payloads, maxPayloads)
	var held []*payload
	for range 2 * maxPayloads {
		held = append(held, ps.get([]byte("x")))
	}
	for _, p := range held {
		if p.unref(); p.holders.Load() != 0 {
			t.Fatal("the payload is still held after the last unref")
		}
	}
	if n := len(ps); n != maxPayloads {
		t.Errorf("%d are kept, want %d", n, maxPayloads)
	}
	p := ps.get([]byte("y"))
	if len(ps) != maxPayloads-1 || string(p.B) != "y" || p.home != ps {
		t.Errorf("the payload is %q, want y; %d are left, want %d", p.B, len(ps), maxPayloads-1)
	}
	p.holders.Add(1)
	if p.unref(); len(ps) != maxPayloads-1 {
		t.Error("the payload is returned though it is still held")
	}
	if p.unref(); len(ps) != maxPayloads {
		t.Error("the payload is not returned after the last unref")
	}
	for n, want := range map[int]int{maxPayload: 1, maxPayload + 1: 0} { // a larger one is not kept
		ps := make(payloads, maxPayloads)
		p := ps.get(nil)
		p.B = make([]byte, n)
		if p.unref(); len(ps) != want {
			t.Errorf("a payload of %d bytes: %d are kept, want %d", n, len(ps), want)
		}
	}
}

// The server gets a payload back when all sessions have sent it, also if a session did not get
// it, and uses it for the next message.
func TestPayloadsGoRound(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		away, _, _ := join(t, srv, "away")
		join(t, srv, "here")
		time.Sleep(time.Second)
		cut(away)
		settle()
		var first *payload
		for n := range 3 {
			must(t, srv.Broadcast(move, []byte("left")))
			time.Sleep(time.Second)
			settle()
			if len(srv.payloads) != 1 {
				t.Fatalf("after message %d: %d payloads are free, want the one", n, len(srv.payloads))
			}
			p := <-srv.payloads
			if srv.payloads <- p; first == nil {
				first = p
			} else if p != first {
				t.Error("a second payload is made for the same message")
			}
		}
	})
}
