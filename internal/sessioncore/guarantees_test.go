package sessioncore

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// fill fills the queue of control messages to the byte.
func (w *world) fill(s *side) {
	w.t.Helper()
	for n := 60_000; n >= 0; {
		if _, err := s.sendControl(w.now, make([]byte, n), channel.Options{}); err == channel.ErrBudget {
			n = min(n-1, n*9/10)
		} else if err != nil {
			w.t.Fatal(err)
		}
	}
}

// When the queue of control messages is full, an answer or a channel is refused and
// nothing is changed.
func TestFullQueueOfControlMessages(t *testing.T) {
	w := open(t)
	w.client.Request(w.now, "r", nil)
	w.run(time.Second)
	w.want(w.server, "request 1 r: ")
	w.cut()
	w.fill(w.server)
	if err := w.server.Ack(w.now, 1); err != channel.ErrBudget || w.server.Stats(w.now).Asked != 1 {
		t.Errorf("Ack: %v, want ErrBudget; %d requests are served, want 1", err, w.server.Stats(w.now).Asked)
	}
	if id, err := w.server.Request(w.now, "r", nil); err != channel.ErrBudget || id != 0 || w.server.Stats(w.now).Asking != 0 {
		t.Errorf("Request: %d, %v; want 0, ErrBudget", id, err)
	}
	if id, err := w.server.OpenChannel(w.now, effects); err != channel.ErrBudget || id != 0 || len(w.server.Mux().Channels()) != len(table) {
		t.Errorf("OpenChannel: %d, %v; want 0, ErrBudget", id, err)
	}

	w = open(t)
	w.fill(w.client)
	w.client.control(w.now, effects.AppendLine([]byte{typeOpen}, 4))
	if r := w.client.Reason(); r.Code != session.CloseLimitRequests || r.Text != "there is no room to queue the answer to an OPEN" {
		t.Errorf("a client that cannot answer OPEN ends with %+v, want CloseLimitRequests", r)
	}
}

// A client with a new link sends a packet at once, so its server knows the link one trip later.
// Both ends count links and interruptions.
func TestNewLinkIsHeardAfterOneTrip(t *testing.T) {
	w := open(t)
	w.cut()
	w.run(time.Second)
	w.link()
	valid, next := w.server.Tokens()
	before, new := token(0), token(2)
	if valid != sha256.Sum256(before[:]) || next != sha256.Sum256(new[:]) {
		t.Error("the valid tokens are not the one before and the new one")
	}
	w.run(w.delay)
	w.want(w.server, "interrupted", "resumed")
	for _, s := range []*side{w.client, w.server} {
		if st := s.Stats(w.now); st.Resumed != 1 || st.Interruptions != 1 {
			t.Errorf("%s: %d new links and %d interruptions, want 1 each", s.name, st.Resumed, st.Interruptions)
		}
	}
}

// Pending is whether Events has any; Release gives their room back.
func TestPendingEvents(t *testing.T) {
	w := open(t)
	if w.server.Pending() {
		t.Error("Pending() = true without an event")
	}
	w.server.Unlink(w.now)
	if !w.server.Pending() {
		t.Error("Pending() = false after an interruption")
	}
	evs := w.server.Events(nil)
	if len(evs) != 1 || w.server.Pending() {
		t.Errorf("%d events, want 1; Pending() = %v, want false", len(evs), w.server.Pending())
	}
	if left := w.server.Release(evs); len(left) != 0 || cap(left) != cap(evs) || evs[0].Type != EventOpen {
		t.Errorf("released: length %d, want 0; capacity %d, want %d; type %v, want %v", len(left), cap(left), cap(evs), evs[0].Type, EventOpen)
	}
}

// A closed session whose link ends is over, whatever it still had to send.
func TestLinkThatGoesAfterTheEnd(t *testing.T) {
	w := open(t)
	w.server.Kick(w)
	if w.server.Over() {
		t.Error("the session is over before its end is sent")
	}
	w.server.Unlink(w.now)
	if !w.server.Over() || !w.server.Deadline().IsZero() {
		t.Error("the link is gone, and the session is not over")
	}
}

