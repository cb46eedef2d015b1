package sessioncore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// How to send travels with a channel of a client, too. The server's own channels have no
// limit of the client's.
func TestChannelsOfAClientCarryHowToSend(t *testing.T) {
	w := open(t, mayOpen(1))
	c := small
	c.Priority, c.Guarantee, c.Weight = 5, 1000, 7
	id := w.openAt(w.client, c)
	w.run(200 * time.Millisecond)
	if got := w.server.Mux().Channels()[id-1]; got != c {
		t.Errorf("the server has %+v, want %+v", got, c)
	}
	big := channel.Channel{Name: "big", QueueLimit: 10 << 20}
	w.open(big)
}

// An end that has received SHUT accepts no more messages. It delivers the waiting messages
// before the event of the channel's end.
func TestAnEndThatIsShutDeliversWhatWaits(t *testing.T) {
	w := open(t)
	id := w.open(small)
	w.run(200 * time.Millisecond)
	w.want(w.client, "channel 4")
	w.loss = 1
	w.send(w.client, id, "waits")
	w.run(20 * time.Millisecond)
	w.loss = 0
	w.close(w.server, id)
	w.run(40 * time.Millisecond)
	if st := w.client.lives.state[id]; st != channelShutReceived {
		t.Fatalf("the state is %d, want %d (channelShutReceived)", st, channelShutReceived)
	}
	if _, err := w.client.Send(w.now, id, []byte("more"), channel.Options{}); err != channel.ErrUnknown || w.client.Mux().Free(id) != -1 {
		t.Errorf("Send after the SHUT of the peer: %v, want ErrUnknown; Free = %d, want -1", err, w.client.Mux().Free(id))
	}
	if err := w.client.CloseChannel(w.now, id); err != channel.ErrUnknown {
		t.Errorf("CloseChannel after the SHUT of the peer: %v, want ErrUnknown", err)
	}
	w.want(w.client)
	w.run(time.Second)
	w.want(w.client, "channel 4 closed")
	w.want(w.server, "channel 4: waits", "channel 4 closed")
}

// There is no event of a channel when the session is being closed, or is over.
func TestNothingOfAChannelAfterTheEndOfTheSession(t *testing.T) {
	for _, atOnce := range []bool{false, true} {
		w := open(t)
		id := w.open(small)
		w.run(200 * time.Millisecond)
		w.want(w.client, "channel 4")
		w.loss = 1
		w.send(w.client, id, "waits")
		w.run(20 * time.Millisecond)
		w.loss = 0
		w.close(w.server, id)
		w.run(40 * time.Millisecond)
		if st := w.client.lives.state[id]; st != channelShutReceived {
			t.Fatalf("the state is %d, want %d (channelShutReceived)", st, channelShutReceived)
		}
		w.client.Close(w.now, session.CloseNormal, "", atOnce)
		w.collect(w.client)
		w.run(time.Second)
		if n := len(w.client.events); n != 1 || !strings.HasPrefix(w.client.events[0], "closed") {
			t.Errorf("at once %v: the events are %q, want only the end", atOnce, w.client.events)
		}
	}
}

// The answer to a SHUT waits for room in the queue, too.
func TestTheAnswerToShutWaitsForRoom(t *testing.T) {
	w := open(t)
	id := w.open(small)
	w.run(200 * time.Millisecond)
	w.close(w.server, id)
	w.flush(w.server, w.client)
	w.now = w.now.Add(w.delay)
	w.turn(w.client) // the program has taken the end of the channel
	for {
		if _, err := w.client.sendControl(w.now, append([]byte{typeExtension}, make([]byte, 1000)...), channel.Options{}); err != nil {
			break
		}
	}
	for {
		if _, err := w.client.sendControl(w.now, []byte{typeExtension}, channel.Options{}); err != nil {
			break
		}
	}
	w.client.removeChannels(w.now)
	if st := w.client.lives.state[id]; st != channelCloseEmitted || w.client.lives.gone != 1<<id {
		t.Fatalf("the state is %d, want %d (channelCloseEmitted)", st, channelCloseEmitted)
	}
	w.run(20 * time.Second)
	if got := w.server.events[len(w.server.events)-1]; got != "channel 4 closed" || w.client.lives.gone != 0 {
		t.Errorf("the last event is %q, want channel 4 closed", got)
	}
}

