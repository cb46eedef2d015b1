package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
)

// Channels, and what is sent on them. Numbers are big-endian.
//
//	input  x, y int8: the direction, of length 127 at full speed
//	world  tick uint32, and of each box: id uint16, x, y uint16, away uint8
//	chat   to the server: what is said
//	       from it: kind uint8, id uint16, and the name or what is said
//
// The request "join" has the name, and its reply the id of the player's box.
const (
	input godwit.ChannelID = 1 + iota
	world
	chat
)

// Kinds of chat messages.
const (
	here   = iota // a player that was there before
	joined        // a player that joins
	left          // a player that leaves
	said
)

const (
	rate  = 20       // ticks a second
	speed = 240      // units a tick, at most
	stale = rate / 2 // ticks after which an input does not count

	width, height, side = 16000, 9000, 640 // of the board and of a box, in units
	maxName, maxText    = 16, 200          // characters
)

// config is the server's configuration. An input or a world may get lost. Only the newest
// counts, so each of them has the full state.
var config = godwit.Config{
	Channels: godwit.Channels{
		{Name: "input", Mode: godwit.Sequenced, Direction: godwit.ToServer},
		{Name: "world", Mode: godwit.Sequenced, Direction: godwit.ToClient},
		{Name: "chat", Mode: godwit.ReliableOrdered},
	},
	Manual:   true,                         // the loop is our own: game.run
	MaxConns: 100,                          // a world message of 100 boxes fits one packet
	Limits:   godwit.Limits{Messages: 100}, // per second; a page sends 20 inputs and the chat
	Silence:  4 * time.Second,              // after this time a player is shown as away; after Grace it leaves
}

type player struct {
	id     uint16
	name   string
	x, y   int    // a corner of the box
	dx, dy int    // units a tick
	heard  uint32 // tick of the last input
	away   byte   // 1 while the player is interrupted
}

// A game is the state of the board. Only the goroutine of run uses it.
type game struct {
	server  *godwit.Server
	all     *godwit.Group // players that have joined
	players map[uint16]*player
	lastID  uint16
	tick    uint32
}

func newGame(s *godwit.Server) *game {
	return &game{server: s, all: s.NewGroup(), players: make(map[uint16]*player)}
}

// run runs the game until ctx ends. Then it closes the sessions, which takes at most 3 s.
func (g *game) run(ctx context.Context) error {
	for next := time.Now(); ctx.Err() == nil; {
		for ev := range g.server.Poll(time.Until(next)) {
			if ev.Type == session.EventEnded {
				return ev.Err
			}
			g.handle(ev)
		}
		if time.Now().Before(next) {
			continue // something arrived, and there is time for more
		}
		if next = next.Add(time.Second / rate); time.Since(next) > time.Second {
			next = time.Now() // the machine slept: skip the missed ticks
		}
		g.advance()
		g.server.Flush()
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	g.server.Shutdown(ctx, "the server ends")
	return nil
}

func (g *game) handle(ev godwit.Event) {
	p, ok := ev.Conn.User.(*player)
	if !ok {
		if ev.Type == session.EventRequest && ev.Request.Name == "join" {
			g.join(ev.Conn, ev.Request)
		}
		return
	}
	switch ev.Type {
	case session.EventMessage:
		if ev.Channel == input {
			p.steer(ev.Data, g.tick)
		} else if text, ok := line(ev.Data, maxText); ok {
			g.all.Send(chat, news(said, p.id, text))
		}
	case session.EventInterrupted:
		p.away = 1
	case session.EventResumed:
		p.away = 0
	case session.EventClose:
		delete(g.players, p.id)
		g.all.Send(chat, news(left, p.id, ""))
	}
}

func (g *game) join(c *godwit.Conn, r *godwit.Request) {
	name, ok := line(r.Data, maxName)
	if !ok {
		r.Reject(fmt.Sprintf("a name has 1 to %d characters", maxName))
		return
	}
	for g.lastID++; g.players[g.lastID] != nil; {
		g.lastID++
	}
	p := &player{id: g.lastID, name: name, x: (width - side) / 2, y: (height - side) / 2}
	for _, other := range g.players {
		c.Send(chat, news(here, other.id, other.name))
	}
	g.players[p.id], c.User = p, p
	g.all.Join(c)
	g.all.Send(chat, news(joined, p.id, name))
	r.Reply(binary.BigEndian.AppendUint16(nil, p.id))
}

// steer processes an input. It limits the speed, whatever length the direction has. More
// inputs do not move the box faster: only advance moves it.
func (p *player) steer(b []byte, tick uint32) {
	if len(b) != 2 {
		return
	}
	x, y := float64(int8(b[0])), float64(int8(b[1]))
	f := speed / max(127, math.Hypot(x, y))
	p.dx, p.dy, p.heard = int(x*f), int(y*f), tick
}

// advance runs one tick.
func (g *game) advance() {
	g.tick++
	b := binary.BigEndian.AppendUint32(nil, g.tick)
	for _, p := range g.players {
		if g.tick-p.heard > stale {
			p.dx, p.dy = 0, 0
		}
		p.x = min(max(p.x+p.dx, 0), width-side)
		p.y = min(max(p.y+p.dy, 0), height-side)
		b = binary.BigEndian.AppendUint16(b, p.id)
		b = binary.BigEndian.AppendUint16(b, uint16(p.x))
		b = binary.BigEndian.AppendUint16(b, uint16(p.y))
		b = append(b, p.away)
	}
	g.all.Send(world, b)
}

// news makes a chat message for the pages.
func news(kind byte, id uint16, text string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, id), text...)
}

// line returns the text that a page says, and false if the text is empty or too long.
func line(b []byte, most int) (string, bool) {
	s := strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, string(b)))
	return s, s != "" && utf8.RuneCountInString(s) <= most
}
