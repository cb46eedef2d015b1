package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

// A terminal is somebody who chats without a page: the host, or one who joins over the network.
type terminal struct {
	name string
	in   io.Reader
	out  io.Writer
	here atomic.Pointer[People] // those who are here
}

// host chats with a server in this process.
func (t *terminal) host(ctx context.Context, srv *godwit.Server) error {
	c, err := typed.Local(table, godwit.LocalConfig{Handler: godwit.Handler{
		Close: func(_ *godwit.Conn, why session.CloseReason) { fmt.Fprintln(t.out, "*", why) },
	}}, t.handlers()...)
	if err != nil {
		return err
	}
	conn, err := srv.Local(c)
	if err != nil {
		return err
	}
	return t.chat(ctx, typed.OverLocal(conn))
}

// join chats with the server at a URL.
func (t *terminal) join(ctx context.Context, url string) error {
	c, err := typed.Client(table, client.SessionConfig{Handler: client.SessionHandler{
		Interrupted: func(*client.Session) { fmt.Fprintln(t.out, "* the server is not heard: looking for another way to it") },
		Resumed:     func(*client.Session) { fmt.Fprintln(t.out, "* connected again") },
		Close:       func(_ *client.Session, why session.CloseReason) { fmt.Fprintln(t.out, "*", why) },
	}}, t.handlers()...)
	if err != nil {
		return err
	}
	s, err := client.Connect(ctx, url, client.Config{}, c)
	if err != nil {
		return err
	}
	return t.chat(ctx, typed.Over(s))
}

func (t *terminal) handlers() []typed.ClientHandler {
	return []typed.ClientHandler{
		table.Log.On(t.read),
		table.Here.On(func(_ typed.ClientEnd, p People) { t.here.Store(&p) }),
	}
}

// chat says the lines of the input until it ends, or the session.
func (t *terminal) chat(ctx context.Context, me typed.ClientEnd) error {
	why := ""
	defer func() {
		me.Close(session.CloseNormal, why)
		<-me.Done()
	}()
	if _, err := table.Enter.Request(ctx, me, Name{t.name}); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(t.in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-me.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-me.Done():
			return nil
		case line, ok := <-lines:
			command, rest, _ := strings.Cut(line, " ")
			if !ok || command == "/leave" {
				why = rest
				return nil
			}
			if err := t.do(ctx, me, command, rest, line); err != nil {
				fmt.Fprintln(t.out, "*", err)
			}
		}
	}
}

// do does what a line says.
func (t *terminal) do(ctx context.Context, me typed.ClientEnd, command, rest, line string) error {
	switch {
	case command == "/who":
		for _, p := range t.here.Load().People {
			fmt.Fprintln(t.out, "*", p)
		}
	case command == "/kick":
		name, why, _ := strings.Cut(rest, " ")
		_, err := table.Kick.Request(ctx, me, Kick{name, why})
		return err
	case strings.HasPrefix(command, "/"):
		fmt.Fprintln(t.out, "* /who  /kick NAME why  /leave why")
	default:
		return table.Say.Send(me, Line{line})
	}
	return nil
}

// read prints what has happened.
func (t *terminal) read(_ typed.ClientEnd, l Log) {
	for _, e := range l.Entries {
		fmt.Fprintln(t.out, e)
	}
}

func (p Person) String() string {
	s := p.Name
	if p.Host {
		s += " (host)"
	}
	if p.Away {
		s += " (away)"
	}
	return s
}

func (e Entry) String() string {
	s := e.At.Local().Format("15:04 ") + [...]string{"", "* ", "* ", "* "}[e.Kind] + e.Name + [...]string{"", " enters", " leaves", " is kicked"}[e.Kind]
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}
