package sessioncore

import (
	"fmt"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// closedAt runs until the end is closed, and returns how long that took.
func (w *world) closedAt(s *side, limit time.Duration) time.Duration {
	began := w.now
	for s.State() != Closed && w.now.Sub(began) < limit {
		w.run(time.Millisecond)
	}
	return w.now.Sub(began)
}

// A session closes at once if it has nothing to deliver, no link, or is not open yet.
func TestCloseThatNeedNotDrain(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(w *world)
		over    bool
		events  []string
	}{
		{"all is delivered", func(w *world) { w.run(time.Second) }, false, []string{`closed 300 "bye" remote=false`}},
		{"the link is lost", func(w *world) { w.send(w.server, chat, "hi"); w.cut() }, true,
			[]string{"interrupted", `closed 300 "bye" remote=false lost 2 and 0`}},
	} {
		w := open(t)
		c.prepare(w)
		w.server.Close(w.now, 300, "bye", false)
		w.collect(w.server)
		if w.server.State() != Closed || w.server.Over() != c.over || w.server.Interrupted() {
			t.Errorf("%s: state %v, want %v; over %v, want %v; interrupted %v, want false", c.name, w.server.State(), Closed, w.server.Over(), c.over, w.server.Interrupted())
		}
		w.want(w.server, c.events...)
	}
	for _, linked := range []bool{false, true} {
		w := newWorld(t)
		if linked {
			w.link()
		}
		w.send(w.client, chat, "hi")
		w.client.Close(w.now, 300, "bye", false)
		w.collect(w.client)
		if w.client.State() != Closed || w.client.Over() == linked {
			t.Errorf("closed before the opening, linked %v: state %v, want %v; over %v, want %v", linked, w.client.State(), Closed, w.client.Over(), !linked)
		}
		w.want(w.client)
	}
}

// A drain ends when its time is over, or when the peer has been silent for Silence since the
// close or since its last packet, whichever is later. Advance alone ends it.
func TestDrainEndsToTheMillisecond(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, c := range []struct {
		name           string
		drain, silence time.Duration
		forever        bool
		want           time.Duration
	}{
		{"DrainTimeout", ms(2345), ms(9000), false, ms(2345)},
		{"silence comes first", ms(9000), ms(2345), false, ms(2345)},
		{"only silence ends Drain", ms(1000), ms(2345), true, ms(2345)},
		{"a negative DrainTimeout", -1, ms(2345), false, 0},
	} {
		w := open(t, func(_, s *Config) { s.DrainTimeout, s.Silence = c.drain, c.silence })
		w.run(time.Second)
		w.loss = 1
		w.client.in, w.server.in = nil, nil
		w.run(time.Second) // the client was heard before that
		w.send(w.server, chat, "never read")
		if c.forever {
			w.server.Drain(w.now, session.CloseNormal, "")
			w.server.Drain(w.now.Add(-time.Second), session.CloseKicked, "once more changes nothing")
		} else {
			w.server.Close(w.now, session.CloseNormal, "", false)
		}
		w.collect(w.server)
		closed := w.now
		for end := w.now.Add(time.Minute); w.server.State() != Closed && w.now.Before(end); {
			if at := w.server.Deadline(); at.After(w.now) {
				w.now = at
			} else {
				t.Fatalf("%s: the deadline is %v before now", c.name, w.now.Sub(at))
			}
			w.server.Advance(w.now)
			w.collect(w.server)
			if w.server.State() == Closing {
				w.server.mux.Append(w.now, nil, channel.MaxPacket) // what leaves, without the session's look
			}
		}
		if d := w.now.Sub(closed); d != c.want {
			t.Errorf("%s: it ends after %v, want %v", c.name, d, c.want)
		}
		w.want(w.server, `closed 0 "" remote=false lost 10 and 0`)
	}
}

