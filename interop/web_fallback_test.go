package interop

import (
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// allLinks makes the server of a webWorld offer WebSockets, too. They do not pass the relay.
func allLinks(c *godwit.Config) { c.Links = nil }

// link returns the link of the page's session.
func (p *tab) link() (name string) {
	p.t.Helper()
	p.do(`return conn.link;`, nil, &name)
	return name
}

// TestClientFallsBackToAWebSocket drops UDP before a page connects: a WebSocket carries the session. The next session does
// not wait for WebRTC. When UDP arrives, WebRTC takes the session over.
func TestClientFallsBackToAWebSocket(t *testing.T) {
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWebWorld(t, browser.Start(t, kind), netsim.Link{Delay: oneWay}, allLinks)
			w.relay.BlackoutFor(time.Hour)
			p := w.tab()
			for _, which := range []string{"first", "second"} {
				var took struct{ Total float64 }
				p.do(`return await join();`, nil, &took)
				c := receive(t, w.conns, "the connection")
				if ours, theirs := p.link(), c.Link(); ours != "websocket" || theirs != "websocket" {
					t.Errorf("the %s session is on %q and %q, want a WebSocket", which, ours, theirs)
				}
				t.Logf("the %s session was open after %.0f ms", which, took.Total)
				p.do(`const heard = []; conn.on("chat", (b) => heard.push(b)); conn.send("chat", new Uint8Array([7]));
					if (!(await until(5000, () => heard.length))) throw new Error("no echo");`, nil, nil)
				if which == "first" {
					p.do(`await conn.close();`, nil, nil)
				}
			}
			w.relay.BlackoutFor(0)
			p.do(`if (!(await until(60000, () => conn.link === "webrtc"))) throw new Error("still on the WebSocket");`, nil, nil)
			var log []struct{ Type string }
			p.do(`return conn.log;`, nil, &log)
			if len(log) != 1 || log[0].Type != "webrtc" {
				t.Errorf("the page was told %v, want only of the link", log)
			}
		})
	}
}

// TestClientOutlivesTheEndOfUDP drops UDP amid 1,000 reliable messages in each direction, and lets it through again 15 s
// later. The session goes on over a WebSocket and returns to WebRTC, and every message arrives once and in order.
func TestClientOutlivesTheEndOfUDP(t *testing.T) {
	const count = 1000
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWebWorld(t, browser.Start(t, kind), netsim.Link{Delay: oneWay}, allLinks)
			p := w.tab()
			p.do(`await join(); window.begun = performance.now(); listen(["news"], arg.size); window.going = exchange(arg);`, map[string]any{
				"channels": []string{"chat"}, "rate": 100, "size": outageSize, "count": count, "drain": outageDrain.Milliseconds(),
			}, nil)
			c := receive(t, w.conns, "the connection")
			pour := startPour(t, c, 100, count, "news")
			p.do(`await until(15000, () => heard[0].seen.size >= 300);`, nil, nil)
			w.relay.BlackoutFor(15 * time.Second)
			var got, news []exchanged
			p.doWithin(time.Minute+outageDrain, `return await going;`, nil, &got)
			<-pour.done
			p.doWithin(outageDrain+patience, `
				await until(arg.drain, () => heard[0].seen.size >= arg.count);
				return heard.map((b) => b.result());`, map[string]any{"count": count, "drain": outageDrain.Milliseconds()}, &news)
			news[0].Sent = len(pour.sent)
			for _, e := range append(got, news...) {
				e.check(t)
				if e.Sent != count {
					t.Errorf("%s: %d were sent, want %d", e.Name, e.Sent, count)
				}
			}
			p.doWithin(2*time.Minute, `await until(90000, () => conn.link === "webrtc");`, nil, nil)
			log := p.log()
			t.Log(log)
			types := []string{}
			for _, l := range log {
				types = append(types, l.Type)
			}
			if want := []string{"interrupted", "websocket", "resumed", "webrtc"}; !slices.Equal(types, want) {
				t.Errorf("the page was told %v, want %v", types, want)
			}
		})
	}
}
