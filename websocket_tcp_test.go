package godwit

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

// overTCP returns a site whose HTTP is reached over TCP, in real time.
func overTCP(t *testing.T, c Config) *site {
	t.Helper()
	c.Channels = table
	c.RTC.MaxOffers, c.RTC.MaxPerIP = -1, -1
	srv, err := Listen("127.0.0.1:0", c)
	must(t, err)
	web := httptest.NewServer(srv)
	t.Cleanup(func() { srv.Close(); web.Close() })
	var dialer net.Dialer
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", web.Listener.Addr().String())
	}
	return &site{t: t, srv: srv, http: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}}
}

// exchange sends a message and waits for its echo.
func (p *player) exchange(ctx context.Context, text string) error {
	if err := p.say(chat, text); err != nil {
		return err
	}
	for {
		_, b, err := p.ws.Read(ctx)
		if err != nil {
			return err
		}
		p.mux.Receive(time.Now(), b)
		for _, ev := range p.mux.Events(nil) {
			if ev.Type == channel.EventMessage && ev.Channel == chat && string(ev.Payload) == text {
				return nil
			}
		}
		if err := p.flush(); err != nil {
			return err
		}
	}
}

// Sessions whose WebSockets use TCP exchange messages while the program sends to all of them
// and one client reads nothing. Handlers run one at a time, on whichever goroutine.
func TestSessionsOverTCP(t *testing.T) {
	var running, overlaps atomic.Int32
	var last *Conn // handlers of all these sessions may use it without a lock
	w := overTCP(t, Config{Handler: Handler{Message: func(c *Conn, ch ChannelID, b []byte) {
		if running.Add(1) != 1 {
			overlaps.Add(1)
		}
		last = c
		c.Send(ch, b)
		running.Add(-1)
	}}})
	w.player() // reads nothing
	var players []*player
	for range 4 {
		players = append(players, w.player())
	}
	stop := make(chan bool)
	var sending, playing sync.WaitGroup
	sending.Go(func() {
		for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
			w.srv.Broadcast(move, make([]byte, 500))
			w.srv.Flush()
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i, p := range players {
		playing.Go(func() {
			for n := range 50 {
				if err := p.exchange(t.Context(), fmt.Sprint("message ", n, " of ", i)); err != nil {
					t.Errorf("player %d: %v", i, err)
					return
				}
			}
		})
	}
	playing.Wait()
	close(stop)
	sending.Wait()
	if overlaps.Load() != 0 || last == nil {
		t.Errorf("%d handlers ran beside another one", overlaps.Load())
	}
}

// A handler may close the session whose WebSocket it runs on.
func TestAHandlerEndsItsSessionOverTCP(t *testing.T) {
	closed := make(chan CloseReason, 1)
	w := overTCP(t, Config{Handler: Handler{
		Message: func(c *Conn, _ ChannelID, _ []byte) { c.Kick("enough") },
		Close:   func(_ *Conn, why CloseReason) { closed <- why },
	}})
	p := w.player()
	must(t, p.say(chat, "hello"))
	p.wantStatus(1000)
	if why := <-closed; why.Text != "enough" {
		t.Errorf("closed with %v", why)
	}
}

// A session is opened by the loop's goroutine, which has the stack for it. Messages are delivered by
// the goroutine that reads its WebSocket.
func TestWhichGoroutineOpensASession(t *testing.T) {
	opened, came := make(chan string, 1), make(chan string, 100)
	w := overTCP(t, Config{Handler: Handler{
		Open:    func(*Conn) { opened <- string(debug.Stack()) },
		Message: func(*Conn, ChannelID, []byte) { came <- string(debug.Stack()) },
	}})
	p := w.player()
	const reads = "websock.(*Conn).read("
	if stack := <-opened; strings.Contains(stack, reads) {
		t.Errorf("it is opened by\n%s", stack)
	}
	for stack := ""; !strings.Contains(stack, reads); stack = <-came { // unless a turn of the loop's goroutine runs
		must(t, p.say(chat, "hello"))
	}
}
