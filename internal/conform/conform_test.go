package conform

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

var channels = channel.Channels{
	{Name: "unreliable", Mode: channel.Unreliable},
	{Name: "sequenced", Mode: channel.Sequenced},
	{Name: "unordered", Mode: channel.ReliableUnordered},
	{Name: "ordered", Mode: channel.ReliableOrdered},
}

// unhurried has limits for handshakes that a busy machine keeps.
var unhurried = client.Config{AnswerTimeout: testkit.Patience, HandshakeTimeout: testkit.Patience}

// drive examines one client after the other until there are no cases.
func drive(t *testing.T, base string, examine func(ctx context.Context, url string)) {
	for {
		res, err := http.Get(base + "/next")
		if err != nil {
			return // all cases are over
		}
		var next struct{ Path string }
		err = json.NewDecoder(res.Body).Decode(&next)
		res.Body.Close()
		if res.StatusCode == http.StatusNoContent {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		examine(t.Context(), base+next.Path)
	}
}

// ours runs a session of package client.
func ours(ctx context.Context, url string) {
	over := make(chan struct{})
	s, err := client.Connect(ctx, url, unhurried, client.SessionConfig{Channels: channels, Handler: client.SessionHandler{
		Message: func(s *client.Session, ch channel.ID, b []byte) { s.Send(ch, b) },
		Request: func(_ *client.Session, r *session.Request) {
			switch r.Name {
			case "echo":
				r.Reply(r.Data)
			case "ack":
				r.Ack()
			}
		},
		Close: func(*client.Session, session.CloseReason) { close(over) },
	}})
	if err != nil {
		return
	}
	defer s.Close(0, "")
	<-over
}

// conform runs the cases whose name matches, side many at a time, and returns the output.
func conform(t *testing.T, pattern string, side int, slack time.Duration, examine func(ctx context.Context, url string)) (string, error) {
	t.Helper()
	chosen, err := Choose(pattern)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	base := "http://" + listener.Addr().String()
	var all sync.WaitGroup
	for range side {
		all.Go(func() { drive(t, base, examine) })
	}
	var out bytes.Buffer
	err = Serve(t.Context(), listener, chosen, slack, &out, nil)
	all.Wait()
	return out.String(), err
}

func TestOurNativeClientConforms(t *testing.T) {
	if out, err := conform(t, "", 16, testkit.Patience, ours); err != nil {
		t.Errorf("our client fails: %v\n%s", err, out)
	}
}

// A client that connects and sends nothing fails the cases in which it must send something.
func TestASilentClientIsFoundOut(t *testing.T) {
	mute := func(ctx context.Context, url string) {
		over := make(chan struct{})
		c, err := client.Dial(ctx, url+"?v=1&channels="+tableHash(table), client.Config{Handler: client.Handler{
			Close: func(*client.Conn, *client.CloseError) { close(over) },
		}})
		if err == nil {
			defer c.Close()
			<-over
		}
	}
	out, err := conform(t, "opening/hello|requests/answers", 2, 0, mute)
	if !errors.Is(err, ErrFailed) || strings.Count(out, "SESSION 2: the client sent nothing") != 2 {
		t.Errorf("%v, want ErrFailed and two failures of SESSION 2:\n%s", err, out)
	}
}
