package dashboard

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

const (
	move godwit.ChannelID = 1 + iota
	chat
)

var table = godwit.Channels{
	{Name: "move", Mode: godwit.Sequenced},
	{Name: "chat", Mode: godwit.ReliableOrdered},
}

// newServer returns a server without a port that echoes.
func newServer(t testing.TB) *godwit.Server {
	t.Helper()
	srv, err := godwit.New(godwit.Config{Channels: table, MaxConns: 1 << 20, Handler: godwit.Handler{
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { srv.Close() })
	return srv
}

func join(t testing.TB, srv *godwit.Server, name string) *godwit.Conn {
	t.Helper()
	c, err := srv.Local(godwit.LocalConfig{Identity: godwit.Identity{Name: name}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// newRequest returns a request to localhost.
func newRequest(method, url string) *http.Request {
	r := httptest.NewRequest(method, url, nil)
	r.Host = "localhost:6060"
	return r
}

func get(srv *godwit.Server, method, url string) *httptest.ResponseRecorder {
	w := testkit.Serve(Handler(srv), newRequest(method, url))
	return w
}

// ask polls as the page does.
func ask(t testing.TB, srv *godwit.Server, query string) figures {
	t.Helper()
	w := get(srv, http.MethodGet, "/dashboard/?figures&"+query)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("status %d, %s; want 200 and JSON", w.Code, w.Header())
	}
	var f figures
	if err := json.Unmarshal(w.Body.Bytes(), &f); err != nil {
		t.Fatalf("%v in %.200s", err, w.Body)
	}
	return f
}

func names(f figures) []string {
	var list []string
	for _, s := range f.Sessions {
		list = append(list, s.Identity)
	}
	return list
}

func find(srv *godwit.Server, name string) *godwit.Conn {
	for c := range srv.Conns() {
		if c.Identity().Name == name {
			return c
		}
	}
	return nil
}

// In a bubble no time passes between a poll and Stats, so they are the same.
func TestFiguresAgreeWithStats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		ada := join(t, srv, "ada")
		join(t, srv, "bob")
		synctest.Wait()
		for range 20 {
			ada.Send(move, make([]byte, 50))
			ada.Send(chat, make([]byte, 70))
			time.Sleep(50 * time.Millisecond)
		}
		synctest.Wait()
		c := find(srv, "ada")
		f := ask(t, srv, "session="+c.ID().String())

		st := srv.Stats()
		if f.Server.Open != 2 || f.Server.Open != st.Open || f.Server.Begun != st.Begun || f.Server.Pending != st.Pending {
			t.Errorf("the server is %+v, want %+v", f.Server, st)
		}
		all := srv.Totals()
		if s := f.Server; s.PacketsIn != all.PacketsIn || s.PacketsOut != all.PacketsOut || s.BytesIn != all.BytesIn || s.BytesOut != all.BytesOut || s.BytesIn == 0 {
			t.Errorf("the server is %+v, the totals are %+v", s, all)
		}
		if f.Matching != 2 || len(f.Sessions) != 2 {
			t.Errorf("%d sessions of %d, want both", len(f.Sessions), f.Matching)
		}
		for _, got := range f.Sessions {
			c := find(srv, got.Identity)
			if want := sessionOf(c, c.Stats()); got != want {
				t.Errorf("%s is %+v, want %+v", got.Identity, got, want)
			}
		}
		cs := c.Stats()
		if f.Chosen == nil {
			t.Fatal("the requested session is not in the answer")
		}
		if got := f.Chosen; got.Identity != "ada" || got.Kind != "in-process" || got.Link != session.LinkInProcess || got.Addr != "" || got.RTT != ms(cs.RTT) || got.RTT == 0 ||
			got.BytesIn != cs.BytesIn || got.BytesOut != cs.BytesOut || got.Age != cs.Age.Seconds() || got.Rate != cs.Rate || got.Held != cs.Held {
			t.Errorf("ada is %+v, want %+v", got, cs)
		}
		for i, l := range f.Chosen.Channels {
			ch := c.ChannelStats(godwit.ChannelID(i + 1))
			if l.Name != table[i].Name || l.Mode != table[i].Mode.String() || l.MessagesIn != 20 || l.MessagesIn != ch.MessagesIn ||
				l.MessagesOut != ch.MessagesOut || l.BytesIn != ch.BytesIn || l.BytesOut != ch.BytesOut || l.Queued != ch.QueueBytes {
				t.Errorf("channel %+v, want %+v", l, ch)
			}
		}
		if len(f.Chosen.Channels) != len(table) {
			t.Errorf("%d channels, want %d", len(f.Chosen.Channels), len(table))
		}
		ada.Close(session.CloseNormal, "")
		synctest.Wait()
		if f := ask(t, srv, "session="+c.ID().String()); f.Chosen != nil || len(f.Server.Ends) != 1 || f.Server.Ends[0] != (count{"normal", 1}) {
			t.Errorf("after the end: %+v, ends %v; want no session and one normal end", f.Chosen, f.Server.Ends)
		}
	})
}

func TestManySessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		const many = 250
		for i := range many {
			join(t, srv, fmt.Sprintf("Player-%04d", i))
			if i%50 == 0 {
				time.Sleep(time.Second) // of the bubble: they have ages
			}
		}
		synctest.Wait()
		f := ask(t, srv, "")
		if len(f.Sessions) != maxSessions || f.Matching != many || f.Server.Open != many {
			t.Errorf("%d sessions, want %d; %d match and %d are open, want %d", len(f.Sessions), maxSessions, f.Matching, f.Server.Open, many)
		}
		if first := f.Sessions[0]; first.Age > f.Sessions[maxSessions-1].Age {
			t.Errorf("the first session is %v s old, the last %v s, want the youngest first", first.Age, f.Sessions[maxSessions-1].Age)
		}
		if f := ask(t, srv, "search=PLAYER-000"); f.Matching != 10 || len(f.Sessions) != 10 {
			t.Errorf("%d found, want 10", f.Matching)
		}
		c := find(srv, "Player-0070")
		if f := ask(t, srv, "search="+c.ID().String()); !slices.Equal(names(f), []string{"Player-0070"}) {
			t.Errorf("a search for the id finds %v, want Player-0070", names(f))
		}
		if w := get(srv, http.MethodGet, "/?figures&search=nobody"); !strings.Contains(w.Body.String(), `"sessions":[],"matching":0,"chosen":null`) {
			t.Errorf("a search without a result gives %.300s", w.Body)
		}
		if f := ask(t, srv, "order=identity&down"); f.Sessions[0].Identity != "Player-0249" || f.Sessions[199].Identity != "Player-0050" {
			t.Errorf("from %s to %s, want the last ones", f.Sessions[0].Identity, f.Sessions[199].Identity)
		}
	})
}

