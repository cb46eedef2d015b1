package interop

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// eachBrowser runs a test in all browsers at the same time: they wait most of the time.
func eachBrowser(t *testing.T, run func(t *testing.T, b *browser.Browser)) {
	everyBrowser(t, browser.Kinds, run)
}

// everyBrowser is eachBrowser for other kinds.
func everyBrowser(t *testing.T, kinds []browser.Kind, run func(t *testing.T, b *browser.Browser)) {
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			run(t, browser.Start(t, kind))
		})
	}
}

// inFront is eachBrowser with browsers that no other test has: a page of Firefox draws nothing, and knows that it is hidden, while
// the tab of another test is in front.
func inFront(t *testing.T, run func(t *testing.T, b *browser.Browser)) {
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			run(t, browser.Own(t, kind))
		})
	}
}

func TestClientKeepsEveryPromise(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		for _, loss := range []float64{0, 0.05, 0.1, 0.3} {
			t.Run(fmt.Sprintf("loss=%.0f%%", 100*loss), func(t *testing.T) {
				if loss > 0.1 || loss == 0.05 {
					slow(t)
				}
				t.Parallel()
				p := newWebWorld(t, b, netsim.Link{Loss: loss, Delay: oneWay}).tab()
				var times map[string]float64
				p.do(`return await join();`, nil, &times)
				t.Logf("connected: %v", times)
				var got []exchanged
				p.doWithin(patience+outageDrain, `return await exchange(arg);`, map[string]any{
					"channels": []string{"effects", "positions", "loot", "chat"},
					"rate":     30, "size": 200, "count": 300, "drain": outageDrain.Milliseconds(),
				}, &got)
				for _, e := range got {
					t.Logf("%-9s %s", e.Name, e.figures())
					e.check(t)
				}
				// A message and its echo survive both ways; four standard deviations less.
				least := math.Pow(1-loss, 2) - 4*math.Sqrt(0.25/300)
				if share := got[0].figures().share(); share < least {
					t.Errorf("%.2f of the unreliable echoes came, want %.2f", share, least)
				}
			})
		}
	})
}

func TestClientAsks(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		p := newWebWorld(t, b, netsim.Link{Loss: lossy, Delay: oneWay}).tab()
		var reply string
		p.do(`await join();
			const b = await conn.request("upper", new TextEncoder().encode("hello"));
			return new TextDecoder().decode(b);`, nil, &reply)
		if reply != "HELLO" {
			t.Errorf("the reply is %q, want HELLO", reply)
		}
		var code string
		p.do(`return await conn.request("nothing").catch((e) => e.code);`, nil, &code)
		if code != "rejected" {
			t.Errorf("a request without an answer: %q, want rejected", code)
		}
	})
}

func TestClientIsToldWhyItIsRefused(t *testing.T) {
	t.Parallel()
	b := browser.Start(t, browser.Chromium)
	p := newWebWorld(t, b, netsim.Link{}).tab()
	var got struct{ Code, Message string }
	p.do(`try { await join({ channels: table.slice(1) }); } catch (e) { return { code: e.code, message: e.message }; }`, nil, &got)
	if got.Code != "channels" || !strings.Contains(got.Message, "1 positions sequenced") {
		t.Errorf("refused with %q: %s; want the code channels and the table", got.Code, got.Message)
	}
}

func TestClientKeepsItsLinkWhenItsAddressChanges(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Delay: oneWay})
		p := w.tab()
		p.do(`await join(); window.going = exchange(arg);`, map[string]any{
			"channels": []string{"positions", "chat"}, "rate": 60, "size": 200, "count": 480, "drain": outageDrain.Milliseconds(),
		}, nil)
		p.do(`await pause(2000);`, nil, nil)
		if err := w.relay.Rebind(); err != nil {
			t.Fatal(err)
		}
		var got []exchanged
		p.doWithin(patience+outageDrain, `return await going;`, nil, &got)
		for _, e := range got {
			t.Logf("%-9s %s", e.Name, e.figures())
			e.check(t)
		}
	})
}

func TestClientBeginsANewSessionWhenTheServerComesBack(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Delay: 10 * time.Millisecond})
		p := w.tab()
		p.do(`window.ids = [];
			(async () => {
				for await (const conn of godwit.sessions("/godwit/", { channels: table })) {
					window.conn = conn;
					ids.push(String(conn.id));
				}
			})();
			await until(Infinity, () => ids.length === 1);`, nil, nil)
		w.server.RTC().Close() // the sessions get no close message
		w.server.Close()
		w.start()
		var ids []string
		p.do(`await until(Infinity, () => ids.length === 2); return ids;`, nil, &ids)
		if len(ids) != 2 || ids[0] == ids[1] {
			t.Errorf("sessions %q, want two", ids)
		}
	})
}