// The peer may use a number again in the packet with its SHUT. The event of the old
// channel's end comes first.
func TestANumberIsUsedAgainAtOnce(t *testing.T) {
	w := open(t, mayOpen(1))
	id := w.openAt(w.client, small)
	w.send(w.client, id, "one")
	w.run(200 * time.Millisecond)
	w.close(w.server, id)
	w.flush(w.server, w.client)
	w.now = w.now.Add(w.delay)
	w.turn(w.client)
	w.client.removeChannels(w.now) // says SHUT
	c := small
	c.Name = "next"
	if again := w.openAt(w.client, c); again != id {
		t.Fatalf("the number is %d, want %d again", again, id)
	}
	w.send(w.client, id, "two")
	w.run(300 * time.Millisecond)
	w.want(w.server, "channel 4", "channel 4: one", "channel 4 closed", "channel 4", "channel 4: two")
	if name := w.server.Mux().Channels().Name(id); name != "next" {
		t.Errorf("the channel has the name %q, want next", name)
	}
	w.server.checkChannels(t)
}

// A client that did not say that it closes channels closes none.
func TestShutOfAClientThatDoesNotClose(t *testing.T) {
	w := open(t)
	w.server.lives.closes = false // as after a HELLO without takesShut
	id := w.open(small)
	w.run(200 * time.Millisecond)
	w.client.sendControl(w.now, []byte{typeShut, byte(id)}, channel.Options{})
	w.run(200 * time.Millisecond)
	w.want(w.server, `closed 3 "a SHUT of a channel that is not open" remote=false`)
	if r := w.server.Reason(); r.Code != session.CloseProtocolError || r.Text != "a SHUT of a channel that is not open" {
		t.Errorf("%v, %+v, want a protocol error", w.server.State(), r)
	}
}

// An OPEN that does not fit the queue leaves no channel.
func TestAnOpenThatIsRefusedLeavesNoChannel(t *testing.T) {
	w := open(t)
	w.cut()
	for {
		if _, err := w.server.sendControl(w.now, append([]byte{typeExtension}, make([]byte, 100)...), channel.Options{}); err != nil {
			break
		}
	}
	for range 3 {
		if id, err := w.server.OpenChannel(w.now, channel.Channel{Name: strings.Repeat("n", 64), Mode: channel.ReliableUnordered}); err != channel.ErrBudget || id != 0 {
			t.Fatalf("OpenChannel = %d, %v; want 0, ErrBudget", id, err)
		}
	}
	if n := len(w.server.Mux().Channels()); n != len(table) {
		t.Errorf("%d channels, want %d", n, len(table))
	}
	w.server.checkChannels(t)
	w.link()
	w.run(20 * time.Second)
	if id := w.open(small); id != 4 {
		t.Errorf("the number is %d, want 4", id)
	}
}

// Both ends open a channel of one name at the same time: there are two, and both ends find
// the same one by the name.
func TestBothEndsOpenAChannelOfOneName(t *testing.T) {
	w := open(t, mayOpen(1))
	ids := map[*side]channel.ID{w.client: w.openAt(w.client, small), w.server: w.openAt(w.server, small)}
	for s, id := range ids {
		w.send(s, id, "of the "+s.name)
	}
	w.run(200 * time.Millisecond)
	w.want(w.client, "channel 5", "channel 5: of the server")
	w.want(w.server, "channel 4", "channel 4: of the client")
	for s := range ids {
		if id, ok := s.Mux().Channels().ID("small"); id != 4 || !ok {
			t.Errorf("%s: ID(\"small\") = %d, want 4", s.name, id)
		}
		if _, err := s.OpenChannel(w.now, small); !isTableError(err) {
			t.Errorf("%s: one more channel of that name: %v, want a TableError", s.name, err)
		}
	}
	w.close(w.server, 4)
	w.close(w.client, 5)
	w.run(300 * time.Millisecond)
	w.want(w.client, "channel 4 closed", "channel 5 closed")
	w.want(w.server, "channel 5 closed", "channel 4 closed")
}

