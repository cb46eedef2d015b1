package sessioncore

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

var effects = channel.Channel{Name: "effects", Mode: channel.ReliableOrdered}

func (w *world) open(c channel.Channel) channel.ID {
	w.t.Helper()
	id, err := w.server.OpenChannel(w.now, c)
	if err != nil {
		w.t.Fatal(err)
	}
	return id
}

// The client has the channel before the first message on it arrives, and may send on it at once.
func TestChannelOpenedAtRunTime(t *testing.T) {
	w := open(t)
	w.client.on = func(ev Event) {
		if ev.Type == EventChannel {
			w.send(w.client, ev.Channel, "thanks")
		}
	}
	id := w.open(effects)
	w.send(w.server, id, "boom")
	w.run(200 * time.Millisecond)
	w.want(w.client, "channel 4", "channel 4: boom")
	w.want(w.server, "channel 4: thanks")
	if c := w.client.Mux().Channels(); len(c) != 4 || c[3].Name != "effects" || len(table) != 3 {
		t.Errorf("the client's table is %v, want 4 channels; the program's has %d, want 3", c, len(table))
	}
}

// How to send travels with the channel, to a client that takes it.
func TestOpenCarriesHowToSend(t *testing.T) {
	for _, takes := range []bool{true, false} {
		w := open(t)
		if !takes {
			w.server.takes = takesOpen
		}
		c := effects
		c.Priority, c.Guarantee, c.Weight = 7, math.MaxInt, 3
		w.open(c)
		w.run(200 * time.Millisecond)
		got := w.client.Mux().Channels()[3]
		want := channel.Channel{Name: "effects", Mode: channel.ReliableOrdered, MaxMessage: 256 << 10, QueueLimit: 1 << 20}
		if takes {
			want.Priority, want.Guarantee, want.Weight = 7, 1<<31-1, 3
		}
		if got != want {
			t.Errorf("takes it %v: %+v, want %+v", takes, got, want)
		}
	}
}

// Packets are lost, one overtakes another, and the link is cut before the client has answered:
// no message of a channel is delivered before the channel, and all arrive.
func TestOpenSurvivesLossAndResume(t *testing.T) {
	w := open(t)
	w.loss = 0.3
	for n := range 20 {
		c := effects
		c.Name = fmt.Sprint("effects", n)
		id := w.open(c)
		w.send(w.server, id, "first")
		w.run(30 * time.Millisecond)
		if n%5 == 4 {
			w.cut()
			w.link()
		}
		w.send(w.server, id, "second")
	}
	w.run(30 * time.Second)
	for n := range 20 {
		at := -1
		for _, what := range []string{"channel %d", "channel %d: first", "channel %d: second"} {
			what = fmt.Sprintf(what, n+4)
			next := slices.Index(w.client.events, what)
			if next <= at || slices.Index(w.client.events[next+1:], what) >= 0 {
				t.Fatalf("the event %q is not in its order, or comes twice: %q", what, w.client.events)
			}
			at = next
		}
	}
}

func TestOpenChannelMisuse(t *testing.T) {
	w := open(t)
	if _, err := w.client.OpenChannel(w.now, effects); err != session.ErrFixed {
		t.Errorf("OpenChannel of the client: %v, want ErrFixed", err)
	}
	if _, err := w.server.OpenChannel(w.now, table[0]); !isTableError(err) {
		t.Errorf("a name that is taken: %v, want a TableError", err)
	}
	for n := 4; n <= channel.MaxChannels; n++ {
		w.open(channel.Channel{Name: fmt.Sprint(n)})
	}
	if _, err := w.server.OpenChannel(w.now, effects); !isTableError(err) {
		t.Errorf("one channel too many: %v, want a TableError", err)
	}
	w.run(time.Second)
	w.send(w.server, channel.MaxChannels, "the last")
	w.run(time.Second)
	if got := w.client.events[len(w.client.events)-1]; got != "channel 63: the last" {
		t.Errorf("the last event is %q, want channel 63", got)
	}
	w.server.Close(w.now, session.CloseNormal, "", true)
	if _, err := w.server.OpenChannel(w.now, effects); err != channel.ErrClosed {
		t.Errorf("OpenChannel after the close: %v, want ErrClosed", err)
	}
}

