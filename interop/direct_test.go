package interop

import (
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// newInviteWorld is a webWorld whose server takes invites, and whose page may use them.
func newInviteWorld(t *testing.T, b *browser.Browser, link netsim.Link) *webWorld {
	t.Helper()
	key, err := auth.NewInviteKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := newWebWorld(t, b, link, func(c *godwit.Config) { c.Invites = key })
	w.serveHTTPS()
	return w
}

// invite makes an invite with the longest fragment.
func (w *webWorld) invite() string {
	w.t.Helper()
	i, err := w.server.Invite(auth.InviteClaims{
		Subject: strings.Repeat("s", auth.MaxInviteSubject), Data: []byte(strings.Repeat("d", auth.MaxInviteData)), For: time.Minute,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(i.Ufrag) != 193 {
		w.t.Fatalf("the fragment has %d characters, want 193", len(i.Ufrag))
	}
	return i.Text()
}

// countRequests counts the requests of the page in asked from now on.
const countRequests = `window.asked = 0;
	const send = window.fetch;
	window.fetch = (...args) => (asked++, send(...args));
`

// A page with an invite opens its session, and two more links, without a request. The fragment is as
// long as it can be.
func TestClientConnectsWithAnInvite(t *testing.T) {
	t.Parallel()
	everyBrowser(t, append([]browser.Kind{browser.ChromiumSNAP}, browser.Kinds...), func(t *testing.T, b *browser.Browser) {
		w := newInviteWorld(t, b, netsim.Link{Loss: 0.05, Delay: oneWay})
		p := w.tab()
		var times map[string]float64
		p.do(countRequests+`return await join({ to: arg });`, w.invite(), &times)
		t.Logf("connected: %v", times)
		c := receive(t, w.conns, "the connection")
		if who := c.Identity(); len(who.Name) != auth.MaxInviteSubject || len(who.Data) != auth.MaxInviteData {
			t.Errorf("the player is %q with %q, want what the invite says", who.Name, who.Data)
		}
		p.continues(w)
		snaps := uint64(0) // connections without a handshake of SCTP
		if b.Kind == browser.ChromiumSNAP {
			snaps = 3
		}
		if n := w.server.RTC().Stats().SNAPs; n < snaps || snaps == 0 && n > 0 {
			t.Errorf("%d connections had no handshake of SCTP, want %d", n, snaps)
		}
		var asked int
		if p.do(`return asked;`, nil, &asked); asked > 0 {
			t.Errorf("the page has sent %d requests, want none", asked)
		}
	})
}

// A session that has begun with a request opens its other links without one.
func TestClientResumesWithoutARequest(t *testing.T) {
	slow(t)
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newInviteWorld(t, b, netsim.Link{Loss: 0.05, Delay: oneWay})
		p := w.tab()
		p.do(`await join({ links: ["webrtc"] }); // else it would try a WebSocket when the second link is gone soon
			window.fetch = () => new Promise(() => {}); // no request is answered any more`, nil, nil)
		receive(t, w.conns, "the connection")
		p.continues(w)
	})
}

// continues takes the link of a session away twice, while messages are exchanged: none is lost.
func (p *tab) continues(w *webWorld) {
	p.t.Helper()
	p.do(`window.going = exchange({ channels: ["loot", "chat"], rate: 30, size: 200, count: 500, drain: arg });`, outageDrain.Milliseconds(), nil)
	for i := range 2 {
		w.loseLinks()
		p.do(`await until(Infinity, () => conn.log.filter((e) => e.type === "resumed").length > arg);`, i, nil)
	}
	var got []exchanged
	p.doWithin(patience+outageDrain, `return await going;`, nil, &got)
	for _, e := range got {
		p.t.Logf("%-9s %s", e.Name, e.figures())
		e.check(p.t)
	}
	if n := len(w.conns); n > 0 {
		p.t.Errorf("%d more sessions were opened, want none", n)
	}
}

// A page that is loaded again continues a session of an invite without a request, though the invite is used.
func TestAnInviteOutlivesItsPage(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newInviteWorld(t, b, netsim.Link{Delay: oneWay})
		p := w.tab()
		enter := countRequests + `window.kept = await import("/godwit.keep.min.js");
			window.conn = await kept.keep(arg, { channels: table });
			conn.on("chat", (b) => (window.heard = b.length));
			conn.send("chat", new Uint8Array(7));
			await until(Infinity, () => window.heard === 7);
			return { continued: conn.continued, asked, id: conn.id };`
		invite := w.invite()
		var first, second struct {
			Continued bool
			Asked     int
			ID        string
		}
		p.do(enter, invite, &first)
		p.Reload()
		p.do(`await until(Infinity, () => window.godwit);`, nil, nil)
		p.do(enter, invite, &second)
		if first.Continued || !second.Continued || first.ID != second.ID || first.Asked+second.Asked != 0 {
			t.Errorf("%+v, then %+v; want one session, which continues, and no request", first, second)
		}
	})
}

