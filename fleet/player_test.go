package fleet

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

var godwitUnknown = session.ErrUnknown

func TestPlayersAreReachedWhereverTheyAre(t *testing.T) {
	for _, name := range []string{"ada", "ada lovelace.*"} {
		t.Run(name, func(t *testing.T) {
			nodes := newFleet(t, 3, testConfig)
			ada := nodes[1].join(name)
			nodes[1].sync()
			ctx := t.Context()
			for i, n := range nodes {
				must(t, n.Send(name, chat, []byte(n.Name())))
				ada.want(t, "a message", "chat "+n.Name())

				b, err := n.Request(ctx, name, "echo", []byte("hello"))
				if string(b) != "hello" || err != nil {
					t.Errorf("node %d: the answer is %q, %v", i, b, err)
				}
				b, err = n.Request(ctx, name, "ack", nil)
				if len(b) != 0 || err != nil {
					t.Errorf("node %d: the acknowledgement is %q, %v", i, b, err)
				}
				_, err = n.Request(ctx, name, "dance", nil)
				if e, ok := errors.AsType[*session.RequestError](err); !ok || e.Status != session.StatusRejected || e.Text != "no dance" {
					t.Errorf("node %d: a rejection is %v", i, err)
				}
				at, err := n.Where(ctx, name)
				if want := (Place{Node: "node-2", Session: ada.ID()}); at != want || err != nil {
					t.Errorf("node %d: the player is at %+v, %v, want %+v", i, at, err, want)
				}
			}
			must(t, nodes[2].Kick(name, "enough"))
			ada.want(t, "a kick", "kicked")
			wait(t, "the node forgets the player", func() bool { return nodes[1].Stats().Players == 0 })
			nodes[1].sync()
			if _, err := nodes[2].Request(ctx, name, "echo", nil); !errors.Is(err, ErrNotHere) {
				t.Errorf("a request to a player who has gone: %v", err)
			}
			if _, err := nodes[2].Where(ctx, name); !errors.Is(err, ErrNotHere) {
				t.Errorf("where is a player who has gone: %v", err)
			}
			must(t, nodes[2].Send(name, chat, nil))
			wait(t, "the message is counted", func() bool { return nodes[2].Stats().NotHere == 1 })
		})
	}
}

// With DuplicatesAllow a name may have sessions on several nodes.
func TestANameWithSessionsOnSeveralNodes(t *testing.T) {
	nodes := newFleet(t, 2, testConfig)
	one, two := nodes[0].join("ada"), nodes[1].join("ada")
	nodes[0].sync()
	nodes[1].sync()
	must(t, nodes[0].Send("ada", chat, []byte("both")))
	one.want(t, "here", "chat both")
	two.want(t, "elsewhere", "chat both")
	must(t, nodes[1].Kick("ada", ""))
	one.want(t, "elsewhere", "kicked")
	two.want(t, "here", "kicked")
}

// A node whose session of a player is over, while NATS does not know yet, does not say that the player is on no node if another one has a session.
func TestQuestionsForAPlayerWhoHasLeftANode(t *testing.T) {
	nodes := newFleet(t, 3, testConfig)
	a, b, c := nodes[0], nodes[1], nodes[2]
	b.left("ada")
	if _, err := a.Request(t.Context(), "ada", "echo", nil); !errors.Is(err, ErrNotHere) {
		t.Errorf("a request to a player who has left: %v", err)
	}
	b.left("ada")
	if _, err := a.Where(t.Context(), "ada"); !errors.Is(err, ErrNotHere) {
		t.Errorf("where is a player who has left: %v", err)
	}
	b.left("ada")
	ada := c.join("ada")
	c.sync()
	if p, err := a.Where(t.Context(), "ada"); err != nil || p.Node != c.Name() {
		t.Errorf("where is a player who is on another node: %+v, %v", p, err)
	}
	b.left("ada")
	over := make(chan error, 1)
	must(t, a.Ask("ada", "wait", nil, func(_ []byte, err error) { over <- err }))
	ada.want(t, "the request", "asked")
	b.sync()
	a.sync()
	ada.server.Kick("")
	err := testkit.Next(t, "the request ends", over)
	if e, ok := errors.AsType[*session.RequestError](err); !ok || e.Status != session.StatusResponseLost {
		t.Errorf("a request to a player who was on another node: %v", err)
	}
}

func TestRequestsThatCannotBeSent(t *testing.T) {
	nodes := newFleet(t, 2, testConfig)
	a := nodes[0]
	ada := nodes[1].join("ada")
	nodes[1].sync()
	ctx := t.Context()
	for _, tt := range []struct {
		name, request string
		size          int
		want          error
	}{
		{"ada", "", 0, session.ErrName},
		{"ada", "echo", session.MaxRequest + 1, session.ErrPayload},
		{"nobody", "echo", 0, ErrNotHere},
		{"", "echo", 0, ErrNotHere},
	} {
		if _, err := a.Request(ctx, tt.name, tt.request, make([]byte, tt.size)); !errors.Is(err, tt.want) {
			t.Errorf("%q to %q: %v, want %v", tt.request, tt.name, err, tt.want)
		}
	}

	ctx, cancel := context.WithCancel(ctx)
	asked := make(chan error)
	go func() {
		_, err := a.Request(ctx, "ada", "wait", nil)
		asked <- err
	}()
	ada.want(t, "the request", "asked")
	cancel()
	if err := testkit.Next(t, "the request ends", asked); err != context.Canceled || a.Stats().Waiting != 0 {
		t.Errorf("after its context: %v, and %d requests wait", err, a.Stats().Waiting)
	}

	// A client that ends without an answer.
	go func() {
		_, err := a.Request(t.Context(), "ada", "wait", nil)
		asked <- err
	}()
	ada.want(t, "the request", "asked")
	ada.server.Kick("")
	err := testkit.Next(t, "the request ends", asked)
	if e, ok := errors.AsType[*session.RequestError](err); !ok || e.Status != session.StatusResponseLost {
		t.Errorf("the client ends: %v", err)
	}
}

