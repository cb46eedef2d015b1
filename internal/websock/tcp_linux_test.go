package websock_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/websock"
)

// A connection over TCP carries datagrams both ways, with TLS or without. The client knows the
// server's address, and the kernel of each end holds at most 16 KiB that it has not sent.
func TestOverTCP(t *testing.T) {
	t.Run("plain", func(t *testing.T) { overTCP(t, (*httptest.Server).Start) })
	t.Run("TLS", func(t *testing.T) { overTCP(t, (*httptest.Server).StartTLS) })
}

func overTCP(t *testing.T, start func(*httptest.Server)) {
	buffers, opened := websock.NewBuffers(4), make(chan *websock.Conn, 1)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		opened <- testkit.Must(websock.Accept(w, r, netip.MustParseAddrPort(r.RemoteAddr), buffers))
	}))
	sockets := make(chan net.Conn, 2)
	server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if s, ok := c.(*tls.Conn); ok {
			c = s.NetConn()
		}
		sockets <- c
		return ctx
	}
	start(server)
	defer server.Close()
	hc := server.Client()
	hc.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		sockets <- c
		return c, err
	}

	var running sync.WaitGroup
	defer running.Wait()
	came := make(chan string, 1)
	handler := websock.Handler{Receive: func(b []byte) bool { came <- string(b); return true }, Room: func() {}, Ended: func(error) {}}
	client := testkit.Must(websock.Dial(t.Context(), server.URL, "x", hc, nil, buffers))
	theirs := <-opened
	for _, c := range []*websock.Conn{client, theirs} {
		c.Start(&running, handler)
		defer c.Close("")
	}
	client.Send([]byte("up"))
	testkit.Want(t, "the server", came, "up")
	theirs.Send([]byte("down"))
	testkit.Want(t, "the client", came, "down")

	if got, want := client.RemoteAddr().String(), server.Listener.Addr().String(); got != want {
		t.Errorf("the client's server is %s, want %s", got, want)
	}
	for range 2 {
		if n := unsentLimit(t, <-sockets); n != 16<<10 {
			t.Errorf("the kernel takes %d bytes that it cannot send", n)
		}
	}
}

// unsentLimit returns TCP_NOTSENT_LOWAT of a socket.
func unsentLimit(t *testing.T, c net.Conn) (n int) {
	t.Helper()
	raw := testkit.Must(c.(*net.TCPConn).SyscallConn())
	raw.Control(func(fd uintptr) {
		n = testkit.Must(syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, 25))
	})
	return n
}
