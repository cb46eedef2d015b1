package metrics

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
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

// A world is a server on a network in memory, and its clients.
type world struct {
	t       testing.TB
	network *netsim.Network
	server  *godwit.Server
	clients atomic.Uint32
	last    scrape
}

func newWorld(t testing.TB, c godwit.Config) *world {
	w := &world{t: t, network: netsim.New(1)}
	w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
	pc := testkit.Listen(t, w.network, netip.MustParseAddrPort("192.0.2.1:7777"))
	c.RTC.MaxOffers, c.RTC.MaxPerIP = -1, -1
	w.server = testkit.Must(godwit.Serve(pc, c))
	return w
}

func (w *world) close() {
	w.server.Close()
	w.network.Close()
}

// connect begins a session from an endpoint of its own.
func (w *world) connect(table godwit.Channels) (*client.Session, *client.Endpoint, error) {
	n := w.clients.Add(1)
	pc := testkit.Listen(w.t, w.network, netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 5000))
	e, err := client.Serve(pc, client.Config{
		HTTP: &http.Client{Transport: testkit.Transport{Handler: w.server}}, AnswerTimeout: testkit.Patience, HandshakeTimeout: testkit.Patience,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := e.Join(context.Background(), "http://game.example/godwit/", client.SessionConfig{Channels: table, Retry: true}) // in real time the server may be slow
	return s, e, err
}

// scrape reads the page, and tells what is not as it must be: no counter may fall, and
// no series go away.
func (w *world) scrape() scrape {
	w.t.Helper()
	now, err := parse(string(Append(nil, w.server)))
	if err != nil {
		w.t.Fatal(err)
	}
	for key, was := range w.last {
		if is, ok := now[key]; !ok || is.kind == "counter" && is.value < was.value {
			w.t.Errorf("%s was %v and is %v (present: %v), want a counter that does not fall", key, was.value, is.value, ok)
		}
	}
	w.last = now
	return now
}

// want compares a series with what Stats says.
func (w *world) want(s scrape, value any, name string, labels ...string) {
	w.t.Helper()
	got, err := s.get(name, labels...)
	if err != nil {
		w.t.Error(err)
	} else if fmt.Sprint(got) != fmt.Sprint(value) {
		w.t.Errorf("%s%v is %v, want %v", name, labels, got, value)
	}
}

func TestLifeOfSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, godwit.Config{
			Channels: table, Limits: godwit.Limits{Messages: 20},
			Handler: godwit.Handler{Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) }},
		})
		defer w.close()
		before := w.scrape()
		w.want(before, 0, "godwit_sessions_closed_total", "reason", "kicked")
		w.want(before, 0, "godwit_sessions_by_rtt", "le", "+Inf")

		ada, ends, err := w.connect(table)
		if err != nil {
			t.Fatal(err)
		}
		defer ends.Close()
		bob, ends, err := w.connect(table)
		if err != nil {
			t.Fatal(err)
		}
		defer ends.Close()
		if _, ends, err := w.connect(table[:1]); err == nil {
			t.Fatal("a session with another table is accepted")
		} else {
			defer ends.Close()
		}
		w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.2})
		for range 100 {
			ada.Send(chat, []byte("hello"))
			for range 10 {
				bob.Send(move, []byte("here"))
			}
			time.Sleep(100 * time.Millisecond)
			w.scrape()
		}
		w.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		time.Sleep(5 * time.Second)
		live := w.scrape()
		w.agree(live)
		w.want(live, 2, "godwit_sessions", "state", "open")
		w.want(live, 100, "godwit_channel_messages_total", "channel", "chat", "direction", "in")
		w.want(live, 2, "godwit_sessions_by_rtt", "le", "+Inf")
		w.want(live, 2, "godwit_sessions_by_rtt", "le", "0.1") // 40 ms, and acknowledgements wait a little
		w.want(live, 0, "godwit_sessions_by_rtt", "le", "0.03")
		w.want(live, 1, "godwit_rtc_offers_refused_total", "status", "409")
		for _, name := range []string{"limited", "packets_lost", "retransmits"} {
			if n, err := live.get("godwit_session_" + name + "_total"); n == 0 {
				t.Errorf("the counter %s is %v, want more than 0; %v", name, n, err)
			}
		}

		// Both ends go, one of them with much to say still.
		ada.Close(session.CloseNormal, "")
		for c := range w.server.Conns() {
			c.Send(chat, make([]byte, 50_000))
			c.Close(session.CloseProgram+7, "")
		}
		for range 40 {
			w.scrape()
			time.Sleep(100 * time.Millisecond)
		}
		over := w.scrape()
		w.agree(over)
		w.want(over, 0, "godwit_sessions", "state", "open")
		w.want(over, 0, "godwit_rtc_connections")
		w.want(over, 100, "godwit_channel_messages_total", "channel", "chat", "direction", "in")
		if n, _ := over.get("godwit_channel_bytes_total", "channel", "chat", "direction", "out"); n < 50_000 {
			t.Errorf("%v bytes of chat are counted, want 50,000 at least: the last messages are missing", n)
		}
		if n, _ := over.get("godwit_sessions_closed_total", "reason", "program"); n == 0 {
			t.Error("no end by the program is counted")
		}
	})
}

