package interop

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// A page that is loaded again twice, while messages are exchanged, keeps its session: the server has one Conn, and the
// reliable messages of both ends arrive once.
func TestClientOutlivesItsPage(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		const count = 400
		w := newWebWorld(t, b, netsim.Link{Loss: 0.05, Delay: oneWay})
		p := w.tab()
		load := map[string]any{"rate": 60, "size": outageSize, "count": count, "drain": outageDrain.Milliseconds()}
		p.do(`window.going = talkThroughReloads(arg); await until(Infinity, () => window.books);`, load, nil)
		c := receive(t, w.conns, "the connection")
		pour := startPour(t, c, 60, count, "news")
		for _, seen := range []int{100, 200} {
			p.do(`await until(Infinity, () => books[1].seen.size >= arg);`, seen, nil)
			p.Reload()
			var continued bool
			p.do(`await until(Infinity, () => window.godwit);
				window.going = talkThroughReloads(arg);
				await until(Infinity, () => window.books);
				return conn.continued;`, load, &continued)
			if !continued {
				t.Errorf("after %d echoes the page was loaded again and began a new session, want the old one", seen)
			}
		}
		var got []exchanged
		p.doWithin(time.Minute+outageDrain, `return await going;`, nil, &got)
		receive(t, pour.done, "the end of what the server sends")
		got[2].Sent = len(pour.sent)
		for _, e := range got {
			t.Logf("%-5s %d sent, %d came", e.Name, e.Sent, e.Echoed)
			e.check(t)
			if e.Sent != count {
				t.Errorf("%s: %d were sent, want %d", e.Name, e.Sent, count)
			}
		}
		var id string
		p.do(`return String(conn.id);`, nil, &id)
		if want := c.ID().String(); id != want {
			t.Errorf("the session is %s for the page and %s for the server", id, want)
		}
		if n := len(w.conns); n > 0 {
			t.Errorf("%d more sessions were opened, want 0", n)
		}
	})
}
