package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// asProgram is the environment variable with which this test binary is the program itself.
const asProgram = "HOSTED_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A sidecar plays that of Agones. It checks that each call is one of the published API, sdk.swagger.json.
type sidecar struct {
	t        *testing.T
	calls    chan string
	unready  int // so many calls are answered with 503, as if the real one were starting
	portless int // so many answers have no port yet
}

func (s *sidecar) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	method, known := map[string]string{
		"/ready": "POST", "/health": "POST", "/allocate": "POST", "/shutdown": "POST", "/gameserver": "GET",
	}[r.URL.Path]
	if !known || r.Method != method {
		s.t.Errorf("%s %s is not in the API", r.Method, r.URL.Path)
	}
	if method == "POST" {
		var body map[string]any
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body) > 0 || r.Header.Get("Content-Type") != "application/json" {
			s.t.Errorf("%s has the body %v of type %q (%v), want an empty object", r.URL.Path, body, r.Header.Get("Content-Type"), err)
		}
	}
	if s.unready > 0 {
		s.unready--
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/gameserver" {
		s.calls <- r.URL.Path
		io.WriteString(w, "{}")
		return
	}
	ports := `[{"name":"admin","port":7002},{"name":"game","port":7001}]`
	if s.portless > 0 {
		s.portless--
		ports = `[]`
	}
	io.WriteString(w, `{"object_meta":{"name":"x"},"status":{"state":"Scheduled","address":"192.0.2.9","ports":`+ports+`}}`)
}

// next returns the next call that is not about health.
func (s *sidecar) next() string {
	s.t.Helper()
	for {
		if call := testkit.Next(s.t, "the sidecar", s.calls); call != "/health" {
			return call
		}
	}
}

// The sidecar starts after the program, and knows the port still later. Then the server gets the port's address, the program
// is ready, and it stays healthy.
func TestSidecarStartsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &sidecar{t: t, calls: make(chan string, 100), unready: 2, portless: 2}
		a := newAgones("9358", testkit.Transport{Handler: s})
		ctx, stop := context.WithCancel(t.Context())
		var public []netip.AddrPort
		go a.serve(ctx, "game", func(all ...netip.AddrPort) error { public = append(public, all...); return nil })
		time.Sleep(6500 * time.Millisecond)
		stop()
		synctest.Wait()
		close(s.calls)
		var got []string
		for c := range s.calls {
			got = append(got, c)
		}
		// Seven seconds, of which the first two have no answer, and the next two no port.
		if want := []string{"/health", "/health", "/health", "/ready", "/health", "/health"}; !slices.Equal(got, want) {
			t.Errorf("the calls are %q, want %q", got, want)
		}
		if want := netip.MustParseAddrPort("192.0.2.9:7001"); len(public) != 1 || public[0] != want {
			t.Errorf("the addresses of the server are %v, want %v", public, want)
		}
	})
}

