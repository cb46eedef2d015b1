package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// testRun is the program, as a relay between a server that echoes and a client.
type testRun struct {
	t        *testing.T
	stop     context.CancelFunc
	input    *io.PipeWriter
	lines    *bufio.Scanner
	ticks    chan time.Time
	ended    chan error
	client   *net.UDPConn
	startups string // what it printed before it was ready
}

// launch starts the program.
func launch(t *testing.T, args ...string) *testRun {
	t.Helper()
	in, input := io.Pipe()
	output, out := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	r := &testRun{t: t, stop: stop, input: input, lines: bufio.NewScanner(output), ticks: make(chan time.Time), ended: make(chan error, 1)}
	go func() {
		err := run(ctx, args, in, out, r.ticks)
		out.Close()
		r.ended <- err
	}()
	t.Cleanup(func() {
		stop()
		input.Close()
		io.Copy(io.Discard, output) // until it is closed
	})
	return r
}

// start starts the program as a relay, between a server and a client.
func start(t *testing.T, args ...string) *testRun {
	t.Helper()
	r := launch(t, append([]string{"-target", echoServer(t)}, args...)...)
	listening := r.wantLine("it says where it listens", "listening on ")
	r.startups = listening + "\n" + r.wantLine("and what it does", "  up   ") + "\n" + r.wantLine("in both directions", "  down ")
	addr, _, _ := strings.Cut(strings.TrimPrefix(listening, "listening on "), " ")
	u, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	if r.client, err = net.DialUDP("udp", nil, u); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.client.Close() })
	return r
}

func echoServer(t *testing.T) string {
	t.Helper()
	u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { u.Close() })
	go func() {
		b := make([]byte, 2000)
		for {
			n, from, err := u.ReadFromUDPAddrPort(b)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				u.WriteToUDPAddrPort(b[:n], from) // if it fails, the test misses an echo
			}
		}
	}()
	return u.LocalAddr().String()
}

// wantLine reads the next line, which must begin with a text.
func (r *testRun) wantLine(what, begin string) string {
	r.t.Helper()
	if !r.lines.Scan() {
		r.t.Fatalf("%s: no line; the program ended with %v", what, <-r.ended)
	}
	if line := r.lines.Text(); !strings.HasPrefix(line, begin) {
		r.t.Fatalf("%s: printed %q, want %q", what, line, begin)
	}
	return r.lines.Text()
}

// say enters a command and returns the lines of the answer.
func (r *testRun) say(command string, answers int) string {
	r.t.Helper()
	if _, err := io.WriteString(r.input, command+"\n"); err != nil {
		r.t.Fatal(err)
	}
	var lines []string
	for range answers {
		lines = append(lines, r.wantLine("the answer to "+command, ""))
	}
	return strings.Join(lines, "\n")
}

// status returns the next line with the status.
func (r *testRun) status() string {
	r.t.Helper()
	r.ticks <- time.Time{}
	return r.wantLine("a status", "")
}

// echo sends datagrams and waits for as many echoes as the test expects.
func (r *testRun) echo(n, want int) {
	r.t.Helper()
	for range n {
		if _, err := r.client.Write([]byte("hello")); err != nil {
			r.t.Fatal(err)
		}
	}
	r.client.SetReadDeadline(time.Now().Add(testkit.Patience))
	for i := range want {
		if _, err := r.client.Read(make([]byte, 100)); err != nil {
			r.t.Fatalf("echo %d of %d has not arrived: %v", i, want, err)
		}
	}
}

// settle prints status lines until n more datagrams have arrived from the client. It
// returns how many of them passed and how many were lost.
func (r *testRun) settle(n int) (passed, lost int) {
	r.t.Helper()
	for passed+lost < n {
		var p, bytes, l int
		_, up, _ := strings.Cut(r.status(), "| up ")
		if _, err := fmt.Sscanf(up, "passed %d (%d B) lost %d", &p, &bytes, &l); err != nil {
			r.t.Fatalf("status %q: %v", up, err)
		}
		passed, lost = passed+p, lost+l
	}
	return passed, lost
}

// wantFates sends n datagrams and checks how many are lost on the way up.
func (r *testRun) wantFates(what string, n, wantLost int) {
	r.t.Helper()
	r.echo(n, 0)
	if _, lost := r.settle(n); lost != wantLost {
		r.t.Fatalf("%s: %d of %d lost, want %d", what, lost, n, wantLost)
	}
}

