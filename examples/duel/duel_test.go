package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

func TestMain(m *testing.M) { testkit.Main(m, "examples/duel.", "godwit/netsim.") }

// catches plays a minute with a robot that sees states of some ticks ago, and returns the number of hares.
func catches(late int) uint32 {
	g, seen := newGame(0), make([]point, 0, 60*rate)
	for tick := range uint32(60 * rate) {
		if seen = append(seen, g.hare); len(seen) > late {
			g.steer(tick, seen[len(seen)-1-late])
		}
		g.step(tick)
	}
	return g.caught
}

// Whoever sees an old picture catches fewer hares: the game shows what the page measures.
func TestOldPicturesCatchLess(t *testing.T) {
	fresh, old := catches(2), catches(30)
	t.Logf("%d hares with pictures of 2 ticks ago, %d with those of 30", fresh, old)
	if fresh < 10 || old*3 > fresh*2 {
		t.Errorf("%d hares with fresh pictures, %d with old ones; want at least 10, and a third less", fresh, old)
	}
}

// A game begins in the middle of the board, with a hare of the tick, and the player stays there until an input comes.
func TestTheBeginningOfAGame(t *testing.T) {
	for _, tick := range []uint32{0, 1000} {
		g, middle := newGame(tick), point{width / 2, height / 2}
		if g.hare != burrow(tick) {
			t.Errorf("the hare is at %v, want %v", g.hare, burrow(tick))
		}
		for n := range uint32(10) {
			if g.step(tick + n); g.you != middle {
				t.Fatalf("after %d ticks from %d on the player is at %v, want the middle", n, tick, g.you)
			}
		}
	}
}

func TestGameStaysOnTheBoard(t *testing.T) {
	g := newGame(0)
	for tick := range uint32(10_000) {
		g.steer(tick, point{math.Inf(1), -5})
		g.step(tick)
		for _, p := range []point{g.you, g.hare} {
			if p.x < 0 || p.x > width || p.y < 0 || p.y > height {
				t.Fatalf("tick %d: %v is not on the board", tick, p)
			}
		}
	}
	if want := (point{width, 0}); g.you != want {
		t.Errorf("the player is at %v, want %v", g.you, want)
	}
	last := g.you
	g.target = point{}
	for tick := range uint32(100) {
		g.step(g.heard + stale + 1 + tick)
	}
	if g.you != last {
		t.Errorf("an old input moves the player from %v to %v", last, g.you)
	}
	if _, ok := parseInput([]byte("12345")); ok {
		t.Error("five bytes are an input")
	}
}

// ages records the ages of states.
type ages struct {
	mu    sync.Mutex
	began time.Time
	made  time.Duration // of the newest
	sum   time.Duration
	n     int
}

func (a *ages) receive(b []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	made := time.Duration(math.Float64frombits(binary.LittleEndian.Uint64(b)) * float64(time.Millisecond))
	a.made = max(a.made, made)
}

// look adds how old the newest state is now.
func (a *ages) look() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.sum += time.Since(a.began) - a.made
	a.n++
}

func (a *ages) mean() time.Duration { return a.sum / time.Duration(a.n) }

// In virtual time: over a link that loses 5 % states are older over the stand-in for TCP than over godwit, and without loss
// both are equally old.
func TestTCPIsOlderWhereSegmentsAreLost(t *testing.T) {
	for _, loss := range []float64{0, 5} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			d := newDuel(ctx, nil)
			d.link.set(loss, 50)
			network := netsim.New(1)
			defer network.Close()
			network.SetDefault(d.link.now())
			tcp, udp := &ages{began: d.began}, &ages{began: d.began}

			server := joinInMemory(t, d, network, udp)
			near, far := net.Pipe()
			end := standIn(&d.link, near)
			written := make(chan []byte, 1)
			go func() {
				for b := range written {
					end.Write(b)
				}
				end.Close()
			}()
			go func() {
				b := make([]byte, stateSize)
				for {
					if _, err := io.ReadFull(far, b); err != nil {
						return
					}
					tcp.receive(b)
				}
			}()
			d.add(func(b []byte) { written <- b })

			for range 60 * rate {
				d.advance(time.Since(d.began))
				for range 10 {
					time.Sleep(time.Second / rate / 10)
					tcp.look()
					udp.look()
				}
			}
			stop()
			close(written)
			server.Close()
			d.link.close()
			far.Close()
			t.Logf("loss %v %%: states are %v old over TCP, %v over godwit", loss, tcp.mean(), udp.mean())
			switch more := tcp.mean() - udp.mean(); {
			case loss == 0 && more.Abs() > 3*time.Millisecond:
				t.Errorf("without loss states are %v old over TCP, %v over godwit; want the same", tcp.mean(), udp.mean())
			case loss > 0 && more < 10*time.Millisecond:
				t.Errorf("states are %v old over TCP, %v over godwit; want at least 10 ms between them", tcp.mean(), udp.mean())
			}
		})
	}
}

