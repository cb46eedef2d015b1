package sessioncore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// mayOpen lets the client open n channels of at most 64 KiB.
func mayOpen(n int) func(client, server *Config) {
	return func(_, server *Config) { server.ClientChannels, server.ClientQueue = n, 64<<10 }
}

var small = channel.Channel{Name: "small", Mode: channel.ReliableOrdered, MaxMessage: 1000, QueueLimit: 64 << 10}

func (w *world) openAt(s *side, c channel.Channel) channel.ID {
	w.t.Helper()
	id, err := s.OpenChannel(w.now, c)
	if err != nil {
		w.t.Fatalf("%s opens %s: %v", s.name, c.Name, err)
	}
	return id
}

// checkChannels compares the states of channels with what else the session knows of them.
func (s *Session) checkChannels(t testing.TB) {
	t.Helper()
	var ending int
	cs := s.mux.Channels()
	for i, st := range s.lives.state {
		switch st {
		case channelEnding, channelShutReceived:
			ending++
		}
		if gone := s.lives.gone>>i&1 != 0; gone && st != channelCloseEmitted && st != channelDone {
			t.Fatalf("channel %d is delivered and has state %d", i, st)
		}
		if i <= s.lives.fixed && st != noChannel {
			t.Fatalf("channel %d of the first table has state %d, want none", i, st)
		}
		if i > s.lives.fixed && (st != noChannel) != (cs.Name(channel.ID(i)) != "") {
			t.Fatalf("channel %d has state %d and the name %q", i, st, cs.Name(channel.ID(i)))
		}
	}
	if ending != s.lives.ending {
		t.Fatalf("%d channels are ending, counted as %d", ending, s.lives.ending)
	}
	for _, id := range s.lives.opening {
		if st := s.lives.state[id]; st != channelOpen && st != channelEnding {
			t.Fatalf("channel %d is not answered, and has state %d", id, st)
		}
	}
}

func (w *world) close(s *side, id channel.ID) {
	w.t.Helper()
	if err := s.CloseChannel(w.now, id); err != nil {
		w.t.Fatalf("%s closes %d: %v", s.name, id, err)
	}
}

// Either end opens a channel, and either end closes it. The messages that both ends have sent
// before arrive, and then both ends get the event of the end.
func TestEitherEndOpensAndClosesChannels(t *testing.T) {
	for _, opener := range []string{"client", "server"} {
		for _, closer := range []string{"client", "server", "both"} {
			w := open(t, mayOpen(2))
			ends := map[string]*side{"client": w.client, "server": w.server}
			a, b := ends[opener], ends["client"]
			if a == b {
				b = w.server
			}
			id := w.openAt(a, small)
			w.send(a, id, "first")
			w.run(200 * time.Millisecond)
			w.want(b, fmt.Sprint("channel ", id), fmt.Sprintf("channel %d: first", id))
			for _, s := range []*side{a, b} {
				w.send(s, id, "last of the "+s.name)
			}
			for name, s := range ends {
				if closer == name || closer == "both" {
					w.close(s, id)
					if _, err := s.Send(w.now, id, []byte("more"), channel.Options{}); err != channel.ErrUnknown {
						t.Errorf("Send after the close: %v, want ErrUnknown", err)
					}
					if err := s.CloseChannel(w.now, id); err != channel.ErrUnknown {
						t.Errorf("a second close: %v, want ErrUnknown", err)
					}
					if n := s.Mux().Free(id); n != -1 {
						t.Errorf("Free after the close = %d, want -1", n)
					}
				}
			}
			w.run(300 * time.Millisecond)
			w.want(a, fmt.Sprintf("channel %d: last of the %s", id, b.name), fmt.Sprintf("channel %d closed", id))
			w.want(b, fmt.Sprintf("channel %d: last of the %s", id, a.name), fmt.Sprintf("channel %d closed", id))
			for _, s := range []*side{a, b} {
				if n := len(s.Mux().Channels()); n != len(table) {
					t.Errorf("%s: the table has %d channels, want %d", s.name, n, len(table))
				}
				if st := s.lives; st.state != (lives{}.state) || st.ending+len(st.opening) != 0 || st.gone != 0 {
					t.Errorf("%s: state of channels is left: %+v", s.name, st)
				}
				if _, err := s.Send(w.now, id, []byte("more"), channel.Options{}); err != channel.ErrUnknown {
					t.Errorf("%s: Send on an unused number: %v, want ErrUnknown", s.name, err)
				}
				if s.State() != Open {
					t.Fatalf("%s: the session is not open: %+v", s.name, s.Reason())
				}
			}
		}
	}
}

