package typed_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/pack"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

// TestBadMessages sends bytes that are no message, past the handles, as a hostile peer would.
func TestBadMessages(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{
			w.table.Input.On(func(_ *godwit.Conn, m input) { w.Note("input %v", m) }),
			w.table.Chat.OnServer(func(_ *godwit.Conn, m line) { w.Note("chat %v", m) }),
			w.table.Join.Serve(func(_ *godwit.Conn, q line, r typed.Reply[input]) { w.Note("join %v", q) }),
		}
	}, func(t *testing.T, w *world) {
		me := w.native()
		must(t, me.Send(w.table.Input.ID(), []byte("abc")))
		w.want()
		if n := w.table.Input.Bad().Other; n != 1 {
			t.Errorf("%d bad messages, want 1", n)
		}
		must(t, w.table.Input.Send(me, input{1, 2}))
		w.want("input {1 2}") // the session goes on

		must(t, me.Send(w.table.Chat.ID(), []byte("\xff")))
		w.wantEnd(me, "client: closed by the other end: protocol error: chat: not UTF-8",
			"server: closed here: protocol error: chat: not UTF-8")
		if n := w.table.Chat.Bad().Other; n != 1 {
			t.Errorf("%d bad messages, want 1", n)
		}

		me = w.native()
		_, err := me.Request(t.Context(), "join", []byte("\xff"))
		if text(err) != "session: request: response lost" {
			t.Errorf("a bad request: %v", err)
		}
		w.wantEnd(me, "client: closed by the other end: protocol error: join: not UTF-8",
			"server: closed here: protocol error: join: not UTF-8")
		if n := w.table.Join.Bad().Other; n != 1 {
			t.Errorf("%d bad requests, want 1", n)
		}
	})
}

// A bad answer is an error of the request, and ends the session.
func TestBadReplies(t *testing.T) {
	inWorld(t, godwit.Config{Handler: godwit.Handler{
		Request: func(_ *godwit.Conn, r *godwit.Request) { r.Reply([]byte("abc")) },
	}}, func(w *world) []typed.ServerHandler { return nil }, func(t *testing.T, w *world) {
		const end = "closed here: protocol error: join reply: too short"
		me := w.native()
		if _, err := w.table.Join.Request(t.Context(), me, line{"ada"}); text(err) != "typed: join reply: too short" {
			t.Errorf("a bad reply: %v", err)
		}
		w.wantEnd(me, "server: closed by the other end: protocol error: join reply: too short", "client: "+end)

		me = w.local("ada")
		_, err := w.table.Join.Ask(me, line{"ada"}, func(_ input, err error) { w.Note("%v", err) })
		must(t, err)
		w.wantEnd(me, "typed: join reply: too short",
			"server: closed by the other end: protocol error: join reply: too short", "ada: "+end)
		if n := w.table.Join.Bad().Other; n != 2 {
			t.Errorf("%d bad replies, want 2", n)
		}
	})
}

// What cannot be encoded is not sent, and the error names the row.
func TestValuesThatCannotBeEncoded(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{
			w.table.Input.On(func(_ *godwit.Conn, m input) { w.Note("input %v", m) }),
			w.table.Join.Serve(func(_ *godwit.Conn, q line, r typed.Reply[input]) {
				w.Note("%v", r.Reply(input{X: impossible}))
				must(w.t, r.Reply(input{1, 1})) // the request has no answer yet
			}),
		}
	}, func(t *testing.T, w *world) {
		me := w.local("ada")
		if err := w.table.Input.Send(me, input{X: impossible}); text(err) != "typed: input: X is out of range" {
			t.Errorf("the error is %v", err)
		}
		if _, err := w.table.Ping.Request(t.Context(), w.ends[0], input{X: impossible}); text(err) != "typed: ping: X is out of range" {
			t.Errorf("the error of a request is %v", err)
		}
		if _, err := w.table.Join.Request(t.Context(), me, line{"ada"}); err != nil {
			t.Error(err)
		}
		w.want("typed: join reply: X is out of range")
		bad := map[string]any{"x": func() {}}
		if err := w.table.Any.Broadcast(w.srv, bad); err == nil {
			t.Error("a func is JSON")
		}
		if err := w.table.Any.SendGroup(w.srv.NewGroup(), bad); err == nil {
			t.Error("a func is JSON")
		}
		if _, err := w.table.Ping.Ask(w.ends[0], input{X: impossible}, nil); text(err) != "typed: ping: X is out of range" {
			t.Errorf("the error of a request is %v", err)
		}
		if b, err := w.table.Input.Encode([]byte("before"), input{X: impossible}); text(err) != "typed: input: X is out of range" || string(b) != "before" {
			t.Errorf("Encode returns %q, %v", b, err)
		}
		var raw game
		_, decode := raw.Input.Decode([]byte("abcd"))
		for _, err := range []error{raw.Input.Send(me, input{}), decode} {
			if text(err) != "typed: the row is of a struct that neither typed.New nor typed.Must has made" {
				t.Errorf("a row that is not in a table: %v", err)
			}
		}
	})
}

