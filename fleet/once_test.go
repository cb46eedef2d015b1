package fleet

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A round is a tick of a node that seeks a player, and what it gets to its probes.
type round struct {
	nobody int  // NATS says that nobody has the player: of how many probes, the oldest first
	lost   bool // nothing, and nothing later
	code   byte // another node says this
}

// A request ends with ErrNotHere only if it is sure that no client has it, and a client gets it at another node only if that is likely.
func TestRequestsThatAClientMayHave(t *testing.T) {
	silence, lost, nobody := round{}, round{lost: true}, round{nobody: 1}
	got, again, left := round{code: answerGot}, round{code: answerAgain}, round{code: answerLeft}
	there, here := answered{"yes", nil}, answered{"", &session.RequestError{Status: session.StatusRejected, Text: "no dance"}}
	other := instance{1}
	notHere, waits := answered{"", ErrNotHere}, answered{"waits", nil}
	for _, c := range []struct {
		name   string
		rounds []round
		joins  bool // the player comes to the node that asks, after the first round
		end    answered
		asked  int // requests for the node that says answerAgain
	}{
		{name: "its node is not at NATS for a moment", rounds: []round{nobody, got}, end: there},
		{name: "its node is not at NATS for 3 s", rounds: []round{nobody, nobody, nobody}, end: waits},
		{name: "no node is there for longer", rounds: []round{nobody, nobody, nobody, nobody}, end: notHere},
		{name: "what NATS says comes late", rounds: []round{nobody, silence, silence, {nobody: 3}}, end: notHere},
		{name: "what NATS says comes late, of probes of less than 3 s", rounds: []round{nobody, silence, silence, {nobody: 2}}, end: waits},
		{name: "its node is not at NATS twice", rounds: []round{nobody, lost, lost, nobody, nobody, nobody}, end: waits},
		{name: "no node is there after that", rounds: []round{nobody, lost, lost, nobody, nobody, nobody, nobody}, end: notHere},
		{name: "a probe is lost", rounds: []round{nobody, lost, nobody, nobody}, end: notHere},
		{name: "its node says that the player has left", rounds: []round{nobody, left, nobody}, end: notHere},
		{name: "the player goes to another node", rounds: []round{again}, end: waits},
		{name: "the node that has the request says so later", rounds: []round{again, got, again}, end: there},
		{name: "no node has the request", rounds: []round{nobody, again, again}, asked: 1, end: there},
		{name: "the player goes to another node and leaves it", rounds: []round{nobody, again, nobody, nobody, nobody}, end: waits},
		{name: "no node has the player after that", rounds: []round{nobody, again, nobody, nobody, nobody, nobody}, end: notHere},
		{name: "the player comes here", rounds: []round{silence, silence, silence, got}, joins: true, end: there},
		{name: "the player comes here, and its node is not at NATS for a moment", rounds: []round{nobody, nobody, got}, joins: true, end: there},
		{name: "the player comes here, and no other node is there", rounds: []round{nobody, nobody, nobody, nobody}, joins: true, end: here},
		{name: "the player comes here, and its node says so", rounds: []round{nobody, left}, joins: true, end: here},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLone(t, Config{}, godwit.Config{})
				q, over := l.asks("ada")
				var probes []message
				asked := 0
				for i, r := range c.rounds {
					if i == 1 && c.joins {
						l.join("ada")
					}
					time.Sleep(time.Second)
					l.seekAgain(time.Now())
					for _, m := range l.sent(kindElse, kindAsk) {
						if m.kind != kindElse || string(m.body) != probe(kindAsk, "ada") || !strings.HasPrefix(m.reply, q.reply) {
							t.Errorf("a message of kind %d with the reply to %s: %q", m.kind, m.reply, m.body)
						}
						if len(m.reply) > len(q.reply) { // the others follow answerLeft
							probes = append(probes, m)
						}
					}
					synctest.Wait()
					if len(over) != 0 {
						t.Fatalf("round %d: the request ends before anybody says something: %v", i+1, (<-over).err)
					}
					switch {
					case r.nobody > len(probes):
						t.Fatalf("round %d: %d probes have no answer, want %d", i+1, len(probes), r.nobody)
					case r.nobody > 0:
						for _, m := range probes[:r.nobody] {
							l.handleNobody(message{subject: m.reply})
						}
						probes = probes[r.nobody:]
					case r.lost:
						probes = nil
					case r.code != 0:
						l.says(other, q.reply, r.code)
						probes = nil
					}
					synctest.Wait()
					if len(over) != 0 && i < len(c.rounds)-1 {
						t.Fatalf("round %d: the request ends: %v", i+1, (<-over).err)
					}
					for _, m := range l.sent(kindAsk) {
						if asked++; m.subject != "lone.n."+other.String()+".q" || m.reply != q.reply+".d" {
							t.Errorf("the request for %s with the reply to %s", m.subject, m.reply)
						}
					}
				}
				if asked != c.asked {
					t.Errorf("%d requests for another node, want %d", asked, c.asked)
				}
				end := waits
				if c.end == there {
					l.replies(q, answerReplied, "yes")
				}
				if len(over) != 0 {
					end = <-over
				}
				if end.b != c.end.b || fmt.Sprint(end.err) != fmt.Sprint(c.end.err) {
					t.Errorf("%q, %v; want %q, %v", end.b, end.err, c.end.b, c.end.err)
				}
			})
		})
	}
}