// An OPEN waits until the program has taken the last events of the channel that had the
// number, or the name. So do the OPENs after it.
func TestOpenWaitsForTheProgram(t *testing.T) {
	for _, number := range []bool{false, true} {
		w := open(t, mayOpen(3))
		id := w.openAt(w.client, small)
		w.run(200 * time.Millisecond)
		w.close(w.server, id)
		w.flush(w.server, w.client)
		w.now = w.now.Add(w.delay)
		w.turn(w.client)
		w.client.removeChannels(w.now) // says SHUT
		w.server.events, w.client.events = nil, nil
		c := small
		if number {
			w.client.lives.last = 3
			c.Name = "next"
		}
		again := w.openAt(w.client, c)
		if (again == id) != number {
			t.Fatalf("the number is %d, want %d again: %v", again, id, number)
		}
		other := small
		other.Name = "other"
		third := w.openAt(w.client, other)
		w.flush(w.client, w.server)
		w.now = w.now.Add(w.delay)
		for _, d := range w.server.in {
			w.server.Receive(w.now, d.b)
		}
		w.server.in = nil
		if name := w.server.Mux().Channels().Name(id); name != "small" || len(w.server.lives.held) != 2 {
			t.Errorf("number %v: the channel has the name %q, want small; %d OPENs wait, want 2", number, name, len(w.server.lives.held))
		}
		w.collect(w.server)
		w.want(w.server, "channel 4 closed")
		w.run(300 * time.Millisecond)
		w.want(w.server, fmt.Sprint("channel ", again), fmt.Sprint("channel ", third))
		w.send(w.client, again, "one")
		w.send(w.client, third, "two")
		w.run(300 * time.Millisecond)
		w.want(w.server, fmt.Sprintf("channel %d: one", again), fmt.Sprintf("channel %d: two", third))
		w.close(w.client, again)
		w.run(300 * time.Millisecond)
		w.want(w.server, fmt.Sprintf("channel %d closed", again))
		w.server.checkChannels(t)
	}
}

// The OPENs that wait have a bound, and are checked when their time comes.
func TestHostileOpensThatWait(t *testing.T) {
	for _, many := range []bool{false, true} {
		w := open(t, mayOpen(1), func(_, server *Config) { server.Limits = session.Limits{Messages: -1, Bytes: -1} })
		id := w.openAt(w.client, small)
		w.run(200 * time.Millisecond)
		w.close(w.server, id)
		w.flush(w.server, w.client)
		w.now = w.now.Add(w.delay)
		w.turn(w.client)
		line := "\x08" + string(small.AppendOpenLine(nil, 4))
		n := 2
		if many {
			n = 100
		}
		w.client.removeChannels(w.now)
		for range n {
			w.client.sendControl(w.now, []byte(line), channel.Options{})
		}
		if !many {
			w.run(300 * time.Millisecond)
		}
		for range 20 {
			w.flush(w.client, w.server)
			w.now = w.now.Add(w.delay)
			for _, d := range w.server.in { // the program takes no events
				w.server.Receive(w.now, d.b)
			}
			w.server.in = nil
			w.flush(w.server, w.client)
			w.now = w.now.Add(w.delay)
			w.turn(w.client)
		}
		if r := w.server.Reason(); r.Code != session.CloseProtocolError || r.Text != "a malformed OPEN" {
			t.Errorf("many %v: %v, %+v, want a protocol error", many, w.server.State(), r)
		}
		if n := len(w.server.lives.held); many && n != channel.MaxChannels {
			t.Errorf("%d OPENs wait, want %d", n, channel.MaxChannels)
		}
	}
}

// Two channels are closed, and the client uses both numbers again. The server's program has
// processed the end of the first one only (the second waits: a break of Poll, a panic, a slow
// handler of a session that moves). The second OPEN must go on waiting.
func TestHeldOpensWaitForTheirOwnNumber(t *testing.T) {
	w := open(t, mayOpen(2))
	unreliable := func(name string) channel.Channel { return channel.Channel{Name: name, Mode: channel.Unreliable} }
	a, b := w.openAt(w.client, unreliable("a")), w.openAt(w.client, unreliable("b"))
	w.run(200 * time.Millisecond)
	w.close(w.server, a)
	w.close(w.server, b)
	w.flush(w.server, w.client)
	w.now = w.now.Add(w.delay)
	w.turn(w.client) // its program processes both ends at once
	w.flush(w.client, w.server)
	c, d := w.openAt(w.client, unreliable("c")), w.openAt(w.client, unreliable("d"))
	w.flush(w.client, w.server)
	w.now = w.now.Add(w.delay)
	for _, x := range w.server.in {
		w.server.Receive(w.now, x.b)
	}
	w.server.in = nil
	evs := w.server.Events(nil)
	n := 0
	for _, ev := range evs {
		if ev.Type == EventChannelClosed {
			n++
		}
	}
	if n != 2 || len(w.server.lives.held) != 2 {
		t.Fatalf("%d channels are closed, %d OPENs wait; want 2, 2", n, len(w.server.lives.held))
	}
	w.server.ChannelDelivered(a)
	w.server.Append(w.now, nil, channel.MaxPacket)
	if w.server.State() != Open {
		t.Fatalf("the session ends: %+v", w.server.Reason())
	}
	w.server.ChannelDelivered(b)
	w.server.Append(w.now, nil, channel.MaxPacket)
	for id, name := range map[channel.ID]string{c: "c", d: "d"} {
		if got := w.server.Mux().Channels().Name(id); got != name {
			t.Errorf("channel %d is %q, want %q", id, got, name)
		}
	}
}
