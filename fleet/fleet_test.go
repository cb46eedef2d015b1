package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A node subscribes to what is sent to it, and tells all nodes of itself: when it comes, and when it has a server.
func TestWhatANodeSaysFirst(t *testing.T) {
	q := newQuiet(t, Config{})
	q.server.Store(nil)
	q.nodes.since = time.Time{} // Join has taken long
	came := time.Now()
	q.appear(came)
	q.gives("the node has come", "sub "+q.inboxPrefix+">", "beat godwit.b")
	if !q.nodes.since.Equal(came) {
		t.Errorf("the node has heard the others since %v, want since it has come", q.nodes.since)
	}
	q.nc = testkit.Must(nats.Connect(newNATS(t).address()))
	t.Cleanup(q.nc.Close)
	q.js = testkit.Must(jetstream.New(q.nc))
	srv := testkit.Must(q.NewServer(godwit.Config{Channels: table, MaxConns: 7}, godwit.New))
	t.Cleanup(func() { srv.Close() })
	q.gives("the node has a server", "beat godwit.b")
	if n := q.Nodes()[0].MaxSessions; n != 7 {
		t.Errorf("the node has room for %d sessions, want 7", n)
	}
}

// A second call of NewServer fails, also while the first one has not returned, and changes nothing for the first one. After a call that has
// failed another one may succeed, and what the first one has made does not stay.
func TestNewServerIsCalledTwice(t *testing.T) {
	broken := func(godwit.Config) (*godwit.Server, error) { return nil, errBroken }
	replace := godwit.Config{Channels: table[:1], Duplicates: godwit.DuplicatesReplace}
	n := joinNode(t, Config{})
	if srv, err := n.NewServer(replace, broken); srv != nil || err != errBroken || n.Server() != nil {
		t.Errorf("NewServer returns %v, %v; want the error of open", srv, err)
	}
	srv, err := n.NewServer(godwit.Config{Channels: table, Schema: "7"}, func(c godwit.Config) (*godwit.Server, error) {
		_, err := n.NewServer(replace, broken)
		wantError(t, "the second call", err, "there is a server already")
		return godwit.New(c)
	})
	must(t, err)
	t.Cleanup(func() { srv.Close() })
	_, err = n.NewServer(replace, broken)
	wantError(t, "the third call", err, "there is a server already")
	if want := uint32(channel.Table{Channels: table.WithDefaults(), Schema: "7"}.Hash()); n.Server() != srv || n.duplicates != godwit.DuplicatesAllow || n.table != want || n.claims.kv != nil {
		t.Errorf("the server is that of the first call: %v; duplicates: %v, the table is %x, want %x; names are claimed: %v",
			n.Server() == srv, n.duplicates, n.table, want, n.claims.kv != nil)
	}
}

// NewServer returns the errors of what it prepares.
func TestServersThatCannotBePrepared(t *testing.T) {
	server := newNATS(t)
	nc := testkit.Must(nats.Connect(server.address()))
	t.Cleanup(nc.Close)
	js := testkit.Must(jetstream.New(nc))
	for _, c := range []struct {
		bucket  string // of another kind, which is there already
		storage jetstream.StorageType
		text    string
	}{
		{"rooms", jetstream.FileStorage, "the bucket of rooms"}, {"spent", jetstream.MemoryStorage, "the bucket of used tokens"},
		{"players", jetstream.FileStorage, "the bucket of names"},
	} {
		testkit.Must(js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "with-" + c.bucket + "-" + c.bucket, Storage: c.storage}))
		n := joinNode(t, Config{NATS: server.address(), Prefix: "with-" + c.bucket})
		srv, err := n.NewServer(duplicates(godwit.DuplicatesReplace), func(godwit.Config) (*godwit.Server, error) {
			t.Errorf("%s: a server is opened", c.bucket)
			return nil, errBroken
		})
		if wantError(t, c.bucket, err, c.text); srv != nil {
			t.Errorf("%s: NewServer returns a server", c.bucket)
		}
	}
	n := joinNode(t, Config{NATS: server.address(), Seats: true})
	_, err := n.NewServer(godwit.Config{Secret: "secret"}, godwit.New)
	wantError(t, "seats", err, "with Config.Seats")
}

