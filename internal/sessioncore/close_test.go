package sessioncore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// queue gives an end n messages of 1,000 bytes with receipts.
func (w *world) queue(s *side, ch channel.ID, n int) {
	w.t.Helper()
	for range n {
		if _, err := s.Send(w.now, ch, make([]byte, 1000), channel.Options{Receipt: true}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// fates returns the number of events of each fate, and checks that all of them come before the
// end.
func fates(t *testing.T, s *side) (n map[string]int) {
	t.Helper()
	n = make(map[string]int)
	for i, ev := range s.events {
		if _, fate, ok := strings.Cut(ev, " "); ok && strings.HasPrefix(ev, "chat ") {
			n[fate]++
		}
		if strings.HasPrefix(ev, "closed") && i != len(s.events)-1 {
			t.Errorf("%q comes after the end", s.events[i+1:])
		}
	}
	return n
}

// A link that loses nothing delivers all that was queued before the end, as long as the
// time to drain lasts, and the end comes when it is delivered.
func TestCloseDrainsForAsLongAsItMay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		close func(w *world)
		all   bool
	}{
		{"by default", func(w *world) { w.server.Close(w.now, session.CloseNormal, "", false) }, true},
		{"without an end", func(w *world) { w.server.Drain(w.now, session.CloseNormal, "") }, true},
		{"for 2 s", func(w *world) {
			w.server.config.DrainTimeout = 2 * time.Second
			w.server.Close(w.now, session.CloseNormal, "", false)
		}, false},
		{"not at all", func(w *world) {
			w.server.config.DrainTimeout = -1
			w.server.Close(w.now, session.CloseNormal, "", false)
		}, false},
		{"until it is cut short", func(w *world) {
			w.server.Drain(w.now, session.CloseNormal, "")
			w.run(time.Second)
			w.server.Close(w.now, session.CloseKicked, "no time", true)
			w.collect(w.server)
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := open(t)
			w.queue(w.server, chat, 900)
			tt.close(w)
			w.run(30 * time.Second)
			n := fates(t, w.server)
			if n["delivered"]+n["abandoned"] != 900 || (n["abandoned"] == 0) != tt.all {
				t.Errorf("fates %v, want 900 in all; all are delivered: %v", n, tt.all)
			}
			lost := 1000 * n["abandoned"]
			server, client := `closed 0 "" remote=false`, `closed 0 "" remote=true`
			if lost > 0 {
				server += fmt.Sprintf(" lost %d and 0", lost)
				client += fmt.Sprintf(" lost 0 and %d", lost)
			}
			if got := w.server.events[len(w.server.events)-1]; got != server {
				t.Errorf("the server ends with %q, want %q", got, server)
			}
			got := w.client.events
			if got[len(got)-1] != client {
				t.Errorf("the client ends with %q, want %q", got[len(got)-1], client)
			}
			if came := len(got) - 1; came < n["delivered"] || tt.all && came != 900 {
				t.Errorf("%d messages have arrived, and %d have the fate delivered", came, n["delivered"])
			}
			if !w.server.Over() || !w.client.Over() {
				t.Errorf("an end is not over, so its link may not be closed: server %v, client %v", w.server.Over(), w.client.Over())
			}
		})
	}
}

// For every kind of end, every receipt has one fate before the end, and the end has the number
// of abandoned bytes.
func TestEveryReceiptHasOneFate(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"kick":             func(w *world) { w.client.Close(w.now, session.CloseKicked, "", true) },
		"kick by the peer": func(w *world) { w.server.Close(w.now, session.CloseKicked, "", true) },
		"close":            func(w *world) { w.client.Close(w.now, session.CloseNormal, "", false) },
		"silence":          func(w *world) { w.loss = 1 },
		"lost link":        func(w *world) { w.cut() },
		"lost link while it drains": func(w *world) {
			w.client.Close(w.now, session.CloseNormal, "", false)
			w.run(50 * time.Millisecond)
			w.cut()
		},
		"both close": func(w *world) {
			w.client.Close(w.now, session.CloseNormal, "", false)
			w.server.Close(w.now, session.CloseNormal, "", true)
		},
		"a protocol error": func(w *world) {
			w.server.sendControl(w.now, []byte{typeHello, 0, 0}, channel.Options{})
		},
		"expiry": func(w *world) { w.client.SetExpires(w.now.Add(time.Second)) },
	} {
		for _, early := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", sent before the opening: ", early), func(t *testing.T) {
				w := newWorld(t)
				if early {
					w.queue(w.client, chat, 500)
				}
				w.link()
				w.run(200 * time.Millisecond)
				if !early {
					w.queue(w.client, chat, 500)
					w.run(200 * time.Millisecond)
				}
				end(w)
				w.collect(w.client)
				w.run(60 * time.Second)
				n := fates(t, w.client)
				if n["delivered"]+n["abandoned"] != 500 || n["delivered"] == 0 {
					t.Errorf("fates %v, want 500 in all, some delivered", n)
				}
				r := w.client.Reason()
				if w.client.State() != Closed || r.LostOut != uint64(1000*n["abandoned"]) {
					t.Errorf("state %v, want %v; %d bytes are given up, want 1000 for each of the %d abandoned messages", w.client.State(), Closed, r.LostOut, n["abandoned"])
				}
			})
		}
	}
}

