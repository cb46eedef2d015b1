package godwit

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// What Request returns is the program's own, and an error of Ask is Request's.
func TestDataOfAReplyIsTheCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		d.on.Request = func(_ *Conn, r *Request) {
			must(t, r.Reply(r.Data))
		}
		client, _, _ := join(t, srv, "ada")
		var kept [][]byte
		for _, c := range []byte("abc") {
			b, err := client.Request(context.Background(), "echo", bytes.Repeat([]byte{c}, 5000))
			must(t, err)
			kept = append(kept, b)
		}
		for i, c := range []byte("abc") {
			if !bytes.Equal(kept[i], bytes.Repeat([]byte{c}, 5000)) {
				t.Errorf("reply %d is %.10q, want 5000 times %q", i, kept[i], c)
			}
		}
		if b, err := client.Request(context.Background(), "", nil); b != nil || err != session.ErrName {
			t.Errorf("a request without a name: %q, %v; want ErrName", b, err)
		}
		if id, err := client.Ask("x", make([]byte, session.MaxRequest+1), nil); id != 0 || err != session.ErrPayload {
			t.Errorf("a request that is too long: %d, %v; want ErrPayload", id, err)
		}
	})
}

// The state of a request that is given up is freed, and its answer is dropped.
func TestARequestThatIsGivenUpIsForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		var kept *Request
		d.on.Request = func(c *Conn, r *Request) {
			if r.Keep(); r.Data != nil {
				t.Error("Keep leaves the data of the request")
			}
			kept = r
		}
		client, server, _ := join(t, srv, "ada")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.Request(ctx, "slow", []byte("now")); err != context.DeadlineExceeded {
			t.Errorf("Request: %v, want DeadlineExceeded", err)
		}
		if n := client.Stats().Asking; n != 0 || len(client.asked) != 0 {
			t.Errorf("%d requests wait, and %d funcs; want 0", n, len(client.asked))
		}
		if n := server.Stats().Asked; n != 1 {
			t.Errorf("%d requests wait at the server, want 1", n)
		}
		must(t, kept.Ack())
		if err := kept.Ack(); err != session.ErrAnswered {
			t.Errorf("a second answer: %v, want ErrAnswered", err)
		}
		settle()
		answered := 0
		d.on.Request = func(_ *Conn, r *Request) { r.Ack() }
		_, err := client.Ask("quick", nil, func(Result) { answered++ })
		must(t, err)
		settle()
		if answered != 1 || len(client.asked) != 0 || server.Stats().Asked != 0 {
			t.Errorf("%d answers, want 1; %d funcs and %d requests at the server wait, want 0", answered, len(client.asked), server.Stats().Asked)
		}
	})
}

// Of several answers in one batch each goes to the func of its request.
func TestEachAnswerGoesToItsFunc(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		var kept []*Request
		d.on.Request = func(_ *Conn, r *Request) {
			kept = append(kept, r)
			if r.Keep(); len(kept) == 3 {
				for i, text := range []string{"a", "b", "c"} {
					must(t, kept[i].Reply([]byte(text)))
				}
			}
		}
		client, _, cd := join(t, srv, "ada")
		cd.Take()
		for _, name := range []string{"a", "b", "c"} {
			_, err := client.Ask(name, nil, func(r Result) { cd.Note("%s: %s", name, r.Data) })
			must(t, err)
		}
		settle()
		cd.want(t, "a: a", "b: b", "c: c")
	})
}
