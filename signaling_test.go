package godwit

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/sdp"
	"github.com/godwit-rtc/godwit/session"
)

// serve returns a server on a network in memory, which only its signaling is asked of.
func serve(t *testing.T, c Config) *Server {
	t.Helper()
	network := netsim.New(1)
	pc := testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777"))
	c.RTC.MaxOffers = -1
	s, err := Serve(pc, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(); network.Close() })
	return s
}

func offer() []byte {
	o := sdp.Offer{
		Ufrag: "abcd", Pwd: strings.Repeat("p", 24), Setup: sdp.SetupActpass, MaxMessageSize: 1 << 16,
		Fingerprints: []sdp.Fingerprint{{Algorithm: "sha-256", Sum: make([]byte, 32)}},
	}
	return o.Append(nil)
}

// post sends an offer. The query has the right version and table unless it has others.
func post(s *Server, query, authorization string) (status int, body map[string]string) {
	if !strings.Contains(query, "channels=") {
		query += fmt.Sprintf("&channels=%016x", s.tableHash)
	}
	r := httptest.NewRequest(http.MethodPost, "/godwit/?"+query, bytes.NewReader(offer()))
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	w := testkit.Serve(s, r)
	if w.Code != http.StatusOK {
		json.Unmarshal(w.Body.Bytes(), &body)
	}
	return w.Code, body
}

func wantPost(t *testing.T, s *Server, query, authorization string, status int, code, reason string) map[string]string {
	t.Helper()
	got, body := post(s, query, authorization)
	if got != status || body["code"] != code || body["reason"] != reason || status != 200 && body["error"] == "" {
		t.Errorf("?%s with %q: %d %v; want %d %s %s", query, authorization, got, body, status, code, reason)
	}
	return body
}

func TestTerms(t *testing.T) {
	s := serve(t, Config{Channels: table, Version: "1.4"})
	wantPost(t, s, "v=1&app=1.4&kind=browser", "", 200, "", "")
	wantPost(t, s, "app=1.4", "", 400, "request", "")
	wantPost(t, s, "v=1&app=1.4&channels=xyz", "", 400, "request", "")
	wantPost(t, s, "v=1&app=1.4"+strings.Repeat("&x=y", 1<<18), "", 400, "request", "")
	if b := wantPost(t, s, "v=1&app="+strings.Repeat("x", 10_000), "", 409, "app", ""); len(b["client"]) != 64 {
		t.Errorf("%d bytes of the client's version are in the answer, want 64", len(b["client"]))
	}
	if b := wantPost(t, s, "v=2&app=1.4", "", 409, "protocol", ""); b["server"] != "1" || b["client"] != "2" {
		t.Errorf("the answer has %v, want server 1 and client 2", b)
	}
	if b := wantPost(t, s, "v=1&app=1.3", "", 409, "app", ""); b["server"] != "1.4" || b["client"] != "1.3" {
		t.Errorf("the answer has %v, want server 1.4 and client 1.3", b)
	}
	b := wantPost(t, s, "v=1&app=1.4&channels=0000000000000000", "", 409, "channels", "")
	theirs, err := channel.ParseTable(b["channels"])
	if err != nil || (channel.Table{Channels: table}).Compare(theirs) != nil {
		t.Errorf("the table in the answer is %q: %v", b["channels"], err)
	}
	if b := wantPost(t, s, "v=1&app=1.4", "Godwit-Resume AAAAAAAAAAAAAAAAAAAAAA", 410, "resume", "unknown"); len(b["instance"]) != 16 {
		t.Errorf("the answer has %v, want an instance of 16 bytes", b)
	}
	wantPost(t, s, "v=1&app=1.4", "Godwit-Resume nonsense", 410, "resume", "malformed")
	if n := s.Stats().Refused; n != 9 {
		t.Errorf("%d refusals are counted, want 9", n)
	}
}

