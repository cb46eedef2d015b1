package fleet

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// left makes a node one whose session of a player is over, and which has not noticed that. It waits until NATS has the subscription.
func (n *node) left(name string) {
	n.t.Helper()
	n.mu.Lock()
	n.players[name] = &player{name: name, token: token(name), sessions: 1, sub: n.subscribe(n.playerSubject(token(name)))}
	n.mu.Unlock()
	n.sync()
}

// holds makes a node process nothing that other nodes send until the func that it returns is called.
func (n *node) holds() (release func()) {
	n.t.Helper()
	held, over := make(chan struct{}), make(chan struct{})
	must(n.t, n.Ask("nobody", "echo", nil, func([]byte, error) { close(held); <-over }))
	testkit.Next(n.t, "the node processes nothing", held)
	release = sync.OnceFunc(func() { close(over) })
	n.t.Cleanup(release)
	return release
}

// The sessions of a player are just over at several nodes, the one that asks among them.
func TestQuestionsForAPlayerWhoHasLeftSeveralNodes(t *testing.T) {
	nodes := newFleet(t, 4, testConfig)
	for _, left := range [][]*node{nodes[:2], nodes[:4], nodes[3:]} {
		for _, what := range []string{"Request", "Where"} {
			name := fmt.Sprint("ada-", len(left), what)
			for _, n := range left {
				n.left(name)
			}
			var err error
			if what == "Where" {
				_, err = nodes[3].Where(t.Context(), name)
			} else {
				_, err = nodes[3].Request(t.Context(), name, "echo", nil)
			}
			if err != ErrNotHere {
				t.Errorf("%s for a player whom %d nodes had: %v, want ErrNotHere", what, len(left), err)
			}
		}
	}
	if s := nodes[3].Stats(); s.TimedOut != 0 || s.Waiting != 0 {
		t.Errorf("%d questions have timed out, %d wait", s.TimedOut, s.Waiting)
	}
}

// What comes between the end of a subscription and the time at which NATS knows of that is dropped, and nobody says anything.
func TestAQuestionThatIsDropped(t *testing.T) {
	nodes := newFleet(t, 2, testConfig)
	subs, err := nodes[1].nc.SubscribeSync(nodes[1].playerSubject("ada"))
	must(t, err)
	must(t, nodes[1].nc.Flush())
	over := make(chan error, 2)
	must(t, nodes[0].Ask("ada", "echo", nil, func(_ []byte, err error) { over <- err }))
	go func() {
		_, err := nodes[0].Where(t.Context(), "ada")
		over <- err
	}()
	for range 2 {
		_, err := subs.NextMsgWithContext(t.Context())
		must(t, err)
	}
	must(t, subs.Unsubscribe())
	for range 2 {
		if err := testkit.Next(t, "the question ends", over); err != ErrNotHere {
			t.Errorf("a question that is dropped: %v, want ErrNotHere", err)
		}
	}
}

// A question gets to a node without a session of the player. Until that node says so the player comes to another node, or to the one that asks.
func TestAPlayerComesDuringAQuestion(t *testing.T) {
	nodes := newFleet(t, 4, testConfig)
	first, second, asker := nodes[0], nodes[1], nodes[3]
	for i, to := range nodes[2:] {
		name := fmt.Sprint("ada-", i)
		first.left(name)
		second.left(name)
		release := first.holds()
		answers, places := make(chan answered, 1), make(chan Place, 1)
		must(t, asker.Ask(name, "echo", []byte("hi"), func(b []byte, err error) { answers <- answered{string(b), err} }))
		go func() {
			p, err := asker.Where(t.Context(), name)
			if err != nil {
				t.Error(err)
			}
			places <- p
		}()
		wait(t, "both questions are asked", func() bool { return asker.Stats().Waiting == 2 })
		asker.sync()
		ada := to.join(name)
		to.sync()
		release()
		if a := testkit.Next(t, "the answer", answers); a != (answered{"hi", nil}) {
			t.Errorf("the player comes to %s: %+v, want the answer", to.Name(), a)
		}
		if p := testkit.Next(t, "the place", places); p != (Place{Node: to.Name(), Session: ada.ID()}) {
			t.Errorf("the player comes to %s and is at %+v", to.Name(), p)
		}
	}
}

// probe is what a node publishes when it seeks the player of a question.
func probe(k kind, name string) string { return string(appendString([]byte{byte(k)}, name)) }

