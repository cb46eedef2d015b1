package typed_test

import (
	"os"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/gen/sample"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

// The table that godwit-gen writes for pages is the one that the same struct has in Go.
func TestGeneratedTableIsTheSame(t *testing.T) {
	c := testkit.Must(typed.Server(typed.Must[sample.Table](), godwit.Config{}))
	module := string(testkit.Must(os.ReadFile("../internal/gen/sample/sample.js")))
	line := regexp.MustCompile(`\{ name: "([^"]*)", mode: "([^"]*)", direction: "([^"]*)",?(.*) \},\n`)
	schema := regexp.MustCompile(` schema: "([^"]*)"`)
	rows := line.FindAllStringSubmatch(module, -1)
	if len(rows) != len(c.Channels) {
		t.Fatalf("the module has %d channels, and the table %d", len(rows), len(c.Channels))
	}
	for i, ch := range c.Channels {
		s := append(schema.FindStringSubmatch(rows[i][4]), "", "")[1]
		if rows[i][1] != ch.Name || rows[i][2] != ch.Mode.String() || rows[i][3] != ch.Direction.String() || s != ch.Schema {
			t.Errorf("the module has %q,\nand the table %+v", rows[i][0], ch)
		}
	}
	if s := regexp.MustCompile(`\n  schema: "([^"]*)"`).FindStringSubmatch(module); s == nil || s[1] != c.Schema {
		t.Errorf("the module has the schema %q, and the table %q", s, c.Schema)
	}
}

// Messages with generated code over a session, the allocations of one, and the causes of bad ones.
func TestGeneratedMessages(t *testing.T) {
	g := typed.Must[sample.Table]()
	var happened testkit.Notes
	c := testkit.Must(typed.Server(g, godwit.Config{Manual: true},
		g.Hello.On(func(_ *godwit.Conn, m sample.Name) { happened.Note("hello %s", m.Name) }),
		g.Join.Serve(func(_ *godwit.Conn, q sample.Name, r typed.Reply[sample.Joined]) {
			must(t, r.Reply(sample.Joined{ID: 7, Name: q.Name}))
		}),
		g.Numbers.On(func(_ *godwit.Conn, m sample.Numbers) { happened.Note("x %v", m.X) }),
		g.Newer.OnServer(func(*godwit.Conn, sample.Newer) {}),
	))
	srv := testkit.Must(godwit.New(c))
	defer srv.Close()
	lc := testkit.Must(typed.Local(g, godwit.LocalConfig{}, g.Hello.Say(sample.Name{Name: "ada"})))
	local := testkit.Must(srv.Local(lc))
	me := typed.OverLocal(local)
	testkit.Must(g.Join.Ask(me, sample.Name{Name: "ada"}, func(j sample.Joined, err error) { happened.Note("%v %v", j, err) }))
	must(t, g.Numbers.Send(me, sample.Numbers{X: 1001}))
	event := sample.Joined{ID: 1}
	world := sample.World{Tick: 1, Boxes: make([]sample.Box, 10), Event: event, Last: [3]sample.Event{event, event, event}}
	for range srv.Poll(0) {
	}
	if n := testing.AllocsPerRun(100, func() { must(t, g.World.Broadcast(srv, world)) }); n != 0 {
		t.Errorf("%v allocations for a broadcast, want 0", n)
	}
	must(t, local.Send(g.Newer.ID(), nil))
	for end := time.Now().Add(10 * time.Second); len(happened.All()) < 4 && time.Now().Before(end); {
		for ev := range srv.Poll(time.Second) {
			if ev.Type == session.EventClose && ev.Conn == local {
				happened.Note("%v", ev.Reason)
			}
		}
	}
	if want := []string{
		"hello ada", "x 1000", "{7 ada} <nil>", "closed by the other end: protocol error: newer: truncated",
	}; !slices.Equal(happened.All(), want) {
		t.Errorf("what happened:\n got %q\nwant %q", happened.All(), want)
	}
	if got := g.Newer.Bad(); got != (typed.BadStats{Truncated: 1}) {
		t.Errorf("bad messages: %+v, want one that is truncated", got)
	}
}