// A drain continues while packets of the peer arrive.
func TestDrainOfALivePeerHasNoEnd(t *testing.T) {
	w := open(t, func(c, s *Config) { c.Channel.KeepAlive, s.Silence = 200*time.Millisecond, time.Second })
	w.loss = 0.5
	w.queue(w.server, chat, 200)
	w.server.Drain(w.now, 300, "bye")
	if d := w.closedAt(w.server, time.Minute); d < 2*time.Second || d >= time.Minute {
		t.Errorf("the end takes %v, want 2 s to 1 minute", d)
	}
	if n := fates(t, w.server); n["delivered"] != 200 {
		t.Errorf("fates %v, want 200 delivered", n)
	}
}

// The link of a session that drains goes: the session ends.
func TestLinkThatGoesWhileASessionDrains(t *testing.T) {
	w := open(t)
	w.send(w.server, chat, "never read")
	w.server.Close(w.now, 300, "bye", false)
	if w.server.Over() || w.server.State() != Closing {
		t.Fatalf("state %v, want %v; over %v, want false", w.server.State(), Closing, w.server.Over())
	}
	if w.server.Link(w.now, LinkInfo{}); w.server.Stats(w.now).Resumed != 0 || w.server.State() != Closing {
		t.Errorf("a session that drains accepts a link: state %v", w.server.State())
	}
	w.server.Unlink(w.now)
	w.collect(w.server)
	w.want(w.server, `closed 300 "bye" remote=false lost 10 and 0`)
	if !w.server.Over() {
		t.Error("the link is gone, and the session is not over")
	}
}

// The reason of the end that closes first counts at this end; it also gets the number of
// bytes that the other end gave up.
func TestBothEndsClose(t *testing.T) {
	w := open(t)
	w.send(w.client, chat, "from the client")
	w.send(w.server, chat, "from the server")
	w.client.Close(w.now, 300, "I am off", false)
	w.server.Close(w.now, 301, "me too", true)
	w.run(time.Second)
	w.want(w.client, `closed 300 "I am off" remote=false lost 15 and 15`)
	w.want(w.server, `closed 301 "me too" remote=false lost 15 and 0`)
}

// Credentials that expire while a session drains do not cut it short.
func TestExpiryWhileASessionDrains(t *testing.T) {
	w := open(t)
	w.loss = 1
	w.send(w.server, chat, "still read")
	w.server.Close(w.now, 300, "bye", false)
	w.server.SetExpires(w.now)
	if at := w.server.Deadline(); !at.After(w.now) {
		t.Errorf("the deadline is in %v, want later than now", at.Sub(w.now))
	}
	w.run(time.Second)
	w.loss = 0
	w.run(5 * time.Second)
	w.want(w.client, "chat: still read", `closed 300 "bye" remote=true`)
	w.want(w.server, `closed 300 "bye" remote=false`)
	w.server.Advance(w.now)
	w.collect(w.server)
	w.want(w.server)
}

// The link may go once the peer knows of the end, and not before.
func TestOverWhenThePeerKnows(t *testing.T) {
	w := open(t)
	w.run(time.Second)
	w.server.Close(w.now, 300, "bye", false)
	w.collect(w.server)
	if len(w.server.Append(w.now, nil, channel.MaxPacket)) == 0 || len(w.server.Append(w.now, nil, channel.MaxPacket)) > 0 {
		t.Fatal("the end is not sent in exactly one packet")
	}
	if w.server.Over() || w.server.Deadline().IsZero() {
		t.Error("the session is over, or has no deadline, after the end was sent once")
	}
	w.run(time.Second)
	if !w.server.Over() {
		t.Error("the session is not over, though its end was sent six times or is acknowledged")
	}
}

// Whatever a peer sends while a session drains does not end it: it is not looked at.
func TestFloodWhileASessionDrains(t *testing.T) {
	w := open(t, func(_, s *Config) { s.Limits.Messages, s.Limits.Bytes = 1000, 1<<20 })
	w.queue(w.server, chat, 20)
	w.server.Close(w.now, 300, "bye", false)
	var early int
	for n := uint64(1); early <= maxEarly; n++ { // more than may come early
		b := make([]byte, 1000)
		w.server.message(w.now, &channel.Event{Type: channel.EventMessage, Channel: loot, Payload: b})
		early += len(b) + earlyCost
	}
	for range 3000 { // more than the limit
		w.server.message(w.now, &channel.Event{Type: channel.EventMessage, Channel: moves, Payload: []byte("left")})
	}
	w.run(5 * time.Second)
	if n := fates(t, w.server); n["delivered"] != 20 || w.server.Stats(w.now).Limited != 0 {
		t.Errorf("fates %v, want 20 delivered; %d messages limited, want 0", n, w.server.Stats(w.now).Limited)
	}
	if got := w.server.events[20:]; fmt.Sprint(got) != `[closed 300 "bye" remote=false]` {
		t.Errorf("the last events are %q", got)
	}
}

