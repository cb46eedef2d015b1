package rtcserver

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// pipeListener is a listener in memory, so that slow sockets cost no time.
type pipeListener struct {
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), over: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.over:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.once.Do(func() { close(l.over) }); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 80} }

func (l *pipeListener) dial() net.Conn {
	ours, theirs := net.Pipe()
	l.conns <- theirs
	return ours
}

// inWeb runs a test in a world whose server is behind an http.Server without limits.
func inWeb(t *testing.T, c Config, test func(w *world, l *pipeListener)) {
	inWorld(t, c, func(w *world) {
		l := newPipeListener()
		h := &http.Server{Handler: w.server}
		done := make(chan struct{})
		go func() { defer close(done); h.Serve(l) }()
		test(w, l)
		h.Close()
		<-done
		time.Sleep(2 * time.Second) // those who drip notice
	})
}

// Sockets that send their offer a byte at a time, or nothing of it.
func TestSlowOffersAreGivenUp(t *testing.T) {
	inWeb(t, Config{}, func(w *world, l *pipeListener) {
		p := w.open()
		const sockets = 1000
		var all sync.WaitGroup
		for i := range sockets {
			all.Go(func() {
				c := l.dial()
				defer c.Close()
				fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: game.example\r\nContent-Length: 2000\r\n\r\n")
				go func() { // a drop every second, or none
					for i%2 == 0 {
						time.Sleep(time.Second)
						if _, err := c.Write([]byte("v")); err != nil {
							return
						}
					}
				}()
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Error(err)
					return
				}
				if resp.StatusCode != http.StatusRequestTimeout {
					t.Errorf("a slow offer gets the status %d, want 408", resp.StatusCode)
				}
			})
		}
		begin := time.Now()
		time.Sleep(5 * time.Second)
		p.echoes("live traffic goes on")
		all.Wait()
		if d := time.Since(begin); d > 15*time.Second {
			t.Errorf("slow offers have held the server for %v, want at most 15 s", d)
		}
		if _, waiting := w.server.registry.count(); waiting != 0 {
			t.Errorf("%d connections wait, want 0", waiting)
		}
		if n := w.server.Stats().Refused[http.StatusRequestTimeout]; n != sockets {
			t.Errorf("%d refusals are counted, want %d", n, sockets)
		}
	})
}

// A refusal does not wait for the body either.
func TestSlowBodiesOfRefusedOffers(t *testing.T) {
	inWeb(t, Config{}, func(w *world, l *pipeListener) {
		c := l.dial()
		defer c.Close()
		fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: game.example\r\nOrigin: https://evil.example\r\nContent-Length: 2000\r\n\r\n")
		begin := time.Now()
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d > 11*time.Second {
			t.Errorf("the socket was open for %v, want at most 11 s", d)
		}
	})
}

// Bodies of 10 MB, and SDP of a million lines.
func TestHugeOffers(t *testing.T) {
	inWeb(t, Config{}, func(w *world, l *pipeListener) {
		p := w.open()
		offer := browserOffer(t)
		for name, body := range map[string]string{
			"10 MB":           strings.Repeat("x", 10<<20),
			"a million lines": offer + strings.Repeat("a=x\r\n", 1_000_000),
			"a long line":     offer + "a=" + strings.Repeat("x", 12<<10) + "\r\n",
			"many lines":      offer + strings.Repeat("\r\n", 5000),
			"JSON in JSON":    `{"sdp":` + strings.Repeat("[", 10_000),
			"many m-lines":    offer + strings.Repeat("m=audio 9 X 0\r\n", 900),
		} {
			c, sent := l.dial(), []byte(body)
			allocated := testkit.Allocated(func() {
				go func() {
					fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: game.example\r\nContent-Length: %d\r\n\r\n", len(body))
					c.Write(sent)
				}()
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				text, _ := io.ReadAll(resp.Body)
				if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusRequestEntityTooLarge || bytes.Count(text, []byte("\n")) != 1 {
					t.Errorf("%s: status %d, %q, want 400 or 413 and one line", name, resp.StatusCode, text)
				}
				c.Close()
				synctest.Wait()
			})
			if allocated > 512<<10 {
				t.Errorf("%s: %d bytes are allocated, want at most 512 KiB", name, allocated)
			}
		}
		if _, waiting := w.server.registry.count(); waiting != 0 {
			t.Errorf("%d connections wait, want 0", waiting)
		}
		p.echoes("live traffic goes on")
	})
}

// Headers of a megabyte, as an http.Server takes them by default: they are neither
// taken apart nor sent back.
func TestHugeHeaders(t *testing.T) {
	s := listen(t, Config{Settings: Settings{Certificate: serverCertificate, MaxOffers: -1}})
	for _, c := range []struct{ header, begins, repeats string }{
		{"Origin", "https://", "<"},
		{"Origin", "", "é"},
		{"Content-Type", "text/plain", ";a=b"},
		{"Content-Type", "", ","},
		{"X-Forwarded-For", "", ","},
		{"X-Forwarded-For", "", "198.51.100.1,"},
		{"method", "", "<"},
	} {
		long := c.begins + strings.Repeat(c.repeats, 1<<20/len(c.repeats))
		edit := func(r *http.Request) { r.Header.Set(c.header, long) }
		if c.header == "method" {
			edit = func(r *http.Request) { r.Method = long }
		}
		var w *httptest.ResponseRecorder
		allocated := testkit.Allocated(func() { w = signal(t, s, "", edit) })
		if sent := w.Body.Len(); allocated > 64<<10 || sent > 1<<10 || w.Code < 400 {
			t.Errorf("%s with many %q: status %d; %d bytes are allocated and %d sent back, want at most 64 KiB and 1 KiB", c.header, c.repeats, w.Code, allocated, sent)
		}
	}
	wantNothing(t, s)
}
