package interop

import (
	"log/slog"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/relay"
)

// Pages reach two nodes through one port. The nodes know their addresses. The relay is started again while
// messages are exchanged: both sessions continue, and no reliable message is lost.
func TestPagesReachTheirNodesThroughARelay(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		host := browser.Host(t)
		any := netip.AddrPortFrom(host, 0).String()
		quiet := relay.Config{Logger: slog.New(slog.DiscardHandler)}
		r, err := relay.Listen(any, any, quiet)
		if err != nil {
			t.Fatal(err)
		}
		atEnd(t, "the end of the relay", func() error { return r.Close() }) // r changes
		public, inner := r.Addr(), r.InnerAddr()
		var worlds [2]*webWorld
		var nodes []relay.Node
		for i := range worlds {
			number := uint32(i + 1)
			worlds[i] = newWebWorld(t, b, netsim.Link{}, func(c *godwit.Config) {
				c.RTC.Node, c.RTC.Public = number, []netip.AddrPort{public}
				c.RTC.TrustedRelays = []netip.Prefix{netip.PrefixFrom(host, host.BitLen())}
			})
			nodes = append(nodes, relay.Node{Number: number, Addr: worlds[i].target})
		}
		if err := r.SetNodes(nodes); err != nil {
			t.Fatal(err)
		}
		var pages [2]*tab
		for i, w := range worlds {
			pages[i] = w.tab()
			pages[i].do(`await join({ links: ["webrtc"] });`, nil, nil)
			c := receive(t, w.conns, "the connection")
			if a := c.RemoteAddr().Addr(); a == host || !a.Is4() {
				t.Errorf("node %d: the address of the page is %v, want that of the browser", i+1, a)
			}
			pages[i].do(`window.going = exchange({ channels: ["loot", "chat"], rate: 30, size: 200, count: 300, drain: arg });`, outageDrain.Milliseconds(), nil)
		}
		if st := r.Stats(); st.Clients < 2 || st.Nodes[0].Up == 0 || st.Nodes[1].Up == 0 {
			t.Errorf("%+v: want clients of both nodes", st)
		}
		r.Close()
		quiet.Nodes = nodes
		r = listenAgain(t, func() (*relay.Relay, error) { return relay.Listen(public.String(), inner.String(), quiet) })
		for i, p := range pages {
			var got []exchanged
			p.doWithin(patience+outageDrain, `return await going;`, nil, &got)
			for _, e := range got {
				t.Logf("node %d: %-9s %s", i+1, e.Name, e.figures())
				e.check(t)
			}
			if n := len(worlds[i].conns); n > 0 {
				t.Errorf("node %d: %d more sessions were opened, want none", i+1, n)
			}
		}
	})
}
