package interop

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// TestClientWhereUDPDoesNotArrive has nftables drop UDP between a client and the server from the beginning; see fallsBack.
func TestClientWhereUDPDoesNotArrive(t *testing.T) {
	t.Parallel()
	eachBrowser(t, fallsBack)
	t.Run("native", func(t *testing.T) {
		t.Parallel()
		fallsBackNative(t)
	})
}

// These three have nftables drop UDP amid play; see outlivesTheEnd. They last longer than any other test, so each is a test and
// not a subtest: subtests begin when all tests have begun.
func TestChromiumOutlivesTheEndOfUDP(t *testing.T) {
	t.Parallel()
	outlivesTheEnd(t, browser.Chromium)
}

func TestFirefoxOutlivesTheEndOfUDP(t *testing.T) {
	slow(t)
	t.Parallel()
	outlivesTheEnd(t, browser.Firefox)
}

func TestNativeClientOutlivesTheEndOfUDP(t *testing.T) {
	slow(t)
	t.Parallel()
	outlivesTheEndNative(t)
}

// allLinks makes the server of a webWorld offer WebSockets, too. They do not pass the relay.
func allLinks(c *godwit.Config) { c.Links = nil }

// link returns the link of the page's session.
func (p *tab) link() (name string) {
	p.t.Helper()
	p.do(`return conn.link;`, nil, &name)
	return name
}

// fallsBack drops UDP before a page connects: a WebSocket carries the session. The next session does not wait for WebRTC.
// When UDP arrives, WebRTC takes the session over.
func fallsBack(t *testing.T, b *browser.Browser) {
	w := newWebWorld(t, b, netsim.Link{Delay: oneWay}, allLinks)
	w.dropUDP()
	p := w.tab()
	for _, which := range []string{"first", "second"} {
		var took struct{ Total float64 }
		p.do(`return await join();`, nil, &took)
		c := receive(t, w.conns, "the connection")
		if ours, theirs := p.link(), c.Link(); ours != "websocket" || theirs != "websocket" {
			t.Errorf("the %s session is on %q and %q, want a WebSocket", which, ours, theirs)
		}
		t.Logf("the %s session was open after %.0f ms", which, took.Total)
		p.wantSessionEcho(1)
		if which == "first" {
			p.do(`await conn.close();`, nil, nil)
		}
	}
	w.passUDP()
	p.do(`await until(Infinity, () => conn.link === "webrtc");`, nil, nil)
	p.wantSessionEcho(1)
	var log []struct{ Type string }
	p.do(`return conn.log;`, nil, &log)
	if len(log) != 1 || log[0].Type != "webrtc" {
		t.Errorf("the page was told %v, want only of the link", log)
	}
}

// wantSessionEcho checks that the page's session carries a message of some size.
func (p *tab) wantSessionEcho(size int) {
	p.t.Helper()
	p.do(`const heard = [];
		const off = conn.on("chat", (b) => heard.push(b.length));
		conn.send("chat", new Uint8Array(arg));
		await until(Infinity, () => heard.length);
		if (heard[0] !== arg) throw new Error("the echo has " + heard[0] + " bytes");
		off();`, size, nil)
}

// Reliable messages in each direction through the end of UDP and its return: 40 s of them, because the client tries WebRTC
// again 30 s after the WebSocket has opened.
const (
	endCount = 1000
	endRate  = 25
	endAfter = 50 // messages until UDP ends
	endLasts = 15 * time.Second
)

// endTimes has the times, in ms, until a session goes on.
type endTimes struct {
	socket float64 // from the end of UDP until the WebSocket carries the session
	heard  float64 // from the end of UDP until a message arrives that the server has sent after it
	back   float64 // from the return of UDP until WebRTC carries the session
}

// outlivesTheEnd drops UDP amid reliable messages in each direction, and lets it through again while they go on. The
// session goes on over a WebSocket and returns to WebRTC, and every message arrives once and in order. The page is one of
// HTTPS, so it tries a link without a request first.
func outlivesTheEnd(t testing.TB, kind browser.Kind) endTimes {
	w := newWebWorld(t, browser.Start(t, kind), netsim.Link{Delay: oneWay}, allLinks)
	w.serveHTTPS()
	p := w.tab()
	// On a busy machine a session begins over a WebSocket.
	p.do(`await join(); await until(Infinity, () => conn.link === "webrtc"); conn.log.length = 0;
		window.begun = performance.now(); listen(["news"], arg.size); window.going = exchange(arg);`, map[string]any{
		"channels": []string{"chat"}, "rate": endRate, "size": outageSize, "count": endCount, "drain": outageDrain.Milliseconds(),
	}, nil)
	c := receive(t, w.conns, "the connection")
	pour := startPour(t, c, endRate, endCount, "news")
	p.do(`await until(Infinity, () => heard[0].seen.size >= arg);`, endAfter, nil)
	var cut, returned float64
	p.do(`return performance.now() - begun;`, nil, &cut)
	w.dropUDP()
	dropped := time.Now()
	<-time.After(endLasts)
	p.do(`return performance.now() - begun;`, nil, &returned)
	w.passUDP()
	var got, news []exchanged
	p.doWithin(time.Minute+outageDrain, `return await going;`, nil, &got)
	receive(t, pour.done, "the end of what the server sends")
	p.doWithin(outageDrain+patience, `
		await until(arg.drain, () => heard[0].seen.size >= arg.count);
		return heard.map((b) => b.result());`, map[string]any{"count": endCount, "drain": outageDrain.Milliseconds()}, &news)
	news[0].Sent = len(pour.sent)
	for _, e := range append(got, news...) {
		e.check(t)
		if e.Sent != endCount {
			t.Errorf("%s: %d were sent, want %d", e.Name, e.Sent, endCount)
		}
	}
	p.do(`await until(Infinity, () => conn.link === "webrtc");`, nil, nil)
	log := p.log()
	t.Log(log)
	types := []string{}
	for _, l := range log {
		types = append(types, l.Type)
	}
	if want := []string{"interrupted", "websocket", "resumed", "webrtc"}; !slices.Equal(types, want) {
		t.Fatalf("the page was told %v, want %v", types, want)
	}
	var begun float64
	p.do(`return begun;`, nil, &begun)
	took := endTimes{log[1].At - cut, news[0].firstAfter(pour.ms(dropped), begun+cut), log[3].At - returned}
	t.Log(took)
	return took
}

func (e endTimes) String() string {
	return fmt.Sprintf("on a WebSocket %.0f ms after the end of UDP, a message %.0f ms after it; on WebRTC %.0f ms after its return",
		e.socket, e.heard, e.back)
}