// NewServer keeps what the program has set: the func that says whether a token was used, and that which admits clients.
func TestFuncsOfTheProgram(t *testing.T) {
	n := joinNode(t, Config{})
	prepared := func(c godwit.Config) (got godwit.Config) {
		t.Helper()
		_, err := n.NewServer(c, func(c godwit.Config) (*godwit.Server, error) { got = c; return nil, errBroken })
		if err != errBroken {
			t.Fatal(err)
		}
		return got
	}
	ctx, ada := t.Context(), godwit.Identity{Name: "ada"}
	if c := prepared(godwit.Config{}); c.Spend(ctx, "token", time.Now().Add(time.Hour)) != nil || c.Admit(ctx, ada) != nil {
		t.Error("without funcs of the program a token is not good, or a client is not admitted")
	}
	refused := errors.New("refused")
	c := prepared(godwit.Config{
		Spend: func(context.Context, string, time.Time) error { return refused },
		Admit: func(_ context.Context, id godwit.Identity) error {
			if id.Name != "ada" {
				t.Errorf("the program is asked about %q", id.Name)
			}
			return refused
		},
	})
	if err := c.Spend(ctx, "token", time.Now().Add(time.Hour)); err != refused {
		t.Errorf("Spend returns %v, want the error of the program's func", err)
	}
	if err := c.Admit(ctx, ada); err != refused {
		t.Errorf("Admit returns %v, want the error of the program's func", err)
	}
}

// The options of the connection to NATS.
func TestOptionsOfTheConnection(t *testing.T) {
	server := newNATS(t)
	for _, c := range []struct{ user, password string }{{"", ""}, {"fleet", ""}, {"", "secret"}, {"fleet", "secret"}} {
		n := joinNode(t, Config{NATS: server.address(), User: c.user, Password: c.password})
		if o := n.nc.Opts; o.User != c.user || o.Password != c.password {
			t.Errorf("the user is %q with the password %q, want %q and %q", o.User, o.Password, c.user, c.password)
		}
		if a := n.NATSAddress(); a != "" || n.NATS() == nil || n.NATS().ConnectedUrl() != server.address() {
			t.Errorf("a node without a NATS server has one at %q, or the connection of the program is another one", a)
		}
	}
	if f, err := Join(t.Context(), Config{NATS: server.address(), Credentials: "no such file"}); err == nil {
		f.Close()
		t.Error("credentials that are not there are no error")
	}
	// nats.go makes each later attempt with the limit of the first one, and Close waits for it.
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	f := testkit.Must(Join(ctx, Config{NATS: server.address()}))
	defer f.Close()
	if limit := f.nc.Opts.Timeout; limit != maxConnect {
		t.Errorf("an attempt to connect takes up to %v, want %v", limit, maxConnect)
	}
}

// If Join fails the NATS server of this process ends.
func TestJoinFailsAfterItsNATSServerHasStarted(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if f, err := Join(ctx, Config{}); err == nil {
		f.Close()
		t.Error("Join succeeds after its time")
	}
	if left := testkit.Must(os.ReadDir(dir)); len(left) != 0 {
		t.Errorf("the NATS server has left %v", left)
	}
}

// What a node does when NATS is away and when it is back.
func TestReportsOfTheConnection(t *testing.T) {
	q := newQuiet(t, Config{}, "NATS is")
	over := make(chan error, 4)
	q.questions[1] = &question{done: func(_ []byte, err error) { over <- err }, until: time.Now().Add(time.Hour)}
	q.claims.kv = &bucket{}
	p := q.addPlayer("ada", claim{held: true})
	q.nodes.since = time.Time{}
	q.natsAway(errBroken)
	if q.Connected() || len(over) != 1 || <-over != ErrAway || len(q.logs) != 1 || <-q.logs != "NATS is away" {
		t.Error("NATS is away, and the question has no error, or the log does not say so")
	}
	q.questions[2] = &question{done: func(_ []byte, err error) { over <- err }, until: time.Now().Add(time.Hour)}
	q.natsAway(errBroken)
	if len(over) != 0 || len(q.logs) != 0 {
		t.Error("NATS is away twice")
	}
	if p.claim.again || !q.nodes.since.IsZero() || len(q.rooms.wake) != 0 {
		t.Error("names and rooms are compared while NATS is away")
	}
	q.natsBack()
	if s := q.Stats(); !s.Connected || s.Reconnects != 1 || len(q.logs) != 1 || <-q.logs != "NATS is back" {
		t.Errorf("NATS is back: %+v", s)
	}
	if !p.claim.again || !p.claim.queued || q.nodes.since.IsZero() || len(q.rooms.wake) != 1 {
		t.Errorf("names are compared: %v; other nodes are heard since %v; rooms are compared: %v", p.claim.queued, q.nodes.since, len(q.rooms.wake) == 1)
	}
	close(q.stop)
	q.natsAway(nil)
	if !q.Connected() || len(over) != 0 {
		t.Error("NATS is away after Close")
	}

	var text bytes.Buffer
	q.config.Logger = slog.New(slog.NewTextHandler(&text, nil))
	q.natsError(nil, &nats.Subscription{Subject: "a.b"}, fmt.Errorf("reading: %w", nats.ErrSlowConsumer))
	q.natsError(nil, nil, errBroken)
	q.natsError(nil, nil, errBroken)
	if n := q.Stats().Slow; n != 1 || strings.Count(text.String(), "subject=a.b") != 1 || strings.Count(text.String(), `subject=""`) != 2 {
		t.Errorf("%d reports that this process is slow, want 1; the log has %s", n, &text)
	}
}