func TestOrders(t *testing.T) {
	a := row{ID: "a", Identity: "x", Link: "webrtc", Age: 1, RTT: 9, LossOut: 1, LossIn: 1, BytesIn: 500, BytesOut: 900, Queued: 1, Heard: 5}
	b := row{ID: "b", Identity: "y", Link: "websocket", Age: 10, RTT: 10, LossOut: 2, LossIn: 2, BytesIn: 6000, BytesOut: 10_000, Queued: 2, Heard: 6}
	for _, order := range []string{"id", "identity", "link", "age", "rtt", "lossOut", "lossIn", "in", "out", "queued", "heard", "", "nonsense"} {
		if key := keyOf(order); key(a, b) >= 0 || key(b, a) <= 0 || key(a, a) != 0 {
			t.Errorf("the order %q: %d, %d, %d; want a before b", order, key(a, b), key(b, a), key(a, a))
		}
	}
}

// What the messages of all sessions had in them, also of those that are over.
func TestGoodput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		ada, bob := join(t, srv, "ada"), join(t, srv, "bob")
		synctest.Wait()
		ada.Send(chat, make([]byte, 70))
		bob.Send(move, make([]byte, 30))
		synctest.Wait()
		ask(t, srv, "")
		ada.Close(session.CloseNormal, "")
		bob.Send(chat, make([]byte, 5))
		synctest.Wait()
		if f := ask(t, srv, ""); f.Server.GoodIn != 105 || f.Server.GoodOut != 105 {
			t.Errorf("%d bytes came and %d went, want 105 each", f.Server.GoodIn, f.Server.GoodOut)
		}
	})
}

func TestHostileIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		const markup = `</script><img src=x onerror="alert(1)">`
		join(t, srv, markup)
		join(t, srv, strings.Repeat("ü", 5000))
		join(t, srv, "z\xff\xfe")
		synctest.Wait()
		f := ask(t, srv, "order=identity")
		if got := f.Sessions[0].Identity; got != markup {
			t.Errorf("the identity is %q, want %q", got, markup)
		}
		if got := f.Sessions[1].Identity; got != "z\ufffd\ufffd" {
			t.Errorf("the identity is %q, want invalid bytes replaced", got)
		}
		if got := f.Sessions[2].Identity; len(got) > maxText+len("…") || !utf8.ValidString(got) || !strings.HasPrefix(got, "üü") {
			t.Errorf("the identity has %d bytes, want at most %d: %q", len(got), maxText+len("…"), got)
		}
		if w := get(srv, http.MethodGet, "/?figures"); strings.Contains(w.Body.String(), "<") {
			t.Error("the answer has an unescaped <")
		}
	})
	for _, way := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "createContextualFragment", "DOMParser", " style=", " onclick=\""} {
		if strings.Contains(string(page), way) {
			t.Errorf("the page has %s in it", way)
		}
	}
	if strings.Count(string(page), "<script") != 1 || strings.Count(string(page), "<style") != 1 {
		t.Error("the page must have one script and one style, as its policy says")
	}
}

func TestAnyPath(t *testing.T) {
	srv := newServer(t)
	mux := http.NewServeMux()
	mux.Handle("/ops/live/dashboard/", Handler(srv))
	mux.Handle("/exact", Handler(srv))
	mux.Handle("/cut/", http.StripPrefix("/cut", Handler(srv)))
	for _, path := range []string{"/ops/live/dashboard/", "/exact", "/cut/"} {
		for query, want := range map[string]string{"": "text/html; charset=utf-8", "?figures=": "application/json", "?key=x&figures=": "application/json"} {
			w := testkit.Serve(mux, newRequest(http.MethodGet, path+query))
			if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || got != want || w.Body.Len() == 0 {
				t.Errorf("%s%s: status %d, %s, %d bytes; want 200 and %s", path, query, w.Code, got, w.Body.Len(), want)
			}
		}
	}
	if strings.Contains(string(page), `="/`) {
		t.Error("the page has an absolute path in it")
	}
}

func TestHeaders(t *testing.T) {
	srv := newServer(t)
	for _, url := range []string{"/", "/?figures"} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete, http.MethodOptions} {
			w := get(srv, method, url)
			h := w.Header()
			for name, want := range map[string]string{
				"Cache-Control": "no-store", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
				"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin",
			} {
				if h.Get(name) != want {
					t.Errorf("%s %s: %s is %q, want %q", method, url, name, h.Get(name), want)
				}
			}
			csp := h.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'", "frame-ancestors 'none'"} {
				if !strings.Contains(csp, want) {
					t.Errorf("%s %s: %s is not in %s", method, url, want, csp)
				}
			}
			if strings.Contains(csp, "unsafe") {
				t.Errorf("the policy allows unsafe sources: %s", csp)
			}
			want, allow := http.StatusOK, ""
			if method != http.MethodGet && method != http.MethodHead {
				want, allow = http.StatusMethodNotAllowed, "GET, HEAD"
			}
			if w.Code != want || h.Get("Allow") != allow {
				t.Errorf("%s %s: status %d, want %d; Allow %q, want %q", method, url, w.Code, want, h.Get("Allow"), allow)
			}
		}
	}
}