// seeks checks the probes that the node has published since the last call.
func (l *lone) seeks(what string, q message, k kind, name string, n int) {
	l.t.Helper()
	all := l.sent(kindElse, kindAsk, kindWhere)
	for _, m := range all {
		if m.kind != kindElse || m.subject != "lone.p."+token(name) || m.reply != q.reply && !strings.HasPrefix(m.reply, q.reply+".s") || string(m.body) != probe(k, name) {
			l.t.Errorf("%s: a message of kind %d for %s, with the reply to %s: %q", what, m.kind, m.subject, m.reply, m.body)
		}
	}
	if len(all) != n {
		l.t.Errorf("%s: %d probes, want %d", what, len(all), n)
	}
}

// says gives the node an answer of another node.
func (l *lone) says(from instance, to string, code byte) {
	l.t.Helper()
	if !l.answered(message{subject: to, from: from, body: []byte{code}}) {
		l.t.Errorf("the answer %d is malformed", code)
	}
}

// What a node that asks does when a node says that the player has left, step by step.
func TestTheStepsOfSeeking(t *testing.T) {
	a, b := instance{1}, instance{2}
	nobody := func(l *lone, q message) { l.handleNobody(message{subject: q.reply}) }
	after := func(d time.Duration) {
		time.Sleep(d)
		synctest.Wait()
	}
	for name, end := range map[string]func(l *lone, q message) answered{
		"nobody has the player": func(l *lone, q message) answered {
			nobody(l, q)
			return answered{"", ErrNotHere}
		},
		"a node of an earlier commit says that nobody has the player": func(l *lone, q message) answered {
			l.says(b, q.reply, answerNotHere)
			return answered{"", ErrNotHere}
		},
		"a node that has got the request answers": func(l *lone, q message) answered {
			l.replies(q, answerReplied, "yes")
			return answered{"yes", nil}
		},
		"a node has got the request": func(l *lone, q message) answered {
			l.says(b, q.reply, answerGot)
			l.seekAgain(time.Now())
			nobody(l, q) // the answer came before, or is lost
			l.says(a, q.reply, answerLeft)
			l.says(a, q.reply, answerAgain)
			l.seeks("a node has got the request", q, kindAsk, "ada", 0)
			l.replies(q, answerReplied, "yes")
			return answered{"yes", nil}
		},
		"a node has got the request, and its answer is lost": func(l *lone, q message) answered {
			l.says(b, q.reply, answerGot)
			nobody(l, q)
			l.expire(time.Now().Add(2*time.Minute), false)
			return answered{"", ErrTimeout}
		},
		"a node has the player now": func(l *lone, q message) answered {
			l.says(b, q.reply, answerAgain)
			m := l.sentOne("the request for that node", kindAsk)
			if m.subject != "lone.n."+b.String()+".q" || m.reply != q.reply+".d" || string(m.body) != string(q.body) {
				l.t.Errorf("the request for %s with the reply to %s: %q", m.subject, m.reply, m.body)
			}
			nobody(l, m) // the node is gone: another one may have the player
			l.seekAgain(time.Now())
			l.seeks("the node is gone", q, kindAsk, "ada", 1)
			l.says(a, m.reply, answerLeft)
			l.seeks("the player has left that node, too", q, kindAsk, "ada", 1)
			l.replies(m, answerReplied, "yes")
			return answered{"yes", nil}
		},
		"no node says anything": func(l *lone, q message) answered {
			l.expire(time.Now().Add(2*time.Minute), false)
			return answered{"", ErrTimeout}
		},
		"NATS is away": func(l *lone, q message) answered {
			l.natsAway(errBroken)
			return answered{"", ErrAway}
		},
		"the queue is full": func(l *lone, q message) answered {
			l.config.MaxPending = 0
			l.seekAgain(time.Now())
			l.says(b, q.reply, answerAgain)
			l.config.MaxPending = 100
			if n := l.Stats().OutDropped; n != 2 {
				l.t.Errorf("%d messages are counted as dropped, want 2", n)
			}
			l.seeks("the queue is full", q, kindAsk, "ada", 0)
			l.seekAgain(time.Now())
			l.seeks("the queue has room", q, kindAsk, "ada", 1)
			nobody(l, q)
			return answered{"", ErrNotHere}
		},
		"the player has come here": func(l *lone, q message) answered {
			l.join("ada")
			l.seekAgain(time.Now())
			synctest.Wait()
			l.seeks("another node may have given the request to the client", q, kindAsk, "ada", 1)
			l.says(b, q.reply, answerLeft)
			synctest.Wait()
			l.seeks("the player is here", q, kindAsk, "ada", 0)
			return answered{"", &session.RequestError{Status: session.StatusRejected, Text: "no dance"}}
		},
		"the player has come here, and NATS knows no other node": func(l *lone, q message) answered {
			l.join("ada")
			nobody(l, q)
			synctest.Wait()
			return answered{"", &session.RequestError{Status: session.StatusRejected, Text: "no dance"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLone(t, Config{}, godwit.Config{})
				q, over := l.asks("ada")
				l.seekAgain(time.Now())
				l.seeks("at once", q, kindAsk, "ada", 0)
				after(seekSoon - 1)
				l.seekAgain(time.Now())
				l.seeks("soon", q, kindAsk, "ada", 0)
				after(1)
				l.seekAgain(time.Now())
				l.seeks("no node has said anything", q, kindAsk, "ada", 1)
				l.says(a, q.reply, answerLeft)
				l.seeks("a node says that the player has left", q, kindAsk, "ada", 1)
				after(seekSoon - 1)
				l.seeks("before the second probe", q, kindAsk, "ada", 0)
				after(1)
				l.seeks("soon", q, kindAsk, "ada", 1)
				after(10 * time.Second)
				l.seeks("without the goroutine that seeks once a second", q, kindAsk, "ada", 0)
				l.seekAgain(time.Now())
				l.seeks("a second later", q, kindAsk, "ada", 1)
				l.says(b, q.reply, answerLeft)
				l.seeks("another node says so", q, kindAsk, "ada", 1)
				after(seekSoon)
				l.seeks("there is one pause of that length", q, kindAsk, "ada", 0)
				want := end(l, q)
				got := testkit.Next(t, "the answer", over)
				if got.b != want.b || fmt.Sprint(got.err) != fmt.Sprint(want.err) {
					t.Errorf("%q, %v; want %q, %v", got.b, got.err, want.b, want.err)
				}
				for _, code := range []byte{answerLeft, answerGot, answerAgain, answerReplied} {
					l.says(a, q.reply, code)
				}
				nobody(l, q)
				l.seekAgain(time.Now())
				after(time.Second)
				if l.seeks("after the end", q, kindAsk, "ada", 0); len(over) != 0 || len(l.questions) != 0 || l.kept != 0 {
					t.Errorf("after the end: %d answers, %d questions wait, %d bytes are kept", len(over), len(l.questions), l.kept)
				}
			})
		})
	}
}

