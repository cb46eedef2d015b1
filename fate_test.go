package godwit

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// A message that is sent before Open gets its receipt, and a receipt that is pending when the
// session ends gets its fate before Close.
func TestEveryReceiptHasOneFate(t *testing.T) {
	for name, end := range map[string]func(client, server *Conn){
		"kick":     func(_, server *Conn) { server.Kick("") },
		"close":    func(client, _ *Conn) { client.Close(session.CloseNormal, "") },
		"cut":      func(client, _ *Conn) { cut(client) },
		"shutdown": func(_, server *Conn) { server.server.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				srv, _ := newTestServer(t)
				d := &recorder{}
				client, err := srv.Local(LocalConfig{Handler: d.handler()})
				must(t, err)
				_, err = client.SendWith(chat, []byte("early"), Options{Receipt: true})
				must(t, err)
				settle()
				if name == "cut" {
					end(client, nil)
				}
				_, err = client.SendWith(chat, make([]byte, 200_000), Options{Receipt: true})
				must(t, err)
				if name != "cut" {
					for server := range srv.Conns() {
						end(client, server)
					}
				}
				time.Sleep(time.Minute)
				lines := d.Take()
				receipts, fate := 0, ""
				for _, l := range lines {
					if strings.HasPrefix(l, "receipt ") {
						receipts++
						fate = l[strings.LastIndex(l, " ")+1:]
					}
				}
				want := "abandoned"
				if name == "close" {
					want = "delivered"
				}
				if last := lines[len(lines)-1]; receipts != 2 || fate != want || !strings.HasPrefix(last, "closed") {
					t.Errorf("%d receipts, want 2; the fate %v, want %v; the events are %q", receipts, fate, want, lines)
				}
			})
		})
	}
}

// 900 KiB take 3.5 s at the default Ceiling, and longer at a lower one: Shutdown waits.
func TestShutdownDeliversWhateverTheCeilingTakes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t, func(c *Config) { c.Ceiling = 128 << 10 })
		_, server, cd := join(t, srv, "ada")
		for range 9 {
			must(t, server.Send(chat, make([]byte, 100<<10)))
		}
		time.Sleep(time.Second)
		if w := server.Stats().Waits; w.String() != "ceiling" {
			t.Errorf("Waits is %v, want ceiling", w)
		}
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		must(t, srv.Shutdown(ctx, "bye"))
		if took := time.Since(start); took < 5*time.Second || took > 10*time.Second {
			t.Errorf("it took %v: 800 KiB at 128 KiB/s take more than 6 s", took)
		}
		d.want(t, "open I am ada", "closed here: shutdown: bye")
		if got := cd.Take(); len(got) != 11 || got[10] != "closed by the other end: shutdown: bye" {
			t.Errorf("%d events, want 11; the last is %q", len(got), got[len(got)-1])
		}
	})
}

func TestShutdownTellsWhatItGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		_, server, cd := join(t, srv, "ada")
		for range 9 {
			must(t, server.Send(chat, make([]byte, 100<<10)))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := srv.Shutdown(ctx, "bye")
		e, ok := errors.AsType[*ShutdownError](err)
		if !ok || !errors.Is(err, context.DeadlineExceeded) || e.Sessions != 1 || e.Bytes < 500<<10 || e.Bytes > 900<<10 {
			t.Fatalf("Shutdown: %v, want a ShutdownError with 500 to 900 KiB of 1 session", err)
		}
		why := d.Take()[1]
		if !strings.Contains(why, "gave up") {
			t.Errorf("the server's end has the reason %q, want one that says gave up", why)
		}
		if got := cd.Take(); !strings.Contains(got[len(got)-1], "shutdown") {
			t.Errorf("the client's last event is %q, want the shutdown", got[len(got)-1])
		}
	})
}

func TestSessionsExpire(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		client, err := srv.Local(LocalConfig{Identity: Identity{Name: "ada", Data: []byte("7"), Expires: time.Now().Add(time.Minute)}})
		must(t, err)
		settle()
		server := slices.Collect(srv.Conns())[0]
		if id := server.Identity(); string(id.Data) != "7" || !server.Expires().Equal(id.Expires) {
			t.Errorf("the identity is %+v, the session expires at %v", id, server.Expires())
		}
		time.Sleep(50 * time.Second)
		server.Renew(time.Now().Add(time.Minute))
		client.Renew(time.Time{}) // is not the client's to say
		time.Sleep(50 * time.Second)
		d.want(t, "open ")
		time.Sleep(20 * time.Second)
		d.want(t, "closed here: auth: the credentials have expired")
	})
}

func TestAskWithoutAFunc(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, d := newTestServer(t)
		d.on.Request = func(_ *Conn, r *Request) { r.Ack() }
		client, server, _ := join(t, srv, "ada")
		for _, c := range []*Conn{client, server} {
			_, err := c.Ask("x", nil, nil)
			must(t, err)
		}
		settle()
		must(t, client.Send(chat, []byte("go on")))
		settle()
		d.want(t, "open I am ada", "request x: ", "chat: go on")
	})
}