// joinInMemory starts the server of a duel on a network, and a session that records the ages of its states.
func joinInMemory(t *testing.T, d *duel, network *netsim.Network, a *ages) *godwit.Server {
	t.Helper()
	socket, err := network.Listen(netip.MustParseAddrPort("192.0.2.1:7777"))
	if err != nil {
		t.Fatal(err)
	}
	server, err := godwit.Serve(socket, d.config())
	if err != nil {
		t.Fatal(err)
	}
	socket, err = network.Listen(netip.MustParseAddrPort("198.51.100.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := client.Serve(socket, client.Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: server}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	if _, err := e.Join(t.Context(), "http://duel.example/godwit/", stateSession(func(b []byte) { a.receive(b) })); err != nil {
		t.Fatal(err)
	}
	return server
}

// stateSession is the configuration of a session that gets states.
func stateSession(receive func([]byte)) client.SessionConfig {
	return client.SessionConfig{Channels: channels, Links: []string{session.LinkWebRTC}, Handler: client.SessionHandler{
		Message: func(_ *client.Session, _ channel.ID, b []byte) { receive(b) },
	}}
}

// start runs the program until the test ends, and returns the URL of its page. Then run must return nil.
func start(t testing.TB, o options) string {
	t.Helper()
	o.data, o.http = cmp.Or(o.data, "127.0.0.1:0"), "127.0.0.1:0"
	ctx, stop := context.WithCancel(t.Context())
	lines, over := make(chan string, 10), make(chan error, 1)
	go func() { over <- run(ctx, o, func(s string) { lines <- s }) }()
	t.Cleanup(func() {
		stop()
		if err := testkit.Next(t, "the program", over); err != nil {
			t.Errorf("the program ends with %v, want nil", err)
		}
	})
	select {
	case line := <-lines:
		return strings.Fields(line)[1] + "/"
	case err := <-over:
		over <- nil
		t.Fatal(err)
	}
	return ""
}

// play plays over both links: each gets states, and the player of each goes where it is steered.
func play(t *testing.T, page, socket string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	steered := func(name string, states <-chan []byte, send func([]byte) error) {
		t.Helper()
		for {
			if b := testkit.Next(t, name, states); len(b) != stateSize {
				t.Fatalf("%s: a state of %d bytes, want %d", name, len(b), stateSize)
			} else if x, y := binary.LittleEndian.Uint16(b[16:]), binary.LittleEndian.Uint16(b[18:]); x == 100 && y == 200 {
				return
			}
			if err := send([]byte{100, 0, 200, 0}); err != nil && !errors.Is(err, session.ErrInterrupted) {
				t.Fatal(err)
			}
		}
	}

	states := make(chan []byte, 100)
	push := func(b []byte) {
		select {
		case states <- bytes.Clone(b):
		default:
		}
	}
	s, err := client.Connect(ctx, page+"godwit/", client.Config{AnswerTimeout: testkit.Patience, HandshakeTimeout: testkit.Patience}, stateSession(push))
	if err != nil {
		t.Fatal(err)
	}
	steered("godwit", states, func(b []byte) error { return s.Send(input, b) })
	s.Close(session.CloseNormal, "")
	<-s.Done()

	c, _, err := websocket.Dial(ctx, socket, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	states = make(chan []byte, 100)
	go func() {
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				return
			}
			push(b)
		}
	}()
	steered("WebSocket", states, func(b []byte) error { return c.Write(ctx, websocket.MessageBinary, b) })
}

func TestPlaysOverBothLinks(t *testing.T) {
	page := start(t, options{loss: 5, delay: 5})
	play(t, page, "ws"+strings.TrimPrefix(page, "http")+"websocket")
}