func TestPagesWithoutAScript(t *testing.T) {
	s := serve(t, Config{RTCHandler: rtcserver.Handler{Message: func(*rtcserver.Conn, rtcserver.Message) {}}})
	wantPost(t, s, "", "", 200, "", "")
}

func TestSecret(t *testing.T) {
	s := serve(t, Config{Secret: "open sesame"})
	wantPost(t, s, "v=1", "Bearer open sesame", 200, "", "")
	wantPost(t, s, "v=1", "", 401, "token", "missing")
	wantPost(t, s, "v=1", "Bearer open sesam", 401, "token", "wrong")
	wantPost(t, s, "v=1", "Basic b3BlbiBzZXNhbWU=", 401, "token", "missing")
}

func newTokens(t *testing.T) (auth.Signer, *auth.Verifier) {
	signer, err := auth.Generate(auth.EdDSA, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer, &auth.Verifier{Keys: []auth.Key{signer.Key()}, Audience: "eu-1"}
}

func TestTokens(t *testing.T) {
	signer, verifier := newTokens(t)
	s := serve(t, Config{Tokens: verifier, MaxUsedTokens: 2, Version: "2"})
	token := func(edit func(*auth.Claims)) string {
		c := auth.Claims{Subject: "ada", Audience: "eu-1", ID: rand.Text(), Expires: time.Now().Add(time.Minute)}
		if edit != nil {
			edit(&c)
		}
		text, err := signer.Sign(time.Now(), c)
		if err != nil {
			t.Fatal(err)
		}
		return "Bearer " + text
	}
	good := token(nil)
	wantPost(t, s, "v=1&app=1", good, 409, "app", "") // this does not spend it
	wantPost(t, s, "v=1&app=2", good, 200, "", "")
	wantPost(t, s, "v=1&app=2", good, 401, "token", "replayed")
	wantPost(t, s, "v=1&app=2", good[:len(good)-1], 401, "token", "malformed")
	wantPost(t, s, "v=1&app=2", good[:len(good)-9]+"AAAAAAAAA", 401, "token", "forged")
	wantPost(t, s, "v=1&app=2", "", 401, "token", "missing")
	wantPost(t, s, "v=1&app=2", token(func(c *auth.Claims) { c.Audience = "us-1" }), 401, "token", "audience")
	wantPost(t, s, "v=1&app=2", token(func(c *auth.Claims) { c.Expires = time.Now().Add(-time.Hour) }), 401, "token", "expired")
	wantPost(t, s, "v=1&app=2", token(nil), 200, "", "")
	wantPost(t, s, "v=1&app=2", token(nil), 503, "full", "busy") // two are remembered
}

func TestTokensOfAFleet(t *testing.T) {
	signer, verifier := newTokens(t)
	used := map[string]bool{}
	s := serve(t, Config{Tokens: verifier, Spend: func(_ context.Context, id string, until time.Time) error {
		if used[id] {
			return auth.ErrReplayed
		}
		switch id {
		case "lost":
			return errors.New("the store does not answer")
		case "slow":
			return &rtcserver.StatusError{Status: 429, Text: "not so fast"}
		case "full":
			return fmt.Errorf("the store: %w", auth.ErrBusy)
		}
		used[id] = time.Until(until) > time.Minute
		return nil
	}})
	for _, c := range []struct {
		id     string
		status int
		reason string
	}{{"a", 200, ""}, {"a", 401, "replayed"}, {"lost", 503, "refused"}, {"slow", 429, ""}, {"full", 503, "busy"}} {
		text, _ := signer.Sign(time.Now(), auth.Claims{Subject: "ada", Audience: "eu-1", ID: c.id, Expires: time.Now().Add(time.Minute)})
		got, body := post(s, "v=1", "Bearer "+text)
		if got != c.status || body["reason"] != c.reason {
			t.Errorf("%s: status %d, want %d; %v, want the reason %q", c.id, got, c.status, body, c.reason)
		}
	}
}

func TestAuthorize(t *testing.T) {
	var err error
	s := serve(t, Config{Authorize: func(r *http.Request) (Identity, error) { return Identity{Name: "ada"}, err }})
	wantPost(t, s, "v=1", "", 200, "", "")
	err = errors.New("no ticket")
	wantPost(t, s, "v=1", "", 403, "forbidden", "")
	err = auth.ErrExpired
	wantPost(t, s, "v=1", "", 401, "token", "expired")
	err = fmt.Errorf("asked the shop: %w", auth.NewError("unpaid", "the season is over"))
	wantPost(t, s, "v=1", "", 401, "token", "unpaid")
	err = &rtcserver.StatusError{Status: 402, Code: "pay", Text: "pay first"}
	wantPost(t, s, "v=1", "", 402, "pay", "")
}

// Admit decides about new clients whose credentials are good, before a token is spent.
func TestAdmit(t *testing.T) {
	signer, verifier := newTokens(t)
	var refuse error
	var admitted []string
	s := serve(t, Config{Tokens: verifier, Admit: func(_ context.Context, id Identity) error {
		admitted = append(admitted, id.Name)
		return refuse
	}})
	token, err := signer.Sign(time.Now(), auth.Claims{Audience: "eu-1", Subject: "ada", ID: rand.Text(), Expires: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	wantPost(t, s, "v=1", "Bearer no token", 401, "token", "malformed")
	refuse = &rtcserver.StatusError{Status: 409, Code: "identity", Text: "ada is elsewhere"}
	wantPost(t, s, "v=1", "Bearer "+token, 409, "identity", "")
	refuse = errors.New("banned")
	wantPost(t, s, "v=1", "Bearer "+token, 403, "forbidden", "")
	refuse = nil
	wantPost(t, s, "v=1", "Bearer "+token, 200, "", "")
	if !slices.Equal(admitted, []string{"ada", "ada", "ada"}) {
		t.Errorf("Admit was asked about %q", admitted)
	}
	if n := s.Stats().Refused; n != 3 {
		t.Errorf("%d clients were refused, want 3", n)
	}
}

func TestFullServer(t *testing.T) {
	s := serve(t, Config{
		MaxConns:  1,
		Authorize: func(r *http.Request) (Identity, error) { return Identity{Name: r.FormValue("name")}, nil },
		AdmitFull: func(_ context.Context, id Identity) bool { return id.Name == "vip" },
	})
	wantPost(t, s, "v=1&name=ada", "", 200, "", "")
	wantPost(t, s, "v=1&name=bob", "", 503, "full", "")
	wantPost(t, s, "v=1&name=vip", "", 200, "", "")
	if st := s.Stats(); st.Pending != 2 || st.Open != 0 {
		t.Errorf("%d sessions are pending, want 2; %d open, want 0", st.Pending, st.Open)
	}
}

// Many clients connect at once, and the server accepts exactly MaxConns.
func TestMaxConnsIsExact(t *testing.T) {
	var spent atomic.Int32
	signer, verifier := newTokens(t)
	s := serve(t, Config{MaxConns: 8, Tokens: verifier, Spend: func(context.Context, string, time.Time) error {
		if spent.Add(1) == 3 {
			return auth.ErrReplayed // whose place goes to another, maybe
		}
		return nil
	}})
	var let, full, replayed atomic.Int32
	var all sync.WaitGroup
	for range 64 {
		token, err := signer.Sign(time.Now(), auth.Claims{Audience: "eu-1", Subject: "ada", ID: rand.Text(), Expires: time.Now().Add(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			switch status, _ := post(s, "v=1", "Bearer "+token); status {
			case http.StatusOK:
				let.Add(1)
			case http.StatusServiceUnavailable:
				full.Add(1)
			case http.StatusUnauthorized:
				replayed.Add(1)
			}
		})
	}
	all.Wait()
	if n := let.Load(); n > 8 || n < 7 || n+full.Load()+replayed.Load() != 64 || replayed.Load() != 1 || s.directory.count() != int(n) {
		t.Errorf("%d were admitted, %d refused as full, %d replayed, want 1; %d are in the directory", let.Load(), full.Load(), replayed.Load(), s.directory.count())
	}
	if n := spent.Load(); n != let.Load()+1 {
		t.Errorf("%d tokens are spent, want %d", n, let.Load()+1)
	}
}

func TestConfigErrors(t *testing.T) {
	_, verifier := newTokens(t)
	for name, c := range map[string]Config{
		"bad table":         {Channels: Channels{{Name: ""}}},
		"long version":      {Version: strings.Repeat("v", 65)},
		"two ways":          {Secret: "s", Tokens: verifier},
		"no key":            {Tokens: &auth.Verifier{Audience: "eu-1"}},
		"no audience":       {Tokens: &auth.Verifier{Keys: verifier.Keys}},
		"unknown duplicate": {Duplicates: 9},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: New returns no error", name)
		}
	}
}

// A program that mounts Server.RTC in place of the Server has the same signaling, and the
// same checks.
func TestRTCIsAHandlerToo(t *testing.T) {
	s := serve(t, Config{Secret: "open sesame", RTCHandler: rtcserver.Handler{Message: func(*rtcserver.Conn, rtcserver.Message) {}}})
	ask := func(method, query, authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/rtc?"+query, bytes.NewReader(offer()))
		r.Header.Set("Authorization", authorization)
		w := testkit.Serve(s.RTC(), r)
		return w
	}
	query := fmt.Sprintf("v=1&channels=%016x", s.tableHash)
	for _, c := range []struct {
		query, authorization string
		status               int
	}{
		{"", "", 200}, // a page without a script
		{query, "Bearer open sesame", 200},
		{query, "Bearer no", 401},
		{query, "Godwit-Resume AAAAAAAAAAAAAAAAAAAAAA", 410},
	} {
		if w := ask(http.MethodPost, c.query, c.authorization); w.Code != c.status {
			t.Errorf("?%s with %q: status %d, want %d: %s", c.query, c.authorization, w.Code, c.status, w.Body)
		}
	}
	if n := s.Stats().Pending; n != 1 {
		t.Errorf("%d sessions, want the one with the secret", n)
	}
	// Without a call of Authorize there is an error, and no panic.
	if _, err := s.engine(nil, httptest.NewRequest(http.MethodPost, "/", nil)); err == nil {
		t.Error("engine without an admission returns no error")
	}
}

func TestScriptIsServedToWhoAsks(t *testing.T) {
	s := serve(t, Config{})
	for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200} {
		w := testkit.Serve(s, httptest.NewRequest(method, "/godwit/godwit.js", nil))
		if w.Code != want || w.Header().Get("Content-Type") != "text/javascript; charset=utf-8" || w.Header().Get("ETag") == "" ||
			(w.Body.Len() > 0) != (method == http.MethodGet) {
			t.Errorf("%s: status %d, want %d; header %v; %d bytes", method, w.Code, want, w.Header(), w.Body.Len())
		}
	}
}

// The refusal of a server that has only WebRTC, and no port, is JSON, like every other refusal.
func TestAServerWithoutAPortSaysSo(t *testing.T) {
	s, err := New(Config{Links: []string{session.LinkWebRTC}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := testkit.Serve(s, httptest.NewRequest(http.MethodPost, "/godwit/", nil))
	var body map[string]string
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != 503 || body["code"] != "shutdown" || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("status %d, want 503; header %v; body %s: %v", w.Code, w.Header(), w.Body, err)
	}
}

// Config.Logger gets a line for every client that is refused, by whichever part.
func TestRefusalsAreLogged(t *testing.T) {
	var text testkit.Log
	s := serve(t, Config{Secret: "open sesame", Logger: text.Logger(slog.LevelDebug)})
	r := httptest.NewRequest(http.MethodPost, "http://game.example/godwit/", bytes.NewReader(offer()))
	r.Header.Set("Origin", "https://pages.example")
	testkit.Serve(s, r)
	wantPost(t, s, "v=1", "Bearer no", 401, "token", "wrong")
	for _, want := range []string{"level=WARN", "Config.RTC.Origins", "origin=https://pages.example", "status=403", "status=401"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %s in\n%s", want, &text)
		}
	}
}

// Credentials that have expired when they are shown begin no session.
func TestCredentialsThatHaveExpiredAlready(t *testing.T) {
	var id Identity
	s := serve(t, Config{Authorize: func(*http.Request) (Identity, error) { return id, nil }})
	for _, c := range []struct {
		expires time.Time
		status  int
		reason  string
	}{
		{time.Now().Add(-time.Nanosecond), 401, "expired"},
		{time.Now().Add(-time.Hour), 401, "expired"},
		{time.Unix(0, 0), 401, "expired"},
		{time.Now().Add(time.Hour), 200, ""},
		{time.Time{}, 200, ""},
	} {
		id = Identity{Name: "ada", Expires: c.expires}
		before, refused := s.Stats().Pending, s.Stats().Refused
		status, body := post(s, "v=1", "")
		if status != c.status || body["reason"] != c.reason || c.status == 401 && body["code"] != "token" {
			t.Errorf("expires %v: %d %v, want %d %s", c.expires, status, body, c.status, c.reason)
		}
		st := s.Stats()
		if let := c.status == 200; (st.Pending == before+1) != let || (st.Refused == refused) != let {
			t.Errorf("expires %v: %d pending, %d before; %d refused, %d before; want it admitted: %v", c.expires, st.Pending, before, st.Refused, refused, let)
		}
	}
	for c := range s.directory.entries {
		if at := c.session.Expires(); !at.Equal(c.identity.Expires) {
			t.Errorf("the session expires at %v, its Identity at %v", at, c.identity.Expires)
		}
	}
}

// made returns the session that the last offers have made; of several, the one that is not in
// before.
func made(t *testing.T, s *Server, before ...*Conn) *Conn {
	t.Helper()
	s.directory.mu.Lock()
	defer s.directory.mu.Unlock()
	for c := range s.directory.entries {
		if !slices.Contains(before, c) {
			return c
		}
	}
	t.Fatal("no session was made")
	return nil
}

// The content of a token becomes the Identity; Expires only if the program sets it.
func TestIdentityIsWhatTheTokenSays(t *testing.T) {
	for _, expire := range []bool{false, true} {
		signer, verifier := newTokens(t)
		s := serve(t, Config{Tokens: verifier, ExpireWithToken: expire})
		claims := auth.Claims{Subject: "ada", Audience: "eu-1", ID: "1", Expires: time.Now().Add(time.Hour).Truncate(time.Second), Data: []byte(`{"team":4}`)}
		text, err := signer.Sign(time.Now(), claims)
		must(t, err)
		wantPost(t, s, "v=1&kind=native", "Bearer "+text, 200, "", "")
		c := made(t, s)
		id := c.Identity()
		if id.Name != "ada" || string(id.Data) != `{"team":4}` || id.Expires.IsZero() == expire || !c.session.Expires().Equal(id.Expires) {
			t.Errorf("expire %v: %q %s, expires %v, the session %v", expire, id.Name, id.Data, id.Expires, c.session.Expires())
		}
		if d := id.Expires.Sub(claims.Expires); expire && (d < 0 || d > 2*time.Minute) {
			t.Errorf("the session expires %v after its token, want at most 2 minutes", d)
		}
	}
}

// The kind of a session's client is that of the request.
func TestKindsOfClients(t *testing.T) {
	s := serve(t, Config{})
	var before []*Conn
	for query, want := range map[string]Kind{"v=1&kind=browser": KindBrowser, "v=1&kind=native": KindNative, "v=1&kind=in-process": KindUnknown, "v=1": KindUnknown} {
		wantPost(t, s, query, "", 200, "", "")
		c := made(t, s, before...)
		before = append(before, c)
		if c.Kind() != want || c.newest.Load() == nil || c.home.Load() != nil || c.Link() != "" {
			t.Errorf("?%s: %v, want %v", query, c.Kind(), want)
		}
	}
	for _, a := range before {
		for _, b := range before {
			if a != b && a.id == b.id {
				t.Errorf("two sessions have the id %v", a.id)
			}
		}
	}
	for k, want := range map[Kind]string{KindUnknown: "unknown", KindBrowser: "browser", KindNative: "native", KindInProcess: "in-process", 9: "unknown"} {
		if got := k.String(); got != want {
			t.Errorf("Kind %d has the name %q, want %q", k, got, want)
		}
	}
}

// The query may have 16 KiB, to the byte, and the hash of a table 16 digits.
func TestFormOfARequest(t *testing.T) {
	s := serve(t, Config{Version: "2"})
	query := "v=1&app=2&channels=" + hexHash(s) + "&x="
	wantPost(t, s, query+strings.Repeat("y", maxQuery-len(query)), "", 200, "", "")
	wantPost(t, s, query+strings.Repeat("y", maxQuery-len(query)+1), "", 400, "request", "")
	wantPost(t, s, "v=1&app=2&channels=0"+hexHash(s), "", 400, "request", "")
	wantPost(t, s, "v=1&app=2&channels="+strings.Repeat("g", 16), "", 400, "request", "")
	for app, want := range map[string]string{"": "the client does not say what it is", "&app=1": `the client is "1"`} {
		if b := wantPost(t, s, "v=1"+app, "", 409, "app", ""); !strings.Contains(b["error"], want) {
			t.Errorf("%q: %s, want an error with %q", app, b["error"], want)
		}
	}
	any := serve(t, Config{})
	wantPost(t, any, "v=1&app=7", "", 200, "", "")
	for text, reason := range map[string]string{"AAAA": "malformed", "AAAAAAAAAAAAAAAAAAAAA!": "malformed", "AAAAAAAAAAAAAAAAAAAAAA": "unknown"} {
		wantPost(t, any, "v=1", "godwit-resume "+text, 410, "resume", reason)
	}
	if e := refusal(400, "x", "y", "one", "1", "odd"); len(e.Detail) != 1 || e.Detail["one"] != "1" {
		t.Errorf("the details are %v, want only one", e.Detail)
	}
	w := testkit.Serve((&Server{}), httptest.NewRequest(http.MethodPost, "/godwit.js", nil))
	if w.Code != 503 || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("POST: status %d, want 503; header %v", w.Code, w.Header())
	}
}

// A page without the script needs at least one of three funcs of the RTC side's handler.
func TestPagesNeedAHandler(t *testing.T) {
	for name, h := range map[string]rtcserver.Handler{
		"Open":        {Open: func(*rtcserver.Conn) {}},
		"ChannelOpen": {ChannelOpen: func(*rtcserver.Conn, rtcserver.Channel) {}},
		"Message":     {Message: func(*rtcserver.Conn, rtcserver.Message) {}},
	} {
		s := serve(t, Config{RTCHandler: h})
		if status, body := post(s, "", ""); status != 200 {
			t.Errorf("with %s: status %d, want 200: %v", name, status, body)
		}
	}
	wantPost(t, serve(t, Config{}), "", "", 400, "request", "")
}

// Where an Identity that is connected is refused it is refused before anything is made of
// its offer, unless its session is interrupted or about to end.
func TestIdentitiesThatAreConnectedAreRefused(t *testing.T) {
	for _, choice := range []Duplicates{DuplicatesRefuse, DuplicatesAllow, DuplicatesReplace} {
		s := serve(t, Config{Channels: table, Duplicates: choice, Authorize: func(r *http.Request) (Identity, error) { return Identity{Name: r.FormValue("name")}, nil }})
		opened := make(chan *Conn)
		s.config.Handler.Open = func(c *Conn) { opened <- c }
		_, err := s.Local(LocalConfig{Identity: Identity{Name: "ada"}})
		must(t, err)
		c := <-opened
		wantPost(t, s, "v=1&name=bob", "", 200, "", "")
		if choice != DuplicatesRefuse {
			wantPost(t, s, "v=1&name=ada", "", 200, "", "")
			continue
		}
		if b := wantPost(t, s, "v=1&name=ada", "", 409, "identity", ""); b["error"] != "ada is connected already" {
			t.Errorf("the answer has %v, want that ada is connected", b)
		}
		cut(c)
		wantPost(t, s, "v=1&name=ada", "", 200, "", "")
	}
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		_, server, _ := join(t, srv, "ada")
		if !srv.isPresent("ada") || srv.isPresent("bob") {
			t.Error("isPresent: want true for ada and false for bob")
		}
		must(t, server.Send(chat, make([]byte, 100_000)))
		if server.Close(session.CloseNormal, ""); srv.isPresent("ada") || srv.Len() != 1 {
			t.Error("a session that drains keeps the next one of its name out")
		}
	})
}