// agree compares what is at rest with Stats and Totals.
func (w *world) agree(s scrape) {
	w.t.Helper()
	st, tot := w.server.Stats(), w.server.Totals()
	w.want(s, st.Begun, "godwit_sessions_opened_total")
	w.want(s, st.Refused, "godwit_sessions_refused_total")
	w.want(s, st.Left, "godwit_sessions_left_total")
	var closed uint64
	for _, n := range st.Closed {
		closed += n
	}
	for _, x := range s {
		if x.name == "godwit_sessions_closed_total" {
			closed -= uint64(x.value)
		}
	}
	if closed != 0 {
		w.t.Errorf("the ends by reason differ from Stats by %d", closed)
	}
	w.want(s, st.RTC.DatagramsIn, "godwit_udp_datagrams_total", "direction", "in")
	w.want(s, st.RTC.BytesOut, "godwit_udp_bytes_total", "direction", "out")
	w.want(s, st.RTC.Opened, "godwit_rtc_opened_total")
	w.want(s, st.RTC.HandshakesDone, "godwit_rtc_handshakes_total", "result", "done")
	w.want(s, st.RTC.Closed[rtcserver.CloseByServer], "godwit_rtc_closed_total", "reason", "server")
	w.want(s, st.RTC.ChannelsRefused[rtcserver.RefusedTooMany], "godwit_rtc_channels_refused_total", "reason", "too-many")
	w.want(s, st.RTC.Drops[rtcserver.DropUnknownAddr], "godwit_rtc_drops_total", "cause", "unknown-address")
	w.want(s, tot.PacketsIn, "godwit_session_packets_total", "direction", "in")
	w.want(s, tot.BytesOut, "godwit_session_bytes_total", "direction", "out")
	w.want(s, tot.PacketsLost, "godwit_session_packets_lost_total")
	w.want(s, tot.Limited, "godwit_session_limited_total")
	w.want(s, tot.Drops[channel.DropDuplicate], "godwit_session_drops_total", "cause", "duplicate")
	for _, ch := range tot.Channels[:3] {
		w.want(s, ch.MessagesOut, "godwit_channel_messages_total", "channel", ch.Name, "direction", "out")
		w.want(s, ch.WireOut, "godwit_channel_wire_bytes_total", "channel", ch.Name, "direction", "out")
		w.want(s, ch.WireIn, "godwit_channel_wire_bytes_total", "channel", ch.Name, "direction", "in")
		w.want(s, ch.Stale, "godwit_channel_dropped_total", "channel", ch.Name, "cause", "stale")
		w.want(s, ch.Duplicates, "godwit_channel_duplicates_total", "channel", ch.Name)
		w.want(s, ch.QueueBytes, "godwit_channel_queue_bytes", "channel", ch.Name)
	}
}

// TestStates: a session that is interrupted is counted as that, with what waits for it,
// and a session that begins and ends between two scrapes is not missed.
func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, godwit.Config{Channels: table})
		defer w.close()
		_, ends, err := w.connect(table)
		if err != nil {
			t.Fatal(err)
		}
		defer ends.Close()
		w.network.SetDefault(netsim.Link{Loss: 1})
		time.Sleep(15 * time.Second)
		for c := range w.server.Conns() {
			c.Send(chat, []byte("are you there?"))
		}
		quick, err := w.server.Local(godwit.LocalConfig{})
		if err != nil {
			t.Fatal(err)
		}
		quick.Send(chat, []byte("hello, and goodbye"))
		quick.Close(session.CloseNormal, "")
		time.Sleep(time.Second) // the message is acknowledged first
		s := w.scrape()
		w.want(s, 1, "godwit_sessions", "state", "interrupted")
		w.want(s, 0, "godwit_sessions", "state", "open")
		w.want(s, 0, "godwit_sessions", "state", "pending")
		w.want(s, 1, "godwit_session_interruptions_total")
		w.want(s, len("are you there?")+32, "godwit_channel_queue_bytes", "channel", "chat")
		w.want(s, 1, "godwit_sessions_closed_total", "reason", "normal")
		w.want(s, 1, "godwit_channel_messages_total", "channel", "chat", "direction", "in")
	})
}

