package godwit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// What breaks the protocol ends the WebSocket, with a status that says why, and nobody else's
// session. The session goes on where its client resumes it.
func TestBrokenWebSockets(t *testing.T) {
	for name, c := range map[string]struct {
		send   func(p *player) error
		status websocket.StatusCode
	}{
		"text":      {func(p *player) error { return p.ws.Write(p.w.t.Context(), websocket.MessageText, []byte("hello")) }, 1003},
		"too large": {func(p *player) error { return p.ws.Write(p.w.t.Context(), websocket.MessageBinary, make([]byte, 1151)) }, 1009},
		"much too large": {func(p *player) error {
			return p.ws.Write(p.w.t.Context(), websocket.MessageBinary, make([]byte, 1<<20))
		}, 1009},
		"too large in fragments": {func(p *player) error {
			m, err := p.ws.Writer(p.w.t.Context(), websocket.MessageBinary)
			for range 2000 {
				if err == nil {
					_, err = m.Write([]byte{1})
				}
			}
			return err
		}, 1009},
	} {
		t.Run(name, func(t *testing.T) {
			onSite(t, Config{}, func(w *site) {
				other, p := w.player(), w.player()
				p.echo("hello")
				other.echo("hello")
				go c.send(p) // the server may not read all of it
				p.wantStatus(c.status)
				settle()
				if st := w.srv.Stats(); st.Links.Broken != 1 || st.Links.Open != 1 || st.Open != 2 {
					t.Errorf("%+v", st.Links)
				}
				other.echo("undisturbed")
			})
		})
	}
}

// A client may send a ping now and then. One that floods is sent away.
func TestPings(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		p := w.player()
		p.echo("hello")
		go func() {
			for {
				if _, _, err := p.ws.Read(w.t.Context()); err != nil {
					return
				}
			}
		}()
		for range 30 {
			must(t, p.ws.Ping(w.t.Context()))
			time.Sleep(time.Second)
		}
		settle()
		if n := w.srv.Stats().Links.Broken; n != 0 {
			t.Errorf("a ping a second breaks %d WebSockets", n)
		}
		for i := range 1000 {
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
			err := p.ws.Ping(ctx)
			cancel()
			if err != nil {
				if i < 16 || i > 20 {
					t.Errorf("the server ends it after %d pings", i)
				}
				break
			}
		}
		settle()
		if n := w.srv.Stats().Links; n.Broken != 1 || n.Open != 0 {
			t.Errorf("%+v", n)
		}
	})
}

// upgraded opens a WebSocket by hand, for what the library does not send.
func (w *site) upgraded() (net.Conn, *bufio.Reader) {
	w.t.Helper()
	ticket := w.ticket()
	conn := testkit.Must(w.pipes.Dial(w.t.Context(), "", ""))
	w.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: game.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: godwit.1, ticket.%s\r\n\r\n", ticket)
	r := bufio.NewReader(conn)
	if resp := testkit.Must(http.ReadResponse(r, nil)); resp.StatusCode != http.StatusSwitchingProtocols {
		w.t.Fatalf("status %d", resp.StatusCode)
	}
	return conn, r
}

// frame returns a frame of a client. The masking key is zero.
func frame(first byte, payload []byte) []byte {
	b := []byte{first, 0x80 | 126, byte(len(payload) >> 8), byte(len(payload)), 0, 0, 0, 0}
	if len(payload) < 126 {
		b = []byte{first, 0x80 | byte(len(payload)), 0, 0, 0, 0}
	}
	return append(b, payload...)
}

