package main

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
	"github.com/godwit-rtc/godwit/typed"
)

// A chatTest is a room on a network in memory. A method that fails ends the test.
type chatTest struct {
	*testing.T
	network *netsim.Network
	room    *room
	stop    func() // ends the server
}

var serverAddr = netip.MustParseAddrPort("192.0.2.1:7777")

// inRoom runs a test in virtual time, on links that lose every tenth datagram.
func inRoom(t *testing.T, test func(h *chatTest)) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		h := &chatTest{T: t, network: netsim.New(1), stop: stop}
		defer h.network.Close()
		h.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.1})
		var err error
		h.room, err = newRoom(func(c godwit.Config) (*godwit.Server, error) {
			socket, err := h.network.Listen(serverAddr)
			h.must(err)
			return godwit.Serve(socket, c)
		})
		h.must(err)
		over := make(chan error)
		go func() { over <- h.room.run(ctx) }()
		test(h)
		stop()
		h.must(<-over)
	})
}

func (h *chatTest) must(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// settle waits until everything that was sent has arrived, after retransmissions if needed.
func (h *chatTest) settle() {
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

// direct is HTTP without a network.
type direct struct{ http.Handler }

func (d direct) RoundTrip(r *http.Request) (*http.Response, error) {
	r.RemoteAddr = "198.51.100.7:1"
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

// A guest is a native client with what it has received.
type guest struct {
	typed.ClientEnd
	h    *chatTest
	addr netip.Addr
	s    *client.Session

	mu    sync.Mutex
	logs  []Log
	here  People
	ended session.CloseReason
}

// arrive connects a guest that has no name yet. The last byte of its address is n.
func (h *chatTest) arrive(n byte) *guest {
	h.Helper()
	g := &guest{h: h, addr: netip.AddrFrom4([4]byte{198, 51, 100, n})}
	keep := func(f func()) {
		g.mu.Lock()
		defer g.mu.Unlock()
		f()
	}
	c, err := typed.Client(table,
		client.SessionConfig{Handler: client.SessionHandler{
			Close: func(_ *client.Session, why session.CloseReason) { keep(func() { g.ended = why }) },
		}},
		table.Log.On(func(_ typed.ClientEnd, l Log) { keep(func() { g.logs = append(g.logs, l) }) }),
		table.Here.On(func(_ typed.ClientEnd, p People) { keep(func() { g.here = p }) }),
	)
	h.must(err)
	socket, err := h.network.Listen(netip.AddrPortFrom(g.addr, 0))
	h.must(err)
	e, err := client.Serve(socket, client.Config{HTTP: &http.Client{Transport: direct{h.room.server}}})
	h.must(err)
	h.Cleanup(func() { e.Close() })
	g.s, err = e.Join(h.Context(), "http://chat.example/godwit/", c)
	h.must(err)
	g.ClientEnd = typed.Over(g.s)
	return g
}

// enter connects a guest with a name.
func (h *chatTest) enter(n byte, name string) *guest {
	h.Helper()
	g := h.arrive(n)
	_, err := table.Enter.Request(h.Context(), g.ClientEnd, Name{name})
	h.must(err)
	h.settle()
	return g
}

// wantLog checks what has happened since the last call, without the times.
func (g *guest) wantLog(lines ...string) {
	g.h.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var got []string
	for _, l := range g.logs {
		for _, e := range l.Entries {
			_, line, _ := strings.Cut(e.String(), " ")
			got = append(got, line)
		}
	}
	if g.logs = nil; !slices.Equal(got, lines) {
		g.h.Errorf("the log is\n%q, want\n%q", got, lines)
	}
}

func (g *guest) wantHere(people ...string) {
	g.h.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	var got []string
	for _, p := range g.here.People {
		got = append(got, p.String())
	}
	if !slices.Equal(got, people) {
		g.h.Errorf("here are %q, want %q", got, people)
	}
}

// wantEnd checks why the session of the guest has ended.
func (g *guest) wantEnd(code session.CloseCode, text string) {
	g.h.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.State() != session.StateClosed || g.ended.Code != code || g.ended.Text != text {
		g.h.Errorf("the session is %v: %v, want it closed: %v, %q", g.State(), g.ended, code, text)
	}
}

func (g *guest) say(text string) {
	g.h.Helper()
	g.h.must(table.Say.Send(g.ClientEnd, Line{text}))
}

// wantRejection checks that a request was rejected with a text.
func (h *chatTest) wantRejection(err error, text string) {
	h.Helper()
	if e, ok := errors.AsType[*session.RequestError](err); !ok || e.Status != session.StatusRejected || e.Text != text {
		h.Errorf("the answer is %v, want the rejection %q", err, text)
	}
}

// A host chats on a terminal in the process of the server.
type host struct {
	h    *chatTest
	in   *io.PipeWriter
	mu   sync.Mutex
	out  strings.Builder
	over chan error // the result of terminal.host
}

func (h *chatTest) host(name string) *host {
	in, keys := io.Pipe()
	h.Cleanup(func() { keys.Close() })
	host := &host{h: h, in: keys, over: make(chan error, 1)}
	t := &terminal{name: name, in: in, out: host}
	go func() { host.over <- t.host(h.Context(), h.room.server) }()
	h.settle()
	return host
}

func (host *host) Write(b []byte) (int, error) {
	host.mu.Lock()
	defer host.mu.Unlock()
	return host.out.Write(b)
}

// types writes a line on the terminal.
func (host *host) types(line string) {
	io.WriteString(host.in, line+"\n")
	host.h.settle()
}

// wantOut checks the lines since the last call, without the times in front of some.
func (host *host) wantOut(lines ...string) {
	host.h.Helper()
	host.mu.Lock()
	defer host.mu.Unlock()
	var got []string
	for line := range strings.Lines(host.out.String()) {
		line = strings.TrimSpace(line)
		if stamp, rest, _ := strings.Cut(line, " "); strings.Contains(stamp, ":") && len(stamp) == len("15:04") {
			line = rest
		}
		got = append(got, line)
	}
	if host.out.Reset(); !slices.Equal(got, lines) {
		host.h.Errorf("the terminal shows\n%q, want\n%q", got, lines)
	}
}

func TestWhatIsSaidReachesAll(t *testing.T) {
	inRoom(t, func(h *chatTest) {
		ada := h.enter(1, "ada")
		bob := h.enter(2, "bob")
		ada.wantLog("* ada enters", "* bob enters")
		bob.wantLog("* ada enters", "* bob enters")
		ada.wantHere("ada", "bob")
		bob.wantHere("ada", "bob")
		stranger := h.arrive(3)
		stranger.say("I have no name")
		for _, text := range []string{"hello", " \n ", strings.Repeat("ä", maxText+1), "how\x00 are\u202e you? "} {
			ada.say(text)
		}
		h.settle()
		bob.say(strings.Repeat("ä", maxText))
		h.settle()
		for _, g := range []*guest{ada, bob} {
			g.wantLog("ada: hello", "ada: how are you?", "bob: "+strings.Repeat("ä", maxText))
		}
		stranger.wantLog()
	})
}

func TestNames(t *testing.T) {
	inRoom(t, func(h *chatTest) {
		h.enter(1, "ada")
		g := h.arrive(2)
		enter := func(name string) error {
			_, err := table.Enter.Request(h.Context(), g.ClientEnd, Name{name})
			return err
		}
		for _, name := range []string{"", " \t", "\x7f", "two words", strings.Repeat("n", maxName+1)} {
			h.wantRejection(enter(name), "a name is one word of 1 to 16 characters")
		}
		h.wantRejection(enter("ada"), "ada is here already")
		name, err := table.Enter.Request(h.Context(), g.ClientEnd, Name{" " + strings.Repeat("ñ", maxName) + "\n"})
		if err != nil || name.Name != strings.Repeat("ñ", maxName) {
			t.Errorf("the name is %q, %v", name.Name, err)
		}
		h.wantRejection(enter("again"), "you are here already")
		h.settle()
		g.wantHere("ada", strings.Repeat("ñ", maxName))
	})
}

func TestLeavingHasAReason(t *testing.T) {
	inRoom(t, func(h *chatTest) {
		ada, bob, eve := h.enter(1, "ada"), h.enter(2, "bob"), h.enter(3, "eve")
		bob.Close(session.CloseNormal, "good night")
		h.settle()
		eve.Close(session.CloseNormal, "")
		h.settle()
		ada.wantLog("* ada enters", "* bob enters", "* eve enters", "* bob leaves: good night", "* eve leaves")
		ada.wantHere("ada")
		h.stop()
		h.settle()
		ada.wantEnd(session.CloseShutdown, "the server ends")
	})
}

// The host chats in the process of the server, and kicks. Nobody else may do that.
func TestHostKicks(t *testing.T) {
	inRoom(t, func(h *chatTest) {
		host := h.host("ada")
		bob, eve := h.enter(2, "bob"), h.enter(3, "eve")
		host.wantOut("* ada enters", "* bob enters", "* eve enters")
		host.types("welcome")
		host.types("/who")
		host.wantOut("ada: welcome", "* ada (host)", "* bob", "* eve")
		eve.wantHere("ada (host)", "bob", "eve")

		_, err := table.Kick.Request(h.Context(), bob.ClientEnd, Kick{"eve", ""})
		h.wantRejection(err, "only the host may do this")
		host.types("/kick nobody")
		host.types("/kick ada")
		host.types("/help")
		host.types("/kick bob do not kick others")
		bob.wantEnd(session.CloseKicked, "do not kick others")
		rejected := "* session: request: rejected: there is no guest with this name"
		host.wantOut(rejected, rejected, "* /who  /kick NAME why  /leave why", "* bob is kicked: do not kick others")
		eve.wantLog("* ada enters", "* bob enters", "* eve enters", "ada: welcome", "* bob is kicked: do not kick others")
		eve.wantHere("ada (host)", "eve")

		host.types("/leave the show goes on")
		h.must(<-host.over)
		host.wantOut("* closed here: normal: the show goes on")
		eve.wantLog("* ada leaves: the show goes on")
	})
}

// One who comes late gets the last 100 entries in one message, which is compressed.
func TestHistoryOfALateComer(t *testing.T) {
	inRoom(t, func(h *chatTest) {
		ada := h.enter(1, "ada")
		var want []string
		for i := range history + 10 {
			ada.say(strings.Repeat("what we said before ", 1+i%10))
			want = append(want, "ada: "+strings.TrimSpace(strings.Repeat("what we said before ", 1+i%10)))
			time.Sleep(time.Second / 10)
		}
		h.settle()
		bob := h.enter(2, "bob")
		if n := len(bob.logs); n != 2 || len(bob.logs[0].Entries) != history {
			t.Errorf("%d messages, want 2, the first with %d entries", n, history)
		}
		bob.wantLog(append(want[10:], "* bob enters")...)
		in := bob.s.ChannelStats(table.Log.ID())
		if in.BytesIn < 5000 || in.WireIn > in.BytesIn/4 {
			t.Errorf("%d bytes came as %d, want at most a quarter", in.BytesIn, in.WireIn)
		}
		t.Logf("%d bytes came as %d", in.BytesIn, in.WireIn)
		for _, c := range h.room.people {
			if out := c.ChannelStats(table.Log.ID()); c.User.(*Person).Name == "bob" && out.BytesOut <= out.WireOut {
				t.Errorf("the server sent %d bytes as %d, want fewer", out.BytesOut, out.WireOut)
			}
		}
	})
}

// The longest history fits a message.
func TestLongestHistory(t *testing.T) {
	e := Entry{time.Now(), Said, strings.Repeat("\U0001F600", maxName), strings.Repeat("\U0001F600", maxText)}
	b, err := table.Log.Encode(nil, Log{slices.Repeat([]Entry{e}, history)})
	if c, _ := typed.Server(table, config); err != nil || len(b) > c.Channels[table.Log.ID()-1].MaxMessage {
		t.Errorf("%d bytes, %v; want at most %d", len(b), err, c.Channels[table.Log.ID()-1].MaxMessage)
	}
}

// Somebody whose network fails is shown as away, and gets afterwards what was said in the
// meantime. Somebody who is away for too long leaves.
func TestSomebodyComesBack(t *testing.T) {
	inRoom(t, func(h *chatTest) {
		ada, bob := h.enter(1, "ada"), h.enter(2, "bob")
		ada.wantLog("* ada enters", "* bob enters")
		bob.wantLog("* ada enters", "* bob enters")
		vanish := func(d time.Duration) {
			h.network.BlackoutFor(bob.addr, serverAddr.Addr(), d)
			h.network.BlackoutFor(serverAddr.Addr(), bob.addr, d)
			ada.say("where are you?")
		}
		vanish(15 * time.Second)
		time.Sleep(10 * time.Second)
		ada.wantHere("ada", "bob (away)")
		time.Sleep(20 * time.Second)
		ada.wantHere("ada", "bob")
		bob.wantLog("ada: where are you?")

		vanish(2 * time.Minute)
		time.Sleep(time.Minute)
		ada.wantLog("ada: where are you?", "ada: where are you?", "* bob leaves: timeout")
		ada.wantHere("ada")
	})
}

// The session of somebody whose queue has no room for what is said ends: a gap in the log would stay for ever.
func TestNobodyMissesALine(t *testing.T) {
	inRoom(t, func(h *chatTest) {
		ada, bob := h.enter(1, "ada"), h.enter(2, "bob")
		talkers := []*guest{ada, h.enter(3, "eve")}
		h.network.BlackoutFor(bob.addr, serverAddr.Addr(), time.Minute)
		h.network.BlackoutFor(serverAddr.Addr(), bob.addr, time.Minute)
		random := rand.New(rand.NewPCG(1, 2))
		for range 20 * 15 { // for less than Grace
			for _, g := range talkers {
				text := make([]rune, maxText)
				for i := range text {
					text[i] = 0x20000 + random.Int32N(0xa000) // printable, and hard to compress
				}
				g.say(string(text))
			}
			time.Sleep(time.Second / 20)
		}
		h.settle()
		ada.mu.Lock()
		defer ada.mu.Unlock()
		var left []string
		for _, l := range ada.logs {
			for _, e := range l.Entries {
				if e.Kind == Left {
					left = append(left, e.Name+": "+e.Text)
				}
			}
		}
		if !slices.Equal(left, []string{"bob: timeout"}) || len(ada.here.People) != len(talkers) {
			t.Errorf("%q have left, and %d are here; want bob: timeout, and %d", left, len(ada.here.People), len(talkers))
		}
	})
}
