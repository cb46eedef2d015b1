//go:build linux

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/load"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Figures of a game.
const (
	stateSize = 200
	inputSize = 48
	gameRate  = 20 // ticks a second
)

// states is the second channel of the game's table; the first is for inputs.
const states godwit.ChannelID = 2

// A game is a server that receives the inputs of every player, and sends the state of the
// world to all players in every tick.
type game struct {
	server *godwit.Server
	every  time.Duration // between two ticks
	taken  atomic.Uint64 // inputs
	meter  meter
}

// newGame starts a game in one of the two ways to write one: with a loop that polls the
// server, or with handlers and a ticker; rate is the number of ticks a second.
func newGame(handlers bool, rate int) (*game, error) {
	g := &game{every: time.Second / time.Duration(rate), meter: meter{late: new(load.Histogram), work: new(load.Histogram)}}
	c := godwit.Config{
		Manual: !handlers,
		Channels: godwit.Channels{
			{Name: "input", Mode: godwit.Sequenced, Direction: godwit.ToServer},
			{Name: "state", Mode: godwit.Unreliable, Direction: godwit.ToClient},
		},
		MaxConns: 1 << 16,
		RTC:      rtcserver.Settings{MaxPerIP: -1, MaxOffers: -1, MaxPending: 1 << 16, MaxConns: 1 << 16},
	}
	run := g.poll
	if handlers {
		c.Handler.Message = func(*godwit.Conn, godwit.ChannelID, []byte) { g.taken.Add(1) }
		run = g.wait
	}
	var err error
	if g.server, err = godwit.Listen("127.0.0.1:0", c); err != nil {
		return nil, err
	}
	go run()
	return g, nil
}

// serveGame serves a game, and its figures over HTTP.
func serveGame(handlers bool, rate int, quic bool) error {
	g, err := newGame(handlers, rate)
	if err != nil {
		return err
	}
	if quic {
		if err := offerWebTransport(g.server); err != nil {
			return err
		}
	}
	http.Handle("/new_rtc_session", g.server)
	http.HandleFunc("/ticks", g.tell)
	return nil
}

// poll processes inputs as they arrive, until it is time for a tick.
func (g *game) poll() {
	next := time.Now().Add(g.every)
	for {
		for ev := range g.server.Poll(max(time.Until(next), 0)) {
			if ev.Type == session.EventMessage {
				g.taken.Add(1)
			}
		}
		if !time.Now().Before(next) {
			next = g.tick(next)
		}
	}
}

// wait waits for the next tick; the handler processes the inputs.
func (g *game) wait() {
	next := time.Now().Add(g.every)
	for range time.Tick(g.every) {
		next = g.tick(next)
	}
}

// tick runs the tick that was due at a time. It returns the time of the next tick.
func (g *game) tick(due time.Time) time.Time {
	begin := time.Now()
	var state [stateSize]byte
	g.server.Broadcast(states, state[:])
	g.server.Flush()
	g.meter.record(begin.Sub(due), time.Since(begin))
	for due = due.Add(g.every); due.Before(begin); due = due.Add(g.every) { // skips missed ticks
	}
	return due
}

// A meter measures the ticks between two calls of tell.
type meter struct {
	mu             sync.Mutex
	late, work     *load.Histogram
	taken, mallocs uint64 // at the last call of tell
}

func (m *meter) record(late, work time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.late.Record(late)
	m.work.Record(work)
}

// ticks are the figures of a meter.
type ticks struct {
	Players    int
	Goroutines int
	Ticks      uint64       // number of ticks
	Late       load.Latency // delay of the beginning of a tick
	Work       load.Latency // duration of a tick
	Taken      uint64       // inputs
	Mallocs    uint64       // allocations of the whole program
}

// tell returns the figures since its last call.
func (g *game) tell(w http.ResponseWriter, _ *http.Request) {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	m := &g.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := g.taken.Load()
	json.NewEncoder(w).Encode(ticks{
		Players: g.server.Len(), Goroutines: runtime.NumGoroutine(),
		Ticks: m.late.Count(), Late: m.late.Latency(), Work: m.work.Latency(),
		Taken: taken - m.taken, Mallocs: mem.Mallocs - m.mallocs,
	})
	m.late, m.work, m.taken, m.mallocs = new(load.Histogram), new(load.Histogram), taken, mem.Mallocs
}