// What is due once a second.
func TestEachSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{})
		over := make(chan error, 4)
		q.questions[1] = &question{done: func(_ []byte, err error) { over <- err }, until: time.Now().Add(time.Second)}
		q.travels.expected["ada"] = &arrival{come: make(chan struct{}), until: time.Now()}
		q.relays.nodes[3] = relayed{heard: time.Now().Add(-keepUnheard)}
		q.running.Go(q.watch)
		time.Sleep(time.Second - 1)
		synctest.Wait()
		q.gives("before")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		q.gives("after a second", "beat godwit.b")
		if len(q.travels.expected)+len(q.relays.nodes) != 0 || !q.claims.renewed.Equal(time.Now()) {
			t.Errorf("%d players are expected, and relays know %d nodes, want none; names are renewed at %v", len(q.travels.expected), len(q.relays.nodes), q.claims.renewed)
		}
		if len(over) != 0 {
			t.Error("a question is over at its time, want after it")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		q.gives("after two seconds", "beat godwit.b")
		if len(over) != 1 || <-over != ErrTimeout {
			t.Error("a question is not over after its time")
		}
		close(q.stop)
		q.running.Wait()
	})
}

// Close tells the other nodes, waits for the goroutines, and ends the questions. A second call waits until all that is done, too.
func TestCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{})
		over := make(chan error, 4)
		busy, told, returned := make(chan struct{}), make(chan struct{}), make(chan error, 4)
		q.questions[1] = &question{done: func(_ []byte, err error) { <-told; over <- err }, until: time.Now().Add(time.Hour)}
		q.running.Go(func() { <-busy })
		q.running.Go(q.watch)
		for range 2 {
			go func() { returned <- q.Close() }()
			synctest.Wait()
		}
		q.gives("the node leaves", "beat godwit.b")
		if len(returned) != 0 || len(over) != 0 {
			t.Errorf("%d calls of Close have returned while a goroutine was busy, and %d questions are over", len(returned), len(over))
		}
		close(busy)
		synctest.Wait()
		if len(returned) != 0 {
			t.Errorf("%d calls of Close have returned before the end", len(returned))
		}
		close(told)
		synctest.Wait()
		if len(returned) != 2 || <-returned != nil || <-returned != nil || len(over) != 1 || <-over != ErrAway {
			t.Error("Close has not returned twice, or has not ended the question once")
		}

		q = newQuiet(t, Config{})
		q.away.Store(true)
		must(t, q.Close())
		if q.gives("NATS is away"); len(q.out.wake) != 1 {
			t.Errorf("the writing goroutine has %d tokens, want 1, so that it ends", len(q.out.wake))
		}
	})
}

// Close waits until NATS has got the last message of the node.
func TestCloseWaitsForNATS(t *testing.T) {
	p := newProxy(t, newNATS(t).address())
	p.mu.Lock()
	p.saw = make([]byte, 0, 4096)
	p.mu.Unlock()
	must(t, joinNode(t, Config{NATS: p.address()}).Close())
	wait(t, "the node has left, and then sent a PING", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, after, left := strings.Cut(string(p.saw), `"gone":true`)
		return left && strings.HasSuffix(after, "\r\nPING\r\n")
	})
}

// Close waits until the names of sessions that are over are released.
func TestCloseReleasesNames(t *testing.T) {
	x := newClaimed(t, godwit.DuplicatesReplace)
	waited := make(chan bool, 1)
	x.bucket.delete = func() error {
		wait(t, "Close is called", func() bool {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.claims.drained != nil || x.closed
		})
		err := x.bucket.KeyValue.Delete(context.Background(), x.key)
		x.mu.Lock()
		defer x.mu.Unlock()
		waited <- err == nil && !x.closed
		return err
	}
	x.srv.Close()
	must(t, x.Close())
	if !testkit.Next(t, "the name is released", waited) {
		t.Error("Close has not waited until the name was released")
	}
}

