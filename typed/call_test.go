package typed_test

import (
	"errors"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

func TestRequestsHaveTypesInBothDirections(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{w.table.Join.Serve(func(c *godwit.Conn, q line, r typed.Reply[input]) {
			if q.Text == "" {
				must(w.t, r.Reject("no name"))
				return
			}
			must(w.t, r.Reply(input{int16(len(q.Text)), 0}))
		})}
	}, func(t *testing.T, w *world) {
		serve := w.table.Ping.Serve(func(_ typed.ClientEnd, q input, r typed.Reply[input]) {
			must(t, r.Reply(input{q.Y, q.X}))
		})
		for i, me := range []typed.ClientEnd{w.native(serve), w.local("bob", serve)} {
			if seat := testkit.Must(w.table.Join.Request(t.Context(), me, line{"ada"})); seat != (input{3, 0}) {
				t.Errorf("the reply is %v, want 3, 0", seat)
			}
			_, err := w.table.Join.Request(t.Context(), me, line{})
			if e, ok := errors.AsType[*session.RequestError](err); !ok || e.Text != "no name" {
				t.Errorf("a request that is rejected: %v", err)
			}
			testkit.Must(w.table.Join.Ask(me, line{"grace"}, func(seat input, err error) { w.Note("%v %v", seat, err) }))
			w.want("{5 0} <nil>")
			if back := testkit.Must(w.table.Ping.Request(t.Context(), w.ends[i], input{1, 2})); back != (input{2, 1}) {
				t.Errorf("the client's reply is %v, want 2, 1", back)
			}
		}
	})
}

// A request has one answer, which may come after the handler has returned. Config.Handler gets no request that has a
// handler.
func TestAnswersComeOnceAndLater(t *testing.T) {
	var kept typed.Reply[input]
	c := godwit.Config{Handler: godwit.Handler{Request: func(_ *godwit.Conn, r *godwit.Request) { r.Reject("twice") }}}
	inWorld(t, c, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{w.table.Join.Serve(func(_ *godwit.Conn, q line, r typed.Reply[input]) {
			r.Keep()
			kept = r
		})}
	}, func(t *testing.T, w *world) {
		me := w.local("ada")
		testkit.Must(w.table.Join.Ask(me, line{"ada"}, func(seat input, err error) { w.Note("%v %v", seat, err) }))
		w.want()
		must(t, kept.Reply(input{1, 2}))
		if err := kept.Reply(input{1, 2}); err != session.ErrAnswered {
			t.Errorf("a second answer: %v, want ErrAnswered", err)
		}
		w.want("{1 2} <nil>")
	})
}
