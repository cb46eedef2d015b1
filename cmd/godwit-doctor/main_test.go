package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/doctor"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// examine runs the program against a server of this process, and returns its report.
func examine(t *testing.T, args ...string) report {
	t.Helper()
	var out bytes.Buffer
	healthy, err := run(t.Context(), append([]string{"-json", "-wait", "20s", "-checks", "5"}, args...), &out, false)
	if err != nil {
		t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, &out)
	}
	if healthy != r.Healthy {
		t.Errorf("healthy is %v, and in the report %v", healthy, r.Healthy)
	}
	return r
}

// want checks one result: the first with the name of a check.
func (r *report) want(t *testing.T, check string, status doctor.Status, fault doctor.Fault, text string) {
	t.Helper()
	i := slices.IndexFunc(r.Results, func(one doctor.Result) bool { return one.Check == check && one.Status == status })
	if i < 0 {
		t.Errorf("no %q with %v: %+v", check, status, r.Results)
		return
	}
	if one := r.Results[i]; one.Fault != fault || !strings.Contains(one.Text, text) {
		t.Errorf("%q is %+v, want the fault %q and %q in the text", check, one, fault, text)
	}
}

// find returns the first result of a check; the zero Result if there is none.
func (r *report) find(check string) doctor.Result {
	for _, one := range r.Results {
		if one.Check == check {
			return one
		}
	}
	return doctor.Result{}
}

// website starts a server and its page on this machine, and returns the URL of the page.
func website(t *testing.T, c godwit.Config) string {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	c.RTC.HandshakeTimeout = time.Minute // the doctor makes none, and a busy machine may need long for the rest
	srv, err := godwit.Listen("127.0.0.1:0", c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	mux := http.NewServeMux()
	mux.Handle("/game/", srv)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `<script type="module">await connect("/game/", {})</script>`)
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	return web.URL + "/"
}

func TestAHealthyServer(t *testing.T) {
	page := website(t, godwit.Config{Channels: godwit.Channels{{Name: "move", Mode: godwit.Sequenced}, {Name: "chat", Mode: godwit.ReliableOrdered}}, Version: "1.4"})
	r := examine(t, page)
	r.want(t, "http", doctor.OK, "", "/game/")
	r.want(t, "origin", doctor.OK, "", "own origin")
	r.want(t, "clock", doctor.OK, "", "")
	r.want(t, "table", doctor.OK, "", "2 channels: move, chat")
	r.want(t, "version", doctor.OK, "", `version "1.4"`)
	r.want(t, "udp", doctor.OK, "", "answers over UDP")
	r.want(t, "source", doctor.OK, "", "no NAT")
	r.want(t, "proxy", doctor.OK, "", "loopback")
	r.want(t, "websocket", doctor.OK, "", "opens in")
	r.want(t, "channel", doctor.OK, "", "opens")
	r.want(t, "trip", doctor.OK, "", "for the round trip")
	for check, figures := range map[string][]string{"trip": {"min", "median", "max"}, "channel": {"opened"}, "websocket": {"opened", "trip"}} {
		for _, name := range figures {
			if ms, ok := r.find(check).Data[name].(float64); !ok || ms < 0 || ms > 120_000 {
				t.Errorf("the figures of %q are %v, want %s", check, r.find(check).Data, name)
			}
		}
	}
	if hash, _ := r.find("table").Data["hash"].(string); len(hash) != 16 || !strings.HasSuffix(r.find("table").Text, hash) {
		t.Errorf("the table is %+v, want its hash", r.find("table"))
	}
	if text := r.find("connection").Text; !regexp.MustCompile(` in (less than 0\.1|\d{1,3}(\.\d)?) m?s$`).MatchString(text) {
		t.Errorf("the time of the connection is not in %q", text)
	}
	if !r.Healthy || r.Faults == nil || len(r.Faults) != 0 || r.URL != page {
		t.Errorf("at %s it has found %#v, want an empty list: %+v", r.URL, r.Faults, r.Results)
	}
}

// The page's own version and table are compared with the server's.
func TestAPageOfAnotherBuild(t *testing.T) {
	page := website(t, godwit.Config{Channels: godwit.Channels{{Name: "move", Mode: godwit.Sequenced}}, Version: "1.4"})
	r := examine(t, "-app", "1.3", "-channels", "0123456789abcdef", page+"game/")
	r.want(t, "version", doctor.Fail, doctor.FaultVersion, `"1.4"`)
	r.want(t, "table", doctor.Fail, doctor.FaultTable, "0123456789abcdef")
	r.want(t, "udp", doctor.OK, "", "answers")
}

