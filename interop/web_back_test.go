package interop

import (
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// A page that was left comes back by history.back(). Chromium brings it back as it was if its connected peer connection
// is closed by the end of pagehide. Firefox does so only if there was none before pagehide, and loads the page again else,
// in which case keep goes on as after a reload.
func TestClientComesBack(t *testing.T) {
	t.Parallel()
	inFront(t, func(t *testing.T, b *browser.Browser) {
		for _, c := range []backCase{
			{"connect", `window.conn = await godwit.connect(url, options);`, true},
			{"sessions", `window.all = godwit.sessions(url, options); window.conn = (await all.next()).value;`, true},
			{"keep", `window.conn = await godwit.keep(url, options);`, false},
			{"keep after a reload", `window.conn = await godwit.keep(url, options);`, false},
		} {
			t.Run(c.name, func(t *testing.T) { c.run(t, b) })
		}
	})
}

type backCase struct {
	name, begin string
	lostAnew    bool // a page that is loaded again begins a new session
}

func (c backCase) run(t *testing.T, b *browser.Browser) {
	w := newWebWorld(t, b, netsim.Link{Delay: oneWay})
	p := w.tab()
	begin := `window.godwit = await import("/godwit.keep.min.js");
		const [url, options] = ["/godwit/", { channels: table }];
		` + c.begin + `
		window.got = [];
		conn.on("chat", (b) => got.push(b[0]));
		conn.send("chat", new Uint8Array([1]));
		await until(Infinity, () => got.length === 1);
		return [got, conn.continued];`
	p.do(begin, nil, nil)
	first := receive(t, w.conns, "the connection")
	if c.name == "keep after a reload" {
		p.Reload()
		p.do(begin, nil, nil)
	}
	p.Leave(w.url + "web_page.js")
	p.Back("/")
	var asItWas bool
	p.do(`return "conn" in window;`, nil, &asItWas)
	if want := b.Kind == browser.Chromium; asItWas != want {
		var why any
		p.do(`return JSON.stringify(performance.getEntriesByType("navigation")[0].notRestoredReasons);`, nil, &why)
		t.Errorf("the page was brought back as it was: %v, want %v, because %v", asItWas, want, why)
	}
	var got []int
	if asItWas {
		p.do(`await until(Infinity, () => conn.state === "open");
			conn.send("chat", new Uint8Array([2]));
			await until(Infinity, () => got.length === 2);
			return got;`, nil, &got)
		if len(got) != 2 || got[0] != 1 || got[1] != 2 {
			t.Errorf("echoes %v, want 1 and 2", got)
		}
	} else {
		var again [2]any
		p.do(`await until(Infinity, () => window.godwit); `+begin, nil, &again)
		if again[1] == c.lostAnew {
			t.Errorf("a page that was loaded again: continued is %v", again[1])
		}
	}
	if n := len(w.conns); (n > 0) != (!asItWas && c.lostAnew) {
		t.Errorf("%d more sessions were opened", n)
	}
	if asItWas && first.Kind() != godwit.KindBrowser {
		t.Errorf("the page is %v", first.Kind())
	}
}

// The names of properties in a bundle must not get into the wire format.
func TestEveryBundleSaysWhatItIs(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{}, func(c *godwit.Config) { c.Version, c.Secret = "7", "hush" })
		p := w.tab()
		for _, file := range []string{"godwit.js", "godwit.min.js", "godwit.keep.min.js"} {
			p.do(`const { connect } = await import("/godwit/" + arg);
				const conn = await connect("/godwit/", { channels: table, app: "7", token: "hush", hello: new Uint8Array([1, 2]) });
				conn.addEventListener("close", ({ why }) => (window.why = why));`, file, nil)
			c := receive(t, w.conns, "the connection")
			if c.Kind() != godwit.KindBrowser || string(c.Hello()) != "\x01\x02" {
				t.Errorf("%s: the page is %v with the connect message %q", file, c.Kind(), c.Hello())
			}
			c.Close(300, "enough")
			var why struct {
				Code   int
				Reason string
				Remote bool
			}
			p.do(`await until(Infinity, () => window.why); const { why } = window; delete window.why; return why;`, nil, &why)
			if why.Code != 300 || why.Reason != "enough" || !why.Remote {
				t.Errorf("%s: the page got the end %+v, want code 300, enough, remote", file, why)
			}
		}
	})
}
