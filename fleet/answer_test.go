package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// An answered is what done of Ask got.
type answered struct {
	b   string
	err error
}

// asks asks a question, and returns it and where done puts the answer.
func (l *lone) asks(name string) (message, chan answered) {
	l.t.Helper()
	got := make(chan answered, 1)
	must(l.t, l.Ask(name, "dance", []byte("now"), func(b []byte, err error) { got <- answered{string(b), err} }))
	m := l.sentOne("a question", kindAsk)
	r := reader{b: m.body}
	if m.subject != "lone.p."+token(name) || r.string() != name || r.string() != "dance" || string(r.b) != "now" {
		l.t.Errorf("to %s: %q", m.subject, m.body)
	}
	return m, got
}

// Each answer of another node ends its question, once.
func TestAnswersOfOtherNodes(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	lost := &session.RequestError{Status: session.StatusResponseLost}
	for _, c := range []struct {
		body string
		want answered
		text string // of the error, if it is another one
	}{
		{string([]byte{answerReplied}) + "yes", answered{"yes", nil}, ""},
		{string([]byte{answerReplied}), answered{"", nil}, ""},
		{string([]byte{answerAcked}) + "yes", answered{"", nil}, ""},
		{string([]byte{answerFailed, byte(session.StatusRejected)}) + "no", answered{"", nil}, (&session.RequestError{Status: session.StatusRejected, Text: "no"}).Error()},
		{string([]byte{answerFailed, byte(session.StatusRejected)}), answered{"", nil}, (&session.RequestError{Status: session.StatusRejected}).Error()},
		{string([]byte{answerFailed}), answered{"", nil}, lost.Error()},
		{string([]byte{answerNotHere}), answered{"", ErrNotHere}, ""},
		{string([]byte{answerRejected}) + "full", answered{"", nil}, "fleet: the player's node: full"},
		{string([]byte{255}), answered{"", ErrNotHere}, ""},
		{"", answered{"", ErrNotHere}, ""},
	} {
		m, done := l.asks("ada")
		for range 2 {
			if !l.answered(message{subject: m.reply, body: []byte(c.body)}) {
				t.Errorf("%q is malformed", c.body)
			}
		}
		got := testkit.Next(t, "the answer", done)
		if c.text != "" && got.err != nil && got.err.Error() == c.text {
			got.err = nil
		} else if c.text != "" {
			t.Errorf("%q: %v, want %q", c.body, got.err, c.text)
		}
		if got != c.want || len(done) != 0 {
			t.Errorf("%q: %+v, want %+v", c.body, got, c.want)
		}
	}
	m, done := l.asks("ada")
	l.handleNobody(message{subject: m.reply})
	if got := testkit.Next(t, "the answer", done); got.err != ErrNotHere {
		t.Errorf("nobody is there: %+v", got)
	}
	m, done = l.asks("ada")
	for _, subject := range []string{m.reply + "!", l.inboxPrefix + "r", l.inboxPrefix, "x"} {
		if l.answered(message{subject: subject, body: []byte{answerAcked}}) {
			t.Errorf("an answer to %q is none", subject)
		}
	}
	if !l.answered(message{subject: m.reply + "0", body: []byte{answerAcked}}) || len(done) != 0 || l.Stats().Waiting != 1 {
		t.Errorf("an answer to another question: %d answers, %d wait", len(done), l.Stats().Waiting)
	}
	if l.Stats().Requests != l.asked {
		t.Errorf("%d requests are counted, want %d", l.Stats().Requests, l.asked)
	}
	l.away.Store(true)
	if err := l.Ask("ada", "dance", nil, nil); err != ErrAway || l.Stats().Waiting != 1 || l.Stats().Requests+1 != l.asked {
		t.Errorf("NATS is away: %v, %d wait, %d are counted", err, l.Stats().Waiting, l.Stats().Requests)
	}
}

