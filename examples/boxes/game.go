package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit"
	parts "github.com/godwit-rtc/godwit/game" // those of every game; type game is this one
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

const (
	rate  = 20       // ticks a second
	speed = 240      // units a tick, at most
	hold  = rate / 4 // ticks for which an input counts again while the next ones are missing
	tell  = rate / 2 // ticks from one Early to the next
	talk  = 10       // lines of chat that a player may say at once; one more each second
	maxID = 100      // the largest number of a player
)

var table = typed.Must[Table]()

// config is the server's configuration.
var config = godwit.Config{
	Manual:   true,                         // the loop is our own: game.run
	MaxConns: maxID,                        // the numbers of boxes
	Limits:   godwit.Limits{Messages: 100}, // per second; a page sends 20 inputs and the chat
	Silence:  4 * time.Second,              // after this time a player is shown as away; after Grace it leaves
}

type player struct {
	id     uint8
	name   string
	conn   *godwit.Conn
	x, y   int // a corner of the box
	inputs *parts.Inputs[Input]
	away   bool // the player is interrupted
	touch  bool // the box touches that of the player that is "it"
	lines  int  // of chat, that the player may say now; those beyond are ignored
}

// A game is the state of the board. Only the goroutine of run uses it.
type game struct {
	server  *godwit.Server
	all     *godwit.Group // players that have joined
	players map[uint8]*player
	it      uint8 // the player that must touch another one; 0 if there is none
	tick    uint32
	opened  func(*godwit.Conn)        // is called for each new session, if not nil
	again   func(*godwit.Conn) string // returns Seat.Again for a session, if not nil
}

// newGame returns a game, with the server that listen makes of a configuration.
func newGame(listen func(godwit.Config) (*godwit.Server, error)) (*game, error) {
	g := &game{players: make(map[uint8]*player)}
	c, err := typed.Server(table, config, table.Input.On(g.steer), table.Chat.On(g.say), table.Join.Serve(g.join))
	if err != nil {
		return nil, err
	}
	if g.server, err = listen(c); err != nil {
		return nil, err
	}
	g.all = g.server.NewGroup()
	return g, nil
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

// handle processes what happens to a player, apart from messages and requests.
func (g *game) handle(ev godwit.Event) {
	if ev.Type == session.EventOpen && g.opened != nil {
		g.opened(ev.Conn)
	}
	p, ok := ev.Conn.User.(*player)
	if !ok {
		return
	}
	switch ev.Type {
	case session.EventInterrupted:
		p.away = true
	case session.EventResumed:
		p.away = false
	case session.EventClose:
		delete(g.players, p.id)
		g.tell(News{Kind: Left, ID: p.id})
	}
}

// tell sends news to all players. A player whose queue has no room for them would have a wrong list of players from then on: that
// session ends, and the page begins a new one.
func (g *game) tell(n News) {
	for _, p := range g.players {
		if errors.Is(table.News.Send(p.conn, n), session.ErrBudget) {
			p.conn.Close(session.CloseTimeout, "too many news wait for this player")
		}
	}
}

func (g *game) join(c *godwit.Conn, q Name, r typed.Reply[Seat]) {
	name, ok := line(q.Name, maxName)
	switch {
	case c.User != nil:
		r.Reject("you are in the game already")
		return
	case !ok:
		r.Reject(fmt.Sprintf("a name has 1 to %d characters", maxName))
		return
	}
	id := uint8(1) // the first that is free
	for g.players[id] != nil {
		id++
	}
	if id > maxID {
		r.Reject("the game is full") // MaxConns counts a session no more before Poll has yielded its end
		return
	}
	p := &player{
		id: id, name: name, conn: c, x: (width - side) / 2, y: (height - side) / 2,
		inputs: parts.NewInputs(g.tick, parts.InputsConfig[Input]{Hold: hold}), touch: true, lines: talk,
	}
	for _, other := range g.players {
		table.News.Send(c, News{Here, other.id, other.name})
	}
	g.players[p.id], c.User = p, p
	g.all.Join(c)
	g.tell(News{Joined, p.id, name})
	seat := Seat{ID: p.id}
	if g.again != nil {
		seat.Again = g.again(c)
	}
	r.Reply(seat)
}

func (g *game) say(c *godwit.Conn, l Line) {
	p, ok := c.User.(*player)
	if text, good := line(l.Text, maxText); ok && good && p.lines > 0 {
		p.lines--
		g.tell(News{Said, p.id, text})
	}
}

// steer keeps inputs for their ticks. A tick uses one input of a player, so more of them do not move the
// box faster.
func (g *game) steer(c *godwit.Conn, m Moves) {
	if p, ok := c.User.(*player); ok {
		p.inputs.Add(m.Tick, m.Inputs)
	}
}

// move returns where a box at x, y is after a tick with an input: it limits the speed, whatever length
// the direction has. The page has the same function, to show the own box at once.
func move(x, y int, in Input) (int, int) {
	f := speed / max(1, math.Hypot(in.X, in.Y))
	return min(max(x+int(in.X*f), 0), width-side), min(max(y+int(in.Y*f), 0), height-side)
}

// advance runs one tick.
func (g *game) advance() {
	g.tick++
	w := World{Tick: g.tick}
	for _, p := range g.players {
		in, _ := p.inputs.Take(g.tick)
		p.x, p.y = move(p.x, p.y, in)
		if g.tick%tell == 0 {
			if early, ok := p.inputs.Early(); ok {
				table.Early.Send(p.conn, Early{early})
			}
		}
		if g.tick%rate == 0 {
			p.lines = min(p.lines+1, talk)
		}
	}
	g.tag()
	w.It = g.it
	for _, p := range g.players {
		w.Boxes = append(w.Boxes, Box{p.id, p.x, p.y, p.away})
	}
	table.World.SendGroup(g.all, w)
}

// tag is the goal of the game: the player that is "it" is to touch the box of another one, which is "it" then. Boxes that
// touch already do not count: they must part first. A player that is away is not touched. If the one that is "it" leaves or is
// away, another one is. Alone nobody is.
func (g *game) tag() {
	it, present := g.players[g.it], 0
	first := uint8(0) // the present player with the least number
	for id, p := range g.players {
		if p.away {
			continue
		}
		if present++; first == 0 || id < first {
			first = id
		}
	}
	next := g.it
	switch {
	case present < 2:
		next = 0
	case it == nil || it.away:
		next = first
	default:
		for id := uint8(1); id <= maxID && next == g.it; id++ {
			if p := g.players[id]; p != nil && p != it && !p.away && !p.touch && touch(p, it) {
				next = id
			}
		}
	}
	g.it = next
	it = g.players[next]
	for _, p := range g.players {
		p.touch = it != nil && touch(p, it)
	}
}

// touch reports whether two boxes touch.
func touch(a, b *player) bool { return max(a.x-b.x, b.x-a.x) < side && max(a.y-b.y, b.y-a.y) < side }

// line returns the text that a page says, and false if the text is empty or too long.
func line(s string, most int) (string, bool) {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s))
	return s, s != "" && utf8.RuneCountInString(s) <= most
}