// The goroutine that does what is due once a second seeks. Close ends the questions, and a probe that is due then is none.
func TestSeekingOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		places := make(chan error, 1)
		go func() {
			_, err := l.Where(t.Context(), "ada")
			places <- err
		}()
		synctest.Wait()
		q := l.sentOne("the question", kindWhere)
		l.running.Go(l.watch)
		l.says(instance{1}, q.reply, answerLeft)
		time.Sleep(3*time.Second + 1)
		synctest.Wait()
		l.seeks("at once, soon, and after each of three seconds", q, kindWhere, "ada", 5)
		bob, over := l.asks("bob")
		l.says(instance{1}, bob.reply, answerLeft)
		l.seeks("at once", bob, kindAsk, "bob", 1)
		must(t, l.Close())
		if err := <-places; err != ErrAway {
			t.Errorf("the fleet is closed: %v, want ErrAway", err)
		}
		if a := <-over; a.err != ErrAway {
			t.Errorf("the fleet is closed: %v, want ErrAway", a.err)
		}
		l.sent()
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := len(l.out.ops); n != 0 || l.kept != 0 {
			t.Errorf("after Close: %d messages, %d bytes are kept", n, l.kept)
		}
	})
}

// Where tells where a player is who has come to the node that asks. An answer of a node to another question is none to this one.
func TestSeekingFindsAPlayerHere(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	got := make(chan answered, 1)
	id, err := l.askOthers("ada", kindWhere, nil, func(b []byte, err error) { got <- answered{string(b), err} })
	must(t, err)
	ada := l.join("ada")
	l.says(instance{1}, l.replySubject(id), answerLeft)
	want := answered{string((&Place{Node: "lone", Session: ada.ID()}).append(nil)), nil}
	if a := testkit.Next(t, "the place", got); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}

	l.mu.Lock()
	id, err = l.question(l.nodeSubject("x"), kindState, nil, func(b []byte, err error) { got <- answered{string(b), err} })
	l.mu.Unlock()
	must(t, err)
	l.says(instance{1}, l.replySubject(id), answerLeft)
	if a := testkit.Next(t, "the answer", got); a != (answered{"", ErrNotHere}) {
		t.Errorf("a question that is not for a player: %+v, want ErrNotHere", a)
	}

	id, err = l.askOthers("bob", kindWhere, nil, func(b []byte, err error) { got <- answered{string(b), err} })
	must(t, err)
	bob := l.join("bob")
	l.seekAgain(l.questions[id].until)
	want = answered{string((&Place{Node: "lone", Session: bob.ID()}).append(nil)), nil}
	if a := testkit.Next(t, "the place", got); a != want {
		t.Errorf("%+v, want %+v", a, want)
	}

	l = newLone(t, Config{}, godwit.Config{MaxRequests: 1})
	q, over := l.asks("bob")
	_, err = l.join("bob").server.Ask("wait", nil, nil)
	must(t, err)
	l.says(instance{1}, q.reply, answerLeft)
	if a := testkit.Next(t, "the answer", over); a != (answered{"", session.ErrTooMany}) {
		t.Errorf("the session takes no request: %v, want ErrTooMany", a.err)
	}
}