// A question ends at its time, or when NATS is away.
func TestQuestionsWithoutAnAnswer(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	_, first := l.asks("ada")
	_, second := l.asks("bob")
	until := l.questions[1].until
	if d := time.Until(until); d <= 0 || d > time.Minute {
		t.Errorf("a question ends after %v, want a minute", d)
	}
	q := l.questions[2]
	q.until = until.Add(time.Hour)
	l.questions[2] = q
	if l.expire(until, false); len(first) != 0 {
		t.Error("a question ends before its time")
	}
	if l.expire(until.Add(1), false); len(first) != 1 || (<-first).err != ErrTimeout || len(second) != 0 || l.counts.TimedOut != 1 {
		t.Errorf("%d questions have timed out, want 1", l.counts.TimedOut)
	}
	if l.expire(until.Add(1), true); len(second) != 1 || (<-second).err != ErrAway || len(l.questions) != 0 || l.counts.TimedOut != 2 {
		t.Errorf("NATS is away: %d questions have timed out, want 2", l.counts.TimedOut)
	}
}

// What a node asks and sends has limits. Who is on the node is asked there.
func TestLimitsOfQuestions(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	done := func([]byte, error) {}
	for _, c := range []struct {
		request string
		size    int
		want    error
	}{
		{"", 0, session.ErrName}, {strings.Repeat("x", session.MaxName), 0, nil}, {strings.Repeat("x", session.MaxName+1), 0, session.ErrName},
		{"x", session.MaxRequest, nil}, {"x", session.MaxRequest + 1, session.ErrPayload},
	} {
		if err := l.Ask("ada", c.request, make([]byte, c.size), done); err != c.want || len(l.sent(kindAsk)) == 1 != (err == nil) {
			t.Errorf("%d bytes of a name and %d bytes: %v, want %v", len(c.request), c.size, err, c.want)
		}
	}
	if err := l.Send("ada", chat, make([]byte, l.maxPayload)); err != nil || len(l.sent(kindSend)) != 1 {
		t.Errorf("the largest message: %v", err)
	}
	if err := l.Send("ada", chat, make([]byte, l.maxPayload+1)); err != ErrTooLarge || len(l.sent(kindSend)) != 0 {
		t.Errorf("a message that is too large: %v", err)
	}
	l.server.Store(nil)
	if err := l.Kick("ada", "go"); err != nil || len(l.sent(kindKick)) != 1 {
		t.Errorf("a node without a server: %v", err)
	}
}

// A session of the node is reached without NATS. Other nodes are asked as well if they may have sessions with the name.
func TestPlayersWhoAreHere(t *testing.T) {
	for _, d := range []godwit.Duplicates{godwit.DuplicatesAllow, godwit.DuplicatesReplace} {
		l := newLone(t, Config{}, duplicates(d))
		others := 0
		if d == godwit.DuplicatesAllow {
			others = 1
		}
		ada := l.join("ada")
		must(t, l.Send("ada", chat, []byte("hello")))
		ada.want(t, "a message", "chat hello")
		if n := len(l.sent(kindSend)); n != others {
			t.Errorf("%v: %d messages for other nodes, want %d", d, n, others)
		}
		if b, err := l.Request(t.Context(), "ada", "echo", []byte("hi")); string(b) != "hi" || err != nil {
			t.Errorf("%v: the answer is %q, %v", d, b, err)
		}
		if err := l.Ask("ada", "", nil, nil); err != session.ErrName {
			t.Errorf("%v: a request without a name: %v", d, err)
		}
		if p, err := l.Where(t.Context(), "ada"); err != nil || p != (Place{Node: "lone", Session: ada.ID()}) {
			t.Errorf("%v: the player is at %+v, %v", d, p, err)
		}
		if err := l.Send("ada", 63, nil); (err == nil) != (others == 1) {
			t.Errorf("%v: a channel that there is not: %v", d, err)
		}
		must(t, l.Kick("ada", "go"))
		ada.want(t, "the end", "kicked")
		if n := len(l.sent(kindKick, kindAsk, kindWhere)); n != others {
			t.Errorf("%v: %d messages for other nodes, want %d", d, n, others)
		}
	}
}

