package rtcserver

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A program that recovers around Poll loses only the event at which its handler panicked, and no
// other event of that page or of the other pages in the batch.
func TestRecoveredPanicInAHandler(t *testing.T) {
	got := make(map[*Conn][]string)
	closed := 0
	inWorld(t, Config{Manual: true, Handler: Handler{
		Message: func(c *Conn, m Message) {
			if string(m.Data) == "bad" {
				panic("bad")
			}
			got[c] = append(got[c], string(m.Data))
		},
		Close: func(*Conn, *CloseError) { closed++; panic("at the end") },
	}}, func(w *world) {
		panics := 0
		poll := func() {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			if err := w.server.Poll(10 * time.Millisecond); err != nil {
				t.Error(err)
			}
		}
		var pages []*page
		opened := make(chan struct{})
		go func() {
			defer close(opened)
			for range 3 {
				pages = append(pages, w.open())
			}
		}()
		for open := false; !open; {
			select {
			case <-opened:
				open = true
			default:
				poll()
			}
		}
		for round := range 3 {
			for i := range 4 { // all of it is one batch
				for _, p := range pages {
					if i == 1 {
						p.send("bad")
					}
					p.send(fmt.Sprint(4*round + i))
				}
			}
			synctest.Wait()
			for range 20 {
				poll()
			}
		}
		if len(got) != len(pages) || panics != 9 {
			t.Errorf("%d pages were heard and %d handlers panicked, want %d and 9", len(got), panics, len(pages))
		}
		for _, texts := range got {
			slices.Sort(texts) // they are unordered
			if want := []string{"0", "1", "10", "11", "2", "3", "4", "5", "6", "7", "8", "9"}; !slices.Equal(texts, want) {
				t.Errorf("a page sent %q, its handler got %q", want, texts)
			}
		}
		for _, p := range pages {
			p.conn.Close()
		}
		for range 100 {
			poll()
		}
		if st := w.server.Stats(); closed != len(pages) || st.Conns != 0 {
			t.Errorf("%d were told as closed and %d are left, want %d and 0", closed, st.Conns, len(pages))
		}
	})
}

// A program that recovers around Close calls it again, and the Close handlers of the other pages
// run.
func TestCloseGoesOnAfterARecoveredPanic(t *testing.T) {
	closed := 0
	inWorld(t, Config{Manual: true, Handler: Handler{Close: func(*Conn, *CloseError) { closed++; panic("at the end") }}}, func(w *world) {
		opened := make(chan struct{})
		go func() {
			defer close(opened)
			for range 3 {
				w.open()
			}
		}()
		for open := false; !open; {
			select {
			case <-opened:
				open = true
			default:
				w.server.Poll(10 * time.Millisecond)
			}
		}
		panics := 0
		for range 4 {
			func() {
				defer func() {
					if recover() != nil {
						panics++
					}
				}()
				w.server.Close()
			}()
		}
		if closed != 3 || panics != 3 {
			t.Errorf("%d pages were told, %d handlers panicked, want 3", closed, panics)
		}
		if n := w.server.Stats().Conns; n != 0 {
			t.Errorf("%d connections are left", n)
		}
	})
}

// A handler of one shard that panics in the last turns leaves the socket of no other shard open.
func TestAPanicInTheLastTurnsLeavesNoSocketOpen(t *testing.T) {
	var p *testEngine
	inShardsWith(t, 2, Config{Engine: func(c *Conn, _ *http.Request) (Engine, error) {
		p = &testEngine{conn: c}
		return p, nil
	}}, func(w *world) {
		w.open()
		w.server.shards[0].socket.Close()
		synctest.Wait() // until the loop of this shard has ended
		p.told = func() { panic("too late") }
		p.say(false, true, time.Time{})
		func() {
			defer func() {
				if recover() == nil {
					t.Error("no handler has panicked in Close")
				}
			}()
			w.server.Close()
		}()
		for i := range w.server.shards {
			if pc, err := w.network.Listen(shardAddr(i)); err != nil {
				t.Errorf("the port of shard %d is not free: %v", i, err)
			} else {
				pc.Close()
			}
		}
	})
}

// Events that are not delivered before a panic are delivered unchanged, although other datagrams
// have arrived since.
func TestARecoveredPanicSpoilsNoMessages(t *testing.T) {
	var got []string
	inWorld(t, Config{Manual: true, Handler: Handler{Message: func(_ *Conn, m Message) {
		if string(m.Data) == "bad" {
			panic("bad")
		}
		got = append(got, string(m.Data))
	}}}, func(w *world) {
		panics := 0
		poll := func() {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			w.server.Poll(10 * time.Millisecond)
		}
		opened := make(chan *page, 1)
		go func() { opened <- w.open() }()
		var p *page
		for p == nil {
			select {
			case p = <-opened:
			default:
				poll()
			}
		}
		var want []string
		say := func(texts ...string) {
			for _, text := range texts {
				p.send(text)
				if text != "bad" {
					want = append(want, text)
				}
			}
			synctest.Wait()
			poll()
		}
		poll()
		say("bad", "1", "2", "3", "4", "5", "6")
		say("a", "b", "c", "d", "e", "f", "g")
		poll()
		if slices.Sort(got); panics != 1 || !slices.Equal(got, want) {
			t.Errorf("%d panics, want 1; the page sent %q, its handler got %q", panics, want, got)
		}
	})
}

// The same holds for a Logger that panics, also if nothing more arrives from a page.
func TestRecoveredPanicInTheLogger(t *testing.T) {
	closed := 0
	inWorld(t, Config{Manual: true, Logger: slog.New(panickingLogger{}), Handler: Handler{
		Close: func(*Conn, *CloseError) { closed++ },
	}}, func(w *world) {
		panics := 0
		poll := func(d time.Duration) {
			defer func() {
				if recover() != nil {
					panics++
				}
			}()
			w.server.Poll(d)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.open()
		}()
		for open := false; !open; {
			select {
			case <-done:
				open = true
			default:
				poll(10 * time.Millisecond)
			}
		}
		w.network.SetDefault(netsim.Link{Loss: 1})
		for range 60 {
			poll(time.Second)
		}
		if st := w.server.Stats(); panics != 1 || closed != 1 || st.Conns != 0 {
			t.Errorf("%d panics, Close was called %d times, want once each; %d connections are left, want 0", panics, closed, st.Conns)
		}
	})
}

// A panic at a log line in a turn without handlers ends the turn, too: messages that the program
// sends after it leave at once.
func TestPanicAtALineByItself(t *testing.T) {
	inWorld(t, Config{Manual: true, Logger: slog.New(panickingLogger{})}, func(w *world) {
		sh := w.server.shards[0]
		sh.log(slog.LevelInfo, "a line: close")
		func() {
			defer func() { recover() }()
			w.server.Poll(0)
			t.Error("the Logger has not panicked")
		}()
		if sh.loop.State().Busy {
			t.Error("Busy = true after the turn")
		}
		w.server.Poll(0)
	})
}

// A panickingLogger is a Logger that panics when a connection ends.
type panickingLogger struct{ slog.Handler }

func (panickingLogger) Enabled(context.Context, slog.Level) bool { return true }

func (panickingLogger) Handle(_ context.Context, r slog.Record) error {
	if strings.HasSuffix(r.Message, ": close") {
		panic("no room")
	}
	return nil
}
