package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	parts "github.com/godwit-rtc/godwit/game"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

const ticks = time.Second / rate

// A gameTest is a game that runs on a network in memory.
type gameTest struct {
	t       *testing.T
	network *netsim.Network
	server  *godwit.Server
	guests  int
	opened  func(*game, *godwit.Conn) // is called by the game for each new session, if not nil
}

var serverAddr = netip.MustParseAddrPort("192.0.2.1:7777")

// inGame runs a test in virtual time, on links that lose every tenth datagram.
func inGame(t *testing.T, test func(h *gameTest)) {
	synctest.Test(t, func(t *testing.T) {
		h := &gameTest{t: t, network: netsim.New(1)}
		defer h.network.Close()
		h.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.1})
		socket, err := h.network.Listen(serverAddr)
		h.must(err)
		game, err := newGame(func(c godwit.Config) (*godwit.Server, error) { return godwit.Serve(socket, c) })
		h.must(err)
		h.server = game.server
		game.opened = func(c *godwit.Conn) {
			if h.opened != nil {
				h.opened(game, c)
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- game.run(ctx) }()
		test(h)
		stop()
		h.must(<-over)
	})
}

func (h *gameTest) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// RoundTrip is HTTP without a network.
func (h *gameTest) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	r.RemoteAddr = "198.51.100.7:1"
	h.server.ServeHTTP(w, r)
	return w.Result(), nil
}

// A box as a world message describes it.
type box struct {
	x, y int
	away bool
}

// A snapshot is the content of a world message.
type snapshot struct {
	tick  uint32
	it    uint8
	boxes map[uint8]box
}

// A guest is a client with everything that it has received.
type guest struct {
	typed.ClientEnd
	h    *gameTest
	addr netip.Addr
	id   uint8

	mu     sync.Mutex
	worlds []snapshot
	news   []string
	clock  *parts.Clock
	own    *parts.Prediction[box, Input]
}

// arrive connects a guest that has not joined yet.
func (h *gameTest) arrive() *guest {
	h.t.Helper()
	h.guests++
	g := &guest{h: h, addr: netip.AddrFrom4([4]byte{198, 51, 100, byte(h.guests)})}
	socket, err := h.network.Listen(netip.AddrPortFrom(g.addr, 0))
	h.must(err)
	e, err := client.Serve(socket, client.Config{HTTP: &http.Client{Transport: h}})
	h.must(err)
	h.t.Cleanup(func() { e.Close() })
	g.clock = parts.NewClock(parts.ClockConfig{Tick: ticks})
	g.own = parts.NewPrediction(g.clock, parts.PredictionConfig[box, Input]{
		Step: func(b box, in Input) box {
			b.x, b.y = move(b.x, b.y, in)
			return b
		},
		Mix: func(a, b box, share float64) box {
			b.x, b.y = a.x+int(float64(b.x-a.x)*share), a.y+int(float64(b.y-a.y)*share)
			return b
		},
	})
	early := table.Early.On(func(_ typed.ClientEnd, m Early) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.clock.Early(m.Ticks)
	})
	c, err := typed.Client(table, client.SessionConfig{}, table.World.On(g.see), table.News.On(g.read), early)
	h.must(err)
	s, err := e.Join(h.t.Context(), "http://game.example/godwit/", c)
	h.must(err)
	g.ClientEnd = typed.Over(s)
	return g
}

// join connects a player.
func (h *gameTest) join(name string) *guest {
	h.t.Helper()
	g := h.arrive()
	seat, err := table.Join.Request(h.t.Context(), g.ClientEnd, Name{name})
	h.must(err)
	g.mu.Lock()
	g.id = seat.ID // see reads it
	g.mu.Unlock()
	h.settle()
	return g
}

// settle waits until everything that was sent has arrived, after retransmissions if needed.
func (h *gameTest) settle() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func (g *guest) read(_ typed.ClientEnd, n News) {
	g.mu.Lock()
	defer g.mu.Unlock()
	kind := [...]string{"is here", "joins", "leaves", "says"}[n.Kind]
	g.news = append(g.news, strings.TrimSpace(fmt.Sprintf("%d %s %s", n.ID, kind, n.Text)))
}