// A session that never opens has fates, too.
func TestReceiptsOfASessionThatNeverOpens(t *testing.T) {
	w := newWorld(t)
	w.queue(w.client, chat, 2)
	w.loss = 1
	w.link()
	w.run(10 * time.Second)
	w.want(w.client, "chat abandoned", "chat abandoned")
}

// A replaced message has its receipt also if the session ends before anything else happens.
func TestReceiptOfAReplacedMessageBeforeTheEnd(t *testing.T) {
	w := open(t)
	o := channel.Options{Receipt: true}
	w.server.Send(w.now, moves, []byte("left"), o)
	w.server.Send(w.now, moves, []byte("right"), o)
	w.server.Close(w.now, session.CloseKicked, "", true)
	w.collect(w.server)
	w.want(w.server, "moves replaced", "moves abandoned", `closed 1 "" remote=false`)
}

// While a session drains, acknowledgements and answers count, and other messages of the peer do
// not.
func TestWhatComesWhileASessionDrains(t *testing.T) {
	w := open(t)
	id, err := w.server.Request(w.now, "where", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.queue(w.server, chat, 100)
	w.client.on = func(ev Event) {
		if ev.Type == EventRequest {
			w.client.Reply(w.now, ev.Request, []byte("here"))
			w.send(w.client, chat, "too late")
			w.client.Request(w.now, "too late, too", nil)
		}
	}
	w.server.Close(w.now, 300, "bye", false)
	if _, err := w.server.Request(w.now, "x", nil); err != channel.ErrClosed {
		t.Errorf("Request after Close: %v, want ErrClosed", err)
	}
	if _, err := w.server.OpenChannel(w.now, effects); err != channel.ErrClosed {
		t.Errorf("OpenChannel after Close: %v, want ErrClosed", err)
	}
	w.run(5 * time.Second)
	events := w.server.events[:0]
	for _, ev := range w.server.events {
		if ev != "chat delivered" {
			events = append(events, ev)
		}
	}
	w.server.events = events
	w.want(w.server, fmt.Sprintf("request %d responded: here", id), `closed 300 "bye" remote=false`)
}

// What is sent on a channel that the client does not know yet is delivered before the
// end, too.
func TestCloseDeliversOnAChannelJustOpened(t *testing.T) {
	w := open(t)
	w.send(w.server, w.open(effects), "boom")
	w.server.Close(w.now, 300, "bye", false)
	w.run(5 * time.Second)
	w.want(w.client, "channel 4", "channel 4: boom", `closed 300 "bye" remote=true`)
	w.want(w.server, `closed 300 "bye" remote=false`)
}

func TestExpiry(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	w := open(t, func(_, server *Config) { server.Expires = t0.Add(time.Minute) })
	w.run(50 * time.Second)
	w.want(w.server)
	w.server.SetExpires(t0.Add(2 * time.Minute)) // renewed
	w.run(60 * time.Second)
	w.want(w.server)
	w.run(20 * time.Second)
	w.want(w.server, `closed 4 "the credentials have expired" remote=false`)
	w.want(w.client, `closed 4 "the credentials have expired" remote=true`)
}

// An interrupted session expires like any other: a resume does not renew it.
func TestExpiryWhileInterrupted(t *testing.T) {
	t0 := time.Unix(1_000_000, 0)
	w := open(t, func(_, server *Config) { server.Expires, server.Grace = t0.Add(time.Minute), time.Hour })
	w.run(30 * time.Second)
	w.cut()
	w.link()
	w.run(20 * time.Second)
	w.cut()
	w.run(20 * time.Second)
	if got := w.server.events[len(w.server.events)-1]; got != `closed 4 "the credentials have expired" remote=false` {
		t.Errorf("the last event is %q", got)
	}
	if !w.server.Over() {
		t.Error("the server's end is not over")
	}
}
