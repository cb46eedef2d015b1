package testkit

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// A Process is a program that runs beside a test. It prints a line when it is ready, and ends when its standard input does.
type Process struct {
	Says string // the line, for example the URL at which the program is reached

	t   testing.TB
	cmd *exec.Cmd
	in  io.Closer
}

// StartProcess starts a program, with one more variable in its environment. It ends with the test.
func StartProcess(t testing.TB, program, variable string) *Process {
	t.Helper()
	p := &Process{t: t, cmd: exec.Command(program)}
	p.cmd.Env, p.cmd.Stderr = append(os.Environ(), variable), os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in = in
	t.Cleanup(p.End)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%s does not start: %v", program, err)
	}
	p.Says = strings.TrimSpace(line)
	return p
}

// End lets the program end by itself, and waits for that.
func (p *Process) End() {
	p.in.Close()
	p.cmd.Wait()
}

// Kill ends the program at once, with SIGKILL.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}

// Get asks the program, whose line is a URL without a path, with a GET request for path, and decodes the JSON of the answer into a
// value; nil means that only the status matters, which must be 200.
func (p *Process) Get(path string, into any) {
	p.t.Helper()
	resp, err := http.Get(p.Says + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		p.t.Fatalf("%s: %v, %s %s", path, err, resp.Status, b)
	}
	if into != nil {
		if err := json.Unmarshal(b, into); err != nil {
			p.t.Fatalf("%s: %v", path, err)
		}
	}
}
