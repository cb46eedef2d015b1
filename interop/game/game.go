//go:build linux

// Package game has the servers of one small game, written with each of the libraries that the
// programs bench and compare measure. All do the same: they receive the inputs of every player,
// and send the state of the world to all players in every tick.
//
// A message of InputSize bytes or more is an input. Two shorter messages are orders: one of PingSize
// bytes is returned to the player, and one of BulkSize bytes has the number of chunks, a
// big-endian uint32, that the player wants. A chunk has ChunkSize bytes and is sent
// reliably, as fast as the player receives it.
package game

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/internal/load"
)

// Figures of the game.
const (
	StateSize = 200 // the first eight bytes are the time of the state, see Stamp
	InputSize = 48
	PingSize  = 8
	BulkSize  = 4
	ChunkSize = 16 << 10
	Rate      = 20 // ticks a second, and inputs a second of each player
)

// A Game is a running server.
type Game struct {
	// Load is the URL for clients.
	Load string

	// Hash is the hash of the certificate, in base64, if the URL is one of WebTransport.
	Hash string

	every   time.Duration // between two ticks
	taken   atomic.Uint64 // inputs
	meter   meter
	players func() int
	send    func(state []byte) // to all
	close   []func()
	done    chan struct{}
	end     sync.Once
	ticking sync.WaitGroup
}

// Config configures New. The zero value serves.
type Config struct {
	// Host is the address of the server. Empty means 127.0.0.1.
	Host string

	// Rate is the number of ticks a second. Zero means Rate.
	Rate int

	// NoCeiling lifts the limit of godwit's sessions, 256 KiB a second unless it is set.
	NoCeiling bool

	// Poll makes a server with sessions of godwit poll instead of having handlers. Such a server sends
	// no bulk.
	Poll bool
}

// servers start the servers in Go. Each adds what it serves over HTTP to the mux.
var servers = map[string]func(*Game, Config, *http.ServeMux) error{
	"datagrams":       newDatagrams,
	"channels":        newChannels,
	"pion":            newPion,
	"coder":           newWebSocket,
	"webtransport-go": newWebTransport,
}

// Path is the path at which the servers in Go accept clients.
const Path = "/new_rtc_session"

// New starts a server in Go, whose HTTP is served by the mux at the address base, such as
// 127.0.0.1:8080. The names are "datagrams" and "channels", both of godwit, "pion", "coder" and
// "webtransport-go".
func New(name, base string, c Config, mux *http.ServeMux) (*Game, error) {
	start := servers[name]
	if start == nil {
		return nil, fmt.Errorf("game: no server %q", name)
	}
	if c.Host == "" {
		c.Host = "127.0.0.1"
	}
	if c.Rate == 0 {
		c.Rate = Rate
	}
	g := &Game{
		Load: "http://" + base + Path, every: time.Second / time.Duration(c.Rate), done: make(chan struct{}),
		meter: meter{late: new(load.Histogram), work: new(load.Histogram)},
	}
	if err := start(g, c, mux); err != nil {
		g.Close()
		return nil, err
	}
	if !c.Poll {
		g.ticking.Go(g.wait)
	}
	return g, nil
}

// Close ends the server.
func (g *Game) Close() {
	g.end.Do(func() {
		close(g.done)
		for _, f := range slices.Backward(g.close) {
			f()
		}
		g.ticking.Wait()
	})
}

func (g *Game) closed() bool {
	select {
	case <-g.done:
		return true
	default:
		return false
	}
}

// Taken returns the number of inputs so far.
func (g *Game) Taken() uint64 { return g.taken.Load() }

// Ticks returns the number of ticks since the last call of Tell.
func (g *Game) Ticks() uint64 {
	g.meter.mu.Lock()
	defer g.meter.mu.Unlock()
	return g.meter.late.Count()
}

