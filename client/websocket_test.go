package client_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

func TestEchoOverWebSocket(t *testing.T) {
	table := channel.Channels{{Name: "chat", Mode: channel.ReliableOrdered}, {Name: "move", Mode: channel.Sequenced}}
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Channels: table, Handler: godwit.Handler{
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	web := httptest.NewServer(srv)
	defer web.Close()
	came := make(chan string, 10)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := client.Connect(ctx, web.URL, client.Config{}, client.SessionConfig{
		Channels: table, Links: []string{session.LinkWebSocket},
		Handler: client.SessionHandler{Message: func(_ *client.Session, _ channel.ID, b []byte) { came <- string(b) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	if s.Link() != session.LinkWebSocket {
		t.Errorf("the link is %q", s.Link())
	}
	for _, ch := range []channel.ID{1, 2} {
		if err := s.Send(ch, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		select {
		case m := <-came:
			if m != "hello" {
				t.Errorf("%q", m)
			}
		case <-ctx.Done():
			t.Fatal("no answer")
		}
	}
	s.Close(0, "bye")
	<-s.Done()
}
