package interop

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/session"
)

// buildFleet builds the program of the tests of module fleet, which is a NATS server or a node if a variable of the environment says so,
// and godwit-fleet-relay.
func buildFleet(t *testing.T) (node, relay string) {
	t.Helper()
	dir := t.TempDir()
	node, relay = filepath.Join(dir, "fleet.test"), filepath.Join(dir, "godwit-fleet-relay")
	for _, args := range [][]string{{"test", "-c", "-vet=off", "-o", node, "."}, {"build", "-o", relay, "./cmd/godwit-fleet-relay"}} {
		build := exec.Command("go", args...)
		build.Dir = "../fleet"
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return node, relay
}

// fleetReport is what a node says of its players.
type fleetReport struct {
	Errors []string
	Ups    map[string]uint64 // by player: the next number that the player is to send
}

// A fleetFront serves the page, and gives requests for a seat to the first node that answers.
type fleetFront struct {
	mu    sync.Mutex
	nodes []*testkit.Process
}

func (f *fleetFront) set(nodes ...*testkit.Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nodes = nodes
}

func (f *fleetFront) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	nodes := f.nodes
	f.mu.Unlock()
	for _, n := range nodes {
		again, err := http.NewRequestWithContext(r.Context(), r.Method, n.Says+r.URL.RequestURI(), nil)
		if err != nil {
			break
		}
		again.Header = r.Header.Clone()
		resp, err := http.DefaultTransport.RoundTrip(again)
		if err != nil {
			continue
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		io.Copy(w, resp.Body)
		return
	}
	http.Error(w, "no node answers", http.StatusBadGateway)
}

// A webPlayer is a Player of web_page.js.
type webPlayer struct {
	*tab
	name string
}

// playerState is what a Player has done and seen.
type playerState struct {
	Up, Down     uint64
	News, Errors []string
	Opened       int
	Codes        []session.CloseCode // why sessions have ended
	Begun        int64               // when the present session has begun, in Unix milliseconds
}

func (p *webPlayer) state() (s playerState) {
	p.t.Helper()
	p.do(`return player.state();`, nil, &s)
	return s
}

// until waits until a condition of the Player is true.
func (p *webPlayer) until(condition string) {
	p.t.Helper()
	p.doWithin(2*patience, `await until(Infinity, () => player.errors.length || `+condition+`);`, nil, nil)
}

// Chromium and Firefox play on three nodes behind a relay, which hears of the nodes over NATS. A broadcast reaches all. One node is
// killed: its pages have new sessions elsewhere, and the others notice nothing. Then all nodes are drained, one after the
// other: no reliable message of either direction is lost, and no page has to begin again.
func TestBrowsersInAFleet(t *testing.T) {
	slow(t)
	t.Parallel()
	var browsers []*browser.Browser
	for _, kind := range browser.Kinds {
		browsers = append(browsers, browser.Start(t, kind))
	}
	program, relay := buildFleet(t)
	nats := testkit.StartProcess(t, program, "GODWIT_FLEET_NATS="+t.TempDir())
	inner := netip.MustParseAddr("127.0.0.1") // where browsers do not reach the nodes
	_, _, said := runExample(t, relay, "-nats", nats.Says, "-listen", netip.AddrPortFrom(browser.Host(t), 0).String(), "-inner", netip.AddrPortFrom(inner, 0).String())
	listens := readTo(t, said, '\n')
	go io.Copy(io.Discard, said)
	_, address, _ := strings.Cut(listens, "public=")
	address, _, _ = strings.Cut(address, " ")
	public, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatalf("the relay says %q: %v", listens, err)
	}
	start := func(number int) *testkit.Process {
		t.Helper()
		return testkit.StartProcess(t, program, fmt.Sprintf(`GODWIT_FLEET_TEST_NODE={"NATS":%q,"Number":%d,"Relay":%q,"Inner":%q}`, nats.Says, number, public, inner))
	}
	nodes := []*testkit.Process{start(1), start(2), start(3)}
	for _, n := range nodes {
		awaitFleet(t, "a node knows the others", func() bool {
			var all []struct{ MaxSessions int }
			n.Get("/test/nodes", &all)
			ready := 0
			for _, n := range all {
				ready += min(n.MaxSessions, 1)
			}
			return ready == len(nodes)
		})
	}
	front, mux := new(fleetFront), http.NewServeMux()
	front.set(nodes...)
	handlePages(mux)
	mux.Handle("/join", front)
	url := serveHTTPS(t, mux)

	var players []*webPlayer
	for i, n := range nodes {
		for _, b := range browsers {
			p := &webPlayer{&tab{Page: b.Page(t, url), t: t}, fmt.Sprintf("%s at %d", b.Kind, i)}
			p.do(`await until(Infinity, () => window.godwit); window.player = new Player(arg.name, arg.at);`, map[string]string{"name": p.name, "at": n.Says}, nil)
			players = append(players, p)
		}
	}
	victims := players[:len(browsers)]
	for _, p := range players {
		p.until(`player.up > 10 && player.down > 10`)
	}
	nodes[1].Get("/test/broadcast?text=hello", nil)
	for _, p := range players {
		p.until(`player.news.includes("hello")`)
	}

	killed := time.Now()
	nodes[0].Kill()
	front.set(nodes[1:]...)
	for _, p := range victims {
		p.until(`player.opened === 2 && player.down > 10`)
		if s := p.state(); s.Opened == 2 {
			t.Logf("%s has a new session after %v", p.name, time.UnixMilli(s.Begun).Sub(killed).Round(time.Millisecond))
		}
	}
	nodes[2].Get("/test/broadcast?text=again", nil)
	for _, p := range players {
		p.until(`player.news.includes("again")`)
	}

	old := []*testkit.Process{nodes[1], nodes[2], start(1)}
	var last []*testkit.Process
	for i, n := range old {
		last = append(last, start(4+i))
		front.set(append(slices.Clone(old[i+1:]), last...)...)
		n.Get("/test/drain", nil)
		var r fleetReport
		n.Get("/test/report", &r)
		for _, e := range r.Errors {
			t.Error(e)
		}
		n.End()
	}
	for _, p := range players {
		p.do(`clearInterval(player.timer);`, nil, nil)
		s := p.state()
		awaitFleet(t, "all that the page has sent arrives", func() bool {
			for _, n := range last {
				var r fleetReport
				n.Get("/test/report", &r)
				if r.Ups[p.name] == s.Up {
					return true
				}
			}
			return len(s.Errors) > 0
		})
		for _, e := range s.Errors {
			t.Error(e)
		}
		for i, code := range s.Codes {
			if code != session.CloseMoved && !(i == 0 && slices.Contains(victims, p)) {
				t.Errorf("%s: session %d has ended with %v, want %v", p.name, i, code, session.CloseMoved)
			}
		}
		if !slices.Contains(s.Codes, session.CloseMoved) {
			t.Errorf("%s was never moved", p.name)
		}
		t.Logf("%s: %d messages sent and %d received in the last row of sessions, which have ended with %v", p.name, s.Up, s.Down, s.Codes)
	}
	for _, n := range last {
		var r fleetReport
		n.Get("/test/report", &r)
		for _, e := range r.Errors {
			t.Error(e)
		}
	}
}

// awaitFleet waits until something is so.
func awaitFleet(t *testing.T, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * patience); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", 2*patience, what)
		}
	}
}