// The error during an interruption depends on the mode of each channel, also of the last one.
func TestInterruptedOnTheLastChannel(t *testing.T) {
	short := func(c, s *Config) { c.Channel.Channels, s.Channel.Channels = table[:1], table[:1] }
	w := open(t, short)
	w.cut()
	if _, err := w.client.Send(w.now, moves, nil, channel.Options{}); err != session.ErrInterrupted {
		t.Errorf("Send on a sequenced channel without a link: %v, want ErrInterrupted", err)
	}
}

// Frames that do not go with the table end the session, each with its cause.
func TestFramesThatDoNotGoWithTheTable(t *testing.T) {
	const message, bare = 1 << 6, 3 << 6
	for _, c := range []struct {
		name, frame, text string
	}{
		{"a channel that is none", string([]byte{message | 5, 0, 1, 'x'}), "a frame does not fit the table: " + channel.DropUnknown.String()},
		{"the wrong way", string([]byte{message | 4, 0, 1, 'x'}), "a frame does not fit the table: " + channel.DropDirection.String()},
		{"the wrong kind", string([]byte{bare | 2, 1, 'x'}), "a frame does not fit the table: " + channel.DropKind.String()},
	} {
		w := open(t, func(client, server *Config) {
			four := append(table[:3:3], channel.Channel{Name: "down", Direction: channel.ToClient})
			client.Channel.Channels, server.Channel.Channels = four, four
		})
		w.send(w.client, chat, "hi")
		b := w.client.Append(w.now, nil, channel.MaxPacket)
		w.server.Receive(w.now, append(b, c.frame...))
		w.collect(w.server)
		w.want(w.server, "chat: hi", `closed 3 "`+c.text+`" remote=false`)
	}
}

// The events that Append and Advance cause are there at once: the end when everything is
// delivered, and the fates of expired and lost messages.
func TestEventsOfTimeAreToldAtOnce(t *testing.T) {
	w := open(t)
	w.send(w.server, chat, "hi")
	w.server.Close(w.now, 300, "bye", false)
	w.client.Receive(w.now, w.server.Append(w.now, nil, channel.MaxPacket))
	w.now = w.client.Deadline()
	w.client.Advance(w.now)
	w.server.Receive(w.now, w.client.Append(w.now, nil, channel.MaxPacket))
	if b := w.server.Append(w.now, nil, channel.MaxPacket); !strings.HasSuffix(string(b), "bye") || w.server.State() != Closed {
		t.Errorf("once all is delivered the packet is %q, want one that ends with bye; state %v, want %v", b, w.server.State(), Closed)
	}

	w = open(t)
	w.server.Send(w.now, moves, nil, channel.Options{Receipt: true, Deadline: w.now.Add(time.Millisecond)})
	w.now = w.now.Add(time.Second)
	w.server.Append(w.now, nil, channel.MaxPacket)
	w.collect(w.server)
	w.want(w.server, "moves expired")

	w = open(t)
	w.server.Send(w.now, moves, nil, channel.Options{Receipt: true})
	w.server.Append(w.now, nil, channel.MaxPacket) // and it gets lost
	w.send(w.server, chat, "hi")
	w.client.Receive(w.now, w.server.Append(w.now, nil, channel.MaxPacket))
	w.now = w.client.Deadline()
	w.client.Advance(w.now)
	w.server.Receive(w.now, w.client.Append(w.now, nil, channel.MaxPacket))
	w.collect(w.server)
	w.want(w.server) // it may only be late
	w.now = w.server.Deadline()
	w.server.Advance(w.now)
	w.collect(w.server)
	w.want(w.server, "moves lost")
}

func TestExpires(t *testing.T) {
	w := newWorld(t)
	if at := w.now.Add(time.Minute); !w.server.Expires().IsZero() {
		t.Errorf("Expires() = %v, want none", w.server.Expires())
	} else if w.server.SetExpires(at); w.server.Expires() != at {
		t.Errorf("Expires() = %v, want %v", w.server.Expires(), at)
	}
}
