//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godwit-rtc/godwit/internal/load"
	"github.com/godwit-rtc/godwit/interop/game"
	"github.com/godwit-rtc/godwit/session"
)

// A process is a running server.
type process struct {
	announcement
	cmd   *exec.Cmd
	input io.Closer
}

// pinned returns a command that runs this program on one core; with a nice of 19 at the
// lowest priority.
func pinned(ctx context.Context, cpu string, nice int, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return pin(exec.CommandContext(ctx, self, args...), ctx, cpu, nice), nil
}

// pin returns a command that runs cmd on one core.
func pin(cmd *exec.Cmd, ctx context.Context, cpu string, nice int) *exec.Cmd {
	args := append([]string{"-c", cpu, "nice", "-n", strconv.Itoa(nice), cmd.Path}, cmd.Args[1:]...)
	pinned := exec.CommandContext(ctx, "taskset", args...)
	pinned.Env, pinned.Stderr = cmd.Env, os.Stderr
	pinned.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return pinned
}

// command returns the command that runs the server.
func (b *bench) command(flags []string) (*exec.Cmd, error) {
	if w := ways[b.server]; slices.Contains(game.NodeNames, w.server) {
		rate := game.Rate
		for i, f := range flags {
			if f == "-hz" {
				rate, _ = strconv.Atoi(flags[i+1])
			}
		}
		cmd, err := game.Node(b.ctx, w.server, "127.0.0.1", "0", rate)
		if err != nil {
			return nil, err
		}
		return pin(cmd, b.ctx, b.options.serverCPU, 0), nil
	}
	return pinned(b.ctx, b.options.serverCPU, 0, append(append([]string{"serve"}, flags...), b.server)...)
}

// start starts a server and waits until it is ready.
func (b *bench) start(flags ...string) (*process, error) {
	cmd, err := b.command(flags)
	if err != nil {
		return nil, err
	}
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w (taskset is needed: install util-linux)", err)
	}
	p := &process{cmd: cmd, input: input}
	if err := json.NewDecoder(output).Decode(&p.announcement); err != nil {
		p.stop()
		return nil, fmt.Errorf("the server did not start: %w", err)
	}
	return p, nil
}

func (p *process) stop() {
	p.input.Close()
	p.cmd.Wait()
}

// ask gets a value in JSON from the server.
func (p *process) ask(path string, v any) error {
	resp, err := http.Get(p.Control + path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(v)
}

// goroutines returns the number of the server's goroutines, without those that answer this request.
func (p *process) goroutines() (n int, err error) {
	return n, p.ask("/goroutines", &n)
}

// collect makes the server collect its garbage and return the memory to the system.
func (p *process) collect() error {
	resp, err := http.Get(p.Control + "/gc")
	if err != nil {
		return err
	}
	resp.Body.Close()
	return nil
}

// rss returns the server's resident memory in KB.
func (p *process) rss() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "Rss:" {
			return strconv.ParseFloat(f[1], 64)
		}
	}
	return 0, fmt.Errorf("no Rss in smaps_rollup")
}

// A loader is a running load.
type loader struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{} // closed when the process has ended
	err  error         // valid when done is closed
}

// load starts a load on p.
func (b *bench) load(p *process, mode load.Mode, clients int, duration time.Duration, flags ...string) (*loader, error) {
	args := []string{
		"load", "-mode", string(mode), "-url", p.Load, "-clients", strconv.Itoa(clients),
		"-duration", duration.String(), "-warmup", "1s", "-pid", strconv.Itoa(p.cmd.Process.Pid),
	}
	if strings.HasPrefix(b.server, "channels") {
		args = append(args, "-channel", channelName)
	}
	links := ways[b.server].links
	if links != "" {
		args = append(args, "-channel", "input")
	}
	switch {
	case strings.HasSuffix(b.server, "-websocket"):
		links = session.LinkWebSocket
	case strings.HasSuffix(b.server, "-webtransport"):
		links = session.LinkWebTransport
	}
	if links != "" {
		args = append(args, "-links", links)
	}
	nice := 0
	if mode == load.Storm {
		nice = 19 // other measurements on this core have priority
	}
	cmd, err := pinned(b.ctx, b.options.loadCPU, nice, append(args, flags...)...)
	if err != nil {
		return nil, err
	}
	l := &loader{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout = &l.out
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		l.err = cmd.Wait()
		close(l.done)
	}()
	return l, nil
}

// ended reports whether the load has ended.
func (l *loader) ended() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// kill ends the load.
func (l *loader) kill() {
	l.cmd.Process.Kill()
	<-l.done
}

// wait waits for the load's report.
func (l *loader) wait() (*load.Report, error) {
	if <-l.done; l.err != nil {
		return nil, fmt.Errorf("the load failed: %w", l.err)
	}
	r := new(load.Report)
	return r, json.Unmarshal(l.out.Bytes(), r)
}

// run makes a load on p and returns its report.
func (b *bench) run(p *process, mode load.Mode, clients int, duration time.Duration, flags ...string) (*load.Report, error) {
	l, err := b.load(p, mode, clients, duration, flags...)
	if err != nil {
		return nil, err
	}
	r, err := l.wait()
	if err == nil && r.Failed > 0 {
		fmt.Fprintf(os.Stderr, "  %d of %d clients did not connect: %s\n", r.Failed, r.Clients, r.LastError)
	}
	if err == nil && r.Loss > 0.01 {
		fmt.Fprintf(os.Stderr, "  %.1f %% of the messages were lost\n", 100*r.Loss)
	}
	if err == nil && r.LoadDrops > 0 {
		fmt.Fprintf(os.Stderr, "  %d datagrams were dropped because the load was too slow\n", r.LoadDrops)
	}
	return r, err
}
