package client_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// One socket can be many clients: all of 127.0.0.0/8 is this machine. This cannot
// be shown without the kernel, so here are real ports.
func TestOneSocketIsManyClients(t *testing.T) {
	const clients = 100
	server, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Settings: rtcserver.Settings{MaxPerIP: 1, HandshakeTimeout: testkit.Patience}, // each client comes from an address of its own, over HTTP too
		Handler: rtcserver.Handler{
			Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()

	var echoes sync.WaitGroup
	echoes.Add(clients)
	sources := netip.MustParsePrefix("127.7.0.0/16")
	e, err := client.Listen("0.0.0.0:0", unhurried(client.Config{
		Sources: sources,
		Handler: client.Handler{
			Open: func(c *client.Conn) { c.Send(0, client.Text, []byte(c.LocalAddr().String())) },
			Message: func(c *client.Conn, m client.Message) {
				if string(m.Data) != c.LocalAddr().String() || !sources.Contains(c.LocalAddr()) {
					t.Errorf("%v has received the echo of %s", c.LocalAddr(), m.Data)
				}
				echoes.Done()
			},
		},
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var dials sync.WaitGroup
	places := make(chan bool, 20) // of handshakes that run at a time
	for range clients {
		dials.Go(func() {
			places <- true
			defer func() { <-places }()
			if _, err := e.Dial(t.Context(), web.URL, nil); err != nil {
				t.Error(err)
			}
		})
	}
	dials.Wait()
	if !t.Failed() {
		echoes.Wait()
	}
	if st := e.Stats(); st.Conns != clients {
		t.Errorf("%d connections, want %d", st.Conns, clients)
	}
}

// A WebSocket leaves from the address of its session.
func TestTheSourceOfAWebSocket(t *testing.T) {
	server := testkit.Must(godwit.Listen("127.0.0.1:0", godwit.Config{Channels: table}))
	defer server.Close()
	from := make(chan netip.Addr, 1)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			from <- netip.MustParseAddrPort(r.RemoteAddr).Addr()
			server.ServeHTTP(w, r)
			return
		}
		w.Write(withOtherFingerprint(testkit.Serve(server, r).Body.Bytes())) // WebRTC fails
	}))
	defer web.Close()
	sources := netip.MustParsePrefix("127.8.0.0/16")
	e := testkit.Must(client.Listen("0.0.0.0:0", client.Config{Sources: sources}))
	defer e.Close()
	testkit.Must(e.Join(t.Context(), web.URL, client.SessionConfig{Channels: table}))
	if addr := <-from; !sources.Contains(addr) {
		t.Errorf("the WebSocket comes from %v", addr)
	}
}

// Dial makes a socket, which ends with the connection.
func TestDial(t *testing.T) {
	server, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Settings: rtcserver.Settings{HandshakeTimeout: testkit.Patience},
		Handler: rtcserver.Handler{
			Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()

	echo, over := make(chan string, 1), make(chan struct{})
	c, err := client.Dial(t.Context(), web.URL, unhurried(client.Config{Handler: client.Handler{
		Message: func(_ *client.Conn, m client.Message) { echo <- string(m.Data) },
		Close:   func(*client.Conn, *client.CloseError) { close(over) },
	}}))
	if err != nil {
		t.Fatal(err)
	}
	wantSmallBuffers(t, client.SocketOf(c))
	c.Send(0, client.Text, []byte("hello"))
	if got := <-echo; got != "hello" {
		t.Errorf("the echo is %q, want hello", got)
	}
	c.Close()
	<-over
}

// Connect makes a socket of its own, too.
func TestSocketOfConnect(t *testing.T) {
	server := testkit.Must(godwit.Listen("127.0.0.1:0", godwit.Config{Channels: table}))
	defer server.Close()
	web := httptest.NewServer(server)
	defer web.Close()
	s := testkit.Must(client.Connect(t.Context(), web.URL, unhurried(client.Config{}), client.SessionConfig{Channels: table}))
	wantSmallBuffers(t, client.SocketOfSession(s))
	s.Close(0, "")
	<-s.Done()
}

// wantSmallBuffers checks that the socket of one client has buffers of 256 KiB, or as much of them as the system gives.
func wantSmallBuffers(t *testing.T, got udpio.Stats) {
	t.Helper()
	same := testkit.Must(udpio.Listen("127.0.0.1:0", udpio.Config{ReadBuffer: 256 << 10, WriteBuffer: 256 << 10}))[0]
	defer same.Close()
	if want := same.Stats(); got.ReadBuffer != want.ReadBuffer || got.WriteBuffer != want.WriteBuffer {
		t.Errorf("the socket has buffers of %d and %d bytes, want %d and %d", got.ReadBuffer, got.WriteBuffer, want.ReadBuffer, want.WriteBuffer)
	}
}
