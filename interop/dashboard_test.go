package interop

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/dashboard"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// A dashboardPage is a world with a dashboard at a path of some depth, which is told what
// the page's policy forbade.
type dashboardPage struct {
	*webWorld
	testing.TB
	polls     atomic.Int64
	forbidden chan string // directives that were broken
	said      chan string // by the page, if it complains
}

// Logf hears what the page's console says.
func (g *dashboardPage) Logf(format string, args ...any) {
	g.TB.Logf(format, args...)
	text := fmt.Sprintf(format, args...)
	if strings.Contains(text, ": error: ") || strings.Contains(text, ": warn: ") || strings.Contains(text, ": uncaught: ") {
		note(g.said, text)
	}
}

func newDashboardPage(t *testing.T, b *browser.Browser) *dashboardPage {
	g := &dashboardPage{webWorld: newWebWorld(t, b, netsim.Link{Delay: oneWay}), TB: t,
		forbidden: make(chan string, 16), said: make(chan string, 16)}
	graphs := dashboard.Handler(g.server)
	g.http.HandleFunc("/ops/live/", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("figures") {
			g.polls.Add(1)
		}
		graphs.ServeHTTP(reporting{w}, r)
	})
	g.http.HandleFunc("POST /forbidden", func(_ http.ResponseWriter, r *http.Request) {
		var report struct {
			Report struct {
				Directive string `json:"violated-directive"`
			} `json:"csp-report"`
		}
		body, _ := io.ReadAll(r.Body)
		json.Unmarshal(body, &report)
		note(g.forbidden, report.Report.Directive)
	})
	return g
}

// open opens the dashboard.
func (g *dashboardPage) open() *tab {
	return &tab{Page: g.browser.Page(g, g.url+"ops/live/?key=kept"), t: g.TB}
}

// reporting has the page's policy tell of what it forbids.
type reporting struct{ http.ResponseWriter }

func (w reporting) WriteHeader(status int) {
	h := w.Header()
	if policy := h.Get("Content-Security-Policy"); policy != "" && !strings.Contains(policy, "report-uri") {
		h.Set("Content-Security-Policy", policy+"; report-uri /forbidden")
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w reporting) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.ResponseWriter.Write(b)
}

// dashboardScript has what the tests of the page use.
const dashboardScript = `
	const until = async (done) => { while (!done()) await new Promise((r) => setTimeout(r, 20)); };
	const rows = () => [...document.querySelectorAll("#rows tbody tr")];
	// drawn counts the pixels of a canvas that a line has coloured.
	const drawn = (canvas) => {
		const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
		copy.drawImage(canvas, 0, 0);
		const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
		let n = 0;
		for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 200 && Math.abs(data[i] - data[i + 2]) > 50) n++;
		return n;
	};
`

const hostile = `</script><img src="/x.png" onerror="window.harmed=1"><script>window.harmed=1</script>` + "\u202e"

func TestDashboard(t *testing.T) {
	t.Parallel()
	inFront(t, func(t *testing.T, b *browser.Browser) {
		g := newDashboardPage(t, b)
		player := g.tab()
		player.do(`await join(); window.talk = setInterval(() => conn.send("chat", new Uint8Array(100)), 30);`, nil, nil)
		c := receive(t, g.conns, "the page's session")
		evil, err := g.server.Local(godwit.LocalConfig{Identity: godwit.Identity{Name: hostile}})
		if err != nil {
			t.Fatal(err)
		}
		defer evil.Close(session.CloseNormal, "")

		p := g.open()
		var identities []string
		p.do(dashboardScript+`await until(() => rows().length === 2);
			return rows().map((r) => r.cells[1].textContent).sort();`, nil, &identities)
		if len(identities) != 2 || identities[0] != hostile {
			t.Errorf("the identities are %q, want two, the hostile one first", identities)
		}
		var graphs []int
		p.do(dashboardScript+`rows().find((r) => r.cells[0].textContent === arg).click();
			const canvases = [...document.querySelectorAll("#graphs canvas, #server canvas")];
			await until(() => !document.querySelector("#chosen").hidden && canvases.every((c) => drawn(c) > 0));
			return canvases.map(drawn);`, c.ID().String(), &graphs)
		if len(graphs) != 8 {
			t.Errorf("%d graphs, want 8: %v", len(graphs), graphs)
		}
		var title, rtt, line string
		p.do(dashboardScript+`const chat = () => [...document.querySelectorAll("#channels tbody tr")].find((r) => r.cells[0].textContent === "chat");
			await until(() => chat() && parseFloat(chat().cells[3].textContent) > 0);
			return chat().textContent;`, nil, &line)
		p.do(`return document.querySelector("#title").textContent;`, nil, &title)
		p.do(`return document.querySelector("#graphs b").textContent;`, nil, &rtt)
		if title != c.ID().String() || !strings.HasSuffix(rtt, " ms") || !strings.Contains(line, "reliable-ordered") {
			t.Errorf("the session has the id %q, the round trip %q and the channel %q", title, rtt, line)
		}

		var found string
		p.do(dashboardScript+`const search = document.querySelector("#search");
			search.value = "ONERROR";
			search.dispatchEvent(new Event("input"));
			await until(() => rows().length === 1);
			rows()[0].click();
			await until(() => document.querySelector("#title").textContent === rows()[0].cells[1].textContent);
			return document.querySelector("#count").textContent;`, nil, &found)
		if found != "1 found among 2" {
			t.Errorf("the search prints %q, want 1 found among 2", found)
		}

		// The session ends, and its graphs stay.
		evil.Close(session.CloseNormal, "")
		p.do(dashboardScript+`await until(() => document.querySelector("#over").textContent === "is over" && rows().length === 0);
			await until(() => document.querySelector("#ends").textContent.includes("normal"));`, nil, nil)

		var harm struct {
			Harmed   bool
			Elements int
			Query    string
		}
		p.do(`return { harmed: "harmed" in window, elements: document.querySelectorAll("img, iframe, script").length, query: location.search };`, nil, &harm)
		if harm.Harmed || harm.Elements != 1 || harm.Query != "?key=kept" {
			t.Errorf("the hostile name has an effect: %+v", harm)
		}
		for len(g.forbidden) > 0 {
			t.Errorf("the page breaks its policy: %s", <-g.forbidden)
		}
		for len(g.said) > 0 {
			t.Errorf("the console has the line %s", <-g.said)
		}

		// The policy is in force, and this test would have heard of a breach.
		p.do(`new Image().src = "/x.png";`, nil, nil)
		if got := receive(t, g.forbidden, "the report of a breach"); got != "img-src" {
			t.Errorf("the policy has forbidden %q, want img-src", got)
		}
	})
}