// The requests that a node keeps have at most MaxPendingBytes bytes together. One that is not kept is not sent again.
func TestRequestsThatAreNotKept(t *testing.T) {
	l := newLone(t, Config{}, godwit.Config{})
	l.config.MaxPendingBytes = 1000
	ask := func(ctx context.Context, name string, size int) (message, chan error) {
		t.Helper()
		got := make(chan error, 1)
		go func() {
			_, err := l.Request(ctx, name, "echo", make([]byte, size))
			got <- err
		}()
		var all []message
		wait(t, "the request", func() bool { all = append(all, l.sent(kindAsk)...); return len(all) == 1 })
		return all[0], got
	}
	kept := func(what string, want int) {
		t.Helper()
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.kept != want {
			t.Errorf("%s: %d bytes are kept, want %d", what, l.kept, want)
		}
	}
	const rest = len("\x03ada\x04echo")
	ctx, cancel := context.WithCancel(t.Context())
	first, _ := ask(ctx, "ada", 600-rest)
	kept("one request", 600)
	second, secondOver := ask(t.Context(), "bob", 400-rest)
	kept("as many as there may be", 1000)
	third, thirdOver := ask(t.Context(), "eve", 0)
	kept("one too many", 1000)
	from := instance{1}
	for _, c := range []struct {
		q    message
		want int
	}{{first, 1}, {second, 1}, {third, 0}} {
		l.says(from, c.q.reply, answerLeft)
		l.says(from, c.q.reply, answerAgain)
		if got := l.sent(kindAsk); len(got) != c.want || c.want == 1 && string(got[0].body) != string(c.q.body) {
			t.Errorf("%d requests are sent to the node of the player, want %d", len(got), c.want)
		}
	}
	cancel()
	wait(t, "a context is done", func() bool { return l.Stats().Waiting == 2 })
	kept("a context is done", 400)
	l.replies(second, answerAcked, "")
	if err := testkit.Next(t, "the answer", secondOver); err != nil {
		t.Error(err)
	}
	kept("an answer", 0)
	l.handleNobody(message{subject: third.reply})
	if err := testkit.Next(t, "the answer", thirdOver); err != ErrNotHere {
		t.Errorf("a request that is not kept: %v, want ErrNotHere", err)
	}
	kept("the end of a request that was not kept", 0)
	fourth, _ := l.asks("ada")
	kept("an error", len(fourth.body))
	l.expire(time.Now().Add(time.Hour), false)
	kept("the time is over", 0)
	l.away.Store(true)
	if err := l.Ask("ada", "echo", nil, nil); err != ErrAway {
		t.Error(err)
	}
	kept("NATS is away", 0)
}

// tells gives the node a message about a player, and returns the answers that it publishes.
func (l *lone) tells(m message) []message {
	l.t.Helper()
	if !handlers[m.kind](l.Fleet, m) {
		l.t.Errorf("a message of kind %d is malformed: %q", m.kind, m.body)
	}
	return l.sent(kindAnswer)
}

