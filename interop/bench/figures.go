//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/godwit-rtc/godwit/internal/load"
)

// A figure is a quantity that is measured for several servers.
type figure struct {
	name    string
	servers []string
	once    bool // measured once: it takes long and varies little
	apart   bool // in a separate table, because it has other servers
	measure func(*bench) error
}

// A bench measures one figure of one server.
type bench struct {
	ctx     context.Context
	options options
	server  string
	table   *table
}

var figures = []figure{
	{name: "echo", servers: []string{"udp", "godwit", "channels", "pion", "websocket", "channels-websocket", "channels-webtransport"}, measure: (*bench).echo},
	{name: "flood", servers: []string{"udp", "godwit", "pion", "websocket", "channels-websocket", "channels-webtransport"}, measure: (*bench).flood},
	{name: "idle", servers: []string{"udp", "godwit", "channels", "pion", "websocket", "channels-websocket", "channels-webtransport"}, once: true, measure: (*bench).idle},
	{name: "fanout", servers: []string{"sendmmsg", "godwit", "channels"}, measure: (*bench).fanout},
	{name: "storm", servers: []string{"godwit", "pion"}, measure: (*bench).storm},
	{name: "game", servers: []string{"game", "game-handlers"}, once: true, apart: true, measure: (*bench).play},
	{name: "player", servers: playerServers, apart: true, measure: (*bench).player},
}

// playerServers have the same game: of godwit, each level and link, and of other libraries.
var playerServers = []string{
	"game-datagrams", "game", "game-websocket", "game-webtransport", "game-pion", "game-coder", "game-webtransport-go",
	"game-ws", "game-socketio", "game-colyseus",
}

func figureNames() []string {
	var names []string
	for _, f := range figures {
		names = append(names, f.name)
	}
	return names
}

// The rows of the table.
const (
	rowEcho       = "CPU per echo, 100 × 60 Hz × 200 B, µs"
	rowEchoP99    = "latency of it, p99, ms"
	rowFlood      = "saturated echoes/s on one core, 200 B"
	rowFloodCPU   = "CPU per echo when saturated, µs"
	rowRSS        = "RSS per idle connection, KB"
	rowRSSFreed   = "RSS per idle connection, garbage collected, KB"
	rowGoroutines = "goroutines per idle connection"
	rowConnect    = "server CPU per connect, ms"
	rowIdleCPU    = "idle CPU with 1,000 connections, %"
	rowFanout     = "fan-out, CPU per datagram, µs"
	rowStorm      = "connect storm, until all are open, s"
	rowStormP99   = "echo p99 of 100 others meanwhile, ms"
	rowCalmP99    = "echo p99 of 100 others before, ms"

	rowGameCPU        = "CPU of the server, % of its core"
	rowGamePlayer     = "CPU per player, µs a second"
	rowLateP50        = "a tick begins late by, p50, ms"
	rowLateP99        = "a tick begins late by, p99, ms"
	rowLateMax        = "a tick begins late by, longest, ms"
	rowWorkP50        = "a tick takes, p50, ms"
	rowWorkP99        = "a tick takes, p99, ms"
	rowSpacing        = "between two states at a player, p99, ms"
	rowTaken          = "inputs/s that the game took"
	rowStates         = "states/s that players got"
	rowMallocs        = "allocations per message"
	rowGameGoroutines = "goroutines"

	// After the rate, such as "20 Hz: ".
	rowPlayerCPU     = "CPU of a player, µs a second"
	rowPlayerMessage = "CPU of a message, µs"
	rowPlayerCore    = "players of a core, computed from the CPU of a player"
	rowPlayerBytes   = "bytes of a player, both ways, KB a second"
	rowMessageBytes  = "bytes on the wire of a message, with all that belongs to it"
	rowPlayerRSS     = "memory of a player, KB"
	rowPlayerThings  = "goroutines of a player; in Node handles"
	rowPlayerStates  = "states that a player got a second"
	rowPlayerSpacing = "time between two states at a player, p99, ms"
)

func (b *bench) add(row string, value float64) { b.table.add(row, b.server, value) }

// with starts the server, calls f, and stops the server.
func (b *bench) with(f func(*process) error, flags ...string) error {
	p, err := b.start(flags...)
	if err != nil {
		return err
	}
	defer p.stop()
	return f(p)
}

func (b *bench) echo() error {
	return b.with(func(p *process) error {
		r, err := b.run(p, load.Echo, 100, b.options.duration, "-rate", "60")
		if err != nil {
			return err
		}
		b.add(rowEcho, r.Server.CPUPerMessage)
		b.add(rowEchoP99, r.Latency.P99)
		return nil
	})
}

// flood measures the rate of echoes when the server's core is the limit. It is the limit
// unless another program uses the other core.
func (b *bench) flood() error {
	return b.with(func(p *process) error {
		r, err := b.run(p, load.Flood, 100, b.options.duration)
		if err != nil {
			return err
		}
		if r.Server.CPU < 0.95 {
			fmt.Fprintf(os.Stderr, "  the server had %.0f %% of its core left, the load %.0f %%\n", 100*(1-r.Server.CPU), 100*(1-r.LoadCPU))
		}
		b.add(rowFlood, r.MessagesPerSecond)
		b.add(rowFloodCPU, r.Server.CPUPerMessage)
		return nil
	})
}

