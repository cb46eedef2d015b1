package interop

import (
	_ "embed"
	"net/http"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/web"
)

//go:embed web_worker.js
var workerScript []byte

const workerPage = `<!doctype html>
<meta charset="utf-8">
<title>godwit in a worker</title>
<link rel="icon" href="data:,">
<script src="web_page.js"></script>
<script type="module">
import * as godwit from "./godwit.min.js";
import { serve } from "./godwit.worker.min.js";

const worker = new Worker("web_worker.js");
window.stop = serve(worker);
const answers = [];
window.strange = []; // messages of the worker that are not its program's
worker.onmessage = ({ data }) => (answers[data.id] ? answers[data.id](data) : strange.push(data));

// inWorker runs js in the worker, as Eval does in the page.
window.inWorker = (js, arg) =>
  new Promise((resolve, reject) => {
    const id = answers.length;
    answers[id] = ({ value, error }) => (error ? reject(new Error(error)) : resolve(value));
    worker.postMessage({ id, js, arg });
  });
Object.assign(window, { worker, godwit });
</script>
`

// newWorkerWorld is a world with another page, which has a worker with the client. The page is isolated, so that it shares
// memory with the worker.
func newWorkerWorld(t testing.TB, b *browser.Browser, link netsim.Link, change ...func(*godwit.Config)) *webWorld {
	t.Helper()
	w := newWebWorld(t, b, link, change...)
	serve := func(path, kind string, body []byte) {
		w.http.HandleFunc("GET "+path, func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", kind)
			rw.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
			rw.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
			rw.Write(body)
		})
	}
	serve("/worker/{$}", "text/html", []byte(workerPage))
	serve("/worker/web_worker.js", "text/javascript", workerScript)
	serve("/worker/web_page.js", "text/javascript", webScript)
	w.http.Handle("GET /worker/godwit.min.js", web.Handler())
	w.http.Handle("GET /worker/godwit.worker.min.js", web.Handler())
	w.http.HandleFunc("/worker/godwit/", func(rw http.ResponseWriter, r *http.Request) { w.server.ServeHTTP(rw, r) })
	w.serveHTTPS()
	w.url += "worker/"
	return w
}

// workerTab opens a page and starts the client in its worker. It returns the page, and the worker, in which do runs.
func (w *webWorld) workerTab() (page, worker *tab) {
	w.t.Helper()
	page = w.tab()
	return page, page.enterWorker(true)
}

// workerTB marks the tab of a worker.
type workerTB struct{ testing.TB }

// enterWorker starts the client in the worker of a page. webrtc says whether the worker should get WebRTC.
func (p *tab) enterWorker(webrtc bool) *tab {
	p.t.Helper()
	worker := &tab{p.Page, workerTB{p.t}}
	var has bool
	worker.do(`const { usePage } = await import("/worker/godwit.worker.min.js");
		window.godwit = await import("/worker/godwit.min.js");
		return await usePage();`, nil, &has)
	if has != webrtc {
		p.t.Fatalf("usePage says whether the worker has WebRTC: %v, want %v", has, webrtc)
	}
	return worker
}

// TestWorkerEchoesWhileItsPageIsBlocked has a session in a worker. The thread of the page does nothing but read the memory
// that it shares with the worker, until the server has got the echoes of the worker.
func TestWorkerEchoesWhileItsPageIsBlocked(t *testing.T) {
	// Not parallel: the thread of the page takes a processor all the time.
	const rounds = 100
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			came := make(chan byte, rounds)
			w := newWorkerWorld(t, browser.Start(t, kind), netsim.Link{}, func(c *godwit.Config) {
				c.Handler.Message = func(_ *godwit.Conn, _ godwit.ChannelID, b []byte) { came <- b[0] }
			})
			p, worker := w.workerTab()
			worker.do(`await join();`, nil, nil)
			c := receive(t, w.conns, "the connection")
			const begin, end = 254, 255
			p.do(`const shared = new Int32Array(new SharedArrayBuffer(4));
				await inWorker("window.shared = arg;", shared);
				await inWorker("conn.on('news', (b) => b[0] === arg ? Atomics.store(shared, 0, 1) : conn.send('chat', b));", arg.end);
				setTimeout(() => {
					inWorker("conn.send('chat', Uint8Array.of(arg));", arg.begin);
					const stop = performance.now() + arg.limit; // for a worker that needs the page
					while (!Atomics.load(shared, 0) && performance.now() < stop);
					window.ended = Atomics.load(shared, 0);
				});`, map[string]int{"begin": begin, "end": end, "limit": int(patience.Milliseconds())}, nil)
			if got := receive(t, came, "the message that begins"); got != begin {
				t.Fatalf("the message that begins is %d", got)
			}
			news, _ := webTable.ID("news")
			for i := range byte(rounds) {
				c.Send(news, []byte{i})
				if got := receive(t, came, "the echo"); got != i {
					t.Fatalf("echo %d is %d", i, got)
				}
			}
			c.Send(news, []byte{end})
			var ended int
			p.do(`await until(Infinity, () => "ended" in window); return ended;`, nil, &ended)
			if ended != 1 {
				t.Error("the worker has done nothing until the page was not blocked any more")
			}
		})
	}
}