// Close gives up the rooms of the node. While NATS is away only the program learns of it, and others adopt the rooms.
func TestCloseReleasesRooms(t *testing.T) {
	for _, away := range []bool{false, true} {
		nodes := newKeepers(t, 1)
		k := nodes[0]
		r := k.claims("arena")
		nc := testkit.Must(nats.Connect(k.nc.ConnectedUrl()))
		t.Cleanup(nc.Close)
		kv := testkit.Must(testkit.Must(jetstream.New(nc)).KeyValue(t.Context(), k.bucketName("rooms")))
		k.away.Store(away)
		must(t, k.Close())
		if _, err := kv.Get(t.Context(), "arena"); errors.Is(err, jetstream.ErrKeyNotFound) == away || !isLost(r) || len(k.Rooms()) != 0 {
			t.Errorf("NATS is away: %v; the bucket returns %v, the room is lost: %v, and %d rooms are left", away, err, isLost(r), len(k.Rooms()))
		}
	}
}

// Names, subjects of groups, and those for answers.
func TestSubjects(t *testing.T) {
	q := newQuiet(t, Config{Prefix: "x", Name: "a"})
	if q.Name() != "a" || q.Group("lobby").Name() != "lobby" {
		t.Errorf("the node is %q, and the group %q", q.Name(), q.Group("lobby").Name())
	}
	for _, c := range []struct {
		subject, token string
		ok             bool
	}{{"x.g.lobby.m", "lobby", true}, {"x.g.lobby", "lobby", false}, {"y.g.lobby.m", "y", false}, {"x.n.1.m", "x", false}} {
		if got, ok := q.groupToken(c.subject); got != c.token || ok != c.ok {
			t.Errorf("the group of %s is %q, %v; want %q, %v", c.subject, got, ok, c.token, c.ok)
		}
	}
	if !q.answerable("x.n.1.r.2") || q.answerable("x.g.n.") || q.answerable("y.n.1.r.2") {
		t.Error("a subject for answers is not one, or another one is")
	}
}

// A node notices by itself that a request has no answer in time.
func TestARequestEndsByItself(t *testing.T) {
	n := joinNode(t, Config{RequestTimeout: time.Millisecond})
	n.sync()
	testkit.Must(n.raw.SubscribeSync(n.playerSubject("bob")))
	must(t, n.raw.Flush())
	over := make(chan error, 1)
	must(t, n.Ask("bob", "echo", nil, func(_ []byte, err error) { over <- err }))
	if err := testkit.Next(t, "the request ends", over); err != ErrTimeout {
		t.Errorf("without an answer: %v, want ErrTimeout", err)
	}
}

// What NewServer puts in front of the funcs of the program: a player is admitted when the state has come, Arrive gets the state before
// Open is called, and what is known of a session ends with it.
func TestWhatIsInFrontOfTheProgram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		note := func(format string, args ...any) { got = append(got, fmt.Sprintf(format, args...)) }
		q := newQuiet(t, Config{Arrive: func(c *godwit.Conn, state []byte) { note("%s arrives with %s", c.Identity().Name, state) }})
		c := q.inFront(godwit.Config{Channels: table, Handler: godwit.Handler{
			Open: func(c *godwit.Conn) { note("%s opens, of %d players", c.Identity().Name, len(q.players)) },
			Close: func(c *godwit.Conn, why godwit.CloseReason) {
				note("%s: %v, of %d players", c.Identity().Name, why.Code, len(q.players))
			},
		}})
		admitted := make(chan error, 1)
		admit := func() { admitted <- c.Admit(t.Context(), godwit.Identity{Name: "ada"}) }
		come := make(chan struct{})
		q.travels.expected["ada"] = &arrival{come: come, have: true, state: []byte("a state"), until: time.Now().Add(time.Hour)}
		go admit()
		synctest.Wait()
		if len(admitted) != 0 {
			t.Error("a player is admitted before the state has come")
		}
		close(come)
		if err := <-admitted; err != nil {
			t.Error(err)
		}
		q.duplicates, q.config.WhenAway = godwit.DuplicatesReplace, AwayRefuse
		q.away.Store(true)
		if admit(); <-admitted == nil {
			t.Error("a player is admitted while NATS is away")
		}

		q.srv = testkit.Must(godwit.New(c))
		defer q.srv.Close()
		ada := q.join("ada")
		q.mu.Lock()
		q.travels.going[ada.server] = going{"a node", true}
		q.mu.Unlock()
		ada.server.Kick("")
		ada.want(t, "the end", "kicked")
		synctest.Wait()
		if want := "[ada arrives with a state ada opens, of 1 players ada: kicked, of 0 players]"; fmt.Sprint(got) != want {
			t.Errorf("the program gets %v, want %s", got, want)
		}
		if len(q.travels.expected)+len(q.travels.going) != 0 {
			t.Errorf("%d players are expected, and %d are going, want none", len(q.travels.expected), len(q.travels.going))
		}
	})
}