// play measures a game with many players: each sends an input twenty times a second,
// evenly spread over time, and gets every state. It takes four times as long as other
// figures, so that one tick in a hundred is more than one tick.
func (b *bench) play() error {
	n, d := b.options.players, 4*b.options.duration
	return b.with(func(p *process) error {
		l, err := b.load(p, load.Play, n, d+time.Second, "-channel", "input", "-rate", strconv.Itoa(gameRate), "-size", strconv.Itoa(inputSize))
		if err != nil {
			return err
		}
		t, err := b.ticks(p, n, d)
		if err != nil {
			return err
		}
		r, err := l.wait()
		if err != nil {
			return err
		}
		b.add(rowGameCPU, 100*r.Server.CPU)
		b.add(rowGamePlayer, 1e6*r.Server.CPUPerClient)
		b.add(rowLateP50, t.Late.P50)
		b.add(rowLateP99, t.Late.P99)
		b.add(rowLateMax, t.Late.Max)
		b.add(rowWorkP50, t.Work.P50)
		b.add(rowWorkP99, t.Work.P99)
		b.add(rowSpacing, r.Spacing.P99)
		b.add(rowTaken, float64(t.Taken)/d.Seconds())
		b.add(rowStates, r.MessagesPerSecond)
		b.add(rowMallocs, float64(t.Mallocs)/float64(t.Taken+t.Ticks*uint64(n)))
		b.add(rowGameGoroutines, float64(t.Goroutines))
		return nil
	})
}

// player measures what a player of such a game costs over each kind of link, at 20 and at 60 ticks and inputs a second: CPU of
// the server, and bytes on the loopback interface in both directions, with the headers of IP. Nothing else may use the
// interface meanwhile.
func (b *bench) player() error {
	for _, at := range []struct {
		rate       int
		cpu, bytes string
	}{{20, rowPlayer20, rowBytes20}, {60, rowPlayer60, rowBytes60}} {
		err := b.with(func(p *process) error {
			n, d := b.options.players/5, 2*b.options.duration
			l, err := b.load(p, load.Play, n, d+2*time.Second, "-channel", "input", "-rate", strconv.Itoa(at.rate), "-size", strconv.Itoa(inputSize))
			if err != nil {
				return err
			}
			if _, err = b.ticks(p, n, 0); err != nil {
				return err
			}
			before, err := loopbackBytes()
			if err != nil {
				return err
			}
			begin := time.Now()
			if err := sleep(b.ctx, d); err != nil {
				return err
			}
			after, err := loopbackBytes()
			if err != nil {
				return err
			}
			took := time.Since(begin)
			r, err := l.wait()
			if err != nil {
				return err
			}
			b.add(at.cpu, 1e6*r.Server.CPUPerClient)
			b.add(at.bytes, float64(after-before)/took.Seconds()/float64(n)/1000)
			return nil
		}, "-hz", strconv.Itoa(at.rate))
		if err != nil {
			return err
		}
	}
	return nil
}

// loopbackBytes returns the bytes that the loopback interface has carried.
func loopbackBytes() (uint64, error) {
	b, err := os.ReadFile("/sys/class/net/lo/statistics/rx_bytes")
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
}

// ticks returns the figures of a game for the time d, which begins a second after all
// players have joined.
func (b *bench) ticks(p *process, players int, d time.Duration) (t ticks, err error) {
	for t.Players < players {
		if err := sleep(b.ctx, 100*time.Millisecond); err != nil {
			return t, err
		}
		if err := p.ask("/ticks", &t); err != nil {
			return t, err
		}
	}
	if err := sleep(b.ctx, time.Second); err != nil {
		return t, err
	}
	if err := p.ask("/ticks", &t); err != nil {
		return t, err
	}
	if err := sleep(b.ctx, d); err != nil {
		return t, err
	}
	return t, p.ask("/ticks", &t)
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
