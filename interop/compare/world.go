//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A world has what the cells share.
type world struct {
	ctx     context.Context
	options options
	dir     string // of the built programs
	apart   *netsim.Tun
}

func (w *world) close() {
	if w.apart != nil {
		w.apart.Close()
	}
}

// build builds a program, or, without a package, the tests of package interop, once.
func (w *world) build(name, pkg string) (string, error) {
	file := filepath.Join(w.dir, name)
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	args := []string{"build", "-o", file, pkg}
	if pkg == "" {
		args = []string{"test", "-c", "-o", file, "."}
	}
	cmd := exec.CommandContext(w.ctx, "go", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go %s, which must run in the directory interop: %w\n%s", strings.Join(args, " "), err, out)
	}
	return file, nil
}

// run runs a program and returns its output, also with an error. Its progress goes to the log. SIGTERM, which ends it when the
// context is done, lets it remove its children and its namespaces.
func (w *world) run(program string, args ...string) ([]byte, error) {
	return w.start(program, args, func(f func() error) error { return f() })
}

// runAlone is run in a network namespace of its own, if this process may make one. Otherwise the loopback interface
// may carry the traffic of others.
func (w *world) runAlone(program string, args ...string) ([]byte, error) {
	if w.apart == nil {
		tun, err := netsim.OpenTun(netsim.TunConfig{})
		if errors.Is(err, errors.ErrUnsupported) {
			fmt.Fprintln(w.options.log, "bytes on the wire may have those of others:", err)
			return w.run(program, args...)
		}
		if err != nil {
			return nil, err
		}
		w.apart = tun
	}
	return w.start(program, args, w.apart.Near().Do)
}

func (w *world) start(program string, args []string, in func(func() error) error) ([]byte, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(w.ctx, program, args...)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, tests{w.options.log}), io.MultiWriter(&said, w.options.log)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := in(cmd.Start); err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		lines := strings.Split(strings.TrimSpace(said.String()+out.String()), "\n")
		return out.Bytes(), fmt.Errorf("%s: %w: %s", filepath.Base(program), err, lines[len(lines)-1])
	}
	return out.Bytes(), nil
}

// tests passes on the names of benchmarks.
type tests struct{ log io.Writer }

func (t tests) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if name, _, ok := strings.Cut(line, " "); ok && strings.HasPrefix(name, "Benchmark") {
			fmt.Fprintf(t.log, "  %s\n", name)
		}
	}
	return len(b), nil
}

// versions returns the versions of everything that is measured.
func (w *world) versions() string {
	all := []string{}
	if out, err := exec.CommandContext(w.ctx, "chromium", "--version").Output(); err == nil {
		name, _, _ := strings.Cut(strings.TrimSpace(string(out)), " built")
		all = append(all, name)
	}
	if out, err := exec.CommandContext(w.ctx, "node", "--version").Output(); err == nil {
		all = append(all, "Node "+strings.TrimSpace(string(out)))
	}
	for _, name := range []string{"pion/webrtc/v4", "coder/websocket", "quic-go/webtransport-go", "quic-go/quic-go"} {
		if out, err := exec.CommandContext(w.ctx, "go", "list", "-m", "github.com/"+name).Output(); err == nil {
			all = append(all, strings.TrimPrefix(strings.TrimSpace(string(out)), "github.com/"))
		}
	}
	for _, name := range []string{"ws", "socket.io", "@colyseus/core"} {
		all = append(all, name+" "+installed(name))
	}
	return strings.Join(all, ", ")
}
