package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/relay"
)

// output is what a run prints. Any goroutine may use it.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func newOutput() *output { return &output{more: make(chan struct{}, 1)} }

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(b)
}

// find waits until the output has a match, and returns its first group.
func (o *output) find(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(20 * time.Second)
	for {
		o.mu.Lock()
		m := re.FindStringSubmatch(o.text.String())
		o.mu.Unlock()
		if m != nil {
			return m[1]
		}
		select {
		case <-o.more:
		case <-timeout:
			o.mu.Lock()
			defer o.mu.Unlock()
			t.Fatalf("no %s in the output:\n%s", pattern, o.text.String())
		}
	}
}

// The relay runs with the nodes of its flags and its file, reads the file again, shows its counters, and ends
// with its context.
func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nodes")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("# nodes\n2 127.0.0.1:2002\n\n3=localhost:2003 # by name\n")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, again, ended := newOutput(), make(chan os.Signal), make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-listen", "127.0.0.1:0", "-inner", "127.0.0.1:0", "-node", "1=127.0.0.1:2001", "-nodes", file, "-metrics", "127.0.0.1:0"}, out, again)
	}()
	out.find(t, `relay: listening" public=(127\.0\.0\.1:\d+) inner=127\.0\.0\.1:\d+ nodes=3`)
	url := out.find(t, `url=(http://\S+)`)
	metrics := func() string {
		resp, err := http.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if text := metrics(); !strings.Contains(text, `godwit_relay_node_datagrams_total{node="3",direction="up"} 0`) {
		t.Errorf("the counters are\n%s", text)
	}
	write("4 127.0.0.1:2004\n")
	again <- syscall.SIGHUP
	out.find(t, `list of nodes is new" nodes=(2)`)
	if text := metrics(); !strings.Contains(text, `node="4"`) || strings.Contains(text, `node="3"`) {
		t.Errorf("after the file has changed, the counters are\n%s", text)
	}
	write("4\n")
	again <- syscall.SIGHUP
	out.find(t, `(stays as it was)`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// With -every the relay reads its nodes again by itself. A node whose name is not found is left out at first, and later has the
// address that it had, unless another node has that.
func TestEvery(t *testing.T) {
	file := filepath.Join(t.TempDir(), "nodes")
	write := func(text string) {
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	write("1 127.0.0.1:2001\n2 nowhere..invalid:2002\n")
	ctx, cancel := context.WithCancel(t.Context())
	out, ended := newOutput(), make(chan error, 1)
	go func() {
		ended <- run(ctx, []string{"-listen", "127.0.0.1:0", "-inner", "127.0.0.1:0", "-nodes", file, "-every", "10ms"}, out, nil)
	}()
	out.find(t, `relay: listening".* nodes=(1)`)
	write("1 127.0.0.1:2001\n2 127.0.0.1:2002\n3 127.0.0.1:2003\n")
	out.find(t, `list of nodes is new" nodes=(3)`)
	write("3 nowhere..invalid:2003\n4 127.0.0.1:2001\n")
	out.find(t, `list of nodes is new" nodes=(2)`)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	o := &options{nodes: []string{"1=127.0.0.1:2001", "2=nowhere..invalid:2002", "3=nowhere..invalid:2003"}, every: time.Second}
	at := func(number uint32, addr string) relay.Node {
		return relay.Node{Number: number, Addr: netip.MustParseAddrPort(addr)}
	}
	nodes, err := o.list(t.Context(), []relay.Node{at(1, "127.0.0.1:1"), at(2, "127.0.0.1:2002"), at(3, "127.0.0.1:2001"), at(4, "127.0.0.1:2004")})
	if want := []relay.Node{at(1, "127.0.0.1:2001"), at(2, "127.0.0.1:2002")}; err != nil || !slices.Equal(nodes, want) {
		t.Errorf("the nodes are %v, %v; want %v", nodes, err, want)
	}
}

func TestMistakes(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "nodes")
	if err := os.WriteFile(bad, []byte("1 127.0.0.1:1\nx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"needs servers":   {},
		"-node x":         {"-node", "x"},
		"-node 1=2":       {"-node", "1=2"},
		"-node 1=h:x":     {"-node", "1=h:x"},
		"-node 1=h:99999": {"-node", "1=h:99999"},
		"nodes:2":         {"-nodes", bad},
		"no such file":    {"-nodes", bad + "x"},
		"is no flag":      {"-node", "1=127.0.0.1:1", "x"},
		"not defined":     {"-x"},
		"two addresses":   {"-node", "1=127.0.0.1:1", "-node", "1=127.0.0.1:2"},
		"MaxClients":      {"-node", "1=127.0.0.1:1", "-max-clients", "-1"},
		"like :7777":      {"-node", "1=127.0.0.1:1", "-listen", "7777"},
		"-every":          {"-node", "1=127.0.0.1:1", "-every", "-1s"},
		"no such host":    {"-node", "1=nowhere..invalid:1"},
		"-metrics":        {"-node", "1=127.0.0.1:1", "-listen", "127.0.0.1:0", "-inner", "127.0.0.1:0", "-metrics", "x"},
	} {
		if err := run(t.Context(), args, io.Discard, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error with %q", args, err, want)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"-help"}, &help, nil); !errors.Is(err, flag.ErrHelp) || !strings.Contains(help.String(), "-max-clients") {
		t.Errorf("-help: %v\n%s", err, help.String())
	}
}
