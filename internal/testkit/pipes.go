package testkit

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Pipes are TCP in memory: what Dial opens reaches an http.Server with a handler. It is for
// requests that take over their connection, which Transport cannot answer.
type Pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// ServeHTTP starts an HTTP server of h on pipes, until the test ends.
func ServeHTTP(t testing.TB, h http.Handler) *Pipes { return startHTTP(t, &http.Server{Handler: h}) }

func startHTTP(t testing.TB, s *http.Server) *Pipes {
	p := &Pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	go s.Serve(p)
	t.Cleanup(func() { s.Close() })
	return p
}

// EndsSlowClients tests a server that webServer makes of a handler: it uses the handler, closes a connection after
// 5 s whose first request does not come whole, and after a minute one whose client asks nothing more.
func EndsSlowClients(t *testing.T, webServer func(http.Handler) *http.Server) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := startHTTP(t, webServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })))
		for request, want := range map[string]time.Duration{
			"GET / HTTP/1.1\r\n":                             5 * time.Second,
			"GET / HTTP/1.1\r\nHost: server.example\r\n\r\n": time.Minute,
		} {
			conn := Must(p.Dial(t.Context(), "", ""))
			conn.SetDeadline(time.Now().Add(time.Hour))
			begin := time.Now()
			Must(io.WriteString(conn, request))
			answer, err := io.ReadAll(conn)
			if took := time.Since(begin); err != nil || took != want {
				t.Errorf("after %q the connection ends after %v, %v; want %v", request, took, err, want)
			}
			if teapot := bytes.Contains(answer, []byte(" 418 ")); teapot != (want == time.Minute) {
				t.Errorf("the answer to %q is %q", request, answer)
			}
		}
	})
}

// Dial opens a connection to the server, whatever the address.
func (p *Pipes) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Client returns an HTTP client whose requests reach the server.
func (p *Pipes) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.Dial, DisableKeepAlives: true}}
}

// Accept returns the next connection that Dial opens.
func (p *Pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept and Dial.
func (p *Pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr returns the address of a pipe.
func (p *Pipes) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
