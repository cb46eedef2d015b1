package typed_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/typed"
)

func TestMessagesHaveTypesInBothDirections(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{
			w.table.Input.On(func(c *godwit.Conn, m input) {
				w.Note("input %d %d", m.X, m.Y)
				must(w.t, w.table.World.Send(c, line{"moved"}))
			}),
		}
	}, func(t *testing.T, w *world) {
		me := w.native(w.table.World.On(func(_ typed.ClientEnd, m line) { w.Note("world %s", m.Text) }))
		must(t, w.table.Input.Send(me, input{3, -4}))
		w.want("input 3 -4", "world moved")
	})
}

func TestClientsInTheProcessHaveTypesToo(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler {
		return []typed.ServerHandler{w.table.Chat.OnServer(func(c *godwit.Conn, m line) {
			must(w.t, w.table.Chat.Broadcast(w.srv, line{c.Identity().Name + ": " + m.Text}))
		})}
	}, func(t *testing.T, w *world) {
		hear := func(who string) typed.ClientHandler {
			return w.table.Chat.OnClient(func(_ typed.ClientEnd, m line) { w.Note("%s hears %s", who, m.Text) })
		}
		ada := w.local("ada", hear("ada"))
		must(t, w.table.Chat.Send(ada, line{"hello"}))
		w.want("ada hears ada: hello")
	})
}

// A message to many is encoded once and reaches those whom it is for, whatever the codec.
func TestMessagesToMany(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler { return nil }, func(t *testing.T, w *world) {
		for _, who := range []string{"ada", "bob", "cid"} {
			w.local(who,
				w.table.Chat.OnClient(func(_ typed.ClientEnd, m line) { w.Note("%s: %s", who, m.Text) }),
				w.table.Score.On(func(_ typed.ClientEnd, m map[string]int) { w.Note("%s: %v", who, m) }),
				w.table.Voice.OnClient(func(_ typed.ClientEnd, m typed.Bytes) { w.Note("%s: % x", who, []byte(m)) }))
		}
		ada, bob, cid := w.ends[0], w.ends[1], w.ends[2]
		pair := w.srv.NewGroup()
		pair.Join(ada)
		pair.Join(bob)
		chat, score := &w.table.Chat, &w.table.Score
		must(t, score.Broadcast(w.srv, map[string]int{"ada": 3}))
		w.wantInAnyOrder("ada: map[ada:3]", "bob: map[ada:3]", "cid: map[ada:3]")
		must(t, chat.BroadcastExcept(w.srv, ada, line{"a"}))
		w.wantInAnyOrder("bob: a", "cid: a")
		must(t, chat.SendGroup(pair, line{"b"}))
		w.wantInAnyOrder("ada: b", "bob: b")
		must(t, chat.SendGroupExcept(pair, bob, line{"c"}))
		w.wantInAnyOrder("ada: c")
		testkit.Must(chat.SendWith(cid, line{"d"}, channel.Options{}))
		testkit.Must(score.SendWith(cid, nil, channel.Options{}))
		must(t, w.table.Voice.Send(cid, typed.Bytes{1, 2}))
		w.wantInAnyOrder("cid: d", "cid: map[]", "cid: 01 02")
	})
}

// A handler may keep what it gets, and the sender may change what it has sent.
func TestValuesAreTheirOwners(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler { return nil }, func(t *testing.T, w *world) {
		var kept []typed.Bytes
		var scores []map[string]int
		w.native(
			w.table.Voice.OnClient(func(_ typed.ClientEnd, m typed.Bytes) { kept = append(kept, m) }),
			w.table.Score.On(func(_ typed.ClientEnd, m map[string]int) { scores = append(scores, m) }))
		b := typed.Bytes("one")
		for _, s := range []string{"one", "two", "six"} {
			copy(b, s)
			must(t, w.table.Voice.Send(w.ends[0], b))
		}
		w.want()
		if len(kept) != 3 || string(kept[0]) != "one" || string(kept[1]) != "two" || string(kept[2]) != "six" {
			t.Errorf("the handler has %q, want one, two, six", kept)
		}
		must(t, w.table.Score.Send(w.ends[0], map[string]int{"ada": 1}))
		must(t, w.table.Score.Send(w.ends[0], map[string]int{"bob": 2}))
		w.want()
		if len(scores) != 2 || len(scores[0]) != 1 || len(scores[1]) != 1 {
			t.Errorf("the handler has %v, want one score each", scores)
		}
	})
}

// Messages that are larger than what is kept for the next ones, and sent at the same time.
func TestLargeMessagesAndManyAtOnce(t *testing.T) {
	inWorld(t, godwit.Config{}, func(w *world) []typed.ServerHandler { return nil }, func(t *testing.T, w *world) {
		got := make(chan string, 5)
		w.local("ada", w.table.Chat.OnClient(func(_ typed.ClientEnd, m line) {
			if m.Text != strings.Repeat(m.Text[:1], 100_000) {
				t.Errorf("a message of %d bytes is mixed up", len(m.Text))
			}
			got <- m.Text[:1]
		}))
		var wait sync.WaitGroup
		for i := range 5 {
			wait.Go(func() { must(t, w.table.Chat.Send(w.ends[0], line{strings.Repeat(string(rune('a'+i)), 100_000)})) })
		}
		wait.Wait()
		var senders []string
		for range 5 {
			senders = append(senders, <-got)
		}
		if slices.Sort(senders); strings.Join(senders, "") != "abcde" {
			t.Errorf("the messages of %q have arrived, want those of a to e", senders)
		}
	})
}