// The program ends while a player of each kind plays, and leaves no goroutine: TestMain checks that.
func TestEndsDuringPlay(t *testing.T) {
	page := start(t, options{delay: 5})
	s, err := client.Connect(t.Context(), page+"godwit/", client.Config{}, stateSession(func([]byte) {}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(0, "") })
	c, _, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(page, "http")+"websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.CloseNow() })
}

// ask makes a request and returns its answer.
func ask(t testing.TB, method, url, origin string) (int, http.Header, report) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got report
	json.NewDecoder(resp.Body).Decode(&got)
	return resp.StatusCode, resp.Header, got
}

func TestSlidersChangeTheLink(t *testing.T) {
	d := newDuel(t.Context(), []string{"https://pages.example"})
	web := httptest.NewServer(d.routes(nil))
	defer web.Close()
	if status, _, r := ask(t, "POST", web.URL+"/link?loss=12&delay=40", ""); status != 200 || r.Loss != 12 || r.Delay != 40 {
		t.Errorf("the status is %d, and the link %+v", status, r)
	}
	for _, q := range []string{"loss=31&delay=0", "loss=NaN&delay=0", "loss=1&delay=-1", "loss=1&delay=301", "delay=5", "loss=0x&delay=5"} {
		if status, _, _ := ask(t, "POST", web.URL+"/link?"+q, ""); status != http.StatusBadRequest {
			t.Errorf("%s: the status is %d, want 400", q, status)
		}
	}
	if _, _, r := ask(t, "GET", web.URL+"/link", ""); r.Loss != 12 || r.Delay != 40 {
		t.Errorf("the link is %+v, want loss 12 and delay 40", r)
	}
}

// A page of another host may use the server if -origins names it.
func TestOrigins(t *testing.T) {
	d := newDuel(t.Context(), []string{"https://pages.example"})
	web := httptest.NewServer(d.routes(nil))
	defer web.Close()
	for origin, want := range map[string]int{"https://pages.example": 200, web.URL: 200, "https://other.example": 403, "null": 403} {
		status, h, _ := ask(t, "GET", web.URL+"/link", origin)
		if status != want {
			t.Errorf("%s: the status is %d, want %d", origin, status, want)
		}
		if got := h.Get("Access-Control-Allow-Origin"); origin == "https://pages.example" && got != origin {
			t.Errorf("%s: Access-Control-Allow-Origin is %q", origin, got)
		}
		c, resp, err := websocket.Dial(t.Context(), web.URL+"/websocket", &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		if (err == nil) != (want == 200) || err != nil && (resp == nil || resp.StatusCode != want) {
			t.Errorf("a WebSocket from %s: %v, want the status %d", origin, err, want)
		}
		if err == nil {
			if _, _, r := ask(t, "GET", web.URL+"/link", ""); r.Players == 0 {
				t.Errorf("the report says that nobody plays over a WebSocket: %+v", r)
			}
			c.CloseNow()
		}
	}
}

// A board ends with its session. In the report the clock runs.
func TestABoardEndsWithItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDuel(t.Context(), nil)
		srv := testkit.Must(godwit.New(d.config()))
		defer srv.Close()
		c := testkit.Must(srv.Local(godwit.LocalConfig{}))
		synctest.Wait()
		if len(d.boards) != 1 {
			t.Fatalf("there are %d boards, want that of the session", len(d.boards))
		}
		c.Close(session.CloseNormal, "")
		time.Sleep(1500 * time.Millisecond)
		synctest.Wait()
		if len(d.boards) != 0 {
			t.Errorf("there are %d boards, want none", len(d.boards))
		}
		w := httptest.NewRecorder()
		d.serveLink(w, httptest.NewRequest(http.MethodGet, "/link", nil))
		var r report
		if err := json.Unmarshal(w.Body.Bytes(), &r); err != nil || r.Clock != 1500 {
			t.Errorf("the clock is at %v ms, %v; want 1500", r.Clock, err)
		}
	})
}

func TestPlacesAreLimited(t *testing.T) {
	d := newDuel(t.Context(), nil)
	for range mostPlayers {
		if !d.enter() {
			t.Fatal("there is no place below the limit")
		}
	}
	if d.enter() {
		t.Errorf("there is a place for player %d", mostPlayers+1)
	}
	d.leave()
	if !d.enter() {
		t.Error("there is no place after a player has left")
	}
}