// A page that has the server's own version and table is not told of another.
func TestAPageOfTheSameBuild(t *testing.T) {
	page := website(t, godwit.Config{Channels: godwit.Channels{{Name: "move", Mode: godwit.Sequenced}}, Version: "1.4"})
	first := examine(t, page)
	hash, _ := first.find("table").Data["hash"].(string)
	r := examine(t, "-app", "1.4", "-channels", hash, page)
	if r.want(t, "version", doctor.OK, "", "session protocol 1"); !r.Healthy || len(r.Faults) != 0 {
		t.Errorf("it has found %v: %+v", r.Faults, r.Results)
	}
}

// The doctor goes where a redirect leads, and says that it has.
func TestARedirect(t *testing.T) {
	page := website(t, godwit.Config{})
	web := httptest.NewServer(http.RedirectHandler(page+"game/", http.StatusPermanentRedirect))
	defer web.Close()
	r := examine(t, web.URL)
	r.want(t, "redirect", doctor.Warn, doctor.FaultRedirect, page+"game/")
	r.want(t, "udp", doctor.OK, "", "answers")
}

// A server whose certificate nobody trusts gets no token. The other checks are made.
func TestACertificateOfNobody(t *testing.T) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	var authorized atomic.Bool
	web := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			authorized.Store(true)
		}
		srv.ServeHTTP(w, r)
	}))
	defer web.Close()
	r := examine(t, "-token", "open", web.URL)
	r.want(t, "certificate", doctor.Fail, doctor.FaultCertificate, "unknown authority")
	r.want(t, "token", doctor.Skip, "", "not valid")
	r.want(t, "websocket", doctor.OK, "", "opens")
	r.want(t, "channel", doctor.OK, "", "opens")
	if authorized.Load() {
		t.Error("the token is sent")
	}
}

// A token is good once: one is enough for all checks except that of the data channel.
func TestTokens(t *testing.T) {
	var good sync.Map
	for _, token := range []string{"one", "two", "three"} {
		good.Store(token, true)
	}
	page := website(t, godwit.Config{Authorize: func(r *http.Request) (godwit.Identity, error) {
		if _, ok := good.LoadAndDelete(godwit.Token(r)); !ok {
			return godwit.Identity{}, &rtcserver.StatusError{Status: http.StatusUnauthorized, Code: "token", Text: "the token is not known"}
		}
		return godwit.Identity{}, nil
	}})
	r := examine(t, page)
	r.want(t, "answer", doctor.Fail, doctor.FaultToken, "the token is not known")
	r.want(t, "udp", doctor.Skip, "", "without an answer")
	r = examine(t, "-token", "one", page)
	r.want(t, "udp", doctor.OK, "", "answers")
	r.want(t, "channel", doctor.Skip, "", "-token")
	r = examine(t, "-token", "two", "-token", "three", page)
	r.want(t, "channel", doctor.OK, "", "opens")
}

// A gate before the server needs Authorization for itself; then the token is in another header.
func TestAGateBeforeTheServer(t *testing.T) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Secret: "open", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "gate" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		srv.ServeHTTP(w, r)
	}))
	defer web.Close()
	r := examine(t, web.URL)
	r.want(t, "http", doctor.Fail, doctor.FaultServer, "401")
	r = examine(t, "-header", "Authorization: Basic bWU6Z2F0ZQ==", "-token", "open", web.URL)
	r.want(t, "websocket", doctor.OK, "", "opens")
	r.want(t, "channel", doctor.OK, "", "opens")
}

func TestAServerOfPlainDatagrams(t *testing.T) {
	srv, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	web := httptest.NewServer(srv)
	defer web.Close()
	r := examine(t, web.URL+"/connect")
	r.want(t, "version", doctor.OK, "", "datagrams without sessions")
	r.want(t, "websocket", doctor.Skip, "", "")
	r.want(t, "channel", doctor.OK, "", "opens")
	if !r.Healthy {
		t.Errorf("%+v", r.Results)
	}
}

