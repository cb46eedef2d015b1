package godwit

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"
)

// A message to many is in memory once, however many have it in their queues.
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
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		must(t, srv.Broadcast(loot, body)) // it stays in the queues until Flush
		runtime.ReadMemStats(&after)
		queued := 0
		for c := range srv.Conns() {
			queued += c.ChannelStats(loot).QueueBytes
		}
		if grown := after.TotalAlloc - before.TotalAlloc; queued < players*size || grown > 3*size {
			t.Errorf("%d bytes are queued, and %d were allocated for a message of %d", queued, grown, size)
		}
	})
}

// Payloads go round: who still waits for one, on a slow link, through a resume or after
// others have left, gets what was sent to it and nothing newer.
func TestBroadcastsDoNotMix(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		var clients, servers []*Conn
		var diaries []*diary
		for i := range 4 {
			c, s, d := join(t, srv, fmt.Sprint(i))
			clients, servers, diaries = append(clients, c), append(servers, s), append(diaries, d)
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
		for i, d := range diaries {
			if i == 2 {
				continue
			}
			next := 0
			for _, line := range d.take() {
				if rest, ok := bytes.CutPrefix([]byte(line), []byte("chat: ")); ok {
					if !slices.Equal(rest, text(next)) {
						t.Fatalf("client %d: message %d is %.20q and %d bytes long", i, next, rest, len(rest))
					}
					next++
				}
			}
			if next != 100 {
				t.Errorf("client %d has %d messages", i, next)
			}
		}
		if n := srv.Stats().Unsent; n == 0 {
			t.Error("the interrupted one was sent positions")
		}
	})
}