// The directory accepts exactly as many sessions as MaxConns and MaxPerIP allow.
func TestTheBookIsFull(t *testing.T) {
	wantPost(t, serve(t, Config{MaxConns: 1}), "v=1", "", 200, "", "")
	full := serve(t, Config{MaxConns: 1})
	wantPost(t, full, "v=1", "", 200, "", "")
	wantPost(t, full, "v=1", "", 503, "full", "")
	var d directory
	d.init(4, 0)
	site := netip.MustParseAddr("203.0.113.1")
	enter := func(limit, ofSite, want int) *Conn {
		t.Helper()
		c := new(Conn)
		if got := status(d.add(c, limit, site, ofSite)); got != want {
			t.Errorf("with %d in the directory, of %d and %d of an address: %d, want %d", len(d.entries), limit, ofSite, got, want)
		}
		return c
	}
	first, second := enter(2, 2, 0), enter(2, 2, 0)
	enter(2, 5, 503)
	enter(5, 2, 429)
	third := enter(5, 0, 0) // without a limit of each address
	for _, c := range []*Conn{first, second, third} {
		d.remove(c)
	}
	if len(d.bySite) != 0 || d.setAway(first, true, time.Now()) != nil || d.away != 0 {
		t.Errorf("%d addresses are left and %d sessions away, want 0", len(d.bySite), d.away)
	}
}

