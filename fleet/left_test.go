package fleet

import (
	"fmt"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A session that is being closed takes no request: the player may be at another node already.
func TestRequestsToASessionThatIsBeingClosed(t *testing.T) {
	var l *lone
	answers := make(chan string, 8)
	l = newLone(t, Config{}, godwit.Config{Handler: godwit.Handler{Message: func(c *godwit.Conn, _ godwit.ChannelID, _ []byte) {
		c.Send(chat, []byte("one more"))
		if c.Close(0, ""); c.State() != session.StateClosing {
			t.Errorf("the session is %v", c.State())
		}
		body := appendString(appendString(nil, "ada"), "echo")
		for _, m := range []message{
			{kind: kindAsk, reply: "lone.n.x.r.1", body: body},
			{kind: kindElse, reply: "lone.n.x.r.1", body: []byte(probe(kindAsk, "ada"))},
			{kind: kindElse, reply: "lone.n.x.r.1", body: []byte(probe(kindWhere, "ada"))},
		} {
			text := ""
			for _, a := range l.tells(m) {
				text += string(a.body)
			}
			answers <- text
		}
		place := Place{Node: "lone", Session: c.ID(), Interrupted: true}
		answers <- string(place.append([]byte{answerReplied}))
		err := l.Ask("ada", "echo", nil, func([]byte, error) {})
		l.mu.Lock()
		asked := l.out.ops[len(l.out.ops)-1].subject
		l.mu.Unlock()
		answers <- fmt.Sprint(asked, " ", err)
	}}})
	must(t, l.join("ada").Send(chat, nil))
	next := func() string { t.Helper(); return testkit.Next(t, "an answer", answers) }
	if ask, seek := next(), next(); ask != string([]byte{answerLeft}) || seek != "" {
		t.Errorf("a request: %q, a probe: %q", ask, seek)
	}
	if where, want := next(), next(); where != want {
		t.Errorf("where is she? %q, want %q", where, want)
	}
	if asked, want := next(), l.playerSubject("ada")+" <nil>"; asked != want {
		t.Errorf("her own node asks: %s, want %s", asked, want)
	}
}

// A node whose session is over ends its subscription when it gets a question, and begins again when the player comes back.
func TestSubscriptionsOfPlayersWhoHaveLeft(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	ops := func(what string, want ...string) {
		t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		var got []string
		for _, o := range l.out.ops {
			switch {
			case o.data != nil:
				got = append(got, o.subject)
			case o.end:
				got = append(got, "end")
			default:
				got = append(got, "begin "+o.subject)
			}
		}
		if l.out.ops = nil; strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	const to = "lone.n.x.r.1"
	where := message{kind: kindWhere, reply: to, body: appendString(nil, "ada")}
	l.mu.Lock()
	l.players["ada"] = &player{name: "ada", token: "ada", sessions: 1, sub: l.subscribe("lone.p.ada")}
	l.mu.Unlock()
	ops("a session that is over", "begin lone.p.ada")
	l.receivePlayer(where)
	ops("a question", "end", to)
	l.receivePlayer(where)
	ops("another question, which was on its way", to)
	for _, k := range []kind{kindWhere, kindAsk} {
		l.mu.Lock()
		l.players["ada"].sub = l.subscribe("lone.p.ada")
		l.mu.Unlock()
		ops("a session that is over", "begin lone.p.ada")
		l.receiveElse(message{kind: kindElse, reply: to, body: []byte(probe(k, "ada"))})
		ops("a probe", "end")
	}
	ada := l.join("ada")
	ops("the player comes back", "begin lone.p.ada")
	l.leave("ada")
	ops("a session is there")
	l.ended(ada.server)
	ops("the session before has ended")
	ada.server.Kick("")
	ada.want(t, "the end", "kicked")
	testkit.Next(t, "the session is over", ada.server.Done())
	ops("the session has ended", "end")
	if n := l.Stats().Players; n != 0 {
		t.Errorf("%d players, want none", n)
	}
}