// Two pages with one invite at the same time have one session. The other page is told why.
func TestOneInviteIsGoodOnce(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newInviteWorld(t, b, netsim.Link{Delay: oneWay})
		p, q := w.tab(), w.tab()
		invite := w.invite()
		for _, p := range []*tab{p, q} {
			p.do(`window.going = godwit.connect(arg, { channels: table, timeout: 8000 })
				.then(() => "open", (e) => e.code + ": " + e.message);`, invite, nil)
		}
		var got [2]string
		p.do(`return await going;`, nil, &got[0])
		q.do(`return await going;`, nil, &got[1])
		if got[0] != "open" {
			got[0], got[1] = got[1], got[0]
		}
		if got[0] != "open" || !strings.HasPrefix(got[1], "invite: ") && !strings.HasPrefix(got[1], "timeout: ") || !strings.Contains(got[1], "invite was used") {
			t.Errorf("the pages get %q, want one session, and the words that the invite was used", got)
		}
		receive(t, w.conns, "the connection")
		if n := len(w.conns); n > 0 {
			t.Errorf("%d more sessions were opened, want none", n)
		}
	})
}

// TestAFilePlaysBoxes plays examples/boxes with two pages that are files, on a server without a TCP port.
func TestAFilePlaysBoxes(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "boxes")
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		file := filepath.Join(t.TempDir(), "boxes.html")
		cmd, _, lines := runExample(t, program, "-data", browser.Host(t).String()+":0", "-http", "", "-lan", "-page", file)
		link := func() string {
			for {
				said := readTo(t, lines, '\n')
				if said == "" {
					t.Fatal("the program ends, and has printed no link")
				}
				if url := regexp.MustCompile(`file://\S+#\S+`).FindString(said); url != "" {
					return url
				}
			}
		}
		ada := enterBoxes(t, b, link(), "ada")
		bob := enterBoxes(t, b, link(), "bob")
		if out, err := exec.Command("ss", "-Hltnp").Output(); err != nil || strings.Contains(string(out), fmt.Sprintf("pid=%d,", cmd.Process.Pid)) {
			t.Errorf("%v; the server has a TCP port, want none:\n%s", err, out)
		}
		ada.do(`enter("chat", "text", "here I am");`, nil, nil)
		var origin string
		bob.do(`await until(() => document.getElementById("log").innerText.includes("ada here I am"));
			await seen("ada");
			return location.protocol;`, nil, &origin)
		if origin != "file:" {
			t.Errorf("the page comes over %s, want a file", origin)
		}
		var from, to struct{ X float64 }
		bob.do(`return await seen("ada");`, nil, &from)
		ada.do(`press("keydown", "ArrowRight");`, nil, nil)
		bob.do(`const box = await seen("ada"); await until(() => box.x > arg + 500); return box;`, from.X, &to)
		ada.do(`press("keyup", "ArrowRight");`, nil, nil)

		// The invite of the link is used. The page has another one now, to play again and to be loaded again.
		for range 2 {
			bob.playAgain()
		}
		bob.Reload()
		bob.shows("state", " it: ")
		cmd.Process.Signal(syscall.SIGTERM)
		bob.shows("state", "open a link that it prints then")
	})
}

// A page that is a file, and has no link of the server, says what is missing.
func TestAFileWithoutALink(t *testing.T) {
	t.Parallel()
	program := buildExample(t, "boxes")
	b := browser.Start(t, browser.Chromium)
	file := filepath.Join(t.TempDir(), "boxes.html")
	_, _, lines := runExample(t, program, "-data", browser.Host(t).String()+":0", "-http", "", "-lan", "-page", file)
	if said := readTo(t, lines, '#'); !strings.HasSuffix(said, "#") {
		t.Fatalf("the program prints %q, want a link", said)
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	p := examplePage(t, b, "file://"+file)
	p.do(`await until(() => document.getElementById("state").textContent.includes(arg));`, "open a link that the server has printed", nil)
}