// A client with another schema is refused before it has a session. The refusal has the
// server's table, from which the client names the first difference.
func TestAnotherSchemaIsRefused(t *testing.T) {
	world := func(schema string) Channels {
		return Channels{{Name: "world", Mode: Sequenced, Schema: schema}}
	}
	const boxes, join = "tick:uint32;boxes[].x:float32", "join.request.name:string(16)"
	s := serve(t, Config{Channels: world(boxes), Schema: join})
	wantPost(t, s, "v=1", "", 200, "", "")
	for want, client := range map[string]channel.Table{
		"world.boxes[].x: server float32, client uint16":          {Channels: world("tick:uint32;boxes[].x:uint16"), Schema: join},
		"join.request.name: server string(16), client string(20)": {Channels: world(boxes), Schema: "join.request.name:string(20)"},
		"requests: server " + join + ", client bytes":             {Channels: world(boxes)},
	} {
		b := wantPost(t, s, fmt.Sprintf("v=1&channels=%016x", client.Hash()), "", 409, "channels", "")
		server, err := channel.ParseTable(b["channels"])
		if err != nil {
			t.Fatal(err)
		}
		if err := client.Compare(server); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want it to say %q", err, want)
		}
	}
	if st := s.Stats(); st.Open != 0 {
		t.Errorf("%d sessions are open, want none", st.Open)
	}
}