// end waits until the program ends by itself, and returns the rest of its output.
func (r *testRun) end(what string) string {
	r.t.Helper()
	var rest []string
	for r.lines.Scan() {
		rest = append(rest, r.lines.Text())
	}
	if err := <-r.ended; err != nil {
		r.t.Fatalf("%s: %v", what, err)
	}
	return strings.Join(rest, "\n")
}

func wantIn(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s: %q is not in\n%s", what, w, text)
		}
	}
}

func TestRelaysAndCounts(t *testing.T) {
	r := start(t, "-duplicate", "100%,0", "-mtu", "5,0")
	wantIn(t, "the conditions", r.startups, "seed 1", "duplicate 100%", "mtu 5B", "down perfect")
	r.echo(3, 6)
	wantIn(t, "what happened", r.status(), "1 s  clients 1", "up passed 3 (15 B) lost 0", "down passed 6 (30 B) lost 0", "under way 0")
	wantIn(t, "since the last line", r.status(), "2 s  clients 1", "up passed 0 (0 B)")
	r.stop() // as SIGTERM does
	wantIn(t, "the end", r.end("a signal ends it without an error"), "total 1 client", "sent 3 passed 3 lost 0", "doubled 3")
}

func TestCommandsChangeARunningRelay(t *testing.T) {
	r := start(t)
	r.wantFates("perfect", 1, 0)
	wantIn(t, "a condition", r.say("loss 100%,0", 2), "up   loss 100%", "down perfect")
	r.wantFates("it holds", 5, 5)
	wantIn(t, "another", r.say("loss 0", 2), "up   perfect", "down perfect")
	r.wantFates("it holds", 5, 0)
	wantIn(t, "a blackout", r.say("blackout 1h", 1), "blackout for 1h")
	r.wantFates("it is dark", 1, 1)
	r.say("blackout 0", 1)
	r.wantFates("and light again", 1, 0)
	wantIn(t, "a new address", r.say("rebind", 1), "every client has a new address")
	r.wantFates("it works", 1, 0)
	wantIn(t, "a preset", r.say("preset train", 2), "up   loss 2% burst 5 delay 40ms jitter 80ms outage 1s/20s rate 3Mbit")
	wantIn(t, "a mistake", r.say("loss much", 1), `loss "much" is not a share such as 5%`)
	wantIn(t, "another", r.say("sing", 1), `"sing" is no condition; help lists them`)
	wantIn(t, "another", r.say("blackout soon", 1), `blackout "soon" is not a time`)
	r.say("", 0)
	wantIn(t, "nothing has changed", r.say("show", 2), "loss 2%")
	wantIn(t, "help", r.say("help", strings.Count(commands, "\n")), "rebind", "SIGTERM")
	r.say("quit", 0)
	wantIn(t, "the end", r.end("quit ends it"), "total 1 client")
}

func TestEndOfInputIsNotTheEnd(t *testing.T) {
	r := start(t, "-quiet")
	r.input.Close()
	r.echo(1, 1)
	r.ticks <- time.Time{} // prints nothing
	r.stop()
	if rest := r.end("it goes on until it is stopped"); !strings.HasPrefix(rest, "total 1 client") {
		t.Errorf("with -quiet it prints\n%s\nwant only the total", rest)
	}
}

// TestRecordThenReplay: each datagram was duplicated on the way up during the recording. So
// the replay duplicates it, too, although its flags do not say so.
func TestRecordThenReplay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "trace.jsonl")
	r := start(t, "-record", file, "-duplicate", "100%,0")
	r.echo(3, 6)
	r.stop()
	r.end("the trace is complete when it has ended")
	if trace := readTrace(t, file); len(trace) != 9 {
		t.Fatalf("%d datagrams recorded, want 3 up and 6 down", len(trace))
	}

	r = start(t, "-replay", file)
	wantIn(t, "the replay", r.startups, "up   replay of 3 datagrams", "down replay of 6 datagrams")
	r.echo(2, 4)
}

// readTrace reads a file of -record.
func readTrace(t *testing.T, file string) []netsim.Fate {
	t.Helper()
	f := testkit.Must(os.Open(file))
	defer f.Close()
	return testkit.Must(netsim.ReadTrace(f))
}

// fates returns the drops in a file of -record on one way, one after the other.
func fates(t *testing.T, file, way string) string {
	t.Helper()
	var all []string
	for _, f := range readTrace(t, file) {
		if strings.HasPrefix(f.Path, way) {
			all = append(all, f.Drop.String())
		}
	}
	return strings.Join(all, ",")
}

