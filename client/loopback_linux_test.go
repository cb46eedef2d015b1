package client_test

import (
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// One socket can be many clients: all of 127.0.0.0/8 is this machine. This cannot
// be shown without the kernel, so here are real ports.
func TestOneSocketIsManyClients(t *testing.T) {
	const clients = 100
	server, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Settings: rtcserver.Settings{MaxPerIP: 1}, // each client comes from an address of its own, over HTTP too
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
	e, err := client.Listen("0.0.0.0:0", client.Config{
		Sources: netip.MustParsePrefix("127.7.0.0/16"),
		Handler: client.Handler{
			Open: func(c *client.Conn) { c.Send(0, client.Text, []byte(c.LocalAddr().String())) },
			Message: func(c *client.Conn, m client.Message) {
				if string(m.Data) != c.LocalAddr().String() {
					t.Errorf("%v has received the echo of %s", c.LocalAddr(), m.Data)
				}
				echoes.Done()
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var dials sync.WaitGroup
	for range clients {
		dials.Go(func() {
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

// Dial makes a socket, which ends with the connection.
func TestDial(t *testing.T) {
	server, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
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
	c, err := client.Dial(t.Context(), web.URL, client.Config{Handler: client.Handler{
		Message: func(_ *client.Conn, m client.Message) { echo <- string(m.Data) },
		Close:   func(*client.Conn, *client.CloseError) { close(over) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	c.Send(0, client.Text, []byte("hello"))
	if got := <-echo; got != "hello" {
		t.Errorf("the echo is %q, want hello", got)
	}
	c.Close()
	<-over
}
