package testkit

import (
	"context"
	"net"
	"net/http"
	"sync"
	"testing"
)

// Pipes are TCP in memory: what Dial opens reaches an http.Server with a handler. It is for
// requests that take over their connection, which Transport cannot answer.
type Pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// ServeHTTP starts an HTTP server of h on pipes, until the test ends.
func ServeHTTP(t testing.TB, h http.Handler) *Pipes {
	p := &Pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	s := &http.Server{Handler: h}
	go s.Serve(p)
	t.Cleanup(func() { s.Close() })
	return p
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