func isTableError(err error) bool {
	_, ok := errors.AsType[*channel.TableError](err)
	return ok
}

// A client that does not say that it accepts channels gets no OPEN.
func TestClientWithAFixedTable(t *testing.T) {
	w := newWorld(t)
	w.server.link = 1
	w.server.Link(w.now, LinkInfo{})
	w.server.control(w.now, appendHello(nil, nil, 0))
	if _, err := w.server.OpenChannel(w.now, effects); err != session.ErrFixed {
		t.Errorf("OpenChannel: %v, want ErrFixed", err)
	}
}

func TestHostileOpen(t *testing.T) {
	line := func(c channel.Channel, id channel.ID) string { return "\x08" + string(c.AppendLine(nil, id)) }
	for _, c := range []struct{ name, bytes, text string }{
		{"a number of the first table", line(effects, 3), "a malformed OPEN"},
		{"a number beyond the last", line(effects, 64), "a malformed OPEN"},
		{"number 0", line(effects, 0), "a malformed OPEN"},
		{"a name that is taken", line(table[0], 4), "OPEN: "},
		{"too large", line(channel.Channel{Name: "x", MaxMessage: 1 << 30, QueueLimit: 1<<31 - 1}, 4), "a malformed OPEN"},
		{"an unknown mode", "\x084 x quick both 1000 2000", "a malformed OPEN"},
		{"a newline", line(effects, 4) + "\n", "a malformed OPEN"},
		{"one field more", line(effects, 4) + " 7", "a malformed OPEN"},
		{"a field too many", line(effects, 4) + " 7 0 1 0", "a malformed OPEN"},
		{"a priority of 8", line(effects, 4) + " 8 0 1", "a malformed OPEN"},
		{"a weight of 0", line(effects, 4) + " 7 0 0", "a malformed OPEN"},
		{"a negative guarantee", line(effects, 4) + " 7 -1 1", "a malformed OPEN"},
		{"a number with a sign", line(effects, 4) + " +7 0 1", "a malformed OPEN"},
		{"a guarantee beyond 32 bits", line(effects, 4) + " 7 2147483648 1", "a malformed OPEN"},
		{"an OPENED", "\x09\x04", "an OPENED that answers no OPEN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t)
			w.server.sendControl(w.now, []byte(c.bytes), channel.Options{})
			w.run(100 * time.Millisecond)
			if r := w.client.Reason(); r.Code != session.CloseProtocolError || len(r.Text) < len(c.text) || r.Text[:len(c.text)] != c.text {
				t.Errorf("the client's end: %+v, want a protocol error that begins with %q", r, c.text)
			}
			if n := len(w.client.Mux().Channels()); n != 3 {
				t.Errorf("the client has %d channels, want 3", n)
			}
		})
	}
	for _, c := range []struct{ name, bytes, text string }{
		{"an OPEN", line(effects, 5), "a malformed OPEN"},
		{"an OPENED too early", "\x09\x05", "an OPENED that answers no OPEN"},
		{"an OPENED of the first table", "\x09\x03", "an OPENED that answers no OPEN"},
		{"a second OPENED", "\x09\x04", "an OPENED that answers no OPEN"},
	} {
		t.Run("from a client, "+c.name, func(t *testing.T) {
			w := open(t)
			w.open(effects)
			w.run(100 * time.Millisecond)
			w.client.sendControl(w.now, []byte(c.bytes), channel.Options{})
			w.run(100 * time.Millisecond)
			if r := w.server.Reason(); r.Code != session.CloseProtocolError || r.Text != c.text {
				t.Errorf("the server's end: %+v, want a protocol error with the text %q", r, c.text)
			}
		})
	}
}