// Frames behind the one that ends the session have no effect, and the end is the last event, for
// both ends.
func TestNothingFollowsTheEnd(t *testing.T) {
	w := open(t)
	w.send(w.client, chat, "given up")
	w.client.Send(w.now, chat, nil, channel.Options{Receipt: true})
	w.server.sendControl(w.now, []byte{typeHello, 0, 0}, channel.Options{})
	w.server.sendControl(w.now, appendWelcome(nil, 1, token(9), 0, 0), channel.Options{})
	b := w.server.Append(w.now, nil, channel.MaxPacket)
	w.client.Receive(w.now, append(b, "\x02\x05\x03bye"...)) // and a close frame
	w.collect(w.client)
	w.want(w.client, "chat abandoned", `closed 3 "HELLO in an open session" remote=false lost 8 and 0`)
}

// Messages that were sent before the opening have their fates even if the session never opens;
// messages of the peer are not delivered.
func TestFatesOfASessionThatNeverOpens(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.client.Send(w.now, chat, []byte("hi"), channel.Options{Receipt: true})
	w.server.Append(w.now, nil, channel.MaxPacket) // WELCOME is lost
	w.server.Receive(w.now, w.client.Append(w.now, nil, channel.MaxPacket))
	w.send(w.server, chat, "hi")
	w.client.Receive(w.now, w.server.Append(w.now, nil, channel.MaxPacket))
	w.collect(w.client)
	w.want(w.client)
	w.cut()
	w.want(w.client, "chat delivered")
}

// Own makes events independent of the datagram they came in.
func TestOwnedEvents(t *testing.T) {
	w := open(t)
	w.send(w.server, chat, "hi")
	b := w.server.Append(w.now, nil, channel.MaxPacket)
	w.client.Receive(w.now, b)
	w.client.emit(Event{Type: EventOpen})
	w.client.Own()
	clear(b)
	w.collect(w.client)
	w.want(w.client, "chat: hi", "open") // and what has no bytes has none
}

// While a handler runs, the other link's shard owns the events after each datagram: what
// it copied before is not copied again, and what comes next is.
func TestEventsAreOwnedOnce(t *testing.T) {
	w := open(t)
	receive := func(text string) []byte {
		w.send(w.server, chat, text)
		b := w.server.Append(w.now, nil, channel.MaxPacket)
		w.client.Receive(w.now, b)
		return b
	}
	for _, text := range []string{"one", "two"} {
		b := receive(text)
		w.client.Own()
		clear(b)
	}
	if n := testing.AllocsPerRun(10, w.client.Own); n != 0 {
		t.Errorf("Own of events that are owned allocates %v times, want 0", n)
	}
	w.collect(w.client)
	b := receive("three")
	w.client.Own()
	clear(b)
	w.collect(w.client)
	w.want(w.client, "chat: one", "chat: two", "chat: three")
}

// A client that drains waits for an acknowledgement as long as for an answer to a ping: on a
// path with round trips of 4 s it gets what it has sent acknowledged, and ends then.
func TestDrainWaitsForALongRoundTrip(t *testing.T) {
	w := newWorld(t)
	w.delay = 2 * time.Second
	w.link()
	w.run(20 * time.Second)
	w.want(w.client, "open", "token 0")
	w.want(w.server, "open I am red")
	w.send(w.client, chat, "bye")
	w.client.Close(w.now, 300, "bye", false)
	w.collect(w.client)
	w.run(3900 * time.Millisecond)
	w.want(w.client)
	w.run(time.Second)
	w.want(w.client, `closed 300 "bye" remote=false`)
	w.want(w.server, "chat: bye")
}
