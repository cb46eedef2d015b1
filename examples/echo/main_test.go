package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// start starts both servers of main, until the test ends.
func start(t *testing.T) (*godwit.Server, *lab) {
	t.Helper()
	srv, err := listen("127.0.0.1:0", "", false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	lab, err := newLab()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(lab.close)
	return srv, lab
}

// The routes of main serve the page and an echo at level one.
func TestEchoes(t *testing.T) {
	srv, lab := start(t)
	web := httptest.NewServer(routes(srv, lab))
	defer web.Close()

	resp, err := http.Get(web.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		t.Errorf("the page is %s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}

	echoes := make(chan string, 1)
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	c, err := client.Dial(ctx, web.URL+"/new_rtc_session", client.Config{AnswerTimeout: testkit.Patience, HandshakeTimeout: testkit.Patience, Handler: client.Handler{
		Message: func(_ *client.Conn, m client.Message) { echoes <- string(m.Data) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Send(0, client.Text, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-echoes:
		if got != "hello" {
			t.Errorf("the echo is %q, want hello", got)
		}
	case <-ctx.Done():
		t.Fatal("no echo has arrived before the deadline")
	}
}

// Both servers send each message back on its channel, and the first answers requests.
func TestEchoesOnChannels(t *testing.T) {
	srv, lab := start(t)
	for _, s := range []struct {
		*godwit.Server
		names string
	}{{srv, "newest every"}, {lab.server, "unreliable sequenced unordered ordered"}} {
		echoes, opened := make(chan string, 10), make(chan bool, 1)
		c, err := s.Local(godwit.LocalConfig{Handler: godwit.Handler{
			Open:    func(*godwit.Conn) { opened <- true },
			Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { echoes <- c.Channels().Name(ch) + " " + string(b) },
		}})
		if err != nil {
			t.Fatal(err)
		}
		testkit.Next(t, "the session opens", opened)
		for i, name := range strings.Fields(s.names) {
			if err := c.Send(godwit.ChannelID(i+1), []byte("hello")); err != nil {
				t.Fatal(err)
			}
			testkit.Want(t, "an echo", echoes, name+" hello")
		}
		if s.Server == srv {
			if b, err := c.Request(t.Context(), "any", []byte("hello")); err != nil || string(b) != "hello" {
				t.Errorf("the answer to a request is %q, %v", b, err)
			}
		}
	}
}

func TestBadPublicAddressIsExplained(t *testing.T) {
	if _, err := listen("127.0.0.1:0", "example.com", false); err == nil || !strings.Contains(err.Error(), "-public") {
		t.Errorf("the error is %v, want one that names -public", err)
	}
}

func TestURLIsAsOneTypesIt(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	if got := pageHost(web.Listener.Addr()); !strings.HasPrefix(got, "localhost:") {
		t.Errorf("the host of the page is %s, want localhost", got)
	}
}

func TestSlowWebClientsEnd(t *testing.T) { testkit.EndsSlowClients(t, webServer) }