func (g *guest) see(me typed.ClientEnd, w World) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.clock.Hear(time.Now(), w.Tick, me.Stats().RTT)
	s := snapshot{w.Tick, w.It, make(map[uint8]box)}
	for _, b := range w.Boxes {
		s.boxes[b.ID] = box{b.X, b.Y, b.Away}
	}
	if b, ok := s.boxes[g.id]; ok {
		g.own.Correct(time.Now(), w.Tick, b)
	}
	g.worlds = append(g.worlds, s)
}

// say sends a line of chat.
func (g *guest) say(text string) {
	g.h.t.Helper()
	g.h.must(table.Chat.Send(g.ClientEnd, Line{text}))
}

// seen returns the worlds that have arrived since the last call; the last world is also
// the first of the next call.
func (g *guest) seen() []snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	worlds := g.worlds
	g.worlds = slices.Clone(worlds[len(worlds)-1:])
	return worlds
}

// now returns the newest world.
func (g *guest) now() map[uint8]box {
	worlds := g.seen()
	return worlds[len(worlds)-1].boxes
}

func (g *guest) wantNews(lines ...string) {
	g.h.t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Equal(g.news, lines) {
		g.h.t.Errorf("the news of %d are %q, want %q", g.id, g.news, lines)
	}
	g.news = nil
}

// steer sends the inputs that are due, n times, for d.
func (g *guest) steer(d time.Duration, n int, x, y float64) {
	for range int(d / ticks) {
		g.press(n, x, y)
		time.Sleep(ticks)
	}
	synctest.Wait()
}

func (g *guest) press(n int, x, y float64) {
	g.mu.Lock()
	due := slices.Collect(g.clock.Due(time.Now()))
	for _, tick := range due {
		g.own.Input(tick, Input{x, y})
	}
	m := Moves{g.own.Tick(), g.own.Recent(nil, 4)}
	g.mu.Unlock()
	for range min(n, n*len(due)) {
		g.h.must(table.Input.Send(g.ClientEnd, m))
	}
}

func TestBoxGoesWhereItIsSteered(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada, bob := h.join("ada"), h.join("bob")
		before := bob.now()
		ada.steer(time.Second/2, 1, 1, 0)
		h.settle()
		after := bob.now()
		if after[bob.id] != before[bob.id] {
			t.Errorf("the box of the other player moved from %v to %v", before[bob.id], after[bob.id])
		}
		from, to := before[ada.id], after[ada.id]
		// Half a second, and the time for which the last input counts again.
		if went := to.x - from.x; to.y != from.y || went < rate/2*speed || went > (rate/2+hold+2)*speed {
			t.Errorf("the box moved from %v to %v, want only right, by the speed", from, to)
		}
		ada.steer(10*time.Second, 1, 0, -0.4)
		if got := bob.now()[ada.id]; got.x != to.x || got.y != 0 {
			t.Errorf("at the upper edge the box is at %v, want y = 0", got)
		}
		ada.steer(10*time.Second, 1, 1, 1)
		if got := bob.now()[ada.id]; got.x != width-side || got.y != height-side {
			t.Errorf("in the corner the box is at %v, want %v, %v", got, width-side, height-side)
		}
	})
}