// A request without an answer ends at its time; the table of such requests is bounded.
func TestRequestsTimeOut(t *testing.T) {
	a := newNode(t, Config{Listen: "127.0.0.1:0", MaxRequests: 2}, testConfig)
	b := newNode(t, Config{NATS: a.NATSAddress()}, testConfig)
	ada := b.join("ada")
	b.sync()
	over := make(chan error, 2)
	done := func(_ []byte, err error) { over <- err }
	for range 2 {
		must(t, a.Ask("ada", "wait", nil, done))
		ada.want(t, "the request", "asked")
	}
	if err := a.Ask("ada", "wait", nil, done); !errors.Is(err, ErrFull) {
		t.Errorf("one request too many: %v", err)
	}
	a.mu.Lock()
	later := a.questions[a.asked].until
	a.mu.Unlock()
	a.expire(later.Add(1), false)
	for range 2 {
		if err := testkit.Next(t, "the request ends", over); !errors.Is(err, ErrTimeout) {
			t.Errorf("without an answer: %v", err)
		}
	}
	if s := a.Stats(); s.TimedOut != 2 || s.Requests != 2 || s.Waiting != 0 {
		t.Errorf("%d of %d requests have timed out, %d wait", s.TimedOut, s.Requests, s.Waiting)
	}
}

// Calls that wait return an error in a handler; those that do not wait work there.
func TestCallsInHandlers(t *testing.T) {
	a := newNode(t, Config{Listen: "127.0.0.1:0"}, testConfig)
	results := make(chan error, 16)
	var b *node // set before its clients can send
	b = newNode(t, Config{NATS: a.NATSAddress()}, godwit.Config{Handler: godwit.Handler{Message: func(c *godwit.Conn, _ godwit.ChannelID, _ []byte) {
		_, err := b.Request(context.Background(), "ada", "echo", nil)
		results <- err
		_, err = b.Where(context.Background(), "ada")
		results <- err
		_, err = b.Claim(context.Background(), "arena")
		results <- err
		_, err = b.Find(context.Background(), "arena")
		results <- err
		results <- b.Close()
		results <- b.Drain(context.Background())
		results <- b.Move(context.Background(), c, newInstance().String())
		results <- b.Group("lobby").Send(chat, []byte("from a handler"))
		if err := b.Ask("ada", "echo", []byte("ask"), func(_ []byte, err error) { results <- err }); err != nil {
			results <- err
		}
	}}})
	ada, bob := a.join("ada"), b.join("bob")
	mustJoin(a, a.Group("lobby"), ada)
	must(t, bob.Send(chat, []byte("go")))
	in := session.ErrInHandler
	for _, want := range []error{in, in, in, in, in, in, in, nil, nil} {
		if err := testkit.Next(t, "a call returns", results); err != want {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	ada.want(t, "a message of a handler", "chat from a handler")
}

// In a func that gets an answer calls that wait return ErrInHandler, wherever it runs.
func TestCallsThatWaitForAnAnswer(t *testing.T) {
	q := newQuiet(t, Config{})
	got := make(chan error, 1)
	ada := q.join("ada").server
	calls := map[string]func(ctx context.Context) error{
		"Request": func(ctx context.Context) error { _, err := q.Request(ctx, "bob", "echo", nil); return err },
		"Where":   func(ctx context.Context) error { _, err := q.Where(ctx, "bob"); return err },
		"Claim":   func(ctx context.Context) error { _, err := q.Claim(ctx, "arena"); return err },
		"Find":    func(ctx context.Context) error { _, err := q.Find(ctx, "arena"); return err },
		"Move":    func(ctx context.Context) error { return q.Move(ctx, ada, "x") },
		"Drain":   q.Drain,
		"Close":   func(context.Context) error { return q.Close() },
	}
	ask := func() {
		t.Helper()
		must(t, q.Ask("bob", "echo", nil, func(_ []byte, err error) {
			got <- err
			for name, call := range calls {
				if err := call(t.Context()); !errors.Is(err, session.ErrInHandler) {
					t.Errorf("%s: %v, want ErrInHandler", name, err)
				}
			}
		}))
	}
	wants := func(want error) {
		t.Helper()
		if err := testkit.Next(t, "the answer", got); err != want {
			t.Errorf("the answer is %v, want %v", err, want)
		}
	}
	ask()
	q.hear(q.inboxSubject("r", "1"), kindAnswer, instance{1}, answerAcked)
	wants(nil)
	ask()
	q.nobody(q.inboxSubject("r", "2"))
	wants(ErrNotHere)
	ask()
	q.expire(time.Now().Add(time.Hour), false)
	wants(ErrTimeout)
	ask()
	q.natsAway(errBroken)
	wants(ErrAway)
}

// A text that is too long for a session does not keep a kick from another node.
func TestKicksWithALongText(t *testing.T) {
	q := newQuiet(t, Config{})
	must(t, q.Kick("bob", strings.Repeat("é", 1<<20)))
	m := message{body: q.out.ops[0].data}
	m.parseHeader()
	if r := (reader{b: m.body}); r.string() != "bob" || string(r.b) != strings.Repeat("é", session.MaxText) {
		t.Errorf("the text has %d bytes, want %d", len(r.b), 2*session.MaxText)
	}
	if err := q.Kick(strings.Repeat("x", maxMessage), ""); err != ErrTooLarge {
		t.Errorf("a name that NATS does not take: %v, want ErrTooLarge", err)
	}
}
