package godwit

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/session"
)

// numbers calls f with every counter of Totals.
func (t Totals) numbers(f func(name string, n uint64)) {
	v := reflect.ValueOf(t)
	for _, field := range reflect.VisibleFields(v.Type()) {
		switch x := v.FieldByIndex(field.Index); x.Kind() {
		case reflect.Uint64:
			f(field.Name, x.Uint())
		case reflect.Array:
			for j := range x.Len() {
				f(fmt.Sprint("drop ", j), x.Index(j).Uint())
			}
		}
	}
	for _, ch := range t.Channels {
		w := reflect.ValueOf(ch.ChannelStats)
		for i := range w.NumField() {
			if x := w.Field(i); x.Kind() == reflect.Uint64 {
				f(ch.Name+" "+w.Type().Field(i).Name, x.Uint())
			}
		}
	}
}

// sum adds up the counters of sessions.
func sum(s *Server, conns ...*Conn) Totals {
	t := *s.newTotals()
	for _, c := range conns {
		into, st := reflect.ValueOf(&t).Elem(), reflect.ValueOf(c.Stats())
		for _, field := range reflect.VisibleFields(into.Type()) {
			from := st.FieldByName(field.Name)
			switch x := into.FieldByIndex(field.Index); {
			case x.Kind() == reflect.Uint64 && from.CanUint():
				x.SetUint(x.Uint() + from.Uint())
			case x.Kind() == reflect.Array:
				for j := range x.Len() {
					x.Index(j).SetUint(x.Index(j).Uint() + from.Index(j).Uint())
				}
			}
		}
		for id := range len(c.Channels()) + 1 {
			into := reflect.ValueOf(&t.Channels[min(id, len(t.Channels)-1)].ChannelStats).Elem()
			from := reflect.ValueOf(c.ChannelStats(ChannelID(id)))
			for i := range into.NumField() {
				if x := into.Field(i); x.CanUint() {
					x.SetUint(x.Uint() + from.Field(i).Uint())
				} else if into.Type().Field(i).Name != "QueueTime" {
					x.SetInt(x.Int() + from.Field(i).Int())
				}
			}
		}
	}
	return t
}

// The totals are the sums of the counters of sessions. The counters of sessions that are over
// stay in them, also those of their closing, whether Totals was called in their lifetime or not.
func TestTotals(t *testing.T) {
	for _, asked := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			srv, _ := newTestServer(t, func(c *Config) { c.Limits.Messages = 10 })
			ask := func() {
				if asked {
					srv.Totals()
				}
			}
			ask()
			_, ada, _ := join(t, srv, "ada")
			clientB, bob, _ := join(t, srv, "bob")
			ask()
			if _, err := ada.OpenChannel(Channel{Name: "den", Mode: ReliableOrdered}); err != nil {
				t.Fatal(err)
			}
			settle()
			must(t, ada.Send(4, []byte("in the den")))
			for range 40 {
				must(t, clientB.Send(move, []byte("here")))
				settle()
			}
			must(t, bob.Send(chat, []byte("hello")))
			settle()
			ask()
			cut(clientB)
			must(t, bob.Send(chat, make([]byte, 5000)))
			settle()

			live := srv.Totals()
			if want := sum(srv, ada, bob); !reflect.DeepEqual(live, want) {
				t.Fatalf("asked before: %v\n got %+v\nwant %+v", asked, live, want)
			}
			if live.Limited == 0 || live.Interruptions != 1 || live.Channels[chat].QueueBytes < 5000 || live.Channels[4].MessagesOut != 1 || live.Channels[4].Name != "" {
				t.Fatalf("the server does not have the state that the test needs: %+v", live)
			}

			must(t, ada.Send(chat, make([]byte, 100_000))) // goes on after the end is told
			ada.Close(session.CloseNormal, "")
			bob.Kick("")
			settle()
			time.Sleep(time.Minute)
			over := srv.Totals()
			if want := sum(srv, ada, bob); !reflect.DeepEqual(over, want) {
				t.Errorf("asked before: %v; when all is over\n got %+v\nwant %+v", asked, over, want)
			}
			if over.Channels[chat].BytesOut < live.Channels[chat].BytesOut+100_000 {
				t.Errorf("the last messages are not counted: %d bytes, then %d", live.Channels[chat].BytesOut, over.Channels[chat].BytesOut)
			}
			if again := srv.Totals(); !reflect.DeepEqual(again, over) {
				t.Errorf("a second Totals differs:\n%+v\n%+v", over, again)
			}
		})
	}
}

// Packets that a session sends after its end was delivered, until its link is gone, are counted.
func TestTotalsOfOneThatLosesItsLink(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		x := newHostileClient(t, srv, table)
		x.say(0, hello)
		x.run(100 * ms)
		x.deaf = true // it acknowledges nothing
		must(t, x.server.Send(chat, []byte("read this")))
		x.server.Close(session.CloseNormal, "")
		settle()
		told := srv.Totals()
		if told.Channels[chat].MessagesOut != 1 {
			t.Errorf("%d messages were sent when the end was told, want 1", told.Channels[chat].MessagesOut)
		}
		time.Sleep(time.Second)
		settle()
		x.ours.Close("")
		settle()
		got, want := srv.Totals(), sum(srv, x.server)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
		if got.PacketsOut <= told.PacketsOut {
			t.Errorf("%d packets at the last event, %d when the link was closed: nothing was left to count", told.PacketsOut, got.PacketsOut)
		}
	})
}

// TestTotalsOfOneThatTimesOut: its link is gone before it is over.
func TestTotalsOfOneThatTimesOut(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		client, server, _ := join(t, srv, "ada")
		cut(client)
		time.Sleep(time.Minute)
		if got, want := srv.Totals(), sum(srv, server); !reflect.DeepEqual(got, want) || got.Interruptions != 1 {
			t.Errorf("\n got %+v\nwant %+v", got, want)
		}
	})
}

// TestTotalsOnlyGrow: while sessions come, talk and go, and several ask.
func TestTotalsOnlyGrow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		var players, readers sync.WaitGroup
		done := make(chan struct{})
		for range 4 {
			players.Go(func() {
				for range 20 {
					c, err := srv.Local(LocalConfig{})
					must(t, err)
					for range 5 {
						c.Send(chat, []byte("hello"))
						time.Sleep(ms)
					}
					c.Close(session.CloseNormal, "")
					time.Sleep(ms)
				}
			})
		}
		for range 2 {
			readers.Go(func() {
				last := make(map[string]uint64)
				for {
					srv.Totals().numbers(func(name string, n uint64) {
						if n < last[name] {
							t.Errorf("%s falls from %d to %d", name, last[name], n)
						}
						last[name] = n
					})
					select {
					case <-done:
						return
					case <-time.After(ms / 2):
					}
				}
			})
		}
		players.Wait()
		close(done)
		readers.Wait()
		time.Sleep(time.Minute)
		if got := srv.Totals().Channels[chat].MessagesIn; got != 400 {
			t.Errorf("%d messages came, want 400", got)
		}
	})
}
