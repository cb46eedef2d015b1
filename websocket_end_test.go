package godwit

import (
	"context"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit/channel"
)

// fillOutbox sends to the newest session, whose client p reads nothing, until the link takes no more.
func (p *player) fillOutbox() *Conn {
	p.w.t.Helper()
	settle()
	var c *Conn
	for c = range p.w.srv.Conns() {
	}
	for range 20 {
		must(p.w.t, c.Send(loot, make([]byte, 1000)))
		settle()
	}
	return c
}

// The client gets the reason of the end, although it sends all the time and what was sent to it
// before is still on its way.
func TestTheReasonOfTheEndLeavesWhileTheClientSends(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		p := w.player()
		p.fillOutbox().Kick("cheating")
		time.Sleep(2 * time.Second) // the server has left the link
		for range 3 {
			must(t, p.say(move, "shot"))
			settle()
		}
		for {
			_, b, err := p.ws.Read(w.t.Context())
			if err != nil {
				t.Fatalf("no reason has come: %v", err)
			}
			p.mux.Receive(time.Now(), b)
			for _, ev := range p.mux.Events(nil) {
				if ev.Type == channel.EventClosed {
					if string(ev.Payload) != "cheating" {
						t.Errorf("the reason is %q", ev.Payload)
					}
					p.wantStatus(websocket.StatusNormalClosure)
					return
				}
			}
		}
	})
}

// A slowReader is a connection whose other end reads a byte after each pause.
type slowReader struct {
	net.Conn
	pause time.Duration
}

func (s slowReader) Read(b []byte) (int, error) {
	time.Sleep(s.pause)
	return s.Conn.Read(b[:min(1, len(b))])
}

// Clients that read slowly, or nothing, do not hold the end of the server.
func TestSlowReadersDoNotHoldTheEndOfTheServer(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		deaf := w.player()
		deaf.fillOutbox()
		w.http = &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := w.pipes.Dial(ctx, "", "")
			return slowReader{conn, 6 * time.Millisecond}, err // 1,000 bytes need 6 s
		}}}
		slow := w.player()
		slow.fillOutbox()
		go func() {
			for {
				if _, _, err := slow.ws.Read(context.Background()); err != nil { // the end of the context would wait for Read
					return
				}
			}
		}()
		start := time.Now()
		w.srv.Close()
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("Close takes %v", took)
		}
	})
}