// idle measures the cost of connections that send no messages. It is compared with a server
// that returns 400 datagrams a second, one at a time: 1,000 connections have as many checks.
func (b *bench) idle() error {
	if b.server == "udp" {
		return b.with(func(p *process) error {
			r, err := b.run(p, load.Echo, 400, 2*b.options.duration, "-rate", "1", "-tick", "50us")
			if err == nil {
				b.add(rowIdleCPU, 100*r.Server.CPU)
			}
			return err
		})
	}
	n := b.options.idle
	if b.server == "pion" {
		n = min(n, b.options.idlePion)
	}
	if err := b.with(func(p *process) error { return b.memory(p, n) }); err != nil {
		return err
	}
	return b.with(func(p *process) error {
		r, err := b.run(p, load.Idle, min(n, 1000), 2*b.options.duration, "-warmup", quiet)
		if err != nil {
			return err
		}
		b.add(rowConnect, r.Server.CPUPerConnect)
		b.add(rowIdleCPU, 100*r.Server.CPU*1000/float64(r.Connected))
		return nil
	})
}

// quiet is the time that connections get before their idle CPU is measured: a server of godwit asks each page for one more answer 15 s after
// its last message.
const quiet = "20s"

// settle is the time that an idle server gets before its memory is read.
const settle = 10 * time.Second

func (b *bench) memory(p *process, n int) error {
	if err := p.collect(); err != nil {
		return err
	}
	before, err := p.rss()
	if err != nil {
		return err
	}
	alone, err := p.goroutines()
	if err != nil {
		return err
	}
	l, err := b.load(p, load.Idle, n, settle+30*time.Second)
	if err != nil {
		return err
	}
	defer l.kill()
	with, err := b.settled(p, alone, n)
	if err != nil {
		return err
	}
	after, err := p.rss()
	if err != nil {
		return err
	}
	if err := p.collect(); err != nil {
		return err
	}
	freed, err := p.rss()
	if err != nil {
		return err
	}
	b.add(rowRSS, (after-before)/float64(n))
	b.add(rowRSSFreed, (freed-before)/float64(n))
	b.add(rowGoroutines, float64(with-alone)/float64(n))
	return nil
}

// settled waits until the clients are connected, and some time more. They are connected when
// the server's CPU time stops to grow. settled returns the number of goroutines.
func (b *bench) settled(p *process, alone, n int) (int, error) {
	select {
	case <-time.After(time.Duration(n)*5*time.Millisecond + settle):
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	}
	return p.goroutines()
}

// fanout measures one message to many clients, 20 times a second. The server of bare UDP
// sends datagrams of the same length on the wire: a message of 200 bytes has 65 more.
func (b *bench) fanout() error {
	size := "200"
	if b.server == "sendmmsg" {
		size = "265"
	}
	return b.with(func(p *process) error {
		r, err := b.run(p, load.Fanout, b.options.fanout, b.options.duration, "-rate", "20", "-size", size)
		if err != nil {
			return err
		}
		b.add(rowFanout, r.Server.CPUPerMessage)
		return nil
	}, "-relay")
}

// storm measures the time until all clients are open that connect at once, and the latency
// of other clients meanwhile. The other clients are another process, to which the core of
// the load gives priority: so they wait for the server and not for the new clients.
func (b *bench) storm() error {
	return b.with(func(p *process) error {
		calm, err := b.run(p, load.Echo, 100, b.options.duration, "-rate", "60")
		if err != nil {
			return err
		}
		others, err := b.load(p, load.Echo, 100, b.options.duration, "-rate", "60")
		if err != nil {
			return err
		}
		time.Sleep(1500 * time.Millisecond) // the other clients have connected, and are measured
		r, err := b.run(p, load.Storm, b.options.storm, b.options.duration)
		if err != nil {
			return err
		}
		during, err := others.wait()
		if err != nil {
			return err
		}
		b.add(rowCalmP99, calm.Latency.P99)
		b.add(rowStorm, r.ConnectSeconds)
		b.add(rowStormP99, during.Latency.P99)
		if r.Failed > 0 {
			fmt.Fprintf(os.Stderr, "  %d of %d did not connect\n", r.Failed, r.Clients)
		}
		return nil
	})
}

// profile writes CPU profiles under load: of godwit, or of the only one of the servers.
func profile(ctx context.Context, o options) error {
	if err := os.MkdirAll(o.profiles, 0o755); err != nil {
		return err
	}
	server := "godwit"
	if l := list(o.servers); len(l) == 1 {
		server = l[0]
	}
	b := &bench{ctx: ctx, options: o, server: server}
	for _, mode := range []load.Mode{load.Echo, load.Flood, load.Idle, load.Fanout} {
		clients, flags := 100, []string{}
		switch mode {
		case load.Idle:
			clients = 1000
		case load.Fanout:
			clients, flags = o.fanout, []string{"-rate", "20"}
		}
		err := b.with(func(p *process) error {
			l, err := b.load(p, mode, clients, time.Duration(clients)*2*time.Millisecond+o.duration+2*time.Second, flags...)
			if err != nil {
				return err
			}
			time.Sleep(2*time.Second + time.Duration(clients)*2*time.Millisecond)
			if err := fetch(fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", p.Control, int(o.duration.Seconds())),
				filepath.Join(o.profiles, string(mode)+".pprof")); err != nil {
				return err
			}
			_, err = l.wait()
			return err
		}, relayFlag(mode)...)
		if err != nil {
			return err
		}
	}
	return nil
}

func relayFlag(mode load.Mode) []string {
	if mode == load.Fanout {
		return []string{"-relay"}
	}
	return nil
}

func fetch(url, file string) error {
	resp, err := http.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, resp.Body)
	return err
}
