package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/fleet"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

func TestMain(m *testing.M) { testkit.Main(m, "/fleet.", "/nats%2ego.", "/relay.") }

// lines gives each write, which is a line, to the test.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	l <- string(b)
	return len(b), nil
}

// find waits for a line with a text.
func (l lines) find(t *testing.T, text string) {
	t.Helper()
	for deadline := time.After(time.Minute); ; {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return
			}
		case <-deadline:
			t.Fatalf("no line with %q", text)
		}
	}
}

// The relay hears of a node over NATS, with a password, and that it has left. It ends with its context.
func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	hub := join(t, fleet.Config{Listen: "127.0.0.1:0", User: "relays", Password: "secret", Prefix: "game"})
	args := []string{"-nats", hub.NATSAddress(), "-user", "relays", "-prefix", "game", "-listen", "127.0.0.1:0", "-inner", "127.0.0.1:0"}
	if err := run(ctx, args, func(string) string { return "guess" }, io.Discard); err == nil || !strings.Contains(err.Error(), "NATS") {
		t.Errorf("with a wrong password: %v, want an error of NATS", err)
	}
	out, ended := make(lines, 1024), make(chan error, 1)
	env := map[string]string{"GODWIT_NATS_PASSWORD": "secret"}
	go func() { ended <- run(ctx, args, func(name string) string { return env[name] }, out) }()
	out.find(t, "relay: listening")
	n := join(t, fleet.Config{NATS: hub.NATSAddress(), User: "relays", Password: "secret", Prefix: "game"})
	srv, err := n.Listen("127.0.0.1:0", godwit.Config{RTC: rtcserver.Settings{Node: 7}, Channels: godwit.Channels{{Name: "chat"}}})
	if err != nil {
		t.Fatal(err)
	}
	out.find(t, `list of nodes is new" nodes=1`)
	srv.Close()
	n.Close()
	out.find(t, `list of nodes is new" nodes=0`)
	cancel()
	if err := testkit.Next(t, "the end", ended); err != nil {
		t.Error(err)
	}
}

func join(t *testing.T, c fleet.Config) *fleet.Fleet {
	t.Helper()
	f, err := fleet.Join(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestMistakes(t *testing.T) {
	for want, args := range map[string][]string{
		"-nats is missing": {},
		"is no flag":       {"-nats", "nats://127.0.0.1:1", "x"},
		"not defined":      {"-x"},
		"fleet: NATS":      {"-nats", "nats://127.0.0.1:1"},
		"Config.Prefix":    {"-nats", "nats://127.0.0.1:1", "-prefix", "a.b"},
	} {
		if err := run(t.Context(), args, os.Getenv, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", args, err, want)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, os.Getenv, &help); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-max-clients") {
		t.Errorf("-help: %v\n%s", err, help.String())
	}
}
