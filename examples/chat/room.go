package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

const history = 100 // entries that one who comes gets

var table = typed.Must[Table]()

// config is the server's configuration.
var config = godwit.Config{
	Manual:   true, // one goroutine has everything: room.run
	MaxConns: 100,
	Limits:   godwit.Limits{Messages: 20}, // per second: nobody writes faster
	Silence:  4 * time.Second,             // after this time somebody is shown as away; after Grace it leaves
}

// A room is the state of the chat. Only the goroutine of run uses it.
type room struct {
	server *godwit.Server
	people []*godwit.Conn // with a *Person as User, in the order in which they came
	log    []Entry
}

// newRoom returns a room, with the server that listen makes of a configuration.
func newRoom(listen func(godwit.Config) (*godwit.Server, error)) (*room, error) {
	r := &room{}
	c, err := typed.Server(table, config, table.Enter.Serve(r.enter), table.Kick.Serve(r.kick), table.Say.On(r.say))
	if err != nil {
		return nil, err
	}
	if r.server, err = listen(c); err != nil {
		return nil, err
	}
	return r, nil
}

// run runs the chat until ctx ends. Then it closes the sessions, which takes at most 3 s.
func (r *room) run(ctx context.Context) error {
	for ctx.Err() == nil {
		for ev := range r.server.Poll(time.Second / 10) {
			if ev.Type == session.EventEnded {
				return ev.Err
			}
			r.handle(ev)
		}
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	r.server.Shutdown(end, "the server ends")
	return nil
}

// handle processes what happens to somebody, apart from messages and requests.
func (r *room) handle(ev godwit.Event) {
	p, ok := ev.Conn.User.(*Person)
	if !ok {
		return
	}
	switch ev.Type {
	case session.EventInterrupted, session.EventResumed:
		p.Away = ev.Type == session.EventInterrupted
	case session.EventClose:
		r.people = slices.DeleteFunc(r.people, func(c *godwit.Conn) bool { return c == ev.Conn })
		kind, why := Left, ev.Reason.Text
		switch ev.Reason.Code {
		case session.CloseNormal:
		case session.CloseKicked:
			kind = Kicked
		default:
			why = ev.Reason.Code.String()
		}
		why, _ = clean(why, maxText)
		r.add(Entry{time.Now(), kind, p.Name, why})
	}
	r.show()
}

func (r *room) enter(c *godwit.Conn, q Name, reply typed.Reply[Name]) {
	name, ok := clean(q.Name, maxName)
	switch {
	case c.User != nil:
		reply.Reject("you are here already")
		return
	case !ok || strings.Contains(name, " "):
		reply.Reject(fmt.Sprintf("a name is one word of 1 to %d characters", maxName))
		return
	case r.find(name) != nil:
		reply.Reject(name + " is here already")
		return
	}
	c.User = &Person{Name: name, Host: c.Kind() == godwit.KindInProcess}
	r.people = append(r.people, c)
	reply.Reply(Name{name})
	table.Log.Send(c, Log{r.log})
	r.add(Entry{time.Now(), Entered, name, ""})
	r.show()
}

func (r *room) say(c *godwit.Conn, l Line) {
	p, ok := c.User.(*Person)
	if text, good := clean(l.Text, maxText); ok && good {
		r.add(Entry{time.Now(), Said, p.Name, text})
	}
}

func (r *room) kick(c *godwit.Conn, q Kick, reply typed.Reply[Done]) {
	other := r.find(q.Name)
	why, _ := clean(q.Why, maxText)
	switch {
	case c.Kind() != godwit.KindInProcess:
		reply.Reject("only the host may do this")
	case other == nil || other == c:
		reply.Reject("there is no guest with this name")
	default:
		other.Kick(why)
		reply.Reply(Done{})
	}
}

// find returns the client of the one who is called so, or nil.
func (r *room) find(name string) *godwit.Conn {
	for _, c := range r.people {
		if c.User.(*Person).Name == name {
			return c
		}
	}
	return nil
}

// add tells all what has happened, and keeps it for those who come later.
func (r *room) add(e Entry) {
	r.log = append(r.log, e)
	r.log = r.log[max(0, len(r.log)-history):]
	tell(r, &table.Log, Log{[]Entry{e}})
}

// show tells all who is here.
func (r *room) show() {
	var p People
	for _, c := range r.people {
		p.People = append(p.People, *c.User.(*Person))
	}
	tell(r, &table.Here, p)
}

// tell sends a message to all. Somebody whose queue has no room for it would never get it: that session ends, and a page begins a new
// one, which gets the history.
func tell[T any](r *room, to *typed.ToClient[T], m T) {
	for _, c := range r.people {
		if errors.Is(to.Send(c, m), session.ErrBudget) {
			c.Close(session.CloseTimeout, "too much waits for you")
		}
	}
}

// clean returns the printable part of s, and false if it is empty or has too many characters.
func clean(s string, most int) (string, bool) {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, s)
	s = strings.TrimSpace(s)
	n := utf8.RuneCountInString(s)
	return s, 0 < n && n <= most
}
