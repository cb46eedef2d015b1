//go:build linux

package interop

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/interop/game"
	"github.com/godwit-rtc/godwit/netsim"
)

var (
	gameServers  = flag.String("game.servers", "", "names of the servers of BenchmarkGame, separated by commas; empty: all")
	gameDuration = flag.Duration("game.duration", 20*time.Second, "how long BenchmarkGame plays and receives bulk")
)

// gameNames are the servers of BenchmarkGame: godwit, each level and link, and others. Several are one server with other
// clients.
var gameNames = []string{
	"datagrams", "channels", "channels-websocket", "channels-webtransport", "pion", "coder", "webtransport-go", "ws", "socketio", "colyseus",
}

// A gameWorld has Chromium beyond a link, and the servers of a game with a page each. The page's own server is the game's, so that the
// page has its connection for HTTP already.
type gameWorld struct {
	browser *browser.Browser
	dir     string // of the page's files
	host    netip.Addr
	ports   map[string]uint16

	noCeiling bool // see game.Config
}

func newGameWorld(b *testing.B) *gameWorld {
	b.Helper()
	w := &gameWorld{dir: b.TempDir(), host: distantAddr(b), ports: make(map[string]uint16)}
	os.Chmod(w.dir, 0o755)
	if err := game.WriteFiles(w.dir); err != nil {
		b.Fatal(err)
	}
	var origins []string
	for _, name := range gameNames {
		if *gameServers != "" && !slices.Contains(strings.Split(*gameServers, ","), name) {
			continue
		}
		w.ports[name] = freePort(b).Port()
		origins = append(origins, "http://"+netip.AddrPortFrom(w.host, w.ports[name]).String())
	}
	// WebTransport needs a secure page. The pages are tabs, of which all but one are hidden.
	w.browser = browser.OwnChromium(b, "--unsafely-treat-insecure-origin-as-secure="+strings.Join(origins, ","),
		"--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-renderer-backgrounding")
	return w
}

// A gamePage is a tab with a connection to one server.
type gamePage struct {
	*tab
	name   string
	target map[string]string
}

// pages starts the servers and opens the page of each.
func (w *gameWorld) pages(b *testing.B) (all []*gamePage) {
	b.Helper()
	for _, name := range gameNames {
		port, ok := w.ports[name]
		if !ok {
			continue
		}
		target := map[string]string{"name": name}
		url, err := w.serve(b, name, port, target)
		if err != nil {
			b.Logf("NOT RUN: %s: %v", name, err)
			continue
		}
		p := &gamePage{&tab{Page: w.browser.Page(b, url), t: b}, name, target}
		p.do(`await warm(arg);`, name, nil)
		all = append(all, p)
	}
	return all
}

// serve starts one server, which ends with b. It returns the URL of its page.
func (w *gameWorld) serve(b *testing.B, name string, port uint16, target map[string]string) (url string, err error) {
	addr := netip.AddrPortFrom(w.host, port)
	server, _, isSession := strings.Cut(name, "-")
	if !isSession || server != "channels" {
		server = name
	}
	if slices.Contains(game.NodeNames, server) {
		return "http://" + addr.String() + "/", w.serveNode(b, server, addr, target)
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(w.dir)))
	l, err := net.Listen("tcp", addr.String())
	if err != nil {
		return "", err
	}
	srv := &http.Server{Handler: mux}
	b.Cleanup(func() { srv.Close() })
	g, err := game.New(server, addr.String(), game.Config{Host: w.host.String(), NoCeiling: w.noCeiling}, mux)
	if err != nil {
		l.Close()
		return "", err
	}
	b.Cleanup(g.Close)
	go srv.Serve(l)
	target["url"], target["hash"] = g.Load, g.Hash
	return "http://" + addr.String() + "/", nil
}

func (w *gameWorld) serveNode(b *testing.B, server string, addr netip.AddrPort, target map[string]string) error {
	cmd, err := game.Node(b.Context(), server, addr.Addr().String(), fmt.Sprint(addr.Port()), game.Rate)
	if err != nil {
		return err
	}
	cmd.Env = append(cmd.Env, "GAME_FILES="+w.dir)
	input, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	b.Cleanup(func() { input.Close(); cmd.Wait() })
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		return err
	}
	var a struct{ Load string }
	err = json.Unmarshal(line, &a)
	target["url"] = a.Load
	return err
}

// opened has the times in ms until a connection was open, and until a message came back.
type opened struct{ Open, Echo float64 }

func (p *gamePage) open() (o opened) {
	p.t.Helper()
	p.do(`return await open(arg);`, p.target, &o)
	return o
}