// A channel that is closed before the peer knows it delivers its messages.
func TestCloseAtOnceDelivers(t *testing.T) {
	w := open(t, mayOpen(1))
	for _, s := range []*side{w.client, w.server} {
		id := w.openAt(s, small)
		w.send(s, id, "only")
		w.close(s, id)
		w.run(300 * time.Millisecond)
		to := w.client
		if s == to {
			to = w.server
		}
		w.want(to, fmt.Sprint("channel ", id), fmt.Sprintf("channel %d: only", id), fmt.Sprintf("channel %d closed", id))
		w.want(s, fmt.Sprintf("channel %d closed", id))
	}
}

// Receipts come before the end of their channel, each once.
func TestReceiptsComeBeforeTheEndOfTheirChannel(t *testing.T) {
	for _, mode := range []channel.Mode{channel.Unreliable, channel.Sequenced, channel.ReliableUnordered, channel.ReliableOrdered} {
		w := open(t)
		id := w.open(channel.Channel{Name: "x", Mode: mode})
		w.run(200 * time.Millisecond)
		w.want(w.client, "channel 4")
		if _, err := w.server.Send(w.now, id, []byte("m"), channel.Options{Receipt: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.client.Send(w.now, id, []byte("n"), channel.Options{Receipt: true}); err != nil {
			t.Fatal(err)
		}
		w.close(w.client, id)
		w.run(400 * time.Millisecond)
		w.want(w.server, "channel 4: n", " delivered", "channel 4 closed")
		w.want(w.client, "channel 4: m", " delivered", "channel 4 closed")
	}
}

// The table has a channel until the program has taken its last event, and the peer does
// not use the number before.
func TestATableHasAChannelUntilItsEventsAreTaken(t *testing.T) {
	w := open(t)
	id := w.open(small)
	w.close(w.server, id)
	for range 3 { // the client's program takes no events
		w.flush(w.server, w.client)
		w.now = w.now.Add(w.delay)
		for _, d := range w.client.in {
			w.client.Receive(w.now, d.b)
		}
		w.client.in = nil
		w.flush(w.client, w.server)
		w.now = w.now.Add(w.delay)
		w.turn(w.server)
	}
	if name := w.client.Mux().Channels().Name(id); name != "small" {
		t.Errorf("the channel has the name %q, want small", name)
	}
	w.want(w.server)
	w.collect(w.client)
	w.want(w.client, "channel 4", "channel 4 closed")
	w.run(200 * time.Millisecond)
	w.want(w.server, "channel 4 closed")
	if name := w.client.Mux().Channels().Name(id); name != "" {
		t.Errorf("the channel has the name %q, want none", name)
	}
}

// A number is used again as late as possible.
func TestNumbersAreUsedAgainLate(t *testing.T) {
	w := open(t, mayOpen(3))
	for n := range 200 {
		for _, s := range []*side{w.client, w.server} {
			c := small
			c.Name = fmt.Sprint(s.name, n)
			id, want := w.openAt(s, c), channel.ID(4+n%3)
			if s == w.server {
				want = channel.ID(7 + n%(channel.MaxChannels-6))
			}
			if id != want {
				t.Fatalf("%s: number %d, want %d", c.Name, id, want)
			}
			w.close(s, id)
		}
		w.run(200 * time.Millisecond)
	}
	if len(w.client.events) != 200*3 || len(w.server.events) != 200*3 {
		t.Errorf("%d and %d events, want %d each", len(w.client.events), len(w.server.events), 200*3)
	}
}

// At most 63 channels are open at the same time; a closed one makes room. A client has its own
// limit.
func TestLimitsOfChannelsAreAtATime(t *testing.T) {
	w := open(t, mayOpen(2))
	var first channel.ID
	for n := range 2 {
		c := small
		c.Name = fmt.Sprint("client", n)
		first = w.openAt(w.client, c)
	}
	for n := range channel.MaxChannels - len(table) - 2 {
		w.open(channel.Channel{Name: fmt.Sprint(n)})
	}
	for _, s := range []*side{w.client, w.server} {
		if _, err := s.OpenChannel(w.now, small); !isTableError(err) || !strings.Contains(err.Error(), `channel "small": table: `) || !strings.Contains(err.Error(), "close a channel") {
			t.Errorf("%s: one channel too many: %v, want a TableError of the table that says to close one", s.name, err)
		}
	}
	w.run(time.Second)
	w.close(w.server, first) // the other end's
	w.close(w.server, 63)
	if _, err := w.server.OpenChannel(w.now, small); !isTableError(err) {
		t.Errorf("before the peer has answered: %v, want a TableError", err)
	}
	w.run(time.Second)
	for _, c := range []struct {
		s  *side
		id channel.ID
	}{{w.client, first}, {w.server, 63}} {
		another := small
		another.Name = c.s.name + " again"
		another.Name = strings.ReplaceAll(another.Name, " ", "-")
		if id := w.openAt(c.s, another); id != c.id {
			t.Errorf("%s: number %d, want %d", c.s.name, id, c.id)
		}
	}
	w.run(time.Second)
	if w.client.State() != Open || w.server.State() != Open {
		t.Errorf("a session is not open: %+v, %+v", w.client.Reason(), w.server.Reason())
	}
}

func TestOpeningAndClosingMisuse(t *testing.T) {
	w := open(t, mayOpen(2))
	big := small
	big.QueueLimit++
	if _, err := w.client.OpenChannel(w.now, big); !isTableError(err) || !strings.Contains(err.Error(), `channel "small": QueueLimit: `) || !strings.Contains(err.Error(), "65536") {
		t.Errorf("a queue beyond the server's limit: %v, want a TableError of QueueLimit with the limit", err)
	}
	if _, err := w.client.OpenChannel(w.now, table[0]); !isTableError(err) {
		t.Errorf("a name that is taken: %v, want a TableError", err)
	}
	for _, s := range []*side{w.client, w.server} {
		for id, want := range map[channel.ID]error{0: channel.ErrUnknown, 1: session.ErrFixed, 3: session.ErrFixed, 4: channel.ErrUnknown, 63: channel.ErrUnknown, 64: channel.ErrUnknown, 255: channel.ErrUnknown} {
			if err := s.CloseChannel(w.now, id); err != want {
				t.Errorf("%s closes %d: %v, want %v", s.name, id, err, want)
			}
		}
		s.Close(w.now, session.CloseNormal, "", true)
		if err := s.CloseChannel(w.now, 4); err != channel.ErrClosed {
			t.Errorf("%s: CloseChannel after the close: %v, want ErrClosed", s.name, err)
		}
		if _, err := s.OpenChannel(w.now, small); err != channel.ErrClosed {
			t.Errorf("%s: OpenChannel after the close: %v, want ErrClosed", s.name, err)
		}
	}
}

// An end that does not know SHUT gets none. Channels are opened as before.
func TestEndsThatDoNotCloseChannels(t *testing.T) {
	w := open(t, mayOpen(2))
	w.server.lives.closes, w.server.lives.most = false, 0 // as after a HELLO without takesShut
	if id := w.open(small); id != 4 {
		t.Errorf("the number is %d, want the next of the table", id)
	}
	if err := w.server.CloseChannel(w.now, 4); err != session.ErrFixed {
		t.Errorf("CloseChannel: %v, want ErrFixed", err)
	}
	for takes, want := range map[byte]lives{0: {}, 3: {}, 7: {closes: true}, 11: {}, 15: {closes: true, most: 2, maxQueue: 64 << 10}} {
		w := newWorld(t, mayOpen(2))
		w.server.Link(w.now, LinkInfo{})
		w.server.control(w.now, appendHello(nil, nil, takes))
		if l := w.server.lives; l.closes != want.closes || l.most != want.most || l.maxQueue != want.maxQueue {
			t.Errorf("takes %d: %+v, want %+v", takes, l, want)
		}
	}
	for more, want := range map[string]lives{
		"":                     {},
		"\x00":                 {closes: true},
		"\x02\x00\x00\x10\x00": {closes: true, most: 2, maxQueue: 4096},
		"\xff\x00\x00\x10\x00": {closes: true, most: 60, maxQueue: 4096},
	} {
		w := newWorld(t)
		w.client.Link(w.now, LinkInfo{})
		w.client.control(w.now, append(appendWelcome(nil, 1, Token{}, 30_000, 10_000), more...))
		if l := w.client.lives; l.closes != want.closes || l.most != want.most || l.maxQueue != want.maxQueue {
			t.Errorf("WELCOME and %q: %+v, want %+v", more, l, want)
		}
		w.client.lives.closes = want.closes
		if _, err := w.client.OpenChannel(w.now, small); want.most == 0 && err != session.ErrFixed {
			t.Errorf("WELCOME and %q: OpenChannel of a client: %v, want ErrFixed", more, err)
		}
	}
}

// The server's configuration of what clients may open is within the table.
func TestClientChannelsAreWithinTheTable(t *testing.T) {
	for n, want := range map[int]int{-1: 0, 0: 0, 60: 60, 61: 60} {
		w := open(t, mayOpen(n))
		if got := w.client.lives.most; got != want || w.server.lives.most != want {
			t.Errorf("%d: the client may open %d channels, want %d", n, got, want)
		}
		if want == 60 {
			if _, err := w.server.OpenChannel(w.now, small); !isTableError(err) {
				t.Errorf("%d: OpenChannel of the server: %v, want a TableError", n, err)
			}
		}
	}
	w := open(t, func(_, server *Config) { server.ClientChannels = 1 })
	if got := w.client.lives.maxQueue; got != 1<<20 {
		t.Errorf("the default limit of the queue is %d, want %d", got, 1<<20)
	}
}

func TestHostileCloseOfChannels(t *testing.T) {
	line := func(c channel.Channel, id channel.ID) string { return "\x08" + string(c.AppendOpenLine(nil, id)) }
	big := small
	big.QueueLimit++
	for _, c := range []struct {
		name string
		code session.CloseCode
		text string
		says []string
	}{
		{"a SHUT of no channel", session.CloseProtocolError, "a SHUT of a channel that is not open", []string{"\x0a\x07"}},
		{"a SHUT of the control channel", session.CloseProtocolError, "a SHUT of a channel that is not open", []string{"\x0a\x00"}},
		{"a SHUT of the first table", session.CloseProtocolError, "a SHUT of a channel that is not open", []string{"\x0a\x01"}},
		{"a SHUT of the last channel of the first table", session.CloseProtocolError, "a SHUT of a channel that is not open", []string{"\x0a\x03"}},
		{"a SHUT of number 64", session.CloseProtocolError, "a SHUT of a channel that is not open", []string{"\x0a\x40"}},
		{"a SHUT of number 255", session.CloseProtocolError, "a SHUT of a channel that is not open", []string{"\x0a\xff"}},
		{"a SHUT before OPENED", session.CloseProtocolError, "a SHUT of a channel that is not open", []string{"\x0a\x06"}},
		{"two SHUTs", session.CloseProtocolError, "a SHUT of a channel that is not open", []string{line(small, 4), "\x0a\x04", "\x0a\x04"}},
		{"an OPEN of a used number", session.CloseProtocolError, "a malformed OPEN", []string{line(small, 4), line(small, 4)}},
		{"an OPEN of a number that is closing", session.CloseProtocolError, "a malformed OPEN", []string{line(small, 4), "\x0a\x04", line(small, 4)}},
		{"an OPEN of the server's number", session.CloseProtocolError, "a malformed OPEN", []string{line(small, 7)}},
		{"an OPEN of the first table", session.CloseProtocolError, "a malformed OPEN", []string{line(small, 3)}},
		{"an OPEN of a used name", session.CloseProtocolError, "OPEN: ", []string{line(small, 4), line(small, 5)}},
		{"an OPEN of the last one's name", session.CloseProtocolError, "OPEN: the name is taken", []string{line(small, 5), line(small, 4)}},
		{"an OPEN of the control channel's name", session.CloseProtocolError, "OPEN: ", []string{line(channel.Channel{Name: "control", MaxMessage: 10, QueueLimit: 100}, 4)}},
		{"an OPEN of a large queue", session.CloseProtocolError, "a malformed OPEN", []string{line(big, 4)}},
		{"an OPENED of a number that was not opened", session.CloseProtocolError, "an OPENED that answers no OPEN", []string{"\x09\x04"}},
		{"a SHUT without a number", session.CloseProtocolError, "a control message is malformed", []string{"\x0a"}},
	} {
		w := open(t, mayOpen(2))
		w.open(channel.Channel{Name: "of-the-server"}) // 6
		for i, say := range c.says {
			w.client.sendControl(w.now, []byte(say), channel.Options{})
			if i < len(c.says)-1 {
				continue
			}
			w.flush(w.client, w.server)
		}
		w.now = w.now.Add(w.delay)
		for _, d := range w.server.in { // in one batch, before the program takes an event
			w.server.Receive(w.now, d.b)
		}
		if r := w.server.Reason(); r.Code != c.code || !strings.HasPrefix(r.Text, c.text) {
			t.Errorf("%s: %v, %+v; want code %d and the text %q", c.name, w.server.State(), r, c.code, c.text)
		}
	}
}

// A client that opens and closes channels all the time exceeds its limit of messages.
func TestFloodOfOpenAndClose(t *testing.T) {
	w := open(t, mayOpen(1), func(_, server *Config) { server.Limits.Messages = 10 })
	w.delay = time.Millisecond
	n := 0
	for ; w.client.State() == Open && n < 100; n++ {
		w.close(w.client, w.openAt(w.client, small))
		w.run(10 * time.Millisecond)
	}
	if r := w.client.Reason(); r.Code != session.CloseLimitMessages || n < 20 || n > 30 {
		t.Errorf("after %d channels, want 20 to 30: %v, %+v", n, w.client.State(), r)
	}
}

// A message that was sent after the SHUT ends the session. One in the packet of the SHUT is
// ignored: it may have been sent before.
func TestMessageAfterShut(t *testing.T) {
	for _, later := range []bool{false, true} {
		w := open(t, mayOpen(1))
		id := w.openAt(w.client, channel.Channel{Name: "x"})
		w.run(200 * time.Millisecond)
		w.want(w.server, "channel 4")
		w.client.sendControl(w.now, []byte{typeShut, byte(id)}, channel.Options{})
		if later {
			w.flush(w.client, w.server)
		}
		w.send(w.client, id, "late")
		w.flush(w.client, w.server)
		w.now = w.now.Add(w.delay)
		w.turn(w.server)
		if later {
			if r := w.server.Reason(); r.Code != session.CloseProtocolError {
				t.Errorf("%v, %+v, want a protocol error", w.server.State(), r)
			}
			continue
		}
		w.want(w.server, "channel 4 closed")
		if w.server.State() != Open {
			t.Errorf("%v, %+v, want an open session", w.server.State(), w.server.Reason())
		}
	}
}

// A packet that comes late can bring the control message for which a SHUT has waited, and
// an unreliable message that was sent before the SHUT: the message is a late one.
func TestLateMessageInThePacketThatCompletesTheShut(t *testing.T) {
	w := open(t)
	id := w.open(channel.Channel{Name: "x"})
	w.run(200 * time.Millisecond)
	w.want(w.client, "channel 4")
	w.server.sendControl(w.now, []byte{typeExtension}, channel.Options{})
	w.send(w.server, id, "late")
	w.flush(w.server, w.client) // both in one packet
	late := w.client.in
	w.client.in = nil
	w.close(w.server, id)
	w.flush(w.server, w.client)
	if len(late) != 1 || len(w.client.in) != 1 {
		t.Fatalf("%d packets are late and %d wait, want 1 each", len(late), len(w.client.in))
	}
	w.client.in = append(w.client.in, late...)
	w.now = w.now.Add(w.delay)
	w.turn(w.client)
	w.want(w.client, "channel 4 closed")
	w.run(200 * time.Millisecond)
	w.want(w.server, "channel 4 closed")
}

// A SHUT for which the control channel has no room is sent when there is room.
func TestShutWaitsForRoom(t *testing.T) {
	w := open(t)
	id := w.open(small)
	w.run(200 * time.Millisecond)
	w.cut()
	for w.server.roomFor(60 << 10) {
		if _, err := w.server.Request(w.now, "big", make([]byte, 60<<10)); err != nil {
			t.Fatal(err)
		}
	}
	fill := make([]byte, 1000)
	for {
		if _, err := w.server.sendControl(w.now, append([]byte{typeExtension}, fill...), channel.Options{}); err != nil {
			if len(fill) == 0 {
				break
			}
			fill = fill[:len(fill)/2]
		}
	}
	w.close(w.server, id)
	if st := w.server.lives.state[id]; st != channelEnding {
		t.Fatalf("the state is %d, want %d (channelEnding)", st, channelEnding)
	}
	w.link()
	w.run(20 * time.Second)
	if got := w.server.events[len(w.server.events)-1]; got != "channel 4 closed" {
		t.Errorf("the last event is %q, want channel 4 closed", got)
	}
}

// A request that was refused because the queue is full is followed by an event when there
// is room for it, once.
func TestRoomForRequests(t *testing.T) {
	w := open(t)
	w.cut()
	w.want(w.client, "interrupted")
	n := 0
	for {
		if _, err := w.client.Request(w.now, "r", make([]byte, 60<<10)); err == channel.ErrBudget {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		n++
	}
	w.client.Request(w.now, "r", make([]byte, 40<<10))
	room := 0
	w.client.on = func(ev Event) {
		if ev.Type != EventRoom {
			return
		}
		room++
		if ev.Channel != channel.Control {
			t.Errorf("room on channel %d, want %d (Control)", ev.Channel, channel.Control)
		}
		if _, err := w.client.Request(w.now, "r", make([]byte, 40<<10)); err != nil {
			t.Errorf("the request that was refused before: %v, want nil", err)
		}
	}
	w.link()
	w.run(10 * time.Second)
	if room != 1 {
		t.Errorf("%d events of room, want 1", room)
	}
	if w.client.State() != Open {
		t.Errorf("the session is not open: %+v", w.client.Reason())
	}
}

// So is a reply.
func TestRoomForReplies(t *testing.T) {
	w := open(t)
	w.client.Request(w.now, "later", nil)
	w.run(200 * time.Millisecond)
	for {
		if _, err := w.server.Request(w.now, "r", make([]byte, 60<<10)); err != nil {
			break
		}
	}
	if err := w.server.Reply(w.now, 1, make([]byte, 60<<10)); err != channel.ErrBudget {
		t.Fatal(err)
	}
	if err := w.server.Reply(w.now, 1, make([]byte, 50<<10)); err != channel.ErrBudget {
		t.Fatal(err)
	}
	if w.server.wanted != 50<<10 {
		t.Errorf("room for %d bytes is wanted", w.server.wanted)
	}
	room := 0
	w.server.on = func(ev Event) {
		if ev.Type == EventRoom {
			room++
			if err := w.server.Reply(w.now, 1, make([]byte, 50<<10)); err != nil {
				t.Errorf("the reply that was refused before: %v, want nil", err)
			}
		}
	}
	w.run(10 * time.Second)
	if room != 1 {
		t.Errorf("%d events of room, want 1", room)
	}
}

// A channel that has refused a message has an event when there is room, also at the other end.
func TestRoomOnAChannel(t *testing.T) {
	w := open(t)
	for _, s := range []*side{w.client, w.server} {
		sent := 0
		for {
			if _, err := s.Send(w.now, chat, make([]byte, 100<<10), channel.Options{}); err != nil {
				break
			}
			sent++
		}
		room := 0
		s.on = func(ev Event) {
			if ev.Type == EventRoom && ev.Channel == chat {
				room++
				if room == 1 {
					w.send(s, chat, strings.Repeat("x", 100<<10))
				}
			}
		}
		w.run(20 * time.Second)
		if room != 1 {
			t.Errorf("%s: %d events of room after %d messages, want 1", s.name, room, sent)
		}
	}
}

// While a session is closing a channel has no event of room, because Send returns ErrClosed.
func TestNoRoomWhileTheSessionCloses(t *testing.T) {
	w := open(t)
	for {
		if _, err := w.server.Send(w.now, chat, make([]byte, 100<<10), channel.Options{}); err != nil {
			break
		}
	}
	w.server.Close(w.now, session.CloseNormal, "", false)
	closed := false
	w.server.on = func(ev Event) {
		closed = closed || ev.Type == EventClosed
		if ev.Type == EventRoom {
			t.Errorf("room on channel %d while the session closes", ev.Channel)
		}
	}
	w.run(20 * time.Second)
	if !closed {
		t.Error("the session has not closed")
	}
}
