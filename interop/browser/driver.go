package browser

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// order is one line to the driver; driver.mjs documents the exchange.
type order struct {
	ID      int    `json:"id"`
	Do      string `json:"do"`
	Browser string `json:"browser,omitempty"`
	Own     bool   `json:"own,omitempty"`
	Path    string `json:"path,omitempty"`
	Pin     string `json:"pin,omitempty"`

	Args []string `json:"args,omitempty"` // of Chromium

	URL    string `json:"url,omitempty"`
	Page   int    `json:"page,omitempty"`
	JS     string `json:"js,omitempty"`
	Arg    any    `json:"arg,omitempty"`
	Method string `json:"method,omitempty"`
}

// reply is one line from the driver: the answer to an order if ID is set, otherwise the
// output of a page.
type reply struct {
	ID      int             `json:"id"`
	Value   json.RawMessage `json:"value"`
	Error   string          `json:"error"`
	Page    int             `json:"page"`
	Console string          `json:"console"`
	Text    string          `json:"text"`
}

// driver is the node process that controls one browser. Any goroutine may give orders; one
// goroutine reads the answers.
type driver struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	gone   chan struct{} // closed when the process has closed its output

	// Not mu, which read needs: a process that cannot write its output reads no more orders.
	writing sync.Mutex // held for an order on stdin

	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
	listen  map[int]func(console, text string)
}

// stopTimeout is the time that a driver has to close its browser before it is killed.
const stopTimeout = 10 * time.Second

func startDriver(n *network) (*driver, error) {
	_, self, _, _ := runtime.Caller(0)
	dir := filepath.Join(filepath.Dir(self), "driver")
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		return nil, fmt.Errorf("run npm ci in interop/browser/driver first: %w", err)
	}
	d := &driver{
		cmd:     exec.Command("ip", "netns", "exec", n.name, "node", filepath.Join(dir, "driver.mjs")),
		gone:    make(chan struct{}),
		waiting: make(map[int]chan reply),
		listen:  make(map[int]func(console, text string)),
	}
	d.cmd.Env = append(os.Environ(), "TMPDIR="+n.temp, "HOME="+n.temp)
	d.cmd.Stderr = os.Stderr
	var err error
	if d.stdout, err = d.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if d.stdin, err = d.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	go d.read()
	return d, nil
}

// stop closes the browser and waits until the process is gone.
func (d *driver) stop() {
	d.stdin.Close()
	select {
	case <-d.gone:
	case <-time.After(stopTimeout):
		d.cmd.Process.Kill()
		d.stdout.Close() // a process of the browser may have the other end
	}
	d.cmd.Wait()
}

func (d *driver) read() {
	defer close(d.gone)
	lines := bufio.NewScanner(d.stdout)
	lines.Buffer(nil, 16<<20) // a page may return a list of many measurements
	for lines.Scan() {
		var r reply
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			fmt.Fprintf(os.Stderr, "browser: driver said: %s\n", lines.Bytes())
			continue
		}
		d.deliver(r)
	}
}

func (d *driver) deliver(r reply) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.ID == 0 {
		// Called with the lock held: after hear(page, nil) a page's test may have ended,
		// and writing to its log would panic.
		if f := d.listen[r.Page]; f != nil {
			f(r.Console, r.Text)
		}
		return
	}
	if answer := d.waiting[r.ID]; answer != nil {
		delete(d.waiting, r.ID)
		answer <- r
	}
}

// do gives one order and decodes the answer's value into result, if not nil.
func (d *driver) do(ctx context.Context, o order, result any) error {
	answer := make(chan reply, 1)
	d.mu.Lock()
	d.last++
	o.ID = d.last
	d.waiting[o.ID] = answer
	d.mu.Unlock()
	if err := d.give(o); err != nil {
		return err
	}
	select {
	case r := <-answer:
		if r.Error != "" {
			return errors.New(r.Error)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(r.Value, result)
	case <-d.gone:
		return errors.New("the driver has ended")
	case <-ctx.Done():
		d.mu.Lock()
		delete(d.waiting, o.ID)
		d.mu.Unlock()
		return fmt.Errorf("%s: %w", o.Do, context.Cause(ctx))
	}
}

func (d *driver) give(o order) error {
	line, err := json.Marshal(o)
	if err != nil {
		return err
	}
	d.writing.Lock()
	defer d.writing.Unlock()
	_, err = d.stdin.Write(append(line, '\n'))
	return err
}

// within is do with a time limit, for orders without a caller's context.
func (d *driver) within(limit time.Duration, o order, result any) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return d.do(ctx, o, result)
}

// hear passes the output of a page to f from now on; a nil f ends this.
func (d *driver) hear(page int, f func(console, text string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f == nil {
		delete(d.listen, page)
		return
	}
	d.listen[page] = f
}