// wait waits for the next tick.
func (g *Game) wait() {
	ticker := time.NewTicker(g.every)
	defer ticker.Stop()
	next := time.Now().Add(g.every)
	for {
		select {
		case <-ticker.C:
			next = g.tick(next)
		case <-g.done:
			return
		}
	}
}

// tick runs the tick that was due at a time. It returns the time of the next tick.
func (g *Game) tick(due time.Time) time.Time {
	begin := time.Now()
	var state [StateSize]byte
	Stamp(state[:], begin)
	g.send(state[:])
	g.meter.record(begin.Sub(due), time.Since(begin))
	for due = due.Add(g.every); due.Before(begin); due = due.Add(g.every) { // skips missed ticks
	}
	return due
}

// Stamp writes a time into a state: the milliseconds since 1970, as a float64.
func Stamp(state []byte, t time.Time) {
	binary.BigEndian.PutUint64(state, math.Float64bits(float64(t.UnixNano())/1e6))
}

// takes counts a message if the message is an input. Nearly all messages are, so the servers ask first: the functions that receive needs take memory.
func (g *Game) takes(b []byte) bool {
	if len(b) < InputSize {
		return false
	}
	g.taken.Add(1)
	return true
}

// receive processes a message of a player that is no input. send sends a small message to the player; bulk, on a goroutine of its own,
// waits until the player's connection takes a chunk.
func (g *Game) receive(b []byte, send, bulk func([]byte) error) {
	switch {
	case len(b) == PingSize:
		send(b)
	case len(b) == BulkSize && bulk != nil:
		n := binary.BigEndian.Uint32(b)
		go func() {
			chunk := make([]byte, ChunkSize)
			for range n {
				if bulk(chunk) != nil {
					return
				}
			}
		}()
	}
}

// until calls f until it returns nil or an error that retry does not accept, once a millisecond.
func (g *Game) until(f func() error, retry func(error) bool) error {
	for {
		err := f()
		if err == nil || !retry(err) {
			return err
		}
		select {
		case <-g.done:
			return context.Canceled
		case <-time.After(time.Millisecond):
		}
	}
}

// A meter measures the ticks between two calls of Tell.
type meter struct {
	mu             sync.Mutex
	late, work     *load.Histogram
	taken, mallocs uint64 // at the last call of Tell
}

func (m *meter) record(late, work time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.late.Record(late)
	m.work.Record(work)
}

// Figures are the figures of a server between two calls of Tell. A server in Node has no Goroutines and no
// figures of ticks but their number.
type Figures struct {
	Players    int
	Goroutines int
	Ticks      uint64       // number of ticks
	Late       load.Latency // delay of the beginning of a tick
	Work       load.Latency // duration of a tick
	Taken      uint64       // inputs
	Mallocs    uint64       // allocations of the whole program
}

// Tell returns the Figures since its last call.
func (g *Game) Tell(w http.ResponseWriter, _ *http.Request) {
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	m := &g.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := g.taken.Load()
	json.NewEncoder(w).Encode(Figures{
		Players: g.players(), Goroutines: runtime.NumGoroutine(),
		Ticks: m.late.Count(), Late: m.late.Latency(), Work: m.work.Latency(),
		Taken: taken - m.taken, Mallocs: mem.Mallocs - m.mallocs,
	})
	m.late, m.work, m.taken, m.mallocs = new(load.Histogram), new(load.Histogram), taken, mem.Mallocs
}

// A crowd has the players of a library that keeps no list itself.
type crowd[T comparable] struct {
	mu  sync.Mutex
	all []T
}

func (c *crowd[T]) add(p T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, p)
}

func (c *crowd[T]) remove(p T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.all, p); i >= 0 {
		c.all = slices.Delete(c.all, i, i+1)
	}
}

func (c *crowd[T]) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.all)
}

// each calls f for every player.
func (c *crowd[T]) each(f func(T)) {
	c.mu.Lock()
	all := slices.Clone(c.all)
	c.mu.Unlock()
	for _, p := range all {
		f(p)
	}
}
