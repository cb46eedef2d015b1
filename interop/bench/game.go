//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/internal/load"
	"github.com/godwit-rtc/godwit/interop/game"
	"github.com/godwit-rtc/godwit/session"
)

// play measures a game with many players: each sends an input twenty times a second,
// evenly spread over time, and gets every state. It takes four times as long as other
// figures, so that one tick in a hundred is more than one tick.
func (b *bench) play() error {
	n, d := b.options.players, 4*b.options.duration
	return b.with(func(p *process) error {
		l, err := b.load(p, load.Play, n, d+time.Second, "-rate", strconv.Itoa(game.Rate), "-size", strconv.Itoa(game.InputSize))
		if err != nil {
			return err
		}
		t, err := b.ticks(p, l, n, d)
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

// A way is a server of the game, and what its load does.
type way struct {
	server string // of package game
	links  string // of a session; empty for other clients
	poll   bool   // the server polls
}

var ways = map[string]way{
	"game":                 {"channels", session.LinkWebRTC, true},
	"game-handlers":        {"channels", session.LinkWebRTC, false},
	"game-websocket":       {"channels", session.LinkWebSocket, true},
	"game-webtransport":    {"channels", session.LinkWebTransport, true},
	"game-datagrams":       {server: "datagrams"},
	"game-pion":            {server: "pion"},
	"game-coder":           {server: "coder"},
	"game-webtransport-go": {server: "webtransport-go"},
	"game-ws":              {server: "ws"},
	"game-socketio":        {server: "socketio"},
	"game-colyseus":        {server: "colyseus"},
}

// player measures what a player of such a game costs with each server, at the rates of -hz: CPU and memory of the server, and
// bytes on the loopback interface in both directions, with the headers of IP. Nothing else may use the
// interface meanwhile: see compare, which gives each run an interface of its own.
func (b *bench) player() error {
	for _, hz := range list(b.options.hz) {
		rate, _ := strconv.Atoi(hz)
		if err := b.with(func(p *process) error { return b.playerAt(p, rate) }, "-hz", hz); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) playerAt(p *process, rate int) error {
	row := func(s string) string { return fmt.Sprintf("%d Hz: %s", rate, s) }
	n, d := max(b.options.players/5, 1), 2*b.options.duration
	if err := p.collect(); err != nil {
		return err
	}
	rss, err := p.rss()
	if err != nil {
		return err
	}
	alone, err := p.goroutines()
	if err != nil {
		return err
	}
	l, err := b.load(p, load.Play, n, d+2*time.Second, "-rate", strconv.Itoa(rate), "-size", strconv.Itoa(game.InputSize))
	if err != nil {
		return err
	}
	if _, err = b.ticks(p, l, n, 0); err != nil {
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
	with, err := p.goroutines()
	if err != nil {
		return err
	}
	full, err := p.rss()
	if err != nil {
		return err
	}
	r, err := l.wait()
	if err != nil {
		return err
	}
	players, bytes := float64(n), float64(after-before)/took.Seconds()
	messages := r.SentPerSecond + r.MessagesPerSecond
	b.add(row(rowPlayerCPU), 1e6*r.Server.CPUPerClient)
	b.add(row(rowPlayerMessage), 1e6*r.Server.CPU/messages)
	b.add(row(rowPlayerCore), 1/r.Server.CPUPerClient)
	b.add(row(rowPlayerBytes), bytes/players/1000)
	b.add(row(rowMessageBytes), bytes/messages)
	b.add(row(rowPlayerRSS), (full-rss)/players)
	b.add(row(rowPlayerThings), float64(with-alone)/players)
	b.add(row(rowPlayerStates), r.MessagesPerSecond/players)
	b.add(row(rowPlayerSpacing), r.Spacing.P99)
	return nil
}

// loopbackBytes returns the bytes that the loopback interface of this process's network namespace has carried. Those in /sys are
// of the namespace in which /sys was mounted.
func loopbackBytes() (uint64, error) {
	b, err := os.ReadFile("/proc/self/net/dev")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if name, counts, _ := strings.Cut(strings.TrimSpace(line), ":"); name == "lo" {
			return strconv.ParseUint(strings.Fields(counts)[0], 10, 64)
		}
	}
	return 0, errors.New("no loopback interface")
}

// ticks returns the figures of a game for the time d, which begins a second after all
// players have joined.
func (b *bench) ticks(p *process, l *loader, players int, d time.Duration) (t game.Figures, err error) {
	for t.Players < players {
		if l.ended() {
			return t, fmt.Errorf("the load has ended when %d of %d players had joined", t.Players, players)
		}
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
