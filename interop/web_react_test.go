package interop

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// bundleReact returns the file with the page of web/react/test/page.ts and React for development, in which StrictMode mounts twice.
func bundleReact(t *testing.T) string {
	t.Helper()
	for _, dir := range []string{"../web", "../web/react"} {
		if _, err := filepath.EvalSymlinks(filepath.Join(dir, "node_modules")); err != nil {
			t.Skipf("run npm ci in %s first: %v", dir, err)
		}
	}
	file := filepath.Join(t.TempDir(), "react.js")
	esbuild := exec.Command("../web/node_modules/.bin/esbuild", "../web/react/test/page.ts", "--bundle", "--outfile="+file,
		`--define:process.env.NODE_ENV="development"`, "--log-level=warning")
	if out, err := esbuild.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// TestReact has useConnection in StrictMode: one session, whose first message comes before the component listens. Another URL is
// another session, and the component closes its session when it unmounts.
func TestReact(t *testing.T) {
	t.Parallel()
	script := bundleReact(t)
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		chat, _ := webTable.ID("chat")
		closed := make(chan godwit.CloseReason, 4)
		w := newWebWorld(t, b, netsim.Link{}, func(c *godwit.Config) {
			open := c.Handler.Open
			c.Handler.Open = func(c *godwit.Conn) {
				c.Send(chat, []byte("welcome"))
				open(c)
			}
			c.Handler.Close = func(_ *godwit.Conn, why godwit.CloseReason) { closed <- why }
		})
		w.http.HandleFunc("GET /react.js", func(rw http.ResponseWriter, r *http.Request) { http.ServeFile(rw, r, script) })
		p := w.tab()
		p.do(`await new Promise((resolve, reject) => {
				const script = document.createElement("script");
				Object.assign(script, { src: "/react.js", onload: resolve, onerror: reject });
				document.head.append(script);
			});`, nil, nil)
		shows := func(url, text string) {
			t.Helper()
			p.do(`chat.render(arg.url); await until(Infinity, () => document.body.textContent.trim() === arg.text);`, map[string]string{"url": url, "text": text}, nil)
			receive(t, w.conns, "the session")
		}
		ended := func(what string) {
			t.Helper()
			if why := receive(t, closed, what); why.Code != session.CloseNormal || !why.Remote {
				t.Errorf("%s: %+v, want a normal close by the page", what, why)
			}
		}
		shows("godwit/", "open: welcome, godwit/")
		shows("godwit/?again", "open: welcome, godwit/, welcome, godwit/?again")
		ended("the session of the first URL ends")
		p.do(`chat.unmount();`, nil, nil)
		ended("the session of the component that unmounts")
		var calls int
		p.do(`return chat.calls();`, nil, &calls)
		if calls != 2 || len(w.conns) > 0 {
			t.Errorf("connect was called %d times, the server opened %d more sessions; want 2 and 0", calls, len(w.conns))
		}
	})
}