func TestNoServer(t *testing.T) {
	page := website(t, godwit.Config{})
	web := httptest.NewServer(http.NotFoundHandler())
	r := examine(t, web.URL+"/godwit/")
	r.want(t, "http", doctor.Fail, doctor.FaultServer, "404")
	web.Close()
	r = examine(t, "https"+strings.TrimPrefix(page, "http"))
	r.want(t, "http", doctor.Fail, doctor.FaultSilent, "no response")
	r = examine(t, web.URL+"/godwit/")
	r.want(t, "connection", doctor.Fail, doctor.FaultConnection, "no answer")
}

// A ticket that is not good any more is replaced.
func TestATicketThatIsTooOld(t *testing.T) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	var refused atomic.Bool
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" && !refused.Swap(true) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		srv.ServeHTTP(w, r)
	}))
	defer web.Close()
	r := examine(t, web.URL)
	r.want(t, "websocket", doctor.OK, "", "opens")
	if !refused.Load() {
		t.Error("no WebSocket was refused")
	}
}

// A proxy that takes the upgrade away leaves players without UDP without a way.
func TestAProxyWithoutUpgrades(t *testing.T) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Upgrade")
		srv.ServeHTTP(w, r)
	}))
	defer web.Close()
	r := examine(t, web.URL)
	r.want(t, "websocket", doctor.Fail, doctor.FaultWebSocket, "405")
}

// A proxy that answers preflights itself, or adds a second header, keeps pages of other origins out.
func TestAProxyThatAnswersPreflights(t *testing.T) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{Logger: slog.New(slog.DiscardHandler), RTC: rtcserver.Settings{Origins: []string{"https://game.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"none": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"two": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Add("Access-Control-Allow-Origin", "*")
			w.Header().Add("Access-Control-Allow-Origin", "https://game.example")
		},
		"refused": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) },
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodOptions {
					answer(w, r)
					return
				}
				srv.ServeHTTP(w, r)
			}))
			defer web.Close()
			r := examine(t, "-origin", "https://game.example", web.URL)
			r.want(t, "origin", doctor.Fail, doctor.FaultCORS, "preflight")
		})
	}
	web := httptest.NewServer(srv)
	defer web.Close()
	r := examine(t, "-origin", "https://game.example", web.URL)
	r.want(t, "origin", doctor.OK, "", "https://game.example")
	r = examine(t, "-origin", "https://foreign.example", web.URL)
	r.want(t, "origin", doctor.Fail, doctor.FaultOrigin, "https://foreign.example")
	r.want(t, "channel", doctor.OK, "", "opens")
}

func TestMistakesOnTheCommandLine(t *testing.T) {
	for _, args := range [][]string{
		{}, {"ftp://game.example"}, {"http://a", "http://b"}, {"-port", "7", "http://a"}, {"-server", "-port", "65536"},
		{"-nonsense"}, {"-header", "Authorization", "http://a"}, {"-header", ": x", "http://a"}, {"-origin", "game.example", "http://a"}, {"-origin", "https://game.example/", "http://a"}, {"-wait", "-1s", "http://a"},
	} {
		if _, err := run(t.Context(), args, io.Discard, false); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
	var out strings.Builder
	if _, err := run(t.Context(), []string{"-help"}, &out, false); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "usage:") || !strings.Contains(out.String(), "-origin") {
		t.Errorf("-help: %v, %s", err, &out)
	}
}

func TestURLsWithoutAScheme(t *testing.T) {
	for text, want := range map[string]string{
		"localhost:8080":          "http://localhost:8080",
		"192.168.1.5:8080/x":      "http://192.168.1.5:8080/x",
		"[::1]:8080":              "http://[::1]:8080",
		"game.example/godwit/":    "https://game.example/godwit/",
		"http://game.example":     "http://game.example",
		"wss://game.example/a://": "wss://game.example/a://",
	} {
		if got := withScheme(text); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}

// The text has one line for each check, and says at the end what was found.
func TestText(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	var out strings.Builder
	healthy, err := run(t.Context(), []string{web.URL, "-wait", "20s"}, &out, false)
	if err != nil || healthy {
		t.Fatalf("%v, %v", healthy, err)
	}
	for _, want := range []string{"\nFAIL  http         no godwit server at ", "[no-server]\n                   > give the URL", "\nfound: no-server, after "} {
		if !strings.Contains("\n"+out.String(), want) {
			t.Errorf("the text is\n%s\nwant %q in it", &out, want)
		}
	}
}