// What holds for a request does not hold for Where, which no client answers. A request whose time is over before ends with ErrTimeout.
func TestNobodyHasThePlayerOfAShortQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		l.config.RequestTimeout = 2 * time.Second
		places := make(chan error, 1)
		must(t, func() error {
			_, err := l.askOthers("ada", kindWhere, nil, func(_ []byte, err error) { places <- err })
			return err
		}())
		l.sent()
		_, over := l.asks("ada")
		for range 2 {
			time.Sleep(time.Second)
			l.seekAgain(time.Now())
			for _, m := range l.sent(kindElse) {
				l.handleNobody(message{subject: m.reply})
			}
			if len(places) != 1 || len(over) != 0 {
				t.Errorf("%d of the places are known, %d of the requests are over", len(places), len(over))
			}
		}
		l.expire(time.Now().Add(1), false)
		if err := <-places; err != ErrNotHere {
			t.Errorf("where is she? %v, want ErrNotHere", err)
		}
		if a := testkit.Next(t, "the request ends", over); a.err != ErrTimeout {
			t.Errorf("a request: %v, want ErrTimeout", a.err)
		}
	})
}

// A request that was not kept cannot go to a session of the node that asks: the player is not nowhere.
func TestARequestThatIsNotKeptForAPlayerWhoComesHere(t *testing.T) {
	for _, code := range []byte{0, answerLeft} {
		l := newLone(t, Config{}, godwit.Config{})
		l.kept = l.config.MaxPendingBytes
		q, over := l.asks("ada")
		ada := l.join("ada")
		if code == 0 {
			l.handleNobody(message{subject: q.reply})
		} else {
			l.says(instance{1}, q.reply, code)
		}
		if a := testkit.Next(t, "the request ends", over); a.err != ErrFull {
			t.Errorf("%v, want ErrFull", a.err)
		}
		if ada.none(t, "the request"); l.kept != l.config.MaxPendingBytes {
			t.Errorf("%d bytes are kept, want %d", l.kept, l.config.MaxPendingBytes)
		}
	}
}

// A node that has got the request ends the search for the player, also between two probes. Then, and if NATS names no probe, that nobody
// has the player does not end the request.
func TestWhatNATSSaysDoesNotEndARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		q, over := l.asks("ada")
		nobody := func(probe string) {
			t.Helper()
			if !l.answered(message{subject: q.reply + probe}) {
				t.Errorf("what NATS says of %q is malformed", probe)
			}
		}
		l.says(instance{1}, q.reply, answerLeft)
		l.seeks("a node says that the player has left", q, kindAsk, "ada", 1)
		nobody(".s!")
		time.Sleep(seekSoon - 1)
		l.says(instance{2}, q.reply, answerGot)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		l.seeks("a node has got the request before the second probe", q, kindAsk, "ada", 0)
		nobody(".s1")
		if len(over) != 0 {
			t.Fatalf("the request ends with %v", (<-over).err)
		}
		l.replies(q, answerReplied, "yes")
		if a := testkit.Next(t, "the answer", over); a != (answered{"yes", nil}) {
			t.Errorf("%+v, want the answer", a)
		}
		nobody(".s1") // the request is over
	})
}

// The requests that a node has got are forgotten once a second, when they are old enough.
func TestOldRequestsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLone(t, Config{}, godwit.Config{})
		a := asking{instance{1}, 7}
		has := func(what string, want bool) {
			t.Helper()
			l.mu.Lock()
			defer l.mu.Unlock()
			l.tick(time.Now())
			if has, sure := l.heard.has(a); has != want || !sure {
				t.Errorf("%s: the node knows the request: %v, %v; want %v", what, has, sure, want)
			}
		}
		has("before", false)
		l.heard.note(a)
		time.Sleep(l.config.RequestTimeout)
		has("after the time of a request", true)
		time.Sleep(l.config.RequestTimeout - 1)
		has("a moment before it is over again", true)
		time.Sleep(time.Nanosecond)
		has("when it is over again", false)
	})
}
