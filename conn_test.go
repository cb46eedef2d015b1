package godwit

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
	"weak"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

func TestOpenSendClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, server, cd := join(t, srv, "ada")
		d.want(t, "open I am ada")
		cd.want(t, "open ")
		if server.Identity().Name != "ada" || server.Kind() != KindInProcess || client.ID() != server.ID() || srv.Len() != 1 {
			t.Errorf("the server's end is %v, %v, %v; the client's has the id %v", server.Identity(), server.Kind(), server.ID(), client.ID())
		}
		must(t, client.Send(chat, []byte("hi")))
		must(t, client.Send(move, []byte("left")))
		must(t, server.Send(loot, []byte("gold")))
		settle()
		d.want(t, "chat: hi", "move: left")
		cd.want(t, "loot: gold")
		server.Send(chat, []byte("bye"))
		server.Close(session.CloseProgram+4, "you won")
		time.Sleep(100 * ms)
		d.want(t, "closed here: code 260: you won")
		cd.want(t, "chat: bye", "closed by the other end: code 260: you won")
		if err := server.Send(chat, nil); !errors.Is(err, session.ErrClosed) || srv.Len() != 0 || srv.directory.count() != 0 {
			t.Errorf("after the close: Send: %v, want ErrClosed; %d sessions are open, %d in the directory, want 0", err, srv.Len(), srv.directory.count())
		}
	})
}

func TestSendMisuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) {
			c.Channels = Channels{{Name: "up", Direction: ToServer}, {Name: "small", Mode: ReliableOrdered, MaxMessage: 10, QueueLimit: 100}}
		})
		_, server, _ := join(t, srv, "ada")
		for _, c := range []struct {
			name string
			ch   ChannelID
			n    int
			want error
		}{
			{"the control channel", 0, 1, session.ErrUnknown},
			{"no channel", 3, 1, session.ErrUnknown},
			{"the other direction", 1, 1, session.ErrDirection},
			{"too large", 2, 11, session.ErrTooLarge},
		} {
			if err := server.Send(c.ch, make([]byte, c.n)); !errors.Is(err, c.want) {
				t.Errorf("%s: Send: %v, want %v", c.name, err, c.want)
			}
			if err := srv.Broadcast(c.ch, make([]byte, c.n)); !errors.Is(err, c.want) {
				t.Errorf("%s: Broadcast: %v, want %v", c.name, err, c.want)
			}
		}
		cut(server)
		for range 2 {
			must(t, server.Send(2, nil))
		}
		if _, err := server.SendWith(2, make([]byte, 9), Options{}); !errors.Is(err, session.ErrBudget) {
			t.Errorf("SendWith with a full queue: %v, want ErrBudget", err)
		}
	})
}

func TestRequests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		var kept *Request
		d.on.Request = func(c *Conn, r *Request) {
			switch r.Name {
			case "reply":
				must(t, r.Reply([]byte("yes "+string(r.Data))))
				if err := r.Ack(); err != session.ErrAnswered {
					t.Errorf("a second answer: %v, want ErrAnswered", err)
				}
			case "ack":
				must(t, r.Ack())
			case "reject":
				must(t, r.Reject("no"))
			case "keep":
				r.Keep()
				kept = r
			}
		}
		client, _, _ := join(t, srv, "ada")
		ctx := context.Background()
		if b, err := client.Request(ctx, "reply", []byte("please")); string(b) != "yes please" || err != nil {
			t.Errorf("Request = %q, %v; want yes please", b, err)
		}
		if b, err := client.Request(ctx, "ack", nil); b != nil || err != nil {
			t.Errorf("Request = %q, %v; want an Ack", b, err)
		}
		for _, name := range []string{"reject", "unknown"} {
			_, err := client.Request(ctx, name, nil)
			if e, ok := errors.AsType[*session.RequestError](err); !ok || e.Status != session.StatusRejected {
				t.Errorf("%s: %v, want StatusRejected", name, err)
			}
		}
		id, err := client.Ask("keep", nil, func(r Result) { d.Note("answer: %v %s", r.Status, r.Data) })
		must(t, err)
		time.Sleep(50 * ms) // its acknowledgement may wait
		if st, ok := client.Status(id); !ok || st != session.StatusWaiting {
			t.Errorf("Status of a kept request = %v, %v; want StatusWaiting", st, ok)
		}
		d.Take()
		must(t, kept.Reply([]byte("at last")))
		settle()
		d.want(t, "answer: responded at last")
	})
}

func TestRequestThatIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		d.on.Request = func(c *Conn, r *Request) { r.Keep() }
		client, server, _ := join(t, srv, "ada")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.Request(ctx, "slow", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Request: %v, want DeadlineExceeded", err)
		}
		done := make(chan error)
		go func() {
			_, err := client.Request(context.Background(), "slow", nil)
			done <- err
		}()
		settle()
		server.Kick("")
		if e, ok := errors.AsType[*session.RequestError](<-done); !ok || e.Status != session.StatusResponseLost {
			t.Errorf("the result after Kick is %v, want StatusResponseLost", e)
		}
	})
}

func TestKeptAndLostRequestIsRejected(t *testing.T) {
	srv, d := newTestServer(t)
	d.on.Request = func(c *Conn, r *Request) { r.Keep() }
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	answer := make(chan Result, 1)
	_, err = client.Ask("drop", nil, func(r Result) { answer <- r })
	must(t, err)
	r := testkit.Collect(answer)
	if r.Status != session.StatusRejected || r.Text != "no answer" {
		t.Errorf("the result is %v %q, want StatusRejected, no answer", r.Status, r.Text)
	}
}

func TestCallsThatWouldWaitForThemselves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		d.on.Open = func(c *Conn) {
			if _, err := c.Request(context.Background(), "x", nil); err != session.ErrInHandler {
				t.Errorf("Request: %v, want ErrInHandler", err)
			}
			if err := srv.Shutdown(context.Background(), ""); err != session.ErrInHandler {
				t.Errorf("Shutdown: %v, want ErrInHandler", err)
			}
			if err := srv.Close(); err != session.ErrInHandler {
				t.Errorf("Close: %v, want ErrInHandler", err)
			}
			done, answered := make(chan error), make(chan struct{})
			go func() { // another goroutine may wait
				_, err := c.Request(context.Background(), "x", nil)
				done <- err
			}()
			c.Ask("y", nil, func(Result) { d.Note("y answered"); close(answered) })
			go func() {
				err := <-done
				<-answered // in whichever order the requests were sent
				d.Note("x: %v", err)
			}()
		}
		join(t, srv, "ada")
		d.want(t, "open I am ada", "y answered", "x: session: request: rejected: no answer")
	})
}

func TestReceipts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		client, _, cd := join(t, srv, "ada")
		cd.Take()
		id, err := client.SendWith(move, []byte("left"), Options{Receipt: true})
		must(t, err)
		time.Sleep(100 * ms)
		if got := cd.Take(); len(got) != 1 || !strings.HasSuffix(got[0], "delivered") || id == 0 {
			t.Errorf("the events are %q, want one receipt of the message %d", got, id)
		}
	})
}

func TestGroups(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		_, a, ad := join(t, srv, "ada")
		_, b, bd := join(t, srv, "bob")
		_, c, cd := join(t, srv, "cy")
		want := func(ada, bob, cy string) {
			t.Helper()
			settle()
			for _, p := range []struct {
				d    *recorder
				want string
			}{{ad, ada}, {bd, bob}, {cd, cy}} {
				if got := strings.Join(p.d.Take(), " "); got != p.want {
					t.Errorf("got %q, want %q", got, p.want)
				}
			}
		}
		want("open ", "open ", "open ")
		must(t, srv.Broadcast(chat, []byte("all")))
		must(t, srv.BroadcastExcept(b, chat, []byte("not bob")))
		want("chat: all chat: not bob", "chat: all", "chat: all chat: not bob")

		red := srv.NewGroup()
		if !red.Join(a) || !red.Join(b) || red.Join(b) {
			t.Error("Join: want true for two members, and false for one that is in the group")
		}
		must(t, red.Send(chat, []byte("red")))
		must(t, red.SendExcept(a, chat, []byte("not ada")))
		want("chat: red", "chat: red chat: not ada", "")
		if red.Leave(c) || !red.Leave(a) || red.Len() != 1 {
			t.Error("Leave: want false for a session that is not in the group, and true for a member")
		}
		b.Kick("out")
		settle()
		if red.Len() != 0 || red.Join(b) {
			t.Error("a session that is over is still a member, or can join")
		}
	})
}

func TestSessionMovesToAnotherLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, server, cd := join(t, srv, "ada")
		cut(client)
		settle()
		must(t, client.Send(chat, []byte("still here")))
		must(t, server.Send(chat, []byte("waiting")))
		if err := server.Send(move, nil); !errors.Is(err, session.ErrInterrupted) {
			t.Errorf("Send on a sequenced channel: %v, want ErrInterrupted", err)
		}
		time.Sleep(10 * time.Second)
		d.want(t, "open I am ada", "interrupted")
		cd.want(t, "open ", "interrupted")
		resume(client, server)
		settle()
		d.want(t, "resumed", "chat: still here")
		cd.want(t, "resumed", "chat: waiting")
		if server.Stats().Resumed != 1 || srv.Len() != 1 {
			t.Errorf("%d links were resumed, %d sessions are open; want 1 each", server.Stats().Resumed, srv.Len())
		}
	})
}

func TestGraceEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, _, cd := join(t, srv, "ada")
		cut(client)
		time.Sleep(31 * time.Second)
		d.want(t, "open I am ada", "interrupted", "closed here: timeout: nothing arrived for too long")
		cd.want(t, "open ", "interrupted", "closed here: timeout: nothing arrived for too long")
		if srv.directory.count() != 0 {
			t.Error("the session is still in the directory")
		}
	})
}

func TestDuplicates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t, func(c *Config) { c.Duplicates = DuplicatesReplace })
		_, _, first := join(t, srv, "ada")
		join(t, srv, "ada")
		settle()
		first.want(t, "open ", "closed by the other end: replaced: connected from elsewhere: this session was replaced")
		if srv.Len() != 1 {
			t.Errorf("%d sessions are open, want 1: %q", srv.Len(), d.Take())
		}
	})
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Duplicates = DuplicatesRefuse })
		client, _, first := join(t, srv, "ada")
		_, _, second := join(t, srv, "ada")
		settle()
		first.want(t, "open ")
		second.want(t, "open ", "closed by the other end: duplicate: ada is connected already")
		cut(client)
		_, _, third := join(t, srv, "ada")
		third.want(t, "open ") // the first has no event
	})
}

func TestShutdownDrains(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		_, server, cd := join(t, srv, "ada")
		must(t, server.Send(chat, make([]byte, 100_000)))
		must(t, srv.Shutdown(context.Background(), "maintenance"))
		d.want(t, "open I am ada", "closed here: shutdown: maintenance")
		if got := cd.Take(); len(got) != 3 || got[2] != "closed by the other end: shutdown: maintenance" {
			t.Errorf("the client has %d events, want 3; the last is %q", len(got), got[len(got)-1])
		}
		if _, err := srv.Local(LocalConfig{}); err != session.ErrClosed {
			t.Errorf("Local after Shutdown: %v, want ErrClosed", err)
		}
	})
}

// A session that opens while Shutdown waits for another is closed by the server's end.
func TestShutdownDuringOpen(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Ceiling = 128 << 10 })
		_, server, _ := join(t, srv, "bob")
		must(t, server.Send(chat, make([]byte, 128<<10)))
		cd := &recorder{on: Handler{Open: func(*Conn) {
			go srv.Shutdown(context.Background(), "maintenance")
			time.Sleep(time.Millisecond)
		}}}
		_, err := srv.Local(LocalConfig{Handler: cd.handler()})
		must(t, err)
		time.Sleep(10 * time.Second)
		cd.want(t, "open ", "closed by the other end: shutdown: maintenance")
	})
}

func TestShutdownGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, server, _ := join(t, srv, "ada")
		cut(client)
		settle()
		must(t, server.Send(chat, []byte("never read")))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := srv.Shutdown(ctx, "")
		if e, ok := errors.AsType[*ShutdownError](err); !ok || e.Sessions != 1 || e.Bytes != 10 || !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown: %v, want a ShutdownError of 1 session and 10 bytes", err)
		}
		d.want(t, "open I am ada", "interrupted", "closed here: shutdown (gave up 10 bytes)")
	})
}

// The loop takes a full last turn, also if the server is closed while a handler runs, and both
// ends of a session get the reason of its end.
func TestCloseWhileAHandlerRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, _, cd := join(t, srv, "ada")
		d.on.Message = func(*Conn, ChannelID, []byte) { time.Sleep(time.Second) }
		must(t, client.Send(chat, []byte("hi")))
		settle()
		var got []session.Status
		_, err := client.Ask("spawn", nil, func(r Result) { got = append(got, r.Status) })
		must(t, err)
		srv.Close()
		d.want(t, "open I am ada", "chat: hi", "closed here: shutdown")
		cd.want(t, "open ", "closed here: shutdown: the server is closed (gave up 2 bytes)")
		if len(got) != 1 {
			t.Errorf("statuses %v, want one that is final", got)
		}
	})
}

// Nothing of the server's keeps a session in the process that is over.
func TestNothingKeepsASession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		join(t, srv, "first") // stays
		gone := func() weak.Pointer[Conn] {
			_, server, _ := join(t, srv, "ada")
			server.Kick("")
			settle()
			return weak.Make(server)
		}()
		runtime.GC()
		if gone.Value() != nil {
			t.Error("the memory of the session is not freed")
		}
	})
}
