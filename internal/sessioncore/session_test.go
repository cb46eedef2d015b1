package sessioncore

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

func TestOpenTakesOneTrip(t *testing.T) {
	w := newWorld(t)
	w.send(w.client, chat, "hello") // before the link is there
	w.link()
	w.run(w.delay)
	w.want(w.server, "open I am red", "chat: hello")
	w.want(w.client, "open", "token 0")
	if w.client.ID() != 77 {
		t.Errorf("the client's session has the id %d, want 77", w.client.ID())
	}
}

func TestMessagesThatOvertakeTheOpeningWait(t *testing.T) {
	w := newWorld(t)
	w.link()
	first := w.client.Append(w.now, nil, channel.MaxPacket)
	w.send(w.client, moves, "left")
	w.send(w.client, chat, "hi")
	second := w.client.Append(w.now, nil, channel.MaxPacket)
	w.server.Receive(w.now, second)
	w.collect(w.server)
	w.want(w.server)
	w.server.Receive(w.now, first)
	w.collect(w.server)
	w.want(w.server, "open I am red", "moves: left", "chat: hi")
}

func TestNobodySpeaks(t *testing.T) {
	w := newWorld(t)
	w.loss = 1
	w.link()
	w.run(6 * time.Second)
	w.want(w.client)
	w.want(w.server)
	if w.client.State() != Closed || w.server.State() != Closed {
		t.Errorf("states %v and %v, want %v", w.client.State(), w.server.State(), Closed)
	}
	w.run(2 * time.Second)
	if !w.client.Over() || !w.server.Over() {
		t.Errorf("an end is not over, so its link may not be closed: client %v, server %v", w.client.Over(), w.server.Over())
	}
}

func TestCloseDeliversFirst(t *testing.T) {
	w := open(t)
	w.loss = 0.3
	w.send(w.server, chat, strings.Repeat("x", 20_000)+"you lost")
	w.server.Close(w.now, 300, "game over", false)
	if _, err := w.server.Send(w.now, chat, nil, channel.Options{}); !errors.Is(err, channel.ErrClosed) {
		t.Errorf("Send after Close: %v, want ErrClosed", err)
	}
	w.run(3 * time.Second)
	w.want(w.server, `closed 300 "game over" remote=false`)
	if n := len(w.client.events); n != 2 || !strings.HasSuffix(w.client.events[0], "you lost") ||
		w.client.events[1] != `closed 300 "game over" remote=true` {
		t.Errorf("the client has %d events, want 2; the last is %q", n, w.client.events[n-1])
	}
	if !w.client.Over() || !w.server.Over() {
		t.Errorf("an end is not over, so its link may not be closed: client %v, server %v", w.client.Over(), w.server.Over())
	}
}

func TestCloseAtOnce(t *testing.T) {
	w := open(t)
	w.send(w.server, chat, "never read")
	w.server.Close(w.now, session.CloseKicked, "go", true)
	w.run(time.Second)
	w.want(w.client, `closed 1 "go" remote=true lost 0 and 10`)
	w.want(w.server, `closed 1 "go" remote=false lost 10 and 0`)
	if !w.server.Over() || !w.server.Deadline().IsZero() {
		t.Error("the server's end is not over, or has a deadline")
	}
}

func TestCloseOfADeadLinkGivesUp(t *testing.T) {
	w := open(t)
	w.loss = 1
	w.send(w.server, chat, "never read")
	w.server.Close(w.now, session.CloseShutdown, "", false)
	w.run(12 * time.Second)
	w.want(w.server, `closed 2 "" remote=false lost 10 and 0`)
	if !w.server.Over() {
		t.Error("the server's end is not over after 12 s")
	}
}

func TestLongTextIsCut(t *testing.T) {
	w := open(t)
	w.server.Close(w.now, session.CloseNormal, strings.Repeat("é", 200), false)
	w.run(time.Second)
	want := `closed 0 "` + strings.Repeat("é", 128) + `" remote=true`
	w.want(w.client, want)
}

