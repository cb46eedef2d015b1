package sessioncore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// Each length in a control message is accepted at its limit and not one byte beyond.
func TestLengthsOfControlMessagesAreExact(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	hello := func(n, has int) string { return string([]byte{typeHello, byte(n >> 8), byte(n)}) + x(has) }
	request := func(name, payload int) string {
		return "\x03\x00\x00\x00\x01" + string(rune(name)) + x(name) + x(payload)
	}
	numbered := func(kind byte, n int) string { return string([]byte{kind, 0, 0, 0, 1}) + x(n) }
	for _, c := range []struct {
		name, b string
		want    bool
	}{
		{"HELLO of nothing", hello(0, 0), true},
		{"HELLO of 1,024", hello(session.MaxHello, session.MaxHello), true},
		{"HELLO of 1,025", hello(session.MaxHello+1, session.MaxHello+1), false},
		{"HELLO that is shorter than it says", hello(10, 9), false},
		{"HELLO without a length", "\x01\x00", false},
		{"WELCOME", "\x02" + x(32), true},
		{"WELCOME that is short", "\x02" + x(31), false},
		{"a request without a name", "\x03\x00\x00\x00\x01", false},
		{"a request with a name of 0", request(0, 5), false},
		{"a request with a name of 64", request(session.MaxName, 0), true},
		{"a request with a name of 65", request(session.MaxName+1, 0), false},
		{"a request shorter than its name", "\x03\x00\x00\x00\x01\x05four", false},
		{"a request with the longest payload", request(1, session.MaxRequest), true},
		{"a request with a payload too long", request(1, session.MaxRequest+1), false},
		{"a request whose name is not UTF-8", "\x03\x00\x00\x00\x01\x01\xff", false},
		{"a reply of nothing", numbered(typeReply, 0), true},
		{"the longest reply", numbered(typeReply, session.MaxRequest), true},
		{"a reply too long", numbered(typeReply, session.MaxRequest+1), false},
		{"ACK", numbered(typeAck, 0), true},
		{"ACK and more", numbered(typeAck, 9), true},
		{"half an ACK", "\x05\x00\x00\x00", false},
		{"the longest rejection", numbered(typeReject, session.MaxText), true},
		{"a rejection too long", numbered(typeReject, session.MaxText+1), false},
		{"a rejection that is not UTF-8", numbered(typeReject, 3) + "\xff", false},
		{"OPEN of nothing", "\x08", false},
		{"the longest OPEN", "\x08" + x(maxLine), true},
		{"OPEN too long", "\x08" + x(maxLine+1), false},
		{"OPEN that is not UTF-8", "\x08\xff", false},
		{"OPENED", "\x09\x01", true},
		{"OPENED of nothing", "\x09", false},
		{"the last unknown type that is an error", "\x7f", false},
		{"the first extension", "\x80", true},
	} {
		var f frame
		if got := f.parse([]byte(c.b)); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	f := frame{payload: []byte("before")}
	if f.parse([]byte(numbered(typeAck, 9))); f.payload != nil {
		t.Errorf("an ACK has the payload %q, want none", f.payload)
	}
}

// What a program may ask for is taken at its limit too.
func TestLimitsOfAProgramAreExact(t *testing.T) {
	if _, err := New(time.Unix(0, 0), Config{Hello: make([]byte, session.MaxHello)}); err != nil {
		t.Errorf("New with the longest connect message: %v, want nil", err)
	}
	if s, err := New(time.Unix(0, 0), Config{Channel: channel.Config{Channels: channel.Channels{{Name: "a b"}}}}); err == nil || s != nil {
		t.Errorf("New with a bad table: %v, want an error and no session", err)
	}
	w := open(t)
	if _, err := w.client.Request(w.now, strings.Repeat("n", session.MaxName), nil); err != nil {
		t.Errorf("a request with the longest name: %v, want nil", err)
	}
	w.run(time.Second)
	if err := w.server.Reply(w.now, 1, make([]byte, session.MaxRequest+1)); err != session.ErrPayload {
		t.Errorf("a reply that is too long: %v, want ErrPayload", err)
	}
	if err := w.server.Reply(w.now, 1, make([]byte, session.MaxRequest)); err != nil {
		t.Errorf("the longest reply: %v, want nil", err)
	}
	if err := w.server.Reject(w.now, 1, ""); err != session.ErrAnswered {
		t.Errorf("a rejection after the reply: %v, want ErrAnswered", err)
	}
}

// Requests and replies may fill 224 KiB of the control channel, to the byte.
func TestRoomForRequestsIsExact(t *testing.T) {
	w := open(t)
	w.server.Request(w.now, "later", nil)
	w.run(time.Second)
	w.cut()
	for range 3 {
		if _, err := w.client.Request(w.now, "big", make([]byte, 60<<10)); err != nil {
			t.Fatal(err)
		}
	}
	left := maxOwn - w.client.Mux().ChannelStats(channel.Control).QueueBytes
	if left <= 0 || left > session.MaxRequest {
		t.Fatalf("%d bytes are left, want 1 to %d", left, session.MaxRequest)
	}
	if _, err := w.client.Request(w.now, "r", make([]byte, left+1)); err != channel.ErrBudget {
		t.Errorf("a request of one byte too many: %v, want ErrBudget", err)
	}
	if err := w.client.Reply(w.now, 1, make([]byte, left+1)); err != channel.ErrBudget {
		t.Errorf("a reply of one byte too many: %v, want ErrBudget", err)
	}
	if err := w.client.Reply(w.now, 7, make([]byte, left+1)); err != session.ErrAnswered {
		t.Errorf("an answer without a request: %v, want ErrAnswered", err)
	}
	if _, err := w.client.Request(w.now, "r", make([]byte, left)); err != nil {
		t.Errorf("a request of the bytes that are left: %v, want nil", err)
	}
}

// The first control message must be the one that opens a session; extensions before
// it are ignored.
func TestFirstControlMessage(t *testing.T) {
	welcome := string(appendWelcome(nil, 1, Token{}, 1000, 1000))
	for _, c := range []struct {
		name, b  string
		toServer bool
		state    State
		text     string
	}{
		{"HELLO to a server", "\x01\x00\x00", true, Open, ""},
		{"WELCOME to a server", welcome, true, Closed, "the first control message is not HELLO"},
		{"a request to a server", "\x03\x00\x00\x00\x01\x01r", true, Closed, "the first control message is not HELLO"},
		{"HERE to a server", "\x07\x00\x00\x00\x01", true, Closed, "the first control message is not HELLO"},
		{"the first extension to a server", "\x80", true, Opened, ""},
		{"WELCOME to a client", welcome, false, Open, ""},
		{"HELLO to a client", "\x01\x00\x00", false, Closed, "the first control message is not WELCOME"},
		{"a request to a client", "\x03\x00\x00\x00\x01\x01r", false, Closed, "the first control message is not WELCOME"},
		{"the last extension to a client", "\xff", false, Opened, ""},
	} {
		w := newWorld(t)
		w.link()
		s := w.client
		if c.toServer {
			s = w.server
		}
		s.control(w.now, []byte(c.b))
		if s.State() != c.state || s.Reason().Text != c.text {
			t.Errorf("%s: state %v, %q; want %v, %q", c.name, s.State(), s.Reason().Text, c.state, c.text)
		}
	}
}

// An end waits for the opening for exactly OpenTimeout, and its error says what did not arrive.
func TestOpeningTakesItsTimeAndNoMore(t *testing.T) {
	w := newWorld(t, func(c, s *Config) { c.OpenTimeout, s.OpenTimeout = 1234*time.Millisecond, 1234*time.Millisecond })
	w.now = w.now.Add(time.Minute) // the link comes late
	w.loss = 1
	w.link()
	w.run(1233 * time.Millisecond)
	for _, s := range []*side{w.client, w.server} {
		if at, _ := s.Mux().Heard(); s.State() != Opened || at != w.now.Add(-1233*time.Millisecond) {
			t.Errorf("%s: state %v, want %v; its silence counts from %v before now, want 1.233 s", s.name, s.State(), Opened, w.now.Sub(at))
		}
	}
	w.run(time.Millisecond)
	for s, want := range map[*side]string{w.client: "no WELCOME arrived in time", w.server: "no HELLO arrived in time"} {
		if s.State() != Closed || s.Reason().Code != session.CloseProtocolError || s.Reason().Text != want {
			t.Errorf("%s: state %v, %+v; want %q", s.name, s.State(), s.Reason(), want)
		}
	}
}

// A link that goes before the opening takes the session with it, at once.
func TestLinkThatGoesBeforeTheOpening(t *testing.T) {
	w := newWorld(t)
	if w.server.Linked() {
		t.Error("Linked() = true before Link")
	}
	w.link()
	if !w.server.Linked() || !w.client.Linked() {
		t.Error("Linked() = false after Link")
	}
	w.cut()
	for _, s := range []*side{w.client, w.server} {
		if s.Linked() || s.State() != Closed || !s.Over() || !s.Deadline().IsZero() {
			t.Errorf("%s: linked %v, want false; state %v, want %v; over %v, want true; deadline %v, want none", s.name, s.Linked(), s.State(), Closed, s.Over(), s.Deadline())
		}
		if b := s.Append(w.now, []byte("before"), channel.MaxPacket); string(b) != "before" {
			t.Errorf("%s: Append without a link changes the buffer to %q", s.name, b)
		}
	}
}

// A control message that the peer may not send on an open session ends the session.
func TestControlMessagesOfTheWrongEnd(t *testing.T) {
	for _, c := range []struct {
		name, b  string
		toServer bool
		text     string
	}{
		{"HERE from a server", "\x07\x00\x00\x00\x01", false, "HERE from a server"},
		{"WELCOME from a client", string(appendWelcome(nil, 1, Token{}, 1, 1)), true, "WELCOME from a client"},
		{"OPENED from a server", "\x09\x01", false, "an OPENED that answers no OPEN"},
		{"OPENED of nothing from a client", "\x09\x04", true, "an OPENED that answers no OPEN"},
		{"HELLO from a server", "\x01\x00\x00", false, "HELLO in an open session"},
	} {
		w := open(t)
		s := w.client
		if c.toServer {
			s = w.server
		}
		if s.control(w.now, []byte(c.b)); s.State() != Closed || s.Reason().Code != session.CloseProtocolError || s.Reason().Text != c.text {
			t.Errorf("%s: state %v, reason %+v; want %v with the text %q", c.name, s.State(), s.Reason(), Closed, c.text)
		}
	}
	w := open(t)
	w.server.control(w.now, []byte("\x03\x00\x00\x00\x09\x01r"))
	w.server.control(w.now, []byte("\x03\x00\x00\x00\x09\x01r"))
	if r := w.server.Reason(); r.Code != session.CloseProtocolError || r.Text != "a request has the id of another request without an answer" {
		t.Errorf("two requests with one id: %+v, want a protocol error", r)
	}
}

// The limits apply to requests, too, and to reliable unordered messages; after the end there are
// no more events.
func TestLimitsOfRequestsAndUnordered(t *testing.T) {
	w := open(t, func(_, s *Config) { s.Limits.Messages = 2 })
	for range 6 {
		w.client.Request(w.now, "r", nil)
	}
	w.run(time.Second)
	w.want(w.server, "request 1 r: ", "request 2 r: ", "request 3 r: ", "request 4 r: ",
		`closed 16 "more than 2 messages per second" remote=false`)

	w = open(t, func(_, s *Config) { s.Limits.Messages = 1 })
	for i := range 4 {
		w.send(w.client, loot, fmt.Sprint(i))
	}
	w.run(time.Second)
	w.want(w.server, "loot: 0", "loot: 1", `closed 16 "more than 1 messages per second" remote=false`)
	if n := w.server.Stats(w.now).Limited; n != 0 {
		t.Errorf("%d reliable messages are dropped, want 0", n)
	}

	w = open(t, func(_, s *Config) { s.Limits.Requests, s.Limits.Messages = -1, -1 })
	for range 200 {
		w.client.Request(w.now, "r", nil)
	}
	w.run(time.Second)
	if n := w.server.Stats(w.now); n.Asked != 200 || n.Rejected != 0 {
		t.Errorf("without a limit %d requests are served, want 200; %d are rejected, want 0", n.Asked, n.Rejected)
	}
}

// Messages before the opening may take 256 KiB, to the byte.
func TestLimitOfEarlyMessagesIsExact(t *testing.T) {
	for _, over := range []int{0, 1} {
		w := newWorld(t)
		w.link()
		hello := w.client.Append(w.now, nil, channel.MaxPacket)
		w.server.earlyBytes = maxEarly - len("early") - earlyCost + over
		w.send(w.client, chat, "early")
		w.server.Receive(w.now, w.client.Append(w.now, nil, channel.MaxPacket))
		w.server.Receive(w.now, hello)
		w.collect(w.server)
		if over == 0 {
			w.want(w.server, "open I am red", "chat: early")
			if w.server.early != nil {
				t.Error("messages from before HELLO are kept")
			}
		} else if r := w.server.Reason(); r.Code != session.CloseLimitEarly || r.Text != "too much sent before HELLO" {
			t.Errorf("a byte too many before HELLO: %+v, want CloseLimitEarly", r)
		}
	}
}

// An early message has its own memory, which is freed once.
func TestEarlyMessagesKeepTheirBytes(t *testing.T) {
	w := newWorld(t)
	w.link()
	peer, err := channel.New(w.now, channel.Config{Channels: table})
	if err != nil {
		t.Fatal(err)
	}
	send := func(ch channel.ID, text string) {
		if _, err := peer.Send(w.now, ch, []byte(text), channel.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	run := func() {
		for range 50 {
			for b := peer.Append(w.now, nil, channel.MaxPacket); len(b) > 0; b = peer.Append(w.now, nil, channel.MaxPacket) {
				w.server.Receive(w.now, b)
			}
			for b := w.server.Append(w.now, nil, channel.MaxPacket); len(b) > 0; b = w.server.Append(w.now, nil, channel.MaxPacket) {
				peer.Receive(w.now, b)
			}
			w.now = w.now.Add(10 * time.Millisecond)
			peer.Advance(w.now)
			w.server.Advance(w.now)
		}
		w.collect(w.server)
	}
	big := func(c string) string { return strings.Repeat(c, 3000) }
	for _, c := range []string{"a", "b", "c"} {
		send(loot, big(c))
	}
	run()
	w.want(w.server)
	send(channel.Control, "\x01\x00\x02me")
	run()
	w.want(w.server, "open me", "loot: "+big("a"), "loot: "+big("b"), "loot: "+big("c"))
	for _, c := range []string{"d", "e", "f"} {
		send(loot, big(c))
	}
	run()
	w.want(w.server, "loot: "+big("d"), "loot: "+big("e"), "loot: "+big("f"))
}

// An id is not used again at once. The id of a waiting request and 0 are not used either.
func TestIDsOfRequests(t *testing.T) {
	w := open(t)
	ask := func() uint32 {
		id, err := w.client.Request(w.now, "r", nil)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	first := ask()
	w.client.Forget(first)
	if st := w.client.Stats(w.now); st.Asking != 0 {
		t.Errorf("%d requests wait after Forget, want 0", st.Asking)
	}
	second := ask()
	w.run(100 * time.Millisecond)
	w.server.Ack(w.now, first)
	w.run(100 * time.Millisecond)
	if _, waits := w.client.Status(second); first == second || !waits {
		t.Errorf("ids %d and %d: want two ids, and that the answer to the first leaves the second waiting", first, second)
	}
	w.want(w.client)
	w.client.lastID = math.MaxUint32 - 1
	if id := ask(); id != math.MaxUint32 {
		t.Errorf("id %d, want the largest", id)
	}
	if id := ask(); id != 1 {
		t.Errorf("after the largest id comes %d, want 1", id)
	}
	if id := ask(); id != 3 || second != 2 {
		t.Errorf("after 1 comes %d, want 3, because %d waits, want 2", id, second)
	}
}

// All that waits is settled at the end, in the order it was asked, and forgotten.
func TestEndSettlesInOrder(t *testing.T) {
	w := open(t)
	var want []string
	for i := range 30 {
		w.client.Request(w.now, "r", nil)
		want = append(want, fmt.Sprintf("request %d response lost: ", i+1))
	}
	w.run(time.Second)
	if n := len(w.client.byReport); n != 0 {
		t.Errorf("%d requests that have arrived wait for their receipts, want 0", n)
	}
	w.server.Kick(w)
	w.run(time.Second)
	w.want(w.client, append(want, `closed 1 "" remote=true`)...)
	if st := w.client.Stats(w.now); st.Asking != 0 {
		t.Errorf("%d requests still wait, want 0", st.Asking)
	}
	if st := w.server.Stats(w.now); st.Asked != 0 {
		t.Errorf("%d requests are still served, want 0", st.Asked)
	}
	if _, waits := w.client.Status(1); waits {
		t.Error("a request of a session that is over waits")
	}
}

// Kick closes at once.
func (s *side) Kick(w *world) {
	s.Close(w.now, session.CloseKicked, "", true)
	w.collect(s)
}

// While a session is interrupted Send returns the error of the interruption, for shared
// payloads, too.
func TestErrorsOfSend(t *testing.T) {
	w := open(t)
	shared := func(ch channel.ID) error {
		return w.client.SendShared(w.now, ch, &channel.Shared{B: []byte("x"), Done: func() {}})
	}
	want := func(why string, ch channel.ID, want error) {
		t.Helper()
		if _, err := w.client.Send(w.now, ch, []byte("x"), channel.Options{}); !errors.Is(err, want) {
			t.Errorf("%s: Send on %d: %v, want %v", why, ch, err, want)
		}
		if err := shared(ch); !errors.Is(err, want) {
			t.Errorf("%s: SendShared on %d: %v, want %v", why, ch, err, want)
		}
	}
	want("open", channel.Control, channel.ErrUnknown)
	for _, ch := range []channel.ID{4, 63, 64, 255} {
		want("open", ch, channel.ErrUnknown)
	}
	want("open", moves, nil)
	w.cut()
	want("interrupted", moves, session.ErrInterrupted)
	want("interrupted", loot, nil)
	for _, ch := range []channel.ID{4, 63, 64, 255} {
		want("interrupted", ch, channel.ErrUnknown)
	}
	w.client.Close(w.now, session.CloseNormal, "", true)
	want("closed", moves, channel.ErrClosed)
	want("closed", loot, channel.ErrClosed)
}

// During an interruption Send on an unreliable channel says so only if the channel is open.
func TestErrorsOfSendOnAChannelOfRunTime(t *testing.T) {
	w := open(t)
	id := w.openAt(w.server, channel.Channel{Name: "smoke"})
	w.run(200 * time.Millisecond)
	want := func(why string, want error) {
		t.Helper()
		if _, err := w.server.Send(w.now, id, []byte("x"), channel.Options{}); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", why, err, want)
		}
	}
	want("open", nil)
	w.cut()
	want("interrupted", session.ErrInterrupted)
	w.close(w.server, id)
	want("interrupted, and the channel is closed", channel.ErrUnknown)
}

// The program is told once, at each end, that a path takes no large packets.
func TestNarrowPathIsTold(t *testing.T) {
	w := open(t)
	w.mtu = 1060
	for i := range 400 {
		if i%10 == 0 {
			w.send(w.server, loot, strings.Repeat("x", 4000))
		}
		for range 4 {
			w.send(w.server, chat, strings.Repeat("y", 50))
		}
		w.run(50 * time.Millisecond)
	}
	told := slices.DeleteFunc(w.server.events, func(s string) bool { return s != "narrow" })
	if st := w.server.Mux().Stats(); len(told) != 1 || st.Fallbacks == 0 {
		t.Errorf("the server was told %d times after %d fallbacks, want once after one or more", len(told), st.Fallbacks)
	}
}

// A session that awaits its client on another link uses the closed link no more, and ends if no
// HELLO comes.
func TestAwait(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.server.Await()
	if w.server.Linked() || len(w.server.Append(w.now, nil, channel.MaxPacket)) != 0 {
		t.Error("the session still uses the closed link")
	}
	w.link()
	w.run(200 * time.Millisecond)
	w.want(w.server, "open I am red")

	w = newWorld(t)
	w.link()
	w.server.Await()
	w.run(10 * time.Second)
	w.want(w.server)
	if w.server.State() != Closed {
		t.Errorf("state %v after 10 s without a HELLO, want Closed", w.server.State())
	}
}

// Only a packet that counts ends an interruption.
func TestGarbageDoesNotResume(t *testing.T) {
	w := open(t)
	w.send(w.server, chat, "hi")
	again := w.server.Append(w.now, nil, channel.MaxPacket)
	w.client.Receive(w.now, again)
	w.run(100 * time.Millisecond)
	w.loss = 1
	w.run(4 * time.Second)
	w.want(w.client, "chat: hi", "interrupted")
	for _, b := range [][]byte{nil, []byte("garbage"), again} {
		w.client.Receive(w.now, b)
		w.collect(w.client)
		w.want(w.client)
	}
	if !w.client.Interrupted() {
		t.Error("the session is resumed, want interrupted")
	}
}

// Link returns whether the token is in use now, and the session does not keep tokens in clear.
func TestTokensInUse(t *testing.T) {
	w := newWorld(t)
	sum := func(n int) [sha256.Size]byte { tok := token(n); return sha256.Sum256(tok[:]) }
	link := func(why string, s *side, n int, want bool) {
		t.Helper()
		if got := s.Link(w.now, LinkInfo{Token: token(n)}); got != want {
			t.Errorf("%s: the token is in use: %v, want %v", why, got, want)
		}
	}
	if w.server.Admits(sum(0)) {
		t.Error("Admits = true without a link")
	}
	link("the first link", w.server, 1, false)
	link("a client's first link", w.client, 1, false)
	if w.server.Admits(sum(0)) {
		t.Error("Admits = true for a session that is not open")
	}
	if w.server.config.Token != (Token{}) || bytes.Contains(w.server.scratch[:cap(w.server.scratch)], []byte("token")) {
		t.Error("the token is stored in plain text")
	}
	link("before the opening", w.server, 1, false)
	w.run(time.Second)
	link("a client's second link", w.client, 2, false)
	link("the second link", w.server, 2, true)
	link("while WELCOME is under way", w.server, 3, false)
	if !w.server.Admits(sum(0)) || w.server.Admits(sum(3)) || w.server.Admits(sum(1)) {
		t.Errorf("until the client knows its new token, only the old one must be valid: old %v, unknown %v, new %v", w.server.Admits(sum(0)), w.server.Admits(sum(3)), w.server.Admits(sum(1)))
	}
	if !w.server.Admits(sum(2)) || w.server.Admits(sum(0)) {
		t.Errorf("after the new token is used: new %v, want true; old %v, want false", w.server.Admits(sum(2)), w.server.Admits(sum(0)))
	}
	w.server.Close(w.now, session.CloseNormal, "", true)
	if w.server.Admits(sum(2)) {
		t.Error("Admits = true for a closed session")
	}
	link("a closed session", w.server, 4, false)
}

// The memory of a large control message is freed; that of a small one is kept.
func TestScratchOfLargeMessages(t *testing.T) {
	w := open(t)
	w.client.Request(w.now, "r", nil)
	if c := cap(w.client.scratch); c == 0 || c > keptScratch {
		t.Errorf("after a small request %d bytes of scratch memory are kept, want 1 to %d", c, keptScratch)
	}
	w.client.Request(w.now, "r", make([]byte, 2*keptScratch))
	if c := cap(w.client.scratch); c != 0 {
		t.Errorf("after a large request %d bytes of scratch memory are kept, want 0", c)
	}
}

// A channel cannot be opened before the session is.
func TestOpenChannelBeforeTheOpening(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.server.takes = takesOpen
	if _, err := w.server.OpenChannel(w.now, effects); err != session.ErrFixed {
		t.Errorf("OpenChannel: %v, want ErrFixed", err)
	}
}

// Answers to OPEN come in order, and from a client.
func TestAnswersToOpenAreInOrder(t *testing.T) {
	w := open(t)
	w.open(effects)
	other := effects
	other.Name = "other"
	w.open(other)
	w.server.control(w.now, []byte("\x09\x05"))
	if r := w.server.Reason(); r.Code != session.CloseProtocolError || r.Text != "an OPENED that answers no OPEN" {
		t.Errorf("the second answer first: %+v, want a protocol error", r)
	}
	w = open(t)
	w.open(effects)
	w.run(time.Second)
	w.client.control(w.now, []byte("\x09\x04"))
	if r := w.client.Reason(); r.Code != session.CloseProtocolError || r.Text != "an OPENED that answers no OPEN" {
		t.Errorf("an OPENED from the server: %+v, want a protocol error", r)
	}
}

// A request is rejected once.
func TestRequestIsRejectedOnce(t *testing.T) {
	w := open(t)
	w.client.Request(w.now, "r", nil)
	w.run(100 * time.Millisecond)
	for _, want := range []error{nil, session.ErrAnswered} {
		if err := w.server.Reject(w.now, 1, "no"); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if n := w.server.Stats(w.now).Asked; n != 0 {
		t.Errorf("%d requests are served, want 0", n)
	}
}
