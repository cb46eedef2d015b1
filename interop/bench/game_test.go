//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/load"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/interop/game"
)

// Each server of the game receives inputs and sends states, over each link, to the client that loads it.
func TestGame(t *testing.T) {
	for _, name := range append([]string{"game-handlers"}, playerServers...) {
		t.Run(name, func(t *testing.T) {
			w := ways[name]
			if slices.Contains(game.NodeNames, w.server) {
				playsInNode(t, w)
				return
			}
			mux := http.NewServeMux()
			web := httptest.NewServer(mux)
			defer web.Close()
			g, err := game.New(w.server, web.Listener.Addr().String(), game.Config{Rate: 100, Poll: w.poll}, mux)
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			plays(t, w, g.Load)
			until(t, func() bool { return g.Taken() > 0 && g.Ticks() > 0 })
		})
	}
}

// plays puts a short load on a server, again until a client gets a state.
func plays(t *testing.T, w way, url string) {
	t.Helper()
	var c load.GodwitConfig
	if w.links != "" {
		c = load.GodwitConfig{Channels: []string{"input"}, Links: []string{w.links}}
	}
	for {
		r := runLoad(t, url, c, load.Config{
			Mode: load.Play, Clients: 5, Rate: 100, Size: game.InputSize, Duration: 100 * time.Millisecond, Parallel: 2,
		})
		if r.Connected != 5 {
			t.Fatalf("%+v, want 5 connections", r)
		}
		if r.Received > 0 {
			return
		}
	}
}

func playsInNode(t *testing.T, w way) {
	cmd, err := game.Node(t.Context(), w.server, "127.0.0.1", "0", 100)
	if err != nil {
		t.Skipf("%v", err)
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer input.Close()
	line, err := bufio.NewReader(output).ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var a announcement
	if err := json.Unmarshal(line, &a); err != nil {
		t.Fatal(err)
	}
	plays(t, w, a.Load)
	p := &process{announcement: a}
	var taken, ticks uint64
	until(t, func() bool {
		var f game.Figures
		if err := p.ask("/ticks", &f); err != nil {
			t.Fatal(err)
		}
		taken, ticks = taken+f.Taken, ticks+f.Ticks
		return taken > 0 && ticks > 0
	})
	if n, err := p.goroutines(); err != nil || n == 0 {
		t.Errorf("%v: %d handles", err, n)
	}
	if err := p.collect(); err != nil {
		t.Error(err)
	}
}

// A load that ends before all players have joined ends the wait for them.
func TestLoadThatEndsTooEarly(t *testing.T) {
	nobody := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("{}")) }))
	defer nobody.Close()
	l := &loader{done: make(chan struct{})}
	close(l.done)
	b := &bench{ctx: t.Context()}
	_, err := b.ticks(&process{announcement: announcement{Control: nobody.URL}}, l, 5, 0)
	if err == nil || !strings.Contains(err.Error(), "0 of 5") {
		t.Errorf("%v, want that 0 of 5 players had joined", err)
	}
}

// until waits until f returns true.
func until(t *testing.T, f func() bool) {
	t.Helper()
	for begin := time.Now(); !f(); <-time.After(5 * time.Millisecond) {
		if time.Since(begin) > testkit.Patience {
			t.Fatal("it does not happen")
		}
	}
}
