package fleet

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	native "github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// The tests of this file start nodes as processes of their own: this program, with a variable in its environment. A test of
// module interop does so, too, with browsers as players.

// nodeVariable has the nodeOptions as JSON, and is set in a process that is a node.
const nodeVariable = "GODWIT_FLEET_TEST_NODE"

// nodeOptions say what a node does.
type nodeOptions struct {
	NATS   string
	Number uint32         // behind the relay
	Relay  netip.AddrPort // public address of the relay
	Inner  netip.Addr     // from where the relay sends to nodes
}

// deadVariable has the time after which a node that says nothing is gone. With 3s, as in a program, TestThreeProcesses shows how long
// players and rooms need.
const deadVariable = "GODWIT_FLEET_TEST_DEAD"

// A play is the program of a node: it checks the numbers that each player sends, and sends numbers to each player. The numbers
// go on where they are when a player moves to another node.
type play struct {
	fleet   *Fleet
	mu      sync.Mutex
	players map[*godwit.Conn]*tally
	report  report
}

// A tally is the state of a player: the next number that the player is to send, and the next one to send to the player.
type tally struct{ Up, Down uint64 }

// A report is what a node tells the test.
type report struct {
	Errors         []string
	Rooms          []string
	Ups            map[string]uint64 // by player: the next number that the player is to send
	Sessions, Took int               // open sessions, and messages of players
}

func (p *play) wrong(format string, args ...any) {
	p.report.Errors = append(p.report.Errors, fmt.Sprintf(format, args...))
}

func (p *play) arrive(c *godwit.Conn, state []byte) {
	t := new(tally)
	p.mu.Lock()
	defer p.mu.Unlock()
	if json.Unmarshal(state, t) != nil {
		p.wrong("%s comes without a state", c.Identity().Name)
	}
	p.players[c] = t
}

func (p *play) open(c *godwit.Conn) {
	p.mu.Lock()
	if p.players[c] == nil { // else arrive was called
		p.players[c] = new(tally)
	}
	p.mu.Unlock()
	p.fleet.Group("all").Join(c)
}

func (p *play) message(c *godwit.Conn, _ godwit.ChannelID, b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, number := p.players[c], binary.BigEndian.Uint64(b)
	if number != t.Up {
		p.wrong("%s sends %d, want %d", c.Identity().Name, number, t.Up)
	}
	t.Up = number + 1
	p.report.Took++
}

// leave returns the state of a player who moves: after the last message of the player.
func (p *play) leave(c *godwit.Conn) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, _ := json.Marshal(p.players[c])
	return b
}

func (p *play) close(c *godwit.Conn, _ godwit.CloseReason) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.players, c)
}

// tick sends each player the next number.
func (p *play) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c, t := range p.players {
		if c.Send(chat, binary.BigEndian.AppendUint64(nil, t.Down)) == nil {
			t.Down++
		}
	}
}