// On a path with a round trip of 100 ms and 5 % losses each way the own box moves within a tick of the key, and what is
// drawn never makes a step of more than 2 % of the board's height, in 60 frames a second.
func TestOwnBoxAnswersAtOnce(t *testing.T) {
	inGame(t, func(h *gameTest) {
		h.network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond, Loss: 0.05})
		ada := h.join("ada")
		ada.steer(3*time.Second, 1, 0, 0)
		const frame = time.Second / 60
		var last box
		largest, slowest := 0.0, time.Duration(0)
		draw := func(x, y float64) (moved bool) {
			time.Sleep(frame)
			ada.press(1, x, y)
			ada.mu.Lock()
			defer ada.mu.Unlock()
			b, ok := ada.own.At(time.Now())
			if !ok {
				t.Fatal("the own box is not known")
			}
			moved = b != last
			if last != (box{}) {
				largest = max(largest, math.Hypot(float64(b.x-last.x), float64(b.y-last.y)))
			}
			last = b
			return moved
		}
		draw(0, 0)
		ways := [][2]float64{{1, 0}, {0, 1}, {-0.6, 0.8}, {0.5, -0.5}, {-1, 0}, {0.28, -0.96}}
		for i := range 48 {
			way := ways[i%len(ways)]
			pressed := time.Now()
			for !draw(way[0], way[1]) {
				if time.Since(pressed) > time.Second {
					t.Fatal("the own box does not move")
				}
			}
			slowest = max(slowest, time.Since(pressed))
			for range 15 + i%11 {
				draw(way[0], way[1])
			}
			for range 20 { // until it stands
				draw(0, 0)
			}
		}
		t.Logf("the own box moves within %v; the largest step is %.0f units, %.1f %% of the board's height", slowest, largest, 100*largest/height)
		if largest > 0.02*height {
			t.Errorf("the largest step is %.0f units, want at most %.0f", largest, 0.02*height)
		}
		if slowest > ticks+2*frame {
			t.Errorf("the own box moves after %v, want at most a tick and two frames", slowest)
		}
		h.settle()
		// When the player stops, what is drawn is where the server has the box.
		ada.steer(2*time.Second, 1, 0, 0)
		b, _ := ada.own.At(time.Now())
		if right := ada.now()[ada.id]; math.Hypot(float64(b.x-right.x), float64(b.y-right.y)) > 8 {
			t.Errorf("the own box is drawn at %v, and the server has it at %v", b, right)
		}
	})
}

// Inputs for wrong ticks, too many of them, and those of the past have no effect.
func TestWildInputsDoNotMoveTheBox(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada := h.join("ada")
		before := ada.now()[ada.id]
		right := []Input{{1, 1}, {1, 1}, {1, 1}, {1, 1}}
		for i := range uint32(100) {
			ada.mu.Lock()
			tick := ada.worlds[len(ada.worlds)-1].tick
			ada.mu.Unlock()
			for _, n := range []uint32{0, 1, tick - 1, tick - 100, tick + 1000, math.MaxUint32 - i, i << 24} {
				h.must(table.Input.Send(ada.ClientEnd, Moves{n, right}))
			}
			time.Sleep(ticks)
		}
		if after := ada.now()[ada.id]; after != before {
			t.Errorf("the box moved from %v to %v, want no move", before, after)
		}
	})
}

// No box is faster than its speed, whatever length an input has and however often it is
// sent. At the end the inputs have a wrong length, and the box does not move.
func TestBoxKeepsToItsSpeed(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada := h.join("ada")
		ada.steer(2*time.Second, 4, -1, -1)
		worlds, fastest := ada.seen(), 0.0
		for i, w := range worlds[1:] {
			a, b := worlds[i].boxes[ada.id], w.boxes[ada.id]
			fastest = max(fastest, math.Hypot(float64(b.x-a.x), float64(b.y-a.y))/float64(w.tick-worlds[i].tick))
		}
		const step = 4 * math.Sqrt2 // a world has positions in steps of four units
		if fastest > speed+step || fastest < 0.98*speed {
			t.Errorf("at most %.1f units a tick, want %d", fastest, speed)
		}
		h.settle()
		before := ada.now()
		for range 20 {
			h.must(ada.Send(table.Input.ID(), nil))
			h.must(ada.Send(table.Input.ID(), []byte{127}))
			h.must(ada.Send(table.Input.ID(), []byte{127, 127, 127}))
			time.Sleep(ticks)
		}
		if after := ada.now(); after[ada.id] != before[ada.id] {
			t.Errorf("the box moved from %v to %v, want no move", before[ada.id], after[ada.id])
		}
	})
}

// wantIt compares the number of the player that is "it" in the newest world.
func (g *guest) wantIt(when string, want uint8) {
	g.h.t.Helper()
	worlds := g.seen()
	if got := worlds[len(worlds)-1].it; got != want {
		g.h.t.Errorf("%s: player %d is it, want %d", when, got, want)
	}
}