func TestRequests(t *testing.T) {
	w := open(t)
	ask := func(name, payload string) uint32 {
		id, err := w.client.Request(w.now, name, []byte(payload))
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	ids := []uint32{ask("join", "red"), ask("ready", ""), ask("fly", "up")}
	if st, _ := w.client.Status(ids[0]); st != session.StatusSending {
		t.Errorf("before the request is sent: %v, want StatusSending", st)
	}
	w.run(100 * time.Millisecond)
	if st, _ := w.client.Status(ids[0]); st != session.StatusWaiting {
		t.Errorf("after the request has arrived: %v, want StatusWaiting", st)
	}
	w.want(w.server, "request 1 join: red", "request 2 ready: ", "request 3 fly: up")
	w.server.Reject(w.now, 3, "no wings")
	w.server.Ack(w.now, 2)
	w.server.Reply(w.now, 1, []byte("team 4"))
	if err := w.server.Reply(w.now, 1, nil); !errors.Is(err, session.ErrAnswered) {
		t.Errorf("a second answer: %v, want ErrAnswered", err)
	}
	w.run(100 * time.Millisecond)
	w.want(w.client, "request 3 rejected: no wings", "request 2 acknowledged: ", "request 1 responded: team 4")
	if _, ok := w.client.Status(1); ok {
		t.Error("an answered request still waits")
	}
}

func TestServerAsksToo(t *testing.T) {
	w := open(t)
	w.server.Request(w.now, "pick", nil)
	w.run(50 * time.Millisecond)
	w.want(w.client, "request 1 pick: ")
	w.client.Ack(w.now, 1)
	w.run(50 * time.Millisecond)
	w.want(w.server, "request 1 acknowledged: ")
}

func TestCloseSettlesRequests(t *testing.T) {
	w := open(t)
	w.client.Request(w.now, "sent", nil)
	w.run(50 * time.Millisecond)
	w.cut()
	w.client.Request(w.now, "unsent", nil)
	w.client.Close(w.now, session.CloseNormal, "", true)
	w.collect(w.client)
	w.want(w.client, "interrupted", "request 1 response lost: ", "request 2 send failed: ", `closed 0 "" remote=false`)
}

// However many requests and answers of a program wait while nothing arrives, it can reject as
// many requests as its peer may have sent.
func TestRejectionsFindRoom(t *testing.T) {
	w := open(t)
	for range 64 {
		w.server.Request(w.now, "pick", nil)
	}
	w.run(time.Second)
	w.cut()
	for id := range uint32(2) {
		if err := w.client.Reply(w.now, id+1, make([]byte, session.MaxRequest)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for n := session.MaxRequest; n > 0 && err != session.ErrTooMany; n /= 2 {
		for err = nil; err == nil; {
			_, err = w.client.Request(w.now, "upload", make([]byte, n))
		}
	}
	if err != channel.ErrBudget {
		t.Errorf("the last request: %v, want ErrBudget", err)
	}
	if err := w.client.Reply(w.now, 3, nil); err != channel.ErrBudget {
		t.Errorf("a reply when the queue is full: %v, want ErrBudget", err)
	}
	for id := uint32(3); id <= 64; id++ {
		if err := w.client.Reject(w.now, id, strings.Repeat("x", session.MaxText)); err != nil {
			t.Fatal(err)
		}
	}
	if s := w.client.State(); s != Open {
		t.Errorf("state %v, want %v: %v", s, Open, w.client.Reason())
	}
}

// A request before the opening waits for its answer like any other.
func TestRequestsOfASessionThatNeverOpens(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.client.Request(w.now, "sent", nil)
	w.flush(w.client, w.server)
	w.client.Request(w.now, "unsent", nil)
	w.cut()
	w.want(w.client, "request 1 response lost: ", "request 2 send failed: ")
	w.want(w.server)
}

func TestTooManyRequestsAreRejected(t *testing.T) {
	w := open(t, func(_, s *Config) { s.Limits.Requests = 2 })
	for range 3 {
		w.client.Request(w.now, "r", nil)
	}
	w.run(100 * time.Millisecond)
	w.want(w.server, "request 1 r: ", "request 2 r: ")
	w.want(w.client, "request 3 rejected: too many requests in flight")
	if n := w.server.Stats(w.now).Rejected; n != 1 {
		t.Errorf("%d requests are rejected, want 1", n)
	}
}

func TestPeerThatTakesNoRejections(t *testing.T) {
	w := open(t, func(_, s *Config) { s.Limits.Requests = 1 })
	for _, n := range []int{session.MaxRequest, 1000, 0} { // its queue fills with what the client does not take
		for err := error(nil); err == nil; _, err = w.server.Request(w.now, "full", make([]byte, n)) {
		}
	}
	for range 600 { // and then with rejections
		w.client.Request(w.now, "r", nil)
	}
	for range 50 {
		w.now = w.now.Add(10 * time.Millisecond)
		w.client.Advance(w.now)
		w.flush(w.client, w.server)
		w.turn(w.server)
	}
	w.collect(w.server)
	if last := w.server.events[len(w.server.events)-1]; last != `closed 20 "too many requests: there is no room to queue their rejections" remote=false` {
		t.Errorf("the last event is %s, want the end because of too many requests", last)
	}
}

func TestRequestMisuse(t *testing.T) {
	w := open(t, func(c, _ *Config) { c.MaxWaiting = 1 })
	for _, c := range []struct {
		name    string
		payload int
		want    error
	}{
		{"", 0, session.ErrName},
		{strings.Repeat("n", 65), 0, session.ErrName},
		{"\xff", 0, session.ErrName},
		{"big", session.MaxRequest + 1, session.ErrPayload},
		{"fits", session.MaxRequest, nil},
		{"second", 0, session.ErrTooMany},
	} {
		if _, err := w.client.Request(w.now, c.name, make([]byte, c.payload)); !errors.Is(err, c.want) {
			t.Errorf("%q with %d bytes: %v, want %v", c.name, c.payload, err, c.want)
		}
	}
	if err := w.client.Ack(w.now, 5); !errors.Is(err, session.ErrAnswered) {
		t.Errorf("Ack without a request: %v, want ErrAnswered", err)
	}
	if _, err := w.client.Send(w.now, channel.Control, nil, channel.Options{}); !errors.Is(err, channel.ErrUnknown) {
		t.Errorf("Send on the control channel: %v, want ErrUnknown", err)
	}
	if _, err := New(w.now, Config{Hello: make([]byte, session.MaxHello+1)}); !errors.Is(err, session.ErrHello) {
		t.Errorf("New with a connect message that is too long: %v, want ErrHello", err)
	}
}

func TestReceipts(t *testing.T) {
	w := open(t)
	w.client.Send(w.now, chat, []byte("a"), channel.Options{Receipt: true})
	w.run(100 * time.Millisecond)
	w.want(w.client, "chat delivered")
}

func TestLimitOfMessages(t *testing.T) {
	w := open(t, func(_, s *Config) { s.Limits.Messages = 10 })
	for range 35 {
		w.client.Send(w.now, moves, []byte("m"), channel.Options{})
		w.run(time.Millisecond)
	}
	w.run(w.delay)
	if n, told := int(w.server.Stats(w.now).Limited), len(w.server.events); n < 8 || n+told != 35 || w.server.State() != Open {
		t.Errorf("%d unreliable messages are dropped, want 8 at least; %d events, want 35 with the drops; state %v, want %v", n, told, w.server.State(), Open)
	}
	w.server.events = nil
	w.send(w.client, chat, "may not get lost")
	w.run(100 * time.Millisecond)
	w.want(w.server, `closed 16 "more than 10 messages per second" remote=false`)
	w.want(w.client, `closed 16 "more than 10 messages per second" remote=true`)
}

func TestLimitOfBytes(t *testing.T) {
	w := open(t, func(_, s *Config) { s.Limits.Bytes = 1000 })
	w.send(w.client, chat, strings.Repeat("x", 5000)) // the bucket was full
	w.send(w.client, chat, "one more")
	w.run(300 * time.Millisecond)
	if n := len(w.server.events); n != 2 || w.server.events[1] != `closed 17 "more than 1000 bytes per second" remote=false` {
		t.Errorf("%d events, want 2; the last is %q", n, w.server.events[n-1])
	}
}

func TestLimitOfSize(t *testing.T) {
	w := open(t, func(c, s *Config) {
		c.Channel.Channels = channel.Channels{{Name: "x"}, {Name: "chat", Mode: channel.ReliableOrdered, MaxMessage: 5000}}
		s.Channel.Channels = channel.Channels{{Name: "x"}, {Name: "chat", Mode: channel.ReliableOrdered, MaxMessage: 1000}}
	})
	w.send(w.client, chat, strings.Repeat("x", 1001))
	w.run(100 * time.Millisecond)
	w.want(w.server, `closed 18 "a message is larger than its channel allows" remote=false`)
}

func TestLimitOfEarlyMessages(t *testing.T) {
	w := newWorld(t)
	w.link()
	w.server.earlyBytes = maxEarly
	w.client.Append(w.now, nil, channel.MaxPacket) // HELLO is lost
	w.send(w.client, chat, "early")
	w.server.Receive(w.now, w.client.Append(w.now, nil, channel.MaxPacket))
	w.run(time.Second)
	w.want(w.client)
	if w.server.State() != Closed || w.client.State() != Closed {
		t.Errorf("states %v, %v; want %v", w.server.State(), w.client.State(), Closed)
	}
}

func TestProtocolErrors(t *testing.T) {
	for _, c := range []struct {
		name  string
		bytes string
		text  string
	}{
		{"empty", "", "a control message is malformed"},
		{"unknown type", "\x08", "a control message is malformed"},
		{"short", "\x05\x00", "a control message is malformed"},
		{"second HELLO", "\x01\x00\x00", "HELLO in an open session"},
		{"WELCOME from a client", string(appendWelcome(nil, 1, Token{}, 1, 1)), "WELCOME from a client"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := open(t)
			w.client.sendControl(w.now, []byte(c.bytes), channel.Options{})
			w.run(100 * time.Millisecond)
			w.want(w.server, `closed 3 "`+c.text+`" remote=false`)
			w.want(w.client, `closed 3 "`+c.text+`" remote=true`)
		})
	}
}

func TestUnknownExtensionsAreIgnored(t *testing.T) {
	w := open(t)
	w.client.sendControl(w.now, []byte("\x80anything"), channel.Options{})
	w.run(100 * time.Millisecond)
	w.want(w.server)
}

func TestSilenceInterruptsAndASoundResumes(t *testing.T) {
	w := open(t)
	w.loss = 1
	w.run(4 * time.Second)
	w.want(w.client, "interrupted")
	w.want(w.server)
	if _, err := w.client.Send(w.now, moves, nil, channel.Options{}); !errors.Is(err, session.ErrInterrupted) {
		t.Errorf("Send on a sequenced channel: %v, want ErrInterrupted", err)
	}
	w.send(w.client, chat, "still here")
	w.loss = 0
	w.run(2 * time.Second)
	w.want(w.client, "resumed")
	w.want(w.server, "chat: still here")
}

func TestIdleLinkIsNotInterrupted(t *testing.T) {
	w := open(t)
	w.run(time.Minute)
	w.want(w.client)
	w.want(w.server)
}

// The round trip takes longer than the time between a client's ping and the limit of silence
// on a short path. The idle session is not interrupted.
// When nothing arrives at all it is interrupted after the time in which a ping is answered.
func TestIdleLinkWithLongRoundTripsIsNotInterrupted(t *testing.T) {
	for _, c := range []struct{ rtt, limit time.Duration }{
		{40 * time.Millisecond, 3 * time.Second},
		{330 * time.Millisecond, 3 * time.Second},
		{time.Second, 5 * time.Second},
		{1500 * time.Millisecond, 6500 * time.Millisecond},
		{2500 * time.Millisecond, 9500 * time.Millisecond},
	} {
		w := newWorld(t)
		w.delay = c.rtt / 2
		w.link()
		w.run(30 * time.Second)
		w.want(w.server, "open I am red")
		w.want(w.client, "open", "token 0")
		w.run(3 * time.Minute)
		w.want(w.client)
		w.want(w.server)
		w.loss = 1
		w.client.in = nil
		heard, _ := w.client.mux.Heard()
		limit := heard.Add(w.client.silence())
		if d := w.client.silence(); d < c.limit || d > c.limit*21/20 {
			t.Errorf("round trips of %v: the limit of silence is %v, want %v or a little more", c.rtt, d, c.limit)
		}
		w.run(limit.Add(-time.Millisecond).Sub(w.now))
		w.want(w.client)
		w.run(time.Millisecond)
		w.want(w.client, "interrupted")
		if w.server.silence() != 10*time.Second {
			t.Errorf("round trips of %v: the server's limit is %v, want 10 s", c.rtt, w.server.silence())
		}
	}
}

func TestGraceEnds(t *testing.T) {
	w := open(t, func(_, s *Config) { s.Grace = 20 * time.Second })
	w.cut()
	w.want(w.client, "interrupted")
	w.want(w.server, "interrupted")
	w.run(19 * time.Second)
	w.want(w.server)
	w.run(2 * time.Second)
	w.want(w.client, `closed 6 "nothing arrived for too long" remote=false`)
	w.want(w.server, `closed 6 "nothing arrived for too long" remote=false`)
	if !w.server.Over() {
		t.Error("the server's end is not over")
	}
}

func TestNoGrace(t *testing.T) {
	w := open(t, func(_, s *Config) { s.Grace = -1 })
	w.cut()
	w.want(w.server, "interrupted", `closed 6 "the link is closed" remote=false`)
	w.want(w.client, "interrupted", `closed 6 "the link is closed" remote=false`)
}

func TestTokensRotate(t *testing.T) {
	w := open(t)
	admits := func(n int) bool {
		tok := token(n)
		return w.server.Admits(sha256.Sum256(tok[:]))
	}
	if !admits(0) || admits(2) {
		t.Errorf("at first only the first token must be valid: %v, %v", admits(0), admits(2))
	}
	w.cut()
	w.link()
	if !admits(0) {
		t.Error("the old token is not valid before the client has the new one")
	}
	w.run(300 * time.Millisecond)
	if w.token != token(2) {
		t.Errorf("the client has the token %q, want %q", w.token, token(2))
	}
	if admits(0) || !admits(2) {
		t.Errorf("once the client has the new token: old %v, want false; new %v, want true", admits(0), admits(2))
	}
	w.want(w.server, "interrupted", "resumed", "token confirmed")
	w.cut()
	w.link()
	w.cut() // the third WELCOME never arrived, so the next link brings it again
	w.link()
	w.run(300 * time.Millisecond)
	if w.token != token(3) || admits(2) || admits(4) {
		t.Errorf("after two links the client has %q, want %q; other tokens are valid: %v, %v", w.token, token(3), admits(2), admits(4))
	}
}