// begin runs the program until the test ends, and returns the URL of its page and what run returns.
func begin(t *testing.T, ctx context.Context, env map[string]string) (string, chan error) {
	t.Helper()
	o, err := parse([]string{"-data", "127.0.0.1:0", "-http", "127.0.0.1:0", "-admin", "127.0.0.1:0"}, func(string) (string, bool) { return "", false }, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	over := make(chan error, 1)
	go func() {
		over <- run(ctx, o, func(name string) string { return env[name] }, in)
		in.Close()
	}()
	return pageOf(t, out), over
}

// pageOf reads what the program prints.
func pageOf(t *testing.T, out io.Reader) string {
	t.Helper()
	line, err := bufio.NewReader(out).ReadString('\n')
	url := regexp.MustCompile(`http://\S+`).FindString(line)
	if url == "" {
		t.Fatalf("the program prints %q, %v; want its URL", line, err)
	}
	return url
}

// join begins a session over a link, and returns it when it has got the number of players.
func join(t *testing.T, page, want, link string) *client.Session {
	t.Helper()
	got := make(chan string, 10)
	s, err := client.Connect(t.Context(), page+"/godwit/", client.Config{}, client.SessionConfig{
		Links:    []string{link},
		Channels: channel.Channels{{Name: "players", Mode: channel.Sequenced, Direction: channel.ToClient}},
		Handler:  client.SessionHandler{Message: func(_ *client.Session, _ channel.ID, b []byte) { got <- string(b) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(0, "") })
	for {
		if n := testkit.Next(t, "the player", got); n == want {
			return s
		}
	}
}

// A match in Agones: ready, allocated with the first player, and at its end after the last one.
func TestMatchInAgones(t *testing.T) {
	s := &sidecar{t: t, calls: make(chan string, 1000)}
	host := httptest.NewServer(s)
	defer host.Close()
	_, port, _ := strings.Cut(host.Listener.Addr().String(), ":")
	page, over := begin(t, t.Context(), map[string]string{"AGONES_SDK_HTTP_PORT": port})
	if got := s.next(); got != "/ready" {
		t.Errorf("the first call is %s, want /ready", got)
	}
	// The address that the server has from the GameServer is not that of this machine.
	ada, bob := join(t, page, "1", session.LinkWebSocket), join(t, page, "2", session.LinkWebSocket)
	if got := s.next(); got != "/allocate" {
		t.Errorf("after the first player: %s, want /allocate", got)
	}
	ada.Close(0, "")
	bob.Close(0, "")
	if got := s.next(); got != "/shutdown" {
		t.Errorf("after the last player: %s, want /shutdown", got)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}

// At SIGTERM the players are told, and the program ends.
func TestSignalEndsTheSessions(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	page, over := begin(t, ctx, nil)
	s := join(t, page, "1", session.LinkWebRTC)
	stop()
	if err := <-over; err != nil {
		t.Error(err)
	}
	<-s.Done()
}

func TestProbes(t *testing.T) {
	o, err := parse([]string{"-data", "127.0.0.1:0"}, os.LookupEnv, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	g, err := newGame(o, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer g.server.Close()
	admin := httptest.NewServer(g.figures())
	defer admin.Close()
	for _, c := range []struct {
		stopping     bool
		path, refuse string
	}{
		{false, "/livez", ""}, {false, "/readyz", ""}, {false, "/metrics", ""}, {false, "/godwit/", "404"},
		{true, "/livez", ""}, {true, "/readyz", "503"},
	} {
		g.stopping.Store(c.stopping)
		err := check(t.Context(), admin.URL+c.path)
		if (err == nil) != (c.refuse == "") || err != nil && !strings.Contains(err.Error(), c.refuse) {
			t.Errorf("%s while stopping is %v: %v, want %q", c.path, c.stopping, err, c.refuse)
		}
	}
}

// The server makes the file of -keys, answers requests, and lets in no more players than -players says.
func TestFlagsReachTheServer(t *testing.T) {
	keys := filepath.Join(t.TempDir(), "keys.pem")
	o := testkit.Must(parse([]string{"-data", "127.0.0.1:0", "-players", "1", "-keys", keys}, os.LookupEnv, io.Discard))
	g := testkit.Must(newGame(o, nil, nil))
	defer g.server.Close()
	if _, err := os.Stat(keys); err != nil {
		t.Error(err)
	}
	opened := make(chan bool, 1)
	c := testkit.Must(g.server.Local(godwit.LocalConfig{Handler: godwit.Handler{Open: func(*godwit.Conn) { opened <- true }}}))
	testkit.Next(t, "the session opens", opened)
	if b, err := c.Request(t.Context(), "any", []byte("now")); err != nil || string(b) != "now" {
		t.Errorf("the answer to a request is %q, %v", b, err)
	}
	web := httptest.NewServer(g.server)
	defer web.Close()
	s, err := client.Connect(t.Context(), web.URL, client.Config{}, client.SessionConfig{Channels: c.Channels()})
	if err == nil {
		s.Close(session.CloseNormal, "")
		t.Error("a second player is let in")
	}
}

func TestFlagsAndTheEnvironment(t *testing.T) {
	env := map[string]string{"GODWIT_PUBLIC": "203.0.113.7:7777, [2001:db8::1]:7777", "GODWIT_PLAYERS": "7", "GODWIT_PROXIES": "10.0.0.0/8", "GODWIT_NODE": "3", "GODWIT_RELAYS": "10.0.0.0/16"}
	look := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	o, err := parse([]string{"-players", "8"}, look, io.Discard)
	if err != nil || len(o.public) != 2 || o.players != 8 || len(o.proxies) != 1 || o.node != 3 || len(o.relays) != 1 {
		t.Errorf("%+v, %v", o, err)
	}
	for name, bad := range map[string]string{"GODWIT_PUBLIC": "game.example", "GODWIT_PROXIES": "10.0.0.1", "GODWIT_DRAIN": "soon", "GODWIT_NODE": "-1", "GODWIT_RELAYS": "10.0.0.2"} {
		env = map[string]string{name: bad}
		if _, err := parse(nil, look, io.Discard); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v, want an error that names it", name, bad, err)
		}
	}
	if _, err := parse([]string{"-node", "16777216"}, func(string) (string, bool) { return "", false }, io.Discard); err == nil {
		t.Error("a number of 25 bits returns no error")
	}
	if _, err := parse([]string{"public"}, look, io.Discard); err == nil {
		t.Error("an argument that is no flag returns no error")
	}
}

func TestSlowWebClientsEnd(t *testing.T) { testkit.EndsSlowClients(t, webServer) }