// Whoever is touched is "it".
func TestTag(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada := h.join("ada")
		ada.wantIt("alone", 0)
		bob := h.join("bob")
		ada.wantIt("two boxes at one place", ada.id)
		bob.steer(time.Second, 1, 1, 0)
		h.settle()
		ada.wantIt("the boxes have parted", ada.id)
		ada.steer(3*time.Second, 1, 1, 0)
		h.settle()
		ada.wantIt("ada has run into bob", bob.id)
		bob.wantIt("ada has run into bob", bob.id)

		eve := h.join("eve")
		bob.steer(4*time.Second, 1, -1, 0)
		h.settle()
		eve.wantIt("bob has run over ada, and left her, and run over eve", eve.id)
		h.network.BlackoutFor(eve.addr, serverAddr.Addr(), time.Minute)
		h.network.BlackoutFor(serverAddr.Addr(), eve.addr, time.Minute)
		time.Sleep(10 * time.Second)
		bob.wantIt("eve is away", ada.id)
		ada.Close(session.CloseNormal, "")
		h.settle()
		bob.wantIt("ada has left, and eve is away", 0)
	})
}

// A new player, whose box is where that of the one that is "it" is, is not touched: the boxes must part first.
func TestANewPlayerIsNotIt(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada := h.join("ada")
		h.join("bob")
		ada.wantIt("two boxes at one place", ada.id)
		h.join("eve")
		ada.wantIt("a third box there", ada.id)
	})
}

func TestChatReachesAll(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada, bob := h.join("ada"), h.join("bob")
		ada.wantNews("1 joins ada", "2 joins bob")
		bob.wantNews("1 is here ada", "2 joins bob")
		stranger := h.arrive()
		stranger.say("not joined")
		for _, text := range []string{"hello", " \n ", strings.Repeat("ä", maxText+1), "how\x00 are\u202e you? "} {
			ada.say(text)
		}
		h.settle()
		bob.say(strings.Repeat("ä", maxText))
		h.settle()
		for _, g := range []*guest{ada, bob} {
			g.wantNews("1 says hello", "1 says how are you?", "2 says "+strings.Repeat("ä", maxText))
		}
		stranger.wantNews()
	})
}

// A page that sends chat without a pause does not fill the queues of the others.
func TestChatIsLimited(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada, bob := h.join("ada"), h.join("bob")
		bob.wantNews("1 is here ada", "2 joins bob")
		const seconds = 20
		for i := range seconds * 50 {
			ada.say(fmt.Sprint("line ", i))
			time.Sleep(time.Second / 50)
		}
		h.settle()
		bob.mu.Lock()
		n := len(bob.news)
		bob.news = nil
		bob.mu.Unlock()
		if n < talk+seconds-1 || n > talk+seconds+1 {
			t.Errorf("%d of %d lines in %d s reach the other player, want %d and one more each second", n, seconds*50, seconds, talk)
		}
		time.Sleep(2 * time.Second)
		ada.say("after a while")
		h.settle()
		bob.wantNews("1 says after a while")
	})
}

// A player that is away for so long that the news have no room in its queue would not know who is there. Its session ends.
func TestPlayerThatMissesNewsLeaves(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada, bob := h.join("ada"), h.join("bob")
		h.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		h.network.BlackoutFor(bob.addr, serverAddr.Addr(), 25*time.Second)
		h.network.BlackoutFor(serverAddr.Addr(), bob.addr, 25*time.Second)
		h.opened = func(g *game, _ *godwit.Conn) {
			for range 250 {
				g.tell(News{Said, 1, strings.Repeat("x", 4*maxText)})
			}
		}
		for range 6 { // 1.2 MB in all: the queue has 1 MiB
			h.arrive()
			time.Sleep(3 * time.Second)
		}
		time.Sleep(20 * time.Second)
		if got := ada.now(); len(got) != 1 {
			t.Errorf("the boxes are %v, want that of ada alone", got)
		}
		ada.mu.Lock()
		defer ada.mu.Unlock()
		if last := ada.news[len(ada.news)-1]; len(ada.news) != 2+6*250+1 || last != "2 leaves" {
			t.Errorf("ada has read %d news, at last %.40q; want all of them, and that bob leaves", len(ada.news), last)
		}
	})
}

// Where all numbers of boxes are taken nobody gets another number, which no message has room for.
func TestGameIsFull(t *testing.T) {
	inGame(t, func(h *gameTest) {
		h.opened = func(g *game, c *godwit.Conn) {
			for id := uint8(1); id <= maxID; id++ {
				g.players[id] = &player{id: id, conn: c, inputs: parts.NewInputs(g.tick, parts.InputsConfig[Input]{})}
			}
		}
		g := h.arrive()
		_, err := table.Join.Request(h.t.Context(), g.ClientEnd, Name{"late"})
		if e, ok := errors.AsType[*session.RequestError](err); !ok || e.Text != "the game is full" {
			t.Errorf("the answer is %v, want that the game is full", err)
		}
	})
}