// serveNode is a node. It ends when its standard input does.
func serveNode(options string) error {
	var o nodeOptions
	if err := json.Unmarshal([]byte(options), &o); err != nil {
		return err
	}
	p := &play{players: make(map[*godwit.Conn]*tally)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	base := "http://" + l.Addr().String()
	dead, _ := time.ParseDuration(os.Getenv(deadVariable))
	f, err := Join(context.Background(), Config{
		ping:      5 * time.Second,                 // a busy machine may hold NATS up for longer than pingEvery allows
		deadAfter: cmp.Or(dead, 10*time.Second),    // longer than a busy machine stops a process
		comingFor: time.Minute,                     // longer than a busy machine needs for players who change the node
		NATS:      o.NATS, Name: base, Seats: true, // without a URL: players come through the relay, with invites
		Leave: p.leave, Arrive: p.arrive,
		Adopt: func(r *Room) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.report.Rooms = append(p.report.Rooms, r.Name())
		},
	})
	if err != nil {
		return err
	}
	p.fleet = f
	srv, err := f.Listen("127.0.0.1:0", godwit.Config{
		Channels: playTable, Grace: 5 * time.Minute, RTC: rtcserver.Settings{
			MaxPerIP: -1, Node: o.Number, Public: []netip.AddrPort{o.Relay},
			TrustedRelays: []netip.Prefix{netip.PrefixFrom(o.Inner, o.Inner.BitLen())},
		},
		Handler: godwit.Handler{Open: p.open, Message: p.message, Close: p.close},
	})
	if err != nil {
		return err
	}
	go func() {
		for range time.Tick(20 * time.Millisecond) {
			p.tick()
		}
	}()
	mux := http.NewServeMux()
	front, err := f.Front(func(r *http.Request) (Joining, error) {
		j := Joining{Identity: godwit.Identity{Name: r.Header.Get("Player")}, Room: r.Header.Get("Room")}
		if at := r.Header.Get("At"); at != "" {
			j.Filter = func(n Node) bool { return n.Name == at }
		}
		return j, nil
	}, rtcserver.Settings{Origins: []string{"*"}, MaxOffers: -1}) // all players are at one address, and pages come through another server
	if err != nil {
		return err
	}
	mux.Handle("/join", front)
	mux.HandleFunc("/test/report", func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.report.Sessions, p.report.Ups = srv.Len(), make(map[string]uint64)
		for c, t := range p.players {
			p.report.Ups[c.Identity().Name] = t.Up
		}
		json.NewEncoder(w).Encode(p.report)
	})
	mux.HandleFunc("/test/nodes", func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(f.Nodes()) })
	mux.HandleFunc("/test/broadcast", func(_ http.ResponseWriter, r *http.Request) {
		f.Group("all").Send(news, []byte(r.URL.Query().Get("text")))
	})
	mux.HandleFunc("/test/drain", func(w http.ResponseWriter, r *http.Request) {
		if err := f.Drain(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	go http.Serve(l, mux)
	fmt.Println(base)
	io.Copy(io.Discard, os.Stdin)
	srv.Shutdown(context.Background(), "")
	return f.Close()
}

// A process is a node in a process of its own.
type process struct{ *testkit.Process }

func startProcess(t testing.TB, o nodeOptions) process {
	t.Helper()
	variable := nodeVariable + "=" + string(testkit.Must(json.Marshal(o)))
	return process{testkit.StartProcess(t, testkit.Must(os.Executable()), variable)}
}

func (p process) report() (r report) {
	p.Get("/test/report", &r)
	return r
}

// balancer sends each request for a front to the first node that answers.
type balancer struct {
	mu    sync.Mutex
	nodes []process
}

func (b *balancer) set(nodes ...process) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nodes = nodes
}

func (b *balancer) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	b.mu.Lock()
	nodes := b.nodes
	b.mu.Unlock()
	err = errors.New("there is no node")
	for _, n := range nodes {
		again := r.Clone(r.Context())
		again.URL.Host = strings.TrimPrefix(n.Says, "http://")
		if resp, err = http.DefaultTransport.RoundTrip(again); err == nil {
			return resp, nil
		}
	}
	return nil, err
}

// A bot is a player: it sends numbers, and checks those that it gets.
type bot struct {
	name string
	s    *native.Session

	mu       sync.Mutex
	up, down uint64
	news     []string
	errors   []string
	opened   int
	renewed  []session.CloseCode
	lastOpen time.Time
	closing  bool
}

const news godwit.ChannelID = 2

var playTable = godwit.Channels{{Name: "chat", Mode: godwit.ReliableOrdered}, {Name: "news", Mode: godwit.ReliableOrdered}}

