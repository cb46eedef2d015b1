package main

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/fleet"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// TestMain runs the program in place of the tests if it is started by one.
func TestMain(m *testing.M) {
	if os.Getenv("GODWIT_FLEET_CHAT") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A process is one node.
type process struct {
	*exec.Cmd
	url  string
	nats string // address of the NATS server in the process, if it listens
}

// start starts a node and waits until it serves.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(os.Args[0], append(args, "-http", "127.0.0.1:0")...)}
	p.Env = append(os.Environ(), "GODWIT_FLEET_CHAT=1")
	p.Stderr = os.Stderr
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Process.Kill()
		p.Wait()
	})
	line := make(chan string, 1)
	go func() {
		s, _ := bufio.NewReader(out).ReadString('\n')
		line <- s
		io.Copy(io.Discard, out)
	}()
	_, url, ok := strings.Cut(strings.TrimSpace(testkit.Next(t, "the node starts", line)), "open ")
	if !ok {
		t.Fatal("the node does not say where it serves")
	}
	p.url, p.nats, _ = strings.Cut(url, " ")
	return p
}

// enter connects a player to a node. What the player gets is in the channel.
func (p *process) enter(t *testing.T, name string) (*client.Session, chan string) {
	t.Helper()
	lines := make(chan string, 1024)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := client.Connect(ctx, p.url+"/godwit/?name="+name, client.Config{}, client.SessionConfig{
		Channels: channel.Channels{{Name: "line", Mode: channel.ReliableOrdered}},
		Handler: client.SessionHandler{
			Message: func(_ *client.Session, _ channel.ID, b []byte) { lines <- string(b) },
			Close:   func(_ *client.Session, why session.CloseReason) { lines <- "closed: " + why.Code.String() },
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(session.CloseNormal, "") })
	return s, lines
}

// until takes lines until one is as wanted.
func until(t *testing.T, lines chan string, want string) {
	t.Helper()
	for {
		if line := testkit.Next(t, want, lines); line == want {
			return
		} else if strings.HasPrefix(line, "closed") {
			t.Fatalf("%s, want %q", line, want)
		}
	}
}

// say types a line.
func say(t *testing.T, s *client.Session, text string) {
	t.Helper()
	if err := s.Send(1, []byte(text)); err != nil {
		t.Fatal(err)
	}
}

// ask asks where a player is until the answer is as wanted: on a busy machine a question may get no answer in time.
func ask(t *testing.T, s *client.Session, lines chan string, player, want string) {
	t.Helper()
	for {
		say(t, s, "/where "+player)
		for {
			line := testkit.Next(t, want, lines)
			if line == want {
				return
			}
			if strings.HasPrefix(line, "closed") {
				t.Fatalf("%s, want %q", line, want)
			}
			if strings.HasPrefix(line, "* "+player+": ") {
				break
			}
		}
	}
}

// Three processes, of which the first has the NATS server, are one room. One of them is killed.
func TestThreeProcesses(t *testing.T) {
	dir := t.TempDir()
	one := start(t, "-node", "one", "-nats-listen", "127.0.0.1:0", "-nats-dir", dir)
	two := start(t, "-node", "two", "-nats", one.nats)
	three := start(t, "-node", "three", "-nats", one.nats)

	if r, err := http.Get(one.url + "/"); err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("the page: %v, %v", r, err)
	} else {
		r.Body.Close()
	}

	ada, atAda := one.enter(t, "ada")
	until(t, atAda, "* ada is here, on one")
	// A line reaches node one only if NATS knows that the node has a member. NATS takes what a node writes in order: the
	// membership, then this question, which NATS answers itself.
	ask(t, ada, atAda, "nobody", "* nobody: "+fleet.ErrNotHere.Error())
	bob, atBob := two.enter(t, "bob")
	until(t, atAda, "* bob is here, on two")
	_, atCyd := three.enter(t, "cyd")
	until(t, atAda, "* cyd is here, on three")
	until(t, atBob, "* cyd is here, on three")

	say(t, ada, "hello")
	for _, lines := range []chan string{atAda, atBob, atCyd} {
		until(t, lines, "ada: hello")
	}
	say(t, bob, "/w cyd psst")
	until(t, atCyd, "bob whispers: psst")
	ask(t, ada, atAda, "cyd", "* cyd is on three")

	three.Process.Kill()
	say(t, bob, "still there?")
	until(t, atAda, "bob: still there?")
	cyd2, again := two.enter(t, "cyd") // the claim of the killed process does not keep the player out
	until(t, atAda, "* cyd is here, on two")
	say(t, cyd2, "back")
	until(t, atBob, "cyd: back")

	// The same player comes once more, elsewhere: the session on node two is replaced.
	for replaced := false; !replaced; {
		_, atOne := one.enter(t, "cyd")
		for ended := false; !replaced && !ended; { // ended: node two has claimed the name only now
			select {
			case line := <-again:
				replaced = line == "closed: replaced"
			case line := <-atOne:
				ended = line == "closed: replaced"
			}
		}
	}
	say(t, ada, "/kick bob")
	for {
		if line := testkit.Next(t, "bob is kicked", atBob); line == "closed: kicked" {
			break
		}
	}
	until(t, atAda, "* bob has gone: kicked")
	if files, err := os.ReadDir(dir); err != nil || len(files) == 0 {
		t.Errorf("the directory of NATS has %v, %v", files, err)
	}
}

// Credentials are for a NATS server elsewhere: without its address the node does not start.
func TestCredentialsWithoutAnAddress(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // a node that starts ends at once
	err := run(ctx, &options{node: "one", web: "127.0.0.1:0", data: "127.0.0.1:0", credentials: "file"}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "Credentials") {
		t.Errorf("%v, want an error that names the credentials", err)
	}
}
