package sessioncore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// A session moves while both ends have messages in their queues, on a path with loss. Both programs get
// every message of the other end before the end, and nothing is sent twice.
func TestMoveDeliversWhatBothEndsHaveSent(t *testing.T) {
	for _, loss := range []float64{0, 0.3} {
		w := open(t)
		w.loss = loss
		var ups, downs []string
		for i := range 100 {
			up, down := fmt.Sprint("up ", i), fmt.Sprint("down ", i)
			w.send(w.client, chat, up)
			w.send(w.server, chat, down)
			ups, downs = append(ups, "chat: "+up), append(downs, "chat: "+down)
		}
		w.server.Move(w.now, []byte(`{"url":"https://b"}`))
		if w.server.State() != Open || !w.server.Moving() || w.server.Public() != session.StateClosing {
			t.Errorf("state %v, %v; moving %v", w.server.State(), w.server.Public(), w.server.Moving())
		}
		if _, err := w.server.Send(w.now, chat, nil, channel.Options{}); err != session.ErrClosed {
			t.Errorf("Send of a session that moves: %v, want ErrClosed", err)
		}
		later := false
		w.client.on = func(ev Event) {
			if ev.Type != EventMoved {
				return
			}
			if _, err := w.client.Send(w.now, chat, nil, channel.Options{}); err != session.ErrClosed {
				t.Errorf("Send of a client that is moved: %v, want ErrClosed", err)
			}
			later = true
		}
		w.run(9 * time.Second)
		if !later {
			t.Error("the client got no seat")
		}
		w.want(w.server, append(ups, `closed 8 "" remote=false`)...)
		w.want(w.client, append(downs, `moved {"url":"https://b"}`, `closed 8 "" remote=true`)...)
	}
}

// Messages of the client that leave after the server has begun to move, and before the client knows, arrive.
func TestWhatAClientSendsWhileItIsMovedArrives(t *testing.T) {
	w := open(t)
	w.server.Move(w.now, []byte("{}"))
	w.run(10 * time.Millisecond) // MOVE is on its way
	w.send(w.client, chat, "before MOVE")
	id, err := w.client.Request(w.now, "buy", nil)
	if err != nil || id != 1 {
		t.Fatal(id, err)
	}
	w.server.on = func(ev Event) {
		if ev.Type == EventRequest {
			w.server.Ack(w.now, ev.Request)
		}
	}
	w.run(time.Second)
	slices.Sort(w.server.events[:2]) // messages and requests have no order
	w.want(w.server, "chat: before MOVE", "request 1 buy: ", `closed 8 "" remote=false`)
	w.want(w.client, "moved {}", "request 1 acknowledged: ", `closed 8 "" remote=true`)
}

// The link is lost while the session moves, before and after MOVE has arrived. The client resumes, and the move goes on.
func TestMoveOverAnotherLink(t *testing.T) {
	for _, after := range []time.Duration{10 * time.Millisecond, 40 * time.Millisecond} {
		w := open(t)
		w.send(w.client, chat, "up")
		w.send(w.server, chat, "down")
		w.server.Move(w.now, []byte("{}"))
		w.run(after)
		w.cut()
		w.run(15 * time.Second) // longer than a move may take with a link
		w.link()
		w.run(time.Second)
		up, down := strings.Join(w.server.events, "; "), strings.Join(w.client.events, "; ")
		if strings.Count(up, "chat: up; ") != 1 || !strings.HasSuffix(up, `closed 8 "" remote=false`) {
			t.Errorf("the server after a cut at %v: %s", after, up)
		}
		if strings.Count(down, "chat: down; ") != 1 || !strings.HasSuffix(down, `moved {}; closed 8 "" remote=true`) {
			t.Errorf("the client after a cut at %v: %s", after, down)
		}
	}
}

// A client that acknowledges nothing is not waited for longer than DrainTimeout, or 10 s.
func TestMoveHasAnEnd(t *testing.T) {
	for _, c := range []struct{ drain, want time.Duration }{{time.Second, 3 * time.Second}, {4 * time.Second, 4 * time.Second}, {-1, 10 * time.Second}} {
		w := open(t, func(_, s *Config) { s.DrainTimeout, s.Silence = c.drain, time.Minute })
		w.run(time.Second)
		w.loss = 1
		w.client.in, w.server.in = nil, nil
		w.send(w.server, chat, "never read")
		w.server.Move(w.now, []byte("{}"))
		if d := w.closedAt(w.server, time.Minute); d != c.want {
			t.Errorf("a move with a DrainTimeout of %v ends after %v, want %v", c.drain, d, c.want)
		}
		w.want(w.server, `closed 8 "the move took too long: messages may be lost" remote=false lost 10 and 0`)
	}
}

// A client that waits for an answer ends the move itself, also if the server's DrainTimeout is shorter than the wait.
func TestAMoveHasTimeForAnswers(t *testing.T) {
	w := open(t, func(_, s *Config) { s.DrainTimeout = time.Second })
	if _, err := w.client.Request(w.now, "buy", nil); err != nil {
		t.Fatal(err)
	}
	w.run(time.Second)
	w.want(w.server, "request 1 buy: ")
	w.server.Move(w.now, []byte("{}"))
	w.run(5 * time.Second)
	w.want(w.server, `closed 8 "" remote=false`)
}