// Frames that no client of ours sends end the WebSocket, within seconds, and leave nothing behind.
func TestFramesThatBreakTheProtocol(t *testing.T) {
	huge := binary.BigEndian.AppendUint64([]byte{0x82, 0x80 | 127}, 1<<62)
	for name, b := range map[string][]byte{
		"not masked":             {0x82, 1, 0},
		"reserved bits":          frame(0xf2, []byte{1}),
		"an unknown opcode":      frame(0x83, []byte{1}),
		"a continuation":         frame(0x80, []byte{1}),
		"a ping in fragments":    frame(0x09, []byte{1}),
		"a long ping":            frame(0x89, make([]byte, 126)),
		"a message in a message": append(frame(0x02, []byte{1}), frame(0x82, []byte{1})...),
		"a huge length":          append(append(huge, 0, 0, 0, 0), make([]byte, 4000)...),
		"a bad close":            frame(0x88, []byte{1}),
		"noise":                  bytes.Repeat([]byte{0xff}, 3000),
	} {
		t.Run(name, func(t *testing.T) {
			onSite(t, Config{}, func(w *site) {
				conn, r := w.upgraded()
				go conn.Write(b)
				start := time.Now()
				io.Copy(io.Discard, r)
				if took := time.Since(start); took > 5*time.Second {
					t.Errorf("the server ends it after %v", took)
				}
				time.Sleep(10 * time.Second)
				if st := w.srv.Stats(); st.Links.Open != 0 || st.Links.Broken != 1 || w.srv.directory.count() != 0 || w.ends() != 0 {
					t.Errorf("%+v, %d sessions", st.Links, w.srv.directory.count())
				}
			})
		})
	}
}

// A client that sends a byte a second, and one that says nothing, are sent away after OpenTimeout.
func TestSlowClients(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		slow, r := w.upgraded()
		w.upgraded()
		go func() {
			for _, b := range frame(0x82, make([]byte, 1000)) {
				if _, err := slow.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		go io.Copy(io.Discard, r)
		time.Sleep(8 * time.Second)
		if st := w.srv.Stats(); st.Links.Open != 0 || w.srv.directory.count() != 0 {
			t.Errorf("%+v, %d sessions", st.Links, w.srv.directory.count())
		}
	})
}

// A client that never reads makes the server hold no more than the queues of its channels, and
// is sent away after 10 s. Others are not disturbed.
func TestAClientThatNeverReads(t *testing.T) {
	var deaf *Conn
	onSite(t, Config{Handler: Handler{Open: func(c *Conn) {
		if deaf == nil {
			deaf = c
		}
	}}}, func(w *site) {
		p := w.player()
		settle()
		other := w.player()
		other.echo("hello")
		for range 1000 {
			deaf.Send(chat, make([]byte, 1000))
			deaf.Send(move, make([]byte, 1000))
		}
		if st := deaf.Stats(); st.PacketsOut > 12 {
			t.Errorf("%d packets have left for a client that reads none", st.PacketsOut)
		}
		start := time.Now()
		for w.srv.Stats().Links.Open == 2 && time.Since(start) < time.Minute {
			time.Sleep(500 * time.Millisecond)
			other.echo("undisturbed")
			p.say(move, "I talk") // until the server closes it
		}
		if took := time.Since(start); took > 14*time.Second {
			t.Errorf("it is sent away after %v", took)
		}
	})
}

// Upgrades without a ticket cost nothing that stays, and are limited by address.
func TestUpgradesWithoutATicket(t *testing.T) {
	onSite(t, Config{}, func(w *site) {
		p := w.player()
		codes := map[int]int{}
		for range 10_000 {
			r := testkit.Must(http.NewRequest(http.MethodGet, "http://game.example/", nil))
			r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"}, "Sec-Websocket-Protocol": {"godwit.1, ticket.AAAAAAAAAAAAAAAAAAAAAA"}}
			r.RemoteAddr = "203.0.113.9:1"
			codes[testkit.Serve(w.srv, r).Code]++
		}
		if codes[403] != 80 || codes[429] != 9920 {
			t.Errorf("%v", codes)
		}
		if st := w.srv.Stats().Links; st.Refused != 10_000 || st.Open != 1 || w.tickets() != 0 {
			t.Errorf("%+v", st)
		}
		p.echo("undisturbed")
	})
}