// Where a player is goes from node to node in an answer.
func TestPlacesOfOtherNodes(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	type result struct {
		p   Place
		err error
	}
	for _, c := range []struct {
		body string
		want Place
		ok   bool
	}{
		{string((&Place{"x", 7, true}).append(nil)), Place{"x", 7, true}, true},
		{string((&Place{"", 8, false}).append(nil)), Place{"", 8, false}, true},
		{string((&Place{"", 8, true}).append(nil)[:8]), Place{}, false}, {"", Place{}, false},
	} {
		got := make(chan result, 1)
		go func() {
			p, err := l.Where(t.Context(), "ada")
			got <- result{p, err}
		}()
		wait(t, "the question", func() bool { return l.Stats().Waiting == 1 })
		m := l.sentOne("the question", kindWhere)
		if m.subject != "lone.p.ada" || string(m.body) != string(appendString(nil, "ada")) {
			t.Errorf("to %s: %q", m.subject, m.body)
		}
		l.replies(m, answerReplied, c.body)
		if r := testkit.Next(t, "the answer", got); r.p != c.want || (r.err == nil) != c.ok {
			t.Errorf("%q: %+v, %v; want %+v", c.body, r.p, r.err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := l.Where(ctx, "ada"); p != (Place{}) || err != context.Canceled || l.Stats().Waiting != 0 {
		t.Errorf("the context is done: %+v, %v, %d questions wait", p, err, l.Stats().Waiting)
	}
}

// What other nodes send and ask for a player of this node.
func TestWhatOthersAskOfAPlayer(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	l.table = 0x01020304
	ada := l.join("ada")
	const to = "lone.n.x.r.1"
	str := func(parts ...string) (b []byte) {
		for _, p := range parts {
			b = appendString(b, p)
		}
		return b
	}
	send := func(name string, ch uint64, text string, table ...byte) message {
		b := append(str(name), append(table, 0, 0, 0, 0)[:4]...)
		for ; ch >= 128; ch >>= 7 {
			b = append(b, byte(ch)|128)
		}
		return message{kind: kindSend, body: append(append(b, byte(ch)), text...)}
	}
	ask := func(name, request, text, reply string) message {
		return message{kind: kindAsk, reply: reply, body: append(str(name, request), text...)}
	}
	cut := func(k kind) message { return message{kind: k, reply: to, body: []byte{5, 'a'}} }
	place := Place{Node: "lone", Session: ada.ID()}
	for _, c := range []struct {
		name   string
		m      message
		ok     bool
		event  string // of the client
		answer string
	}{
		{"a message", send("ada", uint64(chat), "hi"), true, "chat hi", ""},
		{"a message of this table", send("ada", uint64(chat), "hi", 1, 2, 3, 4), true, "chat hi", ""},
		{"a message of another table", send("ada", uint64(chat), "hi", 1, 2, 3, 5), true, "", ""},
		{"a message for nobody", send("bob", uint64(chat), "hi"), true, "", ""},
		{"a message for nobody of another table", send("bob", uint64(chat), "hi", 7), true, "", ""},
		{"a table that is cut off", message{kind: kindSend, body: append(str("ada"), 0, 0, 0)}, false, "", ""},
		{"a message of an old node", message{kind: kindSendOld, body: append(str("ada"), byte(chat), 'h', 'i')}, true, "chat hi", ""},
		{"a message of an old node that is cut off", cut(kindSendOld), false, "", ""},
		{"a channel that there is not", send("ada", channel.MaxChannels, "hi"), true, "", ""},
		{"no channel", send("ada", channel.MaxChannels+1, "hi"), false, "", ""},
		{"a message that is cut off", cut(kindSend), false, "", ""},
		{"where is she?", message{kind: kindWhere, reply: to, body: str("ada")}, true, "", string(place.append([]byte{answerReplied}))},
		{"where is he?", message{kind: kindWhere, reply: to, body: str("bob")}, true, "", string([]byte{answerLeft})},
		{"where is?", cut(kindWhere), false, "", ""},
		{"echo", ask("ada", "echo", "hi", to+"0"), true, "", string([]byte{answerReplied}) + "hi"},
		{"ack", ask("ada", "ack", "hi", to+"1"), true, "", string([]byte{answerAcked})},
		{"a rejection", ask("ada", "dance", "hi", to+"2"), true, "", string([]byte{answerFailed, byte(session.StatusRejected)}) + "no dance"},
		{"a request without a name", ask("ada", "", "hi", to+"3"), true, "", string([]byte{answerRejected}) + session.ErrName.Error()},
		{"a request for nobody", ask("bob", "echo", "hi", to+"4"), true, "", string([]byte{answerLeft})},
		{"a request that is cut off", message{kind: kindAsk, reply: to, body: append(str("ada"), 5, 'a')}, false, "", ""},
		{"an answer for somebody else", ask("bob", "echo", "hi", "elsewhere.n.x.r.1"), true, "", ""},
		{"the end that is cut off", cut(kindKick), false, "", ""},
		{"the end of nobody", message{kind: kindKick, body: append(str("bob"), "go"...)}, true, "", ""},
		{"the end", message{kind: kindKick, body: append(str("ada"), "go"...)}, true, "kicked", ""},
	} {
		if ok := l.receivePlayer(c.m); ok != c.ok {
			t.Errorf("%s: well formed %v, want %v", c.name, ok, c.ok)
		}
		if c.event != "" {
			ada.want(t, c.name, c.event)
		}
		var answers []message
		if c.answer != "" {
			wait(t, "the answer to "+c.name, func() bool { answers = append(answers, l.sent(kindAnswer)...); return len(answers) > 0 })
		}
		if answers = append(answers, l.sent(kindAnswer)...); c.answer == "" && len(answers) > 0 || c.answer != "" && (len(answers) != 1 || answers[0].subject != c.m.reply || string(answers[0].body) != c.answer) {
			t.Errorf("%s: %+v, want the answer %q", c.name, answers, c.answer)
		}
		ada.none(t, c.name)
	}
	if s := l.Stats(); s.Unsent != 1 || s.Foreign != 1 {
		t.Errorf("%d messages could not be queued, %d are of another table, want 1 and 1", s.Unsent, s.Foreign)
	}
	if handlers[kindSendOld] == nil {
		t.Error("a node does not take the messages of old nodes")
	}
}

// A node subscribes to a name while it has sessions with it.
func TestSubscriptionsOfPlayers(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	subscribed := func(what string, want ...string) {
		t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		var got []string
		for _, o := range l.out.ops {
			if o.sub != nil {
				got = append(got, fmt.Sprint(o.subject, " ", o.end))
			}
		}
		if l.out.ops = nil; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	nobody, one, two := l.join(""), l.join("ada"), l.join("ada")
	subscribed("two sessions", "lone.p.ada false")
	over := func(c *client) {
		c.server.Kick("")
		testkit.Next(t, "the session is over", c.server.Done())
	}
	over(nobody)
	over(one)
	if n := l.Stats().Players; n != 1 {
		t.Errorf("%d players, want 1", n)
	}
	subscribed("one of two ends")
	sub := l.players["ada"].sub
	over(two)
	if n := l.Stats().Players; n != 0 || sub == nil {
		t.Errorf("%d players, want none; the subscription was %v", n, sub)
	}
	subscribed("both have ended", " true")
	if err := l.Ask("ada", "echo", nil, nil); err != nil || errors.Is(err, ErrNotHere) {
		t.Error(err)
	}
}

// Other nodes get what is for a player who is not here, whatever Duplicates is, with the table of this node if it has a server.
func TestPlayersWhoAreElsewhere(t *testing.T) {
	for _, d := range []godwit.Duplicates{godwit.DuplicatesAllow, godwit.DuplicatesReplace} {
		l := newLone(t, Config{}, duplicates(d))
		l.table = 0x01020304
		sends := func(table string) {
			t.Helper()
			must(t, l.Send("ada", 200, []byte("hi")))
			if m := l.sentOne("a message", kindSend); m.subject != "lone.p.ada" || m.reply != l.inboxSubject("x") || string(m.body) != "\x03ada"+table+"\xc8\x01hi" {
				t.Errorf("%v: to %s, with the reply to %s: %q", d, m.subject, m.reply, m.body)
			}
		}
		sends("\x01\x02\x03\x04")
		must(t, l.Kick("ada", "go"))
		if m := l.sentOne("a kick", kindKick); m.subject != "lone.p.ada" || m.reply != l.inboxSubject("x") || string(m.body) != "\x03adago" {
			t.Errorf("%v: to %s, with the reply to %s: %q", d, m.subject, m.reply, m.body)
		}
		l.server.Store(nil)
		sends("\x00\x00\x00\x00")
	}
}

// Only a request is kept for a node to which the player comes.
func TestAQuestionWhereAPlayerIsKeepsNoBytes(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	id := testkit.Must(l.askOthers("ada", kindWhere, nil, func([]byte, error) {}))
	if q := l.questions[id]; l.kept != 0 || q.body != nil || q.name != "ada" || q.kind != kindWhere {
		t.Errorf("%d bytes are kept of %+v", l.kept, q)
	}
}

// A question ends with its node if it is for the node itself, and not for one of its sessions or for a player.
func TestTheNodeOfAQuestion(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	for subject, want := range map[string]string{
		l.nodeSubject("x"): "x", "lone.n.x.c": "", "lone.p.x.q": "", l.playerSubject("q"): "", "other.n.x.q": "",
	} {
		if got := l.nodeOf(subject); got != want {
			t.Errorf("the node of %s is %q, want %q", subject, got, want)
		}
	}
}

// A player who comes back while the name is being released is reached again.
func TestAPlayerWhoComesBack(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	ada := l.join("ada")
	first := l.players["ada"].sub
	l.mu.Lock()
	l.claims.kv = &bucket{}
	l.mu.Unlock()
	ada.server.Kick("")
	testkit.Next(t, "the session is over", ada.server.Done())
	if p := l.players["ada"]; first == nil || p == nil || p.sub != nil || p.sessions != 0 {
		t.Fatalf("while the name is being released: %+v", p)
	}
	l.mu.Lock()
	l.claims.kv = nil // the next session needs no claim
	l.out.ops = nil
	l.mu.Unlock()
	l.join("ada")
	l.mu.Lock()
	defer l.mu.Unlock()
	if ops := l.out.ops; len(ops) != 1 || ops[0].subject != "lone.p.ada" || ops[0].sub == nil || ops[0].sub != l.players["ada"].sub || ops[0].sub == first {
		t.Errorf("when the player is back: %+v", ops)
	}
}

// A node whose session of a player is over ends its subscription before it says so to a node that has sent a request.
func TestARequestForAPlayerWhoHasLeft(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	p := &player{name: "ada", token: "ada", sessions: 1, sub: new(subscription)}
	l.players["ada"] = p
	sub := p.sub
	if !l.receivePlayer(message{kind: kindAsk, reply: "lone.n.x.r.1", body: appendString(appendString(nil, "ada"), "echo")}) {
		t.Error("the request is malformed")
	}
	ops := l.out.ops
	if len(ops) != 2 || !ops[0].end || ops[0].sub != sub || ops[1].subject != "lone.n.x.r.1" || p.sub != nil {
		t.Fatalf("it does %+v", ops)
	}
	if m := l.sentOne("the answer", kindAnswer); string(m.body) != string([]byte{answerLeft}) {
		t.Errorf("the answer is %q", m.body)
	}
}