func TestNamesAreLimited(t *testing.T) {
	inGame(t, func(h *gameTest) {
		g := h.arrive()
		for _, name := range []string{"", " \t", "\x7f", strings.Repeat("n", maxName+1)} {
			_, err := table.Join.Request(h.t.Context(), g.ClientEnd, Name{name})
			if e, ok := errors.AsType[*session.RequestError](err); !ok || e.Status != session.StatusRejected || e.Text != "a name has 1 to 16 characters" {
				t.Errorf("the name %q: %v, want a rejection", name, err)
			}
		}
		if _, err := table.Join.Request(h.t.Context(), g.ClientEnd, Name{" " + strings.Repeat("ñ", maxName) + "\n"}); err != nil {
			t.Error(err)
		}
		if _, err := table.Join.Request(h.t.Context(), g.ClientEnd, Name{"again"}); err == nil {
			t.Error("a second join of a player returns no error")
		}
		h.settle()
		g.wantNews("1 joins " + strings.Repeat("ñ", maxName))
	})
}

func TestLeavingRemovesTheBox(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada, bob := h.join("ada"), h.join("bob")
		ada.wantNews("1 joins ada", "2 joins bob")
		if n := len(ada.now()); n != 2 {
			t.Errorf("%d boxes at first, want 2", n)
		}
		bob.Close(session.CloseNormal, "")
		h.settle()
		ada.wantNews("2 leaves")
		if got := ada.now(); len(got) != 1 {
			t.Errorf("the boxes are %v, want one", got)
		}
	})
}

// A player whose network fails is shown as away. When it comes back it has the same box, and
// the chat of the meantime. A player that is away for too long leaves.
func TestPlayerComesBackToItsBox(t *testing.T) {
	inGame(t, func(h *gameTest) {
		ada, bob := h.join("ada"), h.join("bob")
		ada.wantNews("1 joins ada", "2 joins bob")
		bob.wantNews("1 is here ada", "2 joins bob")
		vanish := func(d time.Duration) {
			h.network.BlackoutFor(bob.addr, serverAddr.Addr(), d)
			h.network.BlackoutFor(serverAddr.Addr(), bob.addr, d)
			ada.say("where are you?")
		}
		was := ada.now()[bob.id]
		vanish(15 * time.Second)
		time.Sleep(10 * time.Second)
		if got := ada.now()[bob.id]; got != (box{was.x, was.y, true}) {
			t.Errorf("after 10 s the box is %v, want it away at %v", got, was)
		}
		time.Sleep(20 * time.Second)
		if got := ada.now()[bob.id]; got != was {
			t.Errorf("after 30 s the box is %v, want %v", got, was)
		}
		bob.wantNews("1 says where are you?")
		bob.steer(time.Second, 1, 0, 1)
		if got := ada.now()[bob.id]; got.y <= was.y {
			t.Errorf("the box is at %v and was at %v, want it lower", got, was)
		}

		vanish(2 * time.Minute)
		time.Sleep(time.Minute)
		ada.wantNews("1 says where are you?", "1 says where are you?", "2 leaves")
		if got := ada.now(); len(got) != 1 {
			t.Errorf("after a minute the boxes are %v, want one", got)
		}
	})
}

func TestBadPublicAddressIsExplained(t *testing.T) {
	if err := serve(t.Context(), "127.0.0.1:0", "example.com", "127.0.0.1:0", "", ""); err == nil || !strings.Contains(err.Error(), "-public") {
		t.Errorf("the error is %v, want one that names -public", err)
	}
}

// A world of 100 boxes has at most 66 % of the 704 bytes that it had as integers of 16 bits.
func TestWorldIsSmall(t *testing.T) {
	w := World{Tick: 1_000_000}
	for i := range 100 {
		w.Boxes = append(w.Boxes, Box{ID: uint8(i + 1), X: 153 * i, Y: 83 * i, Away: i%2 == 0})
	}
	b, err := table.World.Encode(nil, w)
	if err != nil || len(b) > 704*66/100 {
		t.Errorf("%d bytes, %v; want at most %d", len(b), err, 704*66/100)
	}
	t.Logf("%d bytes", len(b))
}