// BenchmarkGameConnects measures one connection an iteration and server: the round trips from the call that connects until the library
// says that the connection is open, and until a message that was sent then has come back. All traffic passes a pair of TUN
// devices, and the page has its connection for HTTP already.
func BenchmarkGameConnects(b *testing.B) {
	w := newGameWorld(b)
	for _, rtt := range []time.Duration{100 * time.Millisecond} {
		b.Run(fmt.Sprintf("rtt=%d", rtt.Milliseconds()), func(b *testing.B) {
			distantHost(b, netsim.Link{Delay: rtt / 2})
			trips := rtt.Seconds() * 1000
			all := w.pages(b)
			for _, p := range all {
				open, echo := figures{tried: b.N}, figures{tried: b.N}
				for range b.N {
					o := p.open()
					p.do(`await game.conn.close();`, nil, nil)
					open.ms, echo.ms = append(open.ms, o.Open), append(echo.ms, o.Echo)
					p.do(`await pause(500);`, nil, nil) // the end of the connection needs the network, too
				}
				slices.Sort(open.ms)
				slices.Sort(echo.ms)
				b.ReportMetric(open.quantile(.5)/trips, p.name+"-open-trips")
				b.ReportMetric(echo.quantile(.5)/trips, p.name+"-echo-trips")
				b.ReportMetric(echo.quantile(.9)/trips, p.name+"-p90-trips")
			}
		})
	}
}

// BenchmarkGameAges measures how old the newest state is in pages that play at the same time, one for each server, over one
// link with a round trip and losses. The median of b.N runs counts.
func BenchmarkGameAges(b *testing.B) {
	w := newGameWorld(b)
	for _, rtt := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond} {
		for _, loss := range []float64{0, .01, .02, .05, .10} {
			b.Run(fmt.Sprintf("rtt=%d/loss=%.0f%%", rtt.Milliseconds(), 100*loss), func(b *testing.B) {
				distantHost(b, netsim.Link{Delay: rtt / 2, Loss: loss})
				p50, p99, rate := map[string]*figures{}, map[string]*figures{}, map[string]*figures{}
				for range b.N {
					for name, a := range w.ages(b) {
						for to, v := range map[*map[string]*figures]float64{
							&p50: a.P50.Seconds() * 1000, &p99: a.P99.Seconds() * 1000, &rate: a.PerSecond,
						} {
							if (*to)[name] == nil {
								(*to)[name] = new(figures)
							}
							(*to)[name].add(v)
						}
					}
				}
				for unit, from := range map[string]map[string]*figures{"-p50-ms": p50, "-p99-ms": p99, "-states/s": rate} {
					for name, f := range from {
						slices.Sort(f.ms)
						b.ReportMetric(f.quantile(.5), name+unit)
					}
				}
			})
		}
	}
}

// ages plays in all pages at the same time.
func (w *gameWorld) ages(b *testing.B) map[string]game.Ages {
	b.Helper()
	all := w.pages(b)
	for _, p := range all {
		p.open()
	}
	type watched struct {
		Begin, End float64
		Came       [][2]float64
	}
	results := make([]watched, len(all))
	done := make(chan error)
	for i, p := range all {
		go func() {
			arg := []float64{float64(gameDuration.Milliseconds()), game.Rate}
			done <- p.Eval(b.Context(), `return await watch(...arg);`, arg, &results[i])
		}()
	}
	for range all {
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
	ages := make(map[string]game.Ages)
	at := func(ms float64) time.Time { return time.Unix(0, int64(ms*1e6)) }
	for i, p := range all {
		r := results[i]
		var arrivals []game.Arrival
		for _, c := range r.Came {
			arrivals = append(arrivals, game.Arrival{At: at(c[1]), Made: at(c[0])})
		}
		ages[p.name] = game.Measure(arrivals, at(r.Begin), at(r.Begin), at(r.End))
		p.Close()
	}
	return ages
}

// BenchmarkGameBulk measures the megabytes a second of a bulk transfer to the page, one server after the other, over a link of 100 Mbit/s
// with a queue of 512 KiB. The sessions of godwit have no ceiling, as those of others have none.
func BenchmarkGameBulk(b *testing.B) {
	w := newGameWorld(b)
	w.noCeiling = true
	for _, rtt := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond} {
		b.Run(fmt.Sprintf("rtt=%d", rtt.Milliseconds()), func(b *testing.B) {
			distantHost(b, netsim.Link{Delay: rtt / 2, Rate: 100e6 / 8, Queue: 512 << 10})
			for _, p := range w.pages(b) {
				if p.name == "datagrams" { // reliable messages are level two
					continue
				}
				var rates figures
				for range b.N {
					p.open()
					var rate float64
					p.doWithin(patience+2**gameDuration, `return await fetchBulk(...arg);`,
						[]float64{3000, float64(gameDuration.Milliseconds())}, &rate)
					rates.add(rate / 1e6)
					p.do(`await game.conn.close();`, nil, nil)
					p.do(`await pause(500);`, nil, nil) // the link's queue becomes empty
				}
				slices.Sort(rates.ms)
				b.ReportMetric(rates.quantile(.5), p.name+"-MB/s")
			}
		})
	}
}