// TestHostileNames: whatever a channel may be called, the page can be read, and the
// channels that sessions open for themselves add no series, whatever they are called.
func TestHostileNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		names := []string{`"`, `\`, `\n`, `a"}1`, `{le="1"}`, `#`, "\u2028", "\u0085", "é", "opened", strings.Repeat(`"`, 64)}
		var table godwit.Channels
		for _, n := range names {
			table = append(table, godwit.Channel{Name: n})
		}
		srv, err := godwit.New(godwit.Config{Channels: table})
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Close()
		w := &world{t: t, server: srv}
		before := w.scrape()
		for i := range 3 {
			if _, err := srv.Local(godwit.LocalConfig{Identity: godwit.Identity{Name: fmt.Sprint("player ", i)}}); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		n := 0
		for c := range srv.Conns() {
			ch, err := c.OpenChannel(godwit.Channel{Name: fmt.Sprint("den-", n), Mode: godwit.ReliableOrdered})
			if err != nil {
				t.Fatal(err)
			}
			c.Send(ch, []byte("hello"))
			for id := range table {
				c.Send(godwit.ChannelID(id+1), []byte("hello"))
			}
			n++
		}
		synctest.Wait()
		s := w.scrape()
		for _, name := range append(names, openedLater) {
			w.want(s, 3, "godwit_channel_messages_total", "channel", name, "direction", "out")
		}
		if len(s) != len(before) {
			t.Errorf("%d series are now %d", len(before), len(s))
		}
	})
}

func TestEscapes(t *testing.T) {
	const hostile = "a\\b\"c\nd\\n"
	p := &page{}
	p.gauge("x", "Help.")
	p.add(1, "name", hostile, "other", "y")
	if want := "# HELP x Help.\n# TYPE x gauge\n" + `x{name="a\\b\"c\nd\\n",other="y"} 1` + "\n"; string(p.b) != want {
		t.Errorf("got %q\nwant %q", p.b, want)
	}
	s, err := parse(string(p.b))
	if err != nil {
		t.Fatal(err)
	}
	if n, err := s.get("x", "name", hostile, "other", "y"); n != 1 {
		t.Errorf("the value with the hostile label is %v, %v; want 1", n, err)
	}
}

// TestParser: the parser of these tests refuses what it must.
func TestParser(t *testing.T) {
	const head = "# HELP x Help.\n# TYPE x gauge\n"
	for _, text := range []string{
		"", "x 1\n", head + "x 1", head + "x 1\n\n", head + "y 1\n", head + "x 1\nx 2\n", head + "x{a=\"1\"} 1\nx{a=\"1\"} 1\n",
		head + "x{a=\"\"} 1\n", head + "x{a=\"\\t\"} 1\n", head + "x{a=\"1\",a=\"2\"} 1\n", head + "x{a=\"1\"}1\n", head + "x{a=\"\"\"} 1\n",
		head + "x one\n", head + "x 1 2\n", head + head + "x 1\n", "# TYPE x gauge\nx 1\n", "# HELP x Help.\nx 1\n",
		"# HELP x Help.\n# TYPE x counter\nx 1\n", head + "x{le=\"1\"} 2\nx{le=\"+Inf\"} 1\n", head + "x{le=\"2\"} 1\nx{le=\"1\"} 1\n",
	} {
		if s, err := parse(text); err == nil {
			t.Errorf("%q is accepted as %v", text, s)
		}
	}
}

func TestSpread(t *testing.T) {
	s := newSpread([]float64{0, 0.5, 2})
	for _, v := range []float64{0, 0.1, 0.5, 2, 2.1, 100} {
		s.note(v)
	}
	p := &page{name: "x"}
	p.addSpread(s)
	if want := "x{le=\"0\"} 1\nx{le=\"0.5\"} 3\nx{le=\"2\"} 4\nx{le=\"+Inf\"} 6\n"; string(p.b) != want {
		t.Errorf("the histogram is\n%s\nwant\n%s", p.b, want)
	}
}

func TestHandler(t *testing.T) {
	srv, err := godwit.New(godwit.Config{Channels: table})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	ask := func(method string) *httptest.ResponseRecorder {
		w := testkit.Serve(Handler(srv), httptest.NewRequest(method, "/metrics", nil))
		return w
	}
	get := ask(http.MethodGet)
	if _, err := parse(get.Body.String()); get.Code != http.StatusOK || err != nil {
		t.Errorf("GET: status %d, %v", get.Code, err)
	}
	head := ask(http.MethodHead)
	if head.Code != http.StatusOK || head.Body.Len() != 0 {
		t.Errorf("HEAD: status %d with %d bytes, want 200 without a body", head.Code, head.Body.Len())
	}
	for _, w := range []*httptest.ResponseRecorder{get, head} {
		if ct := w.Header().Get("Content-Type"); ct != "text/plain; version=0.0.4; charset=utf-8" {
			t.Errorf("Content-Type %q, want that of the text format 0.0.4", ct)
		}
	}
	if post := ask(http.MethodPost); post.Code != http.StatusMethodNotAllowed || post.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: status %d, Allow %q; want 405 and GET, HEAD", post.Code, post.Header().Get("Allow"))
	}
	if got := string(Append([]byte("# mine\n"), srv)); !strings.HasPrefix(got, "# mine\n# HELP godwit_") {
		t.Errorf("Append begins with %.40q, want the caller's bytes", got)
	}
}
