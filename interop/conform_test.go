package interop

import (
	"bytes"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/conform"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/web"
)

const conformPage = `<!doctype html>
<meta charset="utf-8">
<title>godwit client</title>
<link rel="icon" href="data:,">
<script type="module">
import * as godwit from "/godwit.min.js";
const channels = [
	{ name: "unreliable", mode: "unreliable" },
	{ name: "sequenced", mode: "sequenced" },
	{ name: "unordered", mode: "reliable-unordered" },
	{ name: "ordered", mode: "reliable-ordered" },
];
async function examine(path) {
	let conn;
	try {
		conn = await godwit.connect(path, { channels });
	} catch {
		return; // some cases refuse
	}
	const echo = (name) => conn.on(name, (b) => { try { conn.send(name, b); } catch {} });
	for (const c of channels) echo(c.name);
	conn.addEventListener("channel", ({ channel }) => echo(channel.name));
	conn.handle("echo", (b) => b);
	conn.handle("ack", () => {});
	await new Promise((resolve) => conn.addEventListener("close", resolve));
}
async function drive() {
	for (;;) {
		const res = await fetch("/next");
		if (res.status !== 200) return;
		await examine((await res.json()).path);
	}
}
window.driven = Promise.all(Array.from({ length: 6 }, drive));
</script>
`

// TestClientConforms examines the browser client by what docs/PROTOCOL.md and
// docs/SESSION.md say, with a server that shares no code with the library's engine.
func TestClientConforms(t *testing.T) {
	// Not parallel: the client gives up after seconds if the machine is too slow for all these sessions.
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		cases, err := conform.Choose("")
		if err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", netip.AddrPortFrom(browser.Host(t), 0).String())
		if err != nil {
			t.Fatal(err)
		}
		files := http.NewServeMux()
		files.HandleFunc("GET /page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte(conformPage))
		})
		files.Handle("GET /godwit.min.js", web.Handler())
		var out bytes.Buffer
		ended := make(chan error, 1)
		go func() { ended <- conform.Serve(t.Context(), l, cases, time.Minute, &out, files) }()
		b.Page(t, "http://"+l.Addr().String()+"/page")
		if err := receive(t, ended, "the end of the cases"); err != nil {
			t.Errorf("%v\n%s", err, out.String())
		}
	})
}
