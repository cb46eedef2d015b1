package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// network is a bad network that runs: a relay or a TUN link.
type network interface {
	SetUp(netsim.Link)
	SetDown(netsim.Link)
	BlackoutFor(time.Duration)
	Rebind() error
	Err() error
	Close() error

	// stats returns the counters, and the words on clients in a status and at the end.
	stats() (s netsim.TunStats, status, total string)
}

// relayed is a relay as a network.
type relayed struct{ *netsim.Relay }

func (r relayed) stats() (s netsim.TunStats, status, total string) {
	now := r.Stats()
	s = netsim.TunStats{
		Up: now.Up, Down: now.Down, UpBacklog: now.UpBacklog, DownBacklog: now.DownBacklog,
		UnderWay: now.UnderWay, Failed: now.Failed,
	}
	return s, fmt.Sprintf("clients %d  ", now.Clients), " " + plural(uint64(now.Clients)+now.Evicted, "client")
}

// console changes a running network and prints what it does. One goroutine uses it.
type console struct {
	network    network
	conditions *conditions
	out        io.Writer
	quiet      bool

	ticks int
	seen  netsim.TunStats // figures at the last status
}

// serve executes commands and prints the status until ctx ends, the command quit comes or
// the network fails. The end of the input does not end it.
func serve(ctx context.Context, c *console, in io.Reader, ticks <-chan time.Time) error {
	commands := make(chan string)
	go func() {
		defer close(commands)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			select {
			case commands <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	defer c.total()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks:
			if err := c.network.Err(); err != nil {
				return err
			}
			c.status()
		case line, ok := <-commands:
			if !ok {
				commands = nil
				continue
			}
			if quit := c.obey(line); quit {
				return nil
			}
		}
	}
}

// obey executes one command.
func (c *console) obey(line string) (quit bool) {
	name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
	value = strings.TrimSpace(value)
	switch name {
	case "":
	case "quit":
		return true
	case "help":
		fmt.Fprint(c.out, commands)
	case "show":
		fmt.Fprint(c.out, c.conditions)
	case "rebind":
		if err := c.network.Rebind(); err != nil {
			fmt.Fprintln(c.out, "rebind:", err)
			return false
		}
		fmt.Fprintln(c.out, "every client has a new address")
	case "blackout":
		d, err := parseTime(value)
		if err != nil {
			fmt.Fprintf(c.out, "blackout %q %v\n", value, err)
			return false
		}
		c.network.BlackoutFor(d)
		fmt.Fprintf(c.out, "blackout for %v\n", d)
	default:
		if err := c.conditions.set(name, value); err != nil {
			fmt.Fprintln(c.out, err)
			return false
		}
		up, down := c.conditions.links()
		c.network.SetUp(up)
		c.network.SetDown(down)
		fmt.Fprint(c.out, c.conditions)
	}
	return false
}

// status prints what happened since it was called last.
func (c *console) status() {
	c.ticks++
	if c.quiet {
		return
	}
	s, clients, _ := c.network.stats()
	fmt.Fprintf(c.out, "%4d s  %s%s  %s  under way %d\n", c.ticks, clients,
		direction("up", s.Up, c.seen.Up, s.UpBacklog), direction("down", s.Down, c.seen.Down, s.DownBacklog), s.UnderWay)
	if n := s.Failed - c.seen.Failed; n > 0 {
		fmt.Fprintf(c.out, "        %d datagrams could not be written\n", n)
	}
	c.seen = s
}

func direction(name string, now, then netsim.LinkStats, backlog int) string {
	passed, bytes := now.Passed-then.Passed, now.PassedBytes-then.PassedBytes
	return fmt.Sprintf("| %s passed %d (%d B) lost %d queue %d B", name, passed, bytes, lost(now)-lost(then), backlog)
}

// lost returns the number of datagrams that were sent and did not pass.
func lost(s netsim.LinkStats) uint64 { return s.Sent - s.Passed }

// total prints the figures of the whole run.
func (c *console) total() {
	s, _, clients := c.network.stats()
	fmt.Fprintf(c.out, "total%s\n%s\n%s\n", clients, sum("up  ", s.Up), sum("down", s.Down))
}

func plural(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func sum(name string, s netsim.LinkStats) string {
	return fmt.Sprintf("  %s sent %d passed %d lost %d queue-dropped %d too-large %d doubled %d reordered %d damaged %d",
		name, s.Sent, s.Passed, s.Lost, s.QueueDropped, s.TooLarge, s.Duplicated, s.Reordered, s.Corrupted)
}
