package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// mostPlayers limits the boards of each kind of link.
const mostPlayers = 50

// The channels. Only the newest state and the newest input count, so the channels repeat nothing that is lost.
const (
	input godwit.ChannelID = 1
	state godwit.ChannelID = 2
)

var channels = godwit.Channels{
	{Name: "input", Mode: godwit.Sequenced, Direction: godwit.ToServer},
	{Name: "state", Mode: godwit.Sequenced, Direction: godwit.ToClient},
}

// A board is a game and what sends its state. send must not wait.
type board struct {
	game *game
	send func([]byte)
}

// A duel has the boards of all players, over both kinds of links.
type duel struct {
	origins []string
	began   time.Time // zero of the clock
	link    link
	ctx     context.Context // ends when the program does

	mu     sync.Mutex // guards what follows
	tick   uint32
	boards map[*board]bool
	plain  int // WebSockets

	running sync.WaitGroup // WebSockets
}

func newDuel(ctx context.Context, origins []string) *duel {
	return &duel{ctx: ctx, origins: origins, began: time.Now(), boards: make(map[*board]bool)}
}

// config is the configuration of the godwit server.
func (d *duel) config() godwit.Config {
	c := godwit.Config{
		Channels: channels,
		MaxConns: mostPlayers,
		Links:    []string{session.LinkWebRTC}, // a WebSocket would not pass the bad link
		Limits:   godwit.Limits{Messages: 100},
		Handler: godwit.Handler{
			Open: func(c *godwit.Conn) {
				c.User = d.add(func(b []byte) { c.Send(state, b) })
			},
			Message: func(c *godwit.Conn, _ godwit.ChannelID, b []byte) { d.steer(c.User.(*board), b) },
			Close:   func(c *godwit.Conn, _ godwit.CloseReason) { d.remove(c.User) },
		},
	}
	c.RTC.Origins = d.origins
	return c
}

// add adds a board.
func (d *duel) add(send func([]byte)) *board {
	d.mu.Lock()
	defer d.mu.Unlock()
	b := &board{newGame(d.tick), send}
	d.boards[b] = true
	return b
}

// remove removes a board, if there is one.
func (d *duel) remove(b any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if b, ok := b.(*board); ok {
		delete(d.boards, b)
	}
}

// enter reserves a place for a WebSocket. It is false if there is none, or if the program ends.
func (d *duel) enter() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plain >= mostPlayers || d.ctx.Err() != nil {
		return false
	}
	d.plain++
	d.running.Add(1)
	return true
}

// leave gives the place back.
func (d *duel) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.plain--
	d.running.Done()
}

func (d *duel) steer(b *board, message []byte) {
	if to, ok := parseInput(message); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		b.game.steer(d.tick, to)
	}
}

// run runs the ticks of all boards until the program ends.
func (d *duel) run() {
	t := time.NewTicker(time.Second / rate)
	defer t.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-t.C:
			d.advance(time.Since(d.began))
		}
	}
}

// advance runs one tick, and sends each board its state.
func (d *duel) advance(made time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tick++
	for b := range d.boards {
		b.game.step(d.tick)
		b.send(b.game.append(make([]byte, 0, stateSize), made, d.tick))
	}
}

// serveWebSocket is a game over a plain WebSocket. If standIn is set the stand-in for TCP carries its bytes.
func (d *duel) serveWebSocket(w http.ResponseWriter, r *http.Request, standIn bool) {
	if !d.enter() {
		http.Error(w, "too many players", http.StatusServiceUnavailable)
		return
	}
	defer d.leave()
	if standIn {
		w = standInWriter{w, &d.link}
	}
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // allow has looked at the origin
	if err != nil {
		return
	}
	defer c.CloseNow()
	c.SetReadLimit(64)
	// A state that the connection has no room for is replaced by the next one: nothing waits above TCP.
	states := make(chan []byte, 1)
	b := d.add(func(s []byte) {
		select {
		case <-states: // only advance sends, so there is room now
		default:
		}
		states <- s
	})
	defer d.remove(b)
	ctx, cancel := context.WithCancel(d.ctx)
	defer cancel()
	go func() {
		defer cancel()
		for {
			idle, stop := context.WithTimeout(ctx, time.Minute)
			_, message, err := c.Read(idle)
			stop()
			if err != nil {
				return
			}
			d.steer(b, message)
		}
	}()
	for {
		select {
		case s := <-states:
			slow, stop := context.WithTimeout(ctx, time.Minute)
			err := c.Write(slow, websocket.MessageBinary, s)
			stop()
			if err != nil {
				return
			}
		case <-ctx.Done():
			return
		}
	}
}

// allow reports whether the page may use the server, and sets the headers that let it. Otherwise it answers.
func (d *duel) allow(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	w.Header().Add("Vary", "Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err == nil && u.Host == r.Host {
		return true
	}
	if slices.Contains(d.origins, "*") || slices.Contains(d.origins, origin) {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		return true
	}
	http.Error(w, "this origin is not among those of -origins", http.StatusForbidden)
	return false
}

// A report is what the page asks for once in a while, directly: the clock, and the link, which all players share.
type report struct {
	Clock   float64 `json:"clock"`         // ms
	Loss    float64 `json:"loss"`          // percent each way
	Delay   float64 `json:"delay"`         // ms one way
	Players int     `json:"players"`       // boards over WebSockets
	Kernel  bool    `json:"kernel"`        // TCP is that of the kernel
	URL     string  `json:"url,omitempty"` // of the WebSocket, if it is not beside the page
}

// serveLink tells the conditions of the link, and changes them if the request is a POST: loss in percent each way, delay
// in milliseconds one way.
func (d *duel) serveLink(w http.ResponseWriter, r *http.Request) {
	if !d.allow(w, r) {
		return
	}
	if r.Method == http.MethodPost {
		var asked [2]float64
		for i, most := range [...]float64{mostLoss, mostDelay} {
			name := [...]string{"loss", "delay"}[i]
			v, err := strconv.ParseFloat(r.URL.Query().Get(name), 64)
			if err != nil || !(v >= 0 && v <= most) {
				http.Error(w, fmt.Sprintf("%s is not a number from 0 to %v", name, most), http.StatusBadRequest)
				return
			}
			asked[i] = v
		}
		d.link.set(asked[0], asked[1])
	}
	d.mu.Lock()
	players := d.plain
	d.mu.Unlock()
	l := d.link.now()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(report{
		Clock: float64(time.Since(d.began)) / float64(time.Millisecond),
		Loss:  l.Loss * 100, Delay: float64(l.Delay) / float64(time.Millisecond),
		Players: players, Kernel: d.link.tun != nil, URL: d.link.url,
	})
}

// percentLink returns a link with a loss in percent and a delay in ms.
func percentLink(loss, delay float64) netsim.Link {
	return netsim.Link{Loss: loss / 100, Delay: time.Duration(delay * float64(time.Millisecond))}
}