// startBot starts a player whose first session is at the node at. If room is not empty it is the player's room.
func startBot(t testing.TB, name string, b *balancer, at process, room string) *bot {
	t.Helper()
	p := &bot{name: name}
	front := &native.Front{
		URL: "http://front.example/join", HTTP: &http.Client{Transport: b}, Header: http.Header{"Player": {name}, "Room": {room}},
	}
	there := *front
	there.Header = front.Header.Clone()
	there.Header.Set("At", at.Says)
	first := true // only one goroutine at a time asks for a seat
	seat := func(ctx context.Context) (auth.Seat, error) {
		if first {
			return there.Seat(ctx)
		}
		return front.Seat(ctx)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := native.Connect(ctx, "", native.Config{}, native.SessionConfig{
		Channels: playTable, Seat: seat, Gone: front.Gone, Renew: true, Retry: true,
		Handler: native.SessionHandler{
			Open: func(*native.Session) { p.note(func() { p.opened++; p.lastOpen = time.Now() }) },
			Renewing: func(_ *native.Session, why session.CloseReason) {
				p.note(func() {
					p.renewed = append(p.renewed, why.Code)
					if why.Code != session.CloseMoved { // nobody knows the numbers any more
						p.up, p.down = 0, 0
					} else if why.LostIn+why.LostOut > 0 {
						p.errors = append(p.errors, why.String())
					}
				})
			},
			Message: func(_ *native.Session, ch channel.ID, b []byte) {
				p.note(func() {
					if ch == news {
						p.news = append(p.news, string(b))
						return
					}
					if n := binary.BigEndian.Uint64(b); n != p.down {
						p.errors = append(p.errors, fmt.Sprintf("%s gets %d, want %d", name, n, p.down))
						p.down = n
					}
					p.down++
				})
			},
			Close: func(_ *native.Session, why session.CloseReason) {
				p.note(func() {
					if !p.closing {
						p.errors = append(p.errors, "closed: "+why.String())
					}
				})
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	first = false
	t.Cleanup(func() {
		p.note(func() { p.closing = true })
		s.Close(0, "")
	})
	p.note(func() { p.s = s })
	return p
}

func (p *bot) note(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// tick sends the next number.
func (p *bot) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.s.State() == session.StateOpen && p.s.Send(chat, binary.BigEndian.AppendUint64(nil, p.up)) == nil {
		p.up++
	}
}

// Three processes with players on each, behind a relay that has its nodes from NATS. A broadcast from one reaches all. One node is
// killed amid play: the players of the others lose nothing, and those of the killed one have new sessions on other nodes, and its
// rooms new nodes, long before the grace time of five minutes is over. Then all nodes drain, one after the other without a pause: no player, no state
// and no reliable message is lost. The node that replaces the killed one has its number.
func TestThreeProcesses(t *testing.T) {
	nats := newNATS(t)
	front := newRelay(t, joinNode(t, Config{Name: "relay", NATS: nats.address()}).Fleet)
	start := func(number uint32) process {
		t.Helper()
		return startProcess(t, nodeOptions{NATS: nats.address(), Number: number, Relay: front.Addr(), Inner: front.InnerAddr().Addr()})
	}
	nodes := []process{start(1), start(2), start(3)}
	wantNumbers(t, "at the beginning", front, 1, 2, 3)
	for _, n := range nodes {
		wait(t, "the node knows the others", func() bool {
			var all []Node
			n.Get("/test/nodes", &all)
			ready := 0
			for _, n := range all {
				if n.MaxSessions > 0 {
					ready++
				}
			}
			return ready == len(nodes)
		})
	}
	b := new(balancer)
	b.set(nodes...)
	var bots []*bot
	victims := make(map[*bot]bool)
	const rooms = 3
	for i, n := range nodes {
		for j := range 3 {
			bots = append(bots, startBot(t, fmt.Sprintf("player-%d-%d", i, j), b, n, ""))
			victims[bots[len(bots)-1]] = i == 0
		}
	}
	for i := range rooms {
		bots = append(bots, startBot(t, fmt.Sprint("guest-", i), b, nodes[0], fmt.Sprint("room-", i)))
		victims[bots[len(bots)-1]] = true
	}
	stop := make(chan struct{})
	var playing sync.WaitGroup
	playing.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				for _, p := range bots {
					p.tick()
				}
			}
		}
	})
	stopPlaying := sync.OnceFunc(func() { close(stop); playing.Wait() })
	defer stopPlaying()
	all := func(what string, so func(p *bot) bool) {
		t.Helper()
		wait(t, what, func() bool {
			for _, p := range bots {
				p.mu.Lock()
				ok := so(p)
				p.mu.Unlock()
				if !ok {
					return false
				}
			}
			return true
		})
	}
	all("everybody plays", func(p *bot) bool { return p.up > 10 && p.down > 10 })
	nodes[1].Get("/test/broadcast?text=hello", nil)
	all("the broadcast reaches everybody", func(p *bot) bool { return len(p.news) == 1 && p.news[0] == "hello" })
	if r := nodes[0].report(); len(r.Rooms) != rooms {
		t.Fatalf("the first node has the rooms %v, want %d", r.Rooms, rooms)
	}

	killed := time.Now()
	nodes[0].Kill()
	b.set(nodes[1:]...)
	all("the players of the killed node play elsewhere", func(p *bot) bool { return !victims[p] || p.opened == 2 && p.down > 10 })
	var last time.Time
	for p := range victims {
		p.note(func() {
			if victims[p] && p.lastOpen.After(last) {
				last = p.lastOpen
			}
		})
	}
	var found []string
	wait(t, "the rooms of the killed node are on other nodes", func() bool {
		found = append(nodes[1].report().Rooms, nodes[2].report().Rooms...)
		return len(found) >= rooms
	})
	t.Logf("the last player of the killed node has a new session after %v; its rooms are elsewhere at the latest after %v",
		last.Sub(killed).Round(time.Millisecond), time.Since(killed).Round(time.Millisecond))
	slices.Sort(found)
	if want := []string{"room-0", "room-1", "room-2"}; !slices.Equal(found, want) {
		t.Errorf("the other nodes have the rooms %v, want %v", found, want)
	}
	nodes[2].Get("/test/broadcast?text=again", nil)
	all("the second broadcast reaches everybody", func(p *bot) bool { return p.news[len(p.news)-1] == "again" })
	for _, p := range bots {
		p.note(func() {
			if n := p.opened; !victims[p] && n != 1 {
				t.Errorf("%s has had %d sessions, want 1", p.name, n)
			}
		})
	}

	if st := front.Stats(); st.Up.Datagrams == 0 || st.Down.Datagrams == 0 || st.Clients < len(bots) {
		t.Errorf("%+v: want that all players play through the relay", st)
	}
	// The nodes drain without a pause: players of one are still on their way to the next one when that one drains.
	old := []process{nodes[1], nodes[2], start(1)}
	first := start(4)
	for i, n := range old {
		b.set(append(slices.Clone(old[i+1:]), first)...)
		n.Get("/test/drain", nil)
	}
	for i, n := range old {
		for _, e := range n.report().Errors {
			t.Errorf("node %d: %s", i, e)
		}
		n.End()
	}
	nodes = []process{first, start(5), start(6)}
	wantNumbers(t, "at the end", front, 4, 5, 6)
	stopPlaying()
	ups := func() map[string]uint64 {
		got := make(map[string]uint64)
		for _, n := range nodes {
			r := n.report()
			maps.Copy(got, r.Ups)
			for _, e := range r.Errors {
				t.Error(e)
			}
		}
		return got
	}
	for _, p := range bots {
		wait(t, "all that a player has sent has arrived", func() bool {
			got := ups()[p.name]
			p.mu.Lock()
			defer p.mu.Unlock()
			return got == p.up
		})
		p.note(func() {
			for _, e := range p.errors {
				t.Errorf("%s: %s", p.name, e)
			}
			for i, code := range p.renewed {
				if code != session.CloseMoved && !(victims[p] && i == 0) {
					t.Errorf("%s: session %d ended with %v, want that it was moved", p.name, i, code)
				}
			}
			if len(p.renewed) == 0 {
				t.Errorf("%s was never moved", p.name)
			}
		})
	}
}