// A client that moves and has messages that are not acknowledged has no limit of its own. The server tells it once where to go.
func TestAClientThatMovesWaitsForItsMessages(t *testing.T) {
	w := open(t, func(c, s *Config) { c.Silence, s.Silence = time.Minute, time.Minute })
	w.server.Move(w.now, []byte("{}"))
	w.run(10 * time.Millisecond) // MOVE is on its way
	if _, err := w.client.Request(w.now, "buy", nil); err != nil {
		t.Fatal(err)
	}
	w.send(w.client, chat, "before MOVE")
	w.run(100 * time.Millisecond)
	w.want(w.client, "moved {}")
	told := w.server.Stats(w.now).BytesOut
	w.run(300 * time.Millisecond)
	if n := w.server.Stats(w.now).BytesOut - told; n != 0 || w.client.State() != Open {
		t.Errorf("the server sends %d bytes more, and the client is %v", n, w.client.State())
	}

	w = open(t, func(c, s *Config) { c.Silence, s.Silence = time.Minute, time.Minute })
	w.server.Move(w.now, []byte("{}"))
	w.run(10 * time.Millisecond)
	w.send(w.client, chat, "before MOVE")
	w.run(20 * time.Millisecond)
	w.want(w.client, "moved {}")
	w.client.in, w.server.in, w.loss = nil, nil, 1
	w.run(3 * answerTime)
	if w.client.State() != Open {
		t.Errorf("without acknowledgements the client is %v after three seconds", w.client.State())
	}
	w.loss = 0
	w.run(4 * time.Second)
	w.want(w.server, "chat: before MOVE", `closed 8 "" remote=false`)
	w.want(w.client, `closed 8 "" remote=true`)
}

// A client that is away and comes back again and again, and acknowledges nothing, does not hold the session for ever.
func TestMoveOfAClientThatComesAndGoes(t *testing.T) {
	w := open(t, func(_, s *Config) { s.DrainTimeout, s.Grace = 10*time.Second, 20*time.Second })
	w.server.Move(w.now, []byte("{}"))
	began := w.now
	for w.server.State() == Open && w.now.Sub(began) < time.Hour {
		w.cut()
		w.now = w.now.Add(5 * time.Second)
		w.server.Advance(w.now)
		w.link()
		for b := w.client.Append(w.now, nil, 1150); len(b) > 0; b = w.client.Append(w.now, nil, 1150) {
			w.server.Receive(w.now, b)
		}
		w.server.Advance(w.now)
		w.collect(w.server)
	}
	if d := w.now.Sub(began); d != 30*time.Second || w.server.State() != Closed {
		t.Errorf("the session is %v after %v, want closed after 30 s", w.server.State(), d)
	}
}

// A session that moves ends like another one if the client is away for the grace time, closes, or is kicked.
func TestOtherEndsOfAMove(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *world)
		want string
	}{
		{"the client is away", func(w *world) { w.cut(); w.run(time.Minute) }, `interrupted; closed 6 "nothing arrived for too long" remote=false`},
		{"the client closes", func(w *world) { w.client.Close(w.now, 300, "bye", false); w.run(time.Second) }, `closed 300 "bye" remote=true`},
		{"the client is kicked", func(w *world) { w.server.Close(w.now, session.CloseKicked, "out", true); w.run(time.Second) }, `closed 1 "out" remote=false`},
		{"the server closes", func(w *world) { w.server.Close(w.now, 300, "done", false); w.run(time.Second) }, `closed 300 "done" remote=false`},
	} {
		w := open(t)
		w.server.Move(w.now, []byte("{}"))
		c.do(w)
		if got := strings.Join(w.server.events, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		if w.client.State() != Closed {
			t.Errorf("%s: the client's state is %v", c.name, w.client.State())
		}
	}
}

// The program of the client closes the session after MOVE: its reason counts, at both ends.
func TestCloseOfAClientThatIsMoved(t *testing.T) {
	w := open(t)
	w.client.on = func(ev Event) {
		if ev.Type == EventMoved {
			w.client.Close(w.now, 300, "bye", false)
		}
	}
	w.server.Move(w.now, []byte("{}"))
	w.run(time.Second)
	w.want(w.client, "moved {}", `closed 300 "bye" remote=false`)
	w.want(w.server, `closed 300 "bye" remote=true`)
}

// A client of an older version does not know MOVE: its session ends like that of a server that shuts down.
func TestMoveOfAnOlderClient(t *testing.T) {
	w := open(t)
	w.server.takes &^= takesMove
	w.send(w.server, chat, "hi")
	w.server.Move(w.now, []byte("{}"))
	w.run(time.Second)
	w.want(w.client, "chat: hi", `closed 2 "connect again" remote=true`)
}

// Only a server moves a session, and only once.
func TestMoveThatIsOutOfPlace(t *testing.T) {
	w := open(t)
	w.client.sendControl(w.now, append([]byte{typeMove}, "{}"...), channel.Options{})
	w.run(time.Second)
	w.want(w.server, `closed 3 "MOVE from a client" remote=false`)

	w = newWorld(t)
	w.server.Move(w.now, []byte("{}"))
	w.link()
	w.run(time.Second)
	w.want(w.client, "open", "token 0")

	w = open(t)
	w.server.Move(w.now, []byte(`"first"`))
	w.server.Move(w.now, []byte(`"second"`))
	w.run(30 * time.Millisecond)
	w.server.sendControl(w.now, append([]byte{typeMove}, `"third"`...), channel.Options{})
	w.run(time.Second)
	w.want(w.client, `moved "first"`, `closed 8 "" remote=true`)
	w.server.Move(w.now, []byte("{}"))
	w.run(time.Second)
	w.want(w.client)
}