// With another seed other datagrams are lost.
func TestSeeds(t *testing.T) {
	run := func(seed string) string {
		file := filepath.Join(t.TempDir(), "trace.jsonl")
		r := start(t, "-record", file, "-loss", "50%,0", "-seed", seed)
		r.echo(64, 0)
		r.settle(64)
		r.stop()
		r.end("the trace is complete when it has ended")
		return fates(t, file, "up")
	}
	if a, b := run("2"), run("3"); a == b || strings.Count(a, ",") != 63 {
		t.Errorf("with both seeds the fates of 64 datagrams are %s", a)
	}
}

// With -clients 1 a second client takes the place of the first.
func TestNumberOfClients(t *testing.T) {
	r := start(t, "-clients", "1")
	r.echo(1, 1)
	other := testkit.Must(net.DialUDP("udp", nil, r.client.RemoteAddr().(*net.UDPAddr)))
	t.Cleanup(func() { other.Close() })
	r.client = other
	r.echo(1, 1)
	wantIn(t, "the second client", r.status(), "clients 1 ")
	r.stop()
	wantIn(t, "the end", r.end("a signal ends it"), "total 2 clients")
}

// The status tells of datagrams that wait for a rate on either way, and of those that could not be written.
func TestFiguresOfTheStatus(t *testing.T) {
	target, slow := netip.MustParseAddrPort(echoServer(t)), netsim.Link{Rate: 1} // a quarter of an hour for the datagram
	for want, c := range map[string]netsim.RelayConfig{
		`up passed 1 .* queue (9\d\d|1000) B  \| down .* queue 0 B  under way 1\n$`:          {Target: target, Up: slow},
		`up passed 1 .* queue 0 B  \| down passed 1 .* queue (9\d\d|1000) B  under way 1\n$`: {Target: target, Down: slow},
		`\n        1 datagrams could not be written\n$`:                                      {Target: target, Source: netip.MustParseAddr("203.0.113.7")}, // no address of this machine
	} {
		relay := testkit.Must(netsim.ListenRelay(c))
		t.Cleanup(func() { relay.Close() })
		client := testkit.Must(net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(relay.Addr())))
		t.Cleanup(func() { client.Close() })
		testkit.Must(client.Write(make([]byte, 1000)))
		pattern := regexp.MustCompile(want)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(testkit.Patience); ; <-tick.C {
			var out strings.Builder
			(&console{network: relayed{relay}, out: &out}).status()
			if pattern.MatchString(out.String()) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("the status is %q, want %s", &out, want)
			}
		}
	}
}

func TestSharedRate(t *testing.T) {
	r := start(t, "-shared", "-rate", "8bit,0", "-queue", "2kB") // a quarter of an hour for each datagram
	for range 4 {
		if _, err := r.client.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	if passed, lost := r.settle(4); passed != 2 || lost != 2 {
		t.Errorf("%d datagrams passed and %d were lost, want 2 and 2: the third and the fourth do not fit", passed, lost)
	}
}

func TestBadFlags(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing", "file")
	other := filepath.Join(t.TempDir(), "other.jsonl")
	if err := os.WriteFile(other, []byte(`{"at":0,"path":"10.0.0.1>10.0.0.2","size":1,"drop":"lost"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	target := []string{"-target", "127.0.0.1:9"}
	for _, test := range []struct {
		args []string
		want string
	}{
		{nil, "-target is missing"},
		{[]string{"-target", "here"}, "127.0.0.1:42424"},
		{append(target, "-listen", "9"), "-listen"},
		{append(target, "-source", "x"), "-source"},
		{append(target, "-preset", "dialup"), "none of wifi, 4g"},
		{append(target, "-loss", "101%"), `-loss "101%" is not a share`},
		{append(target, "-queue", "1s"), "needs a rate"},
		{append(target, "-record", missing), "-record"},
		{append(target, "-replay", missing), "-replay"},
		{append(target, "-replay", other), "10.0.0.1>10.0.0.2"},
		{append(target, "-lose"), "see -help"},
		{append(target, "more"), "see -help"},
	} {
		err := run(t.Context(), test.args, strings.NewReader(""), io.Discard, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %q in it", test.args, err, test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	err := run(t.Context(), []string{"--help"}, strings.NewReader(""), &out, nil)
	if !errors.Is(err, flag.ErrHelp) {
		t.Errorf("the error is %v, want flag.ErrHelp", err)
	}
	wantIn(t, "help", out.String(), "usage:", "-preset train", "satellite", "-burst", "blackout 5s")
}