// A stranger's page that DNS rebinding has made one of this origin gets nothing: it
// cannot do that under an address or as localhost.
func TestForeignHostsAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := newServer(t)
		join(t, srv, "ada")
		synctest.Wait()
		told := Handler(srv, "Ops.game.example", "*.intern.example")
		for host, want := range map[string][2]int{
			"localhost:6060": {200, 200}, "127.0.0.1:6060": {200, 200}, "[::1]:6060": {200, 200}, "192.168.1.5": {200, 200}, "Game.localhost": {200, 200},
			"ops.game.example": {403, 200}, "OPS.game.example:8443": {403, 200}, "a.intern.example": {403, 200},
			"rebound.example:6060": {403, 403}, "game.example": {403, 403}, "intern.example": {403, 403}, "localhost.evil.example": {403, 403}, "": {403, 403}, "a b": {403, 403},
		} {
			for i, h := range []http.Handler{Handler(srv), told} {
				for _, url := range []string{"/", "/?figures"} {
					r := newRequest(http.MethodGet, url)
					r.Host = host
					w := testkit.Serve(h, r)
					if w.Code != want[i] || (w.Code == 403) == strings.Contains(w.Body.String(), "ada") && url == "/?figures" {
						t.Errorf("%q, %s: status %d, want %d: %.100s", host, url, w.Code, want[i], w.Body)
					}
				}
			}
		}
		defer func() {
			if v := recover(); v == nil {
				t.Error("a host name with a port is accepted")
			}
		}()
		Handler(srv, "ops.game.example:8080")
	})
}

// Every cause that there may be has a name of its own, and what did not happen has none.
func TestCauses(t *testing.T) {
	if got := causesOf(godwit.Stats{}, godwit.Totals{}); got == nil || len(got) > 0 {
		t.Errorf("causesOf without drops = %v, want an empty list", got)
	}
	var st godwit.Stats
	for i := range st.RTC.Drops {
		st.RTC.Drops[i] = uint64(i + 1)
	}
	for i := range st.RTC.ChannelsRefused {
		st.RTC.ChannelsRefused[i] = uint64(i + 70)
	}
	st.RTC.Refused = map[int]uint64{429: 7, 0: 1, 401: 2}
	st.RTC.Socket.KernelDrops = 99
	st.Unsent = 98
	st.Links = godwit.LinkStats{Refused: 81, Broken: 82, DroppedIn: 83, DroppedOut: 84}
	all := godwit.Totals{Limited: 4, Channels: make([]godwit.ChannelTotals, 1)}
	for i := range all.Drops {
		all.Drops[i] = uint64(i + 50)
	}
	all.Channels[0].Name, all.Channels[0].Replaced = "move", 5
	got := causesOf(st, all)
	seen := make(map[string]uint64)
	for _, c := range got {
		seen[c.What] = c.N
	}
	delete(seen, "")
	if len(seen) != len(st.RTC.Drops)+len(all.Drops)+len(st.RTC.ChannelsRefused)+11 || seen["WebSockets refused: no good ticket"] != 81 || seen["WebSockets that broke the protocol"] != 82 ||
		seen["links that may drop: too many datagrams of a client"] != 83 || seen["links that may drop: no room for datagrams to a client"] != 84 || seen["requests refused: 429 Too Many Requests"] != 7 || seen["receive buffer full"] != 99 ||
		seen["messages to many: not sent"] != 98 || seen["from clients: malformed"] != 50 || seen["messages beyond Limits"] != 4 ||
		seen["to clients: move: replaced, late or too many"] != 5 || seen[dropNames[rtcserver.DropTaken]] != uint64(rtcserver.DropTaken)+1 {
		t.Errorf("%v", got)
	}
	for i, what := range map[rtcserver.Refusal]string{
		rtcserver.RefusedReliable:  "channels refused: reliable",
		rtcserver.RefusedTooMany:   "channels refused: beyond MaxChannels",
		rtcserver.RefusedMalformed: "channels refused: malformed opening",
	} {
		if seen[what] != uint64(i)+70 {
			t.Errorf("%q = %d, want %d", what, seen[what], i+70)
		}
	}
	var cs session.Stats
	cs.Drops[0], cs.Limited = 3, 4
	if got := causesOfConn(cs); !slices.Equal(got, []count{{"messages beyond Limits", 4}, {"from the client: malformed", 3}}) {
		t.Errorf("causesOfConn = %v, want two causes", got)
	}
}