// TestWorkerContinuesOverNewLinks takes the link of a session in a worker away twice: the page makes the new ones.
func TestWorkerContinuesOverNewLinks(t *testing.T) {
	slow(t)
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWorkerWorld(t, b, netsim.Link{Loss: 0.05, Delay: oneWay})
		p, worker := w.workerTab()
		worker.do(`await join({ links: ["webrtc"] });`, nil, nil)
		receive(t, w.conns, "the connection")
		worker.continues(w)
		var strange []any
		if p.do(`return strange;`, nil, &strange); len(strange) > 0 {
			t.Errorf("the page got messages of the client: %v", strange)
		}
	})
}

// countPeers keeps the peer connections that the page makes from now on in peers.
const countPeers = `window.peers = [];
	window.RTCPeerConnection = class extends RTCPeerConnection {
		constructor() {
			super();
			peers.push(this);
		}
	};`

// TestWorkerEndsItsSession has the server learn how a session in a worker ended, and has the page close the connection. The
// same page then makes the connection of another session, until the page stops to serve.
func TestWorkerEndsItsSession(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		closed := make(chan godwit.CloseReason, 4)
		w := newWorkerWorld(t, b, netsim.Link{}, func(c *godwit.Config) {
			c.Handler.Close = func(_ *godwit.Conn, why godwit.CloseReason) { closed <- why }
		})
		p := w.tab()
		p.do(countPeers, nil, nil)
		worker := p.enterWorker(true)
		const allClosed = `await until(Infinity, () => peers.length > arg && peers.every((pc) => pc.connectionState === "closed"));`
		worker.do(`await join(); await conn.close(300, "bye");`, nil, nil)
		if why := receive(t, closed, "the end of the session"); why.Code != 300 || why.Text != "bye" || !why.Remote {
			t.Errorf("the server got the end %+v, want code 300, bye, remote", why)
		}
		p.do(allClosed, 0, nil)
		worker.do(`await join();`, nil, nil)
		worker.wantSessionEcho(100)
		p.do(`stop();`+allClosed, 1, nil)
		worker.do(`await until(Infinity, () => conn.state !== "open");`, nil, nil)
	})
}

// TestWorkerIsTerminated ends a worker, which the page does not notice. When the server ends the connection, the page closes it, too:
// in Chromium at once, and in Firefox seconds later.
func TestWorkerIsTerminated(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, browser.Start(t, browser.Chromium), netsim.Link{})
	p := w.tab()
	p.do(countPeers, nil, nil)
	p.enterWorker(true).do(`await join();`, nil, nil)
	p.do(`worker.terminate();`, nil, nil)
	w.server.Close()
	p.do(`await until(Infinity, () => peers.every((pc) => pc.signalingState === "closed"));`, nil, nil)
}

// TestWorkerWithoutAChannelOfItsPage has a page that cannot give its worker a data channel: the worker opens a WebSocket.
func TestWorkerWithoutAChannelOfItsPage(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWorkerWorld(t, b, netsim.Link{}, allLinks)
		p := w.tab()
		p.do(`delete window.RTCPeerConnection;`, nil, nil)
		worker := p.enterWorker(false)
		worker.do(`await join();`, nil, nil)
		if ours, theirs := worker.link(), receive(t, w.conns, "the connection").Link(); ours != "websocket" || theirs != "websocket" {
			t.Errorf("the session is on %q and %q, want a WebSocket", ours, theirs)
		}
		worker.wantSessionEcho(5000)
	})
}

// TestWorkerOfAPageThatComesBack has Chromium show a page again as it was: the session in its worker continues. Firefox
// loads a page again that had a connection.
func TestWorkerOfAPageThatComesBack(t *testing.T) {
	t.Parallel()
	w := newWorkerWorld(t, browser.Own(t, browser.Chromium), netsim.Link{})
	p, worker := w.workerTab()
	worker.do(`await join();`, nil, nil)
	worker.wantSessionEcho(100)
	p.Leave(w.url + "web_page.js")
	p.Back("/worker/")
	// A page that was loaded again has no session in its worker.
	worker.do(`await until(Infinity, () => conn.log.some((e) => e.type === "resumed") && conn.state === "open");`, nil, nil)
	worker.wantSessionEcho(100)
}