// A page that nobody sees asks for nothing, and goes on when it is seen.
func TestDashboardRestsWhileItIsHidden(t *testing.T) {
	t.Parallel()
	inFront(t, func(t *testing.T, b *browser.Browser) {
		g := newDashboardPage(t, b)
		p := g.open()
		p.do(dashboardScript+`await until(() => document.querySelector("#state").className === "ok");`, nil, nil)
		p.Hide()
		p.do(dashboardScript+`await until(() => !busy);`, nil, nil)
		before := g.polls.Load()
		p.do(`await new Promise((r) => setTimeout(r, 3000)); await poll();`, nil, nil)
		if n := g.polls.Load() - before; n > 0 {
			t.Errorf("the page has polled %d times in 3 s while it was hidden, want 0", n)
		}
	})
}

// The page fits windows of common widths: cards fill their rows, and no table is cut
// off. A row looks as if one can click it: its pointer is a hand, and its id underlined. The page quotes the answer of a proxy that refuses the figures.
func TestDashboardFitsAndSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	g := newDashboardPage(t, browser.Own(t, browser.Chromium))
	var refused atomic.Bool
	graphs := dashboard.Handler(g.server)
	g.http.HandleFunc("/guarded/", func(w http.ResponseWriter, r *http.Request) {
		if refused.Load() {
			http.Error(w, "your login has expired", http.StatusUnauthorized)
			return
		}
		graphs.ServeHTTP(w, r)
	})
	player, err := g.server.Local(godwit.LocalConfig{Identity: godwit.Identity{Name: "ada"}})
	if err != nil {
		t.Fatal(err)
	}
	defer player.Close(session.CloseNormal, "")
	p := &tab{Page: g.browser.Page(g, g.url+"guarded/"), t: g.TB}
	for _, width := range []int{1560, 1320, 1120, 900, 500} {
		p.Inspect("Emulation.setDeviceMetricsOverride",
			map[string]any{"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false}, nil)
		var layout struct {
			Uneven, Cut       []string
			State, Cursor, ID string
		}
		p.do(dashboardScript+`await until(() => rows().length === 1);
			rows()[0].click();
			await until(() => document.querySelector("#channels tbody tr"));
			const uneven = [...document.querySelectorAll(".grid")].filter((grid) => {
				const cards = [...grid.children], tops = new Set(cards.map((c) => c.getBoundingClientRect().top));
				return cards.length % tops.size > 0 || [...tops].some((top) => cards.filter((c) => c.getBoundingClientRect().top === top).length !== cards.length / tops.size);
			}).map((grid) => grid.id || grid.className);
			const cut = arg < 700 ? [] : ["#channels", "#rows"].filter((id) => { const e = document.querySelector(id); return e.scrollWidth > e.clientWidth; });
			if (document.documentElement.scrollWidth > innerWidth) cut.push("the page");
			return { uneven, cut, state: document.querySelector("#state").textContent,
				cursor: getComputedStyle(rows()[0]).cursor, id: getComputedStyle(rows()[0].cells[0]).textDecorationLine };`, width, &layout)
		if len(layout.Uneven) > 0 || len(layout.Cut) > 0 {
			t.Errorf("at %d pixels these leave holes: %q; and these are cut off: %q", width, layout.Uneven, layout.Cut)
		}
		if want := "1 session open, 1 begun since the server started"; layout.State != want {
			t.Errorf("the page says %q, want %q", layout.State, want)
		}
		if layout.Cursor != "pointer" || layout.ID != "underline" {
			t.Errorf("a row has the cursor %q and its id the line %q, want pointer and underline", layout.Cursor, layout.ID)
		}
	}
	refused.Store(true)
	var state string
	p.do(dashboardScript+`const state = document.querySelector("#state");
		await until(() => state.className === "bad");
		return state.textContent;`, nil, &state)
	if !strings.HasSuffix(state, "the server says 401 Unauthorized: your login has expired") {
		t.Errorf("the page shows %q, want that the login has expired", state)
	}
}