// The server of the game drops what a player sends beyond what a page does, and offers no WebSocket.
func TestLimitsOfTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDuel(t.Context(), nil)
		srv := testkit.Must(godwit.New(d.config()))
		defer srv.Close()
		player := testkit.Must(srv.Local(godwit.LocalConfig{}))
		synctest.Wait()
		const seconds = 10
		for _, perSecond := range []int{60, 400} {
			before := srv.Totals().Limited
			for range seconds * perSecond {
				player.Send(input, make([]byte, 4))
				time.Sleep(time.Second / time.Duration(perSecond))
			}
			synctest.Wait()
			if dropped := srv.Totals().Limited > before; dropped != (perSecond > 100) {
				t.Errorf("%d messages a second: some are dropped: %v", perSecond, dropped)
			}
		}
		w := httptest.NewRecorder()
		srv.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/godwit/", nil))
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("a request for a WebSocket has the status %d, want 503", w.Code)
		}
	})
}

func TestBadFlagsAreExplained(t *testing.T) {
	for name, o := range map[string]options{
		"-loss":  {data: "127.0.0.1:0", http: "127.0.0.1:0", loss: 31},
		"-delay": {data: "127.0.0.1:0", http: "127.0.0.1:0", delay: math.NaN()},
		"-data":  {data: "game.example:1", http: "127.0.0.1:0"},
		"-http":  {data: "127.0.0.1:0", http: "127.0.0.1:-1"},
	} {
		if err := run(t.Context(), o, func(string) {}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error is %v, want one that names %s", err, name)
		}
	}
}

// TCP is that of the kernel.
func TestPlaysOverALossyDevice(t *testing.T) {
	probe, err := netsim.OpenTun(netsim.TunConfig{})
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skipf("NOT RUN: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	probe.Close()
	page := start(t, options{loss: 2, delay: 5, tun: true})
	_, _, r := ask(t, "GET", page+"link", "")
	if !r.Kernel || r.Loss != 2 {
		t.Errorf("the link is %+v, want one with TCP of the kernel and a loss of 2 %%", r)
	}
	play(t, page, r.URL)
}

// BenchmarkAge measures how old states are over each link, as a mean over b.N seconds, for comparison of the stand-in
// with TCP of the kernel: go test -run '^$' -bench Age -benchtime 20x ./examples/duel
func BenchmarkAge(b *testing.B) {
	for name, tun := range map[string]bool{"stand-in": false, "kernel": true} {
		losses := []float64{0, 2, 5, 10}
		if testing.Short() {
			losses = losses[3:]
		}
		for _, loss := range losses {
			b.Run(fmt.Sprintf("%s/loss=%v", name, loss), func(b *testing.B) {
				tcp, udp := measureAges(b, options{loss: loss, delay: 50, tun: tun}, time.Duration(b.N)*time.Second)
				b.ReportMetric(float64(tcp)/1e6, "ms-WebSocket")
				b.ReportMetric(float64(udp)/1e6, "ms-godwit")
			})
		}
	}
}

func measureAges(b *testing.B, o options, measure time.Duration) (tcp, udp time.Duration) {
	page := start(b, o)
	_, _, r := ask(b, "GET", page+"link", "")
	began := time.Now().Add(-time.Duration(r.Clock * float64(time.Millisecond)))
	socket := cmp.Or(r.URL, "ws"+strings.TrimPrefix(page, "http")+"websocket")
	w, g := &ages{began: began}, &ages{began: began}
	s, err := client.Connect(b.Context(), page+"godwit/", client.Config{}, stateSession(g.receive))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close(0, "")
	c, _, err := websocket.Dial(b.Context(), socket, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer c.CloseNow()
	go func() {
		for {
			_, m, err := c.Read(b.Context())
			if err != nil {
				return
			}
			w.receive(m)
		}
	}()
	const settle = time.Second
	for at := time.Now(); time.Since(at) < settle+measure; time.Sleep(time.Millisecond) {
		if time.Since(at) > settle {
			w.look()
			g.look()
		}
	}
	return w.mean(), g.mean()
}

func TestSlowWebClientsEnd(t *testing.T) { testkit.EndsSlowClients(t, webServer) }