// What a node says to a node that seeks a player, and that a client gets a request once.
func TestWhatANodeSaysOfAPlayerWhoIsSought(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		ada := l.join("ada")
		l.sent()
		from := instance{7}
		to := func(number string) string { return "lone.n." + from.String() + ".r." + number }
		ask := func(name, request, number string) message {
			return message{kind: kindAsk, from: from, reply: to(number), body: appendString(appendString(nil, name), request)}
		}
		seek := func(k kind, name, number string) message {
			return message{kind: kindElse, from: from, reply: to(number), body: []byte(probe(k, name))}
		}
		says := func(what string, m message, want string) {
			t.Helper()
			all := l.tells(m)
			synctest.Wait()
			all = append(all, l.sent(kindAnswer)...)
			if want == "" && len(all) != 0 || want != "" && (len(all) != 1 || all[0].subject != m.reply || string(all[0].body) != want) {
				t.Errorf("%s: %+v, want %q", what, all, want)
			}
		}
		left, got, again := string([]byte{answerLeft}), string([]byte{answerGot}), string([]byte{answerAgain})
		place := Place{Node: "lone", Session: ada.ID()}
		says("where is she?", seek(kindWhere, "ada", "1"), string(place.append([]byte{answerReplied})))
		says("where is he?", seek(kindWhere, "bob", "2"), "")
		says("a request that the node has not got", seek(kindAsk, "ada", "3"), again)
		says("the request", ask("ada", "echo", "3.d"), "\x00")
		says("the request again", ask("ada", "echo", "3.d"), "")
		says("the request, late", ask("ada", "echo", "3"), "")
		says("it is answered", seek(kindAsk, "ada", "3"), got)
		says("a request that waits", ask("ada", "wait", "a"), "")
		ada.want(t, "the client gets it", "asked")
		says("it is not answered", seek(kindAsk, "ada", "a"), got)
		says("it comes again", ask("ada", "wait", "a.d"), "")
		ada.none(t, "it comes again")
		other := seek(kindAsk, "ada", "a")
		other.from = instance{8}
		says("a request of another node with this number", other, again)
		says("a request that is rejected here", ask("ada", "", "b"), string([]byte{answerRejected})+session.ErrName.Error())
		says("it is answered", seek(kindAsk, "ada", "b"), got)
		says("a request for nobody", ask("bob", "echo", "c"), left)
		says("nobody has it", seek(kindAsk, "bob", "c"), "")
		says("another kind", seek(kindKick, "ada", "d"), "")
		says("of a node of an earlier commit", message{kind: kindElse, from: from, reply: "lone.n.x.y." + to("e")}, "")
		for _, m := range []message{
			{kind: kindElse, from: from, reply: to("1"), body: []byte{byte(kindAsk)}},
			{kind: kindElse, from: from, reply: to("1"), body: []byte{byte(kindAsk), 5, 'a'}},
			{kind: kindElse, from: from, reply: to("!"), body: []byte(probe(kindAsk, "ada"))},
			{kind: kindElse, from: from, body: []byte(probe(kindAsk, "ada"))},
		} {
			if l.receiveElse(m) {
				t.Errorf("%q with the reply to %q is well formed", m.body, m.reply)
			}
		}

		ada.server.Kick("")
		ada.want(t, "the end", "kicked")
		synctest.Wait()
		if all := l.sent(kindAnswer); len(all) != 1 || all[0].subject != to("a") || all[0].body[0] != answerFailed {
			t.Errorf("the end of the request that waits: %+v", all)
		}
		bob := l.join("bob")
		says("the player comes here", seek(kindAsk, "bob", "c"), again)
		says("the request", ask("bob", "echo", "c.d"), "\x00")

		// Requests are known for the RequestTimeout at least, and are forgotten then.
		l.heard.turn(time.Now(), time.Minute)
		says("two of that time", seek(kindAsk, "bob", "c"), got)
		time.Sleep(time.Minute - 1)
		l.heard.turn(time.Now(), time.Minute)
		says("the time is not over", seek(kindAsk, "bob", "c"), got)
		time.Sleep(time.Nanosecond)
		l.heard.turn(time.Now(), time.Minute)
		says("it is forgotten", seek(kindAsk, "bob", "c"), again)

		// A node that has too many to remember them all says nothing of those that it does not remember.
		for i := range uint64(maxHeard) {
			l.heard.note(asking{instance{9}, i})
		}
		says("one too many", ask("bob", "wait", "f"), "")
		bob.want(t, "the client gets it", "asked")
		if len(l.heard.young.seen) != maxHeard {
			t.Errorf("%d requests are remembered, want %d", len(l.heard.young.seen), maxHeard)
		}
		for _, what := range []string{"too many", "the generation before had too many"} {
			says(what, seek(kindAsk, "bob", "f"), "")
			time.Sleep(time.Minute)
			l.heard.turn(time.Now(), time.Minute)
		}
		says("all are forgotten", seek(kindAsk, "bob", "f"), again)
	})
}