// The errors of a session are those of its calls.
func TestErrorsOfTheSession(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler { return nil }, func(t *testing.T, w *world) {
		me := w.local("ada")
		if err := w.table.World.Send(w.ends[0], line{string(make([]byte, 3000))}); err != session.ErrTooLarge {
			t.Errorf("a message beyond max: %v, want ErrTooLarge", err)
		}
		if err := w.table.World.Broadcast(w.srv, line{string(make([]byte, 3000))}); err != session.ErrTooLarge {
			t.Errorf("a message beyond max: %v, want ErrTooLarge", err)
		}
		for _, send := range []func() (channel.MessageID, error){
			func() (channel.MessageID, error) {
				return w.table.Chat.SendWith(me, line{"late"}, channel.Options{Deadline: past})
			},
			func() (channel.MessageID, error) {
				return w.table.Input.SendWith(me, input{}, channel.Options{Deadline: past})
			},
			func() (channel.MessageID, error) {
				return w.table.World.SendWith(w.ends[0], line{}, channel.Options{Deadline: past})
			},
		} {
			if _, err := send(); err != session.ErrExpired {
				t.Errorf("a message that is late: %v, want ErrExpired", err)
			}
		}
		huge := line{string(make([]byte, 300_000))}
		if err := w.table.Chat.Send(me, huge); err != session.ErrTooLarge {
			t.Errorf("a message beyond the default: %v, want ErrTooLarge", err)
		}
		if err := w.table.Chat.SendGroup(w.srv.NewGroup(), huge); err != session.ErrTooLarge {
			t.Errorf("a message to a group beyond the default: %v, want ErrTooLarge", err)
		}
		me.Close(session.CloseNormal, "")
		w.wantEnd(me, "server: closed by the other end: normal", "ada: closed here: normal")
		if err := w.table.Input.Send(me, input{}); err != session.ErrClosed {
			t.Errorf("after the end: %v, want ErrClosed", err)
		}
		if _, err := w.table.Join.Ask(me, line{}, nil); err != session.ErrClosed {
			t.Errorf("a request after the end: %v, want ErrClosed", err)
		}
	})
}

// Bad messages are counted by cause, and the reason of an end is the cause of generated code in a
// word.
func TestCausesOfBadMessages(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{w.table.Coded.On(func(*godwit.Conn, coded) {}), w.table.Sure.On(func(*godwit.Conn, coded) {})}
	}, func(t *testing.T, w *world) {
		me := w.local("ada")
		for cause := range byte(9) {
			for range cause + 1 {
				must(t, me.Send(w.table.Coded.ID(), []byte{cause}))
			}
		}
		w.want()
		got := w.table.Coded.Bad()
		if want := (typed.BadStats{Truncated: 2, Trailing: 3, Range: 4, Length: 5, UTF8: 6, Form: 7, Other: 1 + 8 + 9}); got != want || got.Total() != 45 {
			t.Errorf("bad messages: %+v, want %+v", got, want)
		}
		var causes []string
		for cause, n := range got.ByCause() {
			causes = append(causes, fmt.Sprint(cause, " ", n))
		}
		if want := "other 18, truncated 2, trailing 3, range 4, length 5, utf8 6, form 7"; strings.Join(causes, ", ") != want {
			t.Errorf("by cause: %s, want %s", strings.Join(causes, ", "), want)
		}
		must(t, me.Send(w.table.Sure.ID(), []byte{byte(pack.CauseForm)}))
		w.wantEnd(me, "ada: closed by the other end: protocol error: sure: form", "server: closed here: protocol error: sure: form")
		rows := 0
		for name, s := range typed.Bad(w.table) {
			if rows++; name == "sure" && s != (typed.BadStats{Form: 1}) || name == "input" && s.Total() != 0 {
				t.Errorf("%s: %+v", name, s)
			}
		}
		if n := reflect.TypeFor[game]().NumField(); rows != n {
			t.Errorf("Bad yields %d rows, want %d", rows, n)
		}
		for range typed.Bad(w.table) {
			break
		}
	})
}
