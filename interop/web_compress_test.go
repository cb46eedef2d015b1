package interop

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// A page sends messages that get smaller and messages that do not on a channel with compress, over a link that loses
// packets; their echoes are the same, in the same order, and small on the wire in both directions.
func TestCompressedMessagesOfAPage(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Loss: 0.05, Delay: 10 * time.Millisecond}, func(c *godwit.Config) { c.MaxClientChannels = 1 })
		p := w.tab()
		p.do(`await join();`, nil, nil)
		c := receive(t, w.conns, "the connection")
		var heard struct {
			Same  []bool
			Stats struct{ BytesOut, BytesIn, WireOut, WireIn uint64 }
		}
		p.do(`conn.openChannel({ name: "history", mode: "reliable-ordered", compress: true });
			const sent = [60000, 3, 512, 0, 20000, 3000, 511].map((n, i) => {
				const b = new Uint8Array(n);
				if (i === 4) crypto.getRandomValues(b);
				else new TextEncoder().encodeInto("who is in the north tower? ".repeat(n / 27 + 1), b);
				return b;
			});
			const came = [];
			conn.on("history", (b) => came.push(b));
			for (const b of sent) conn.send("history", b);
			await until(Infinity, () => came.length === sent.length);
			const same = came.map((b, i) => b.length === sent[i].length && b.every((v, j) => v === sent[i][j]));
			return { same, stats: conn.channelStats("history") };`, nil, &heard)
		if len(heard.Same) != 7 {
			t.Fatalf("%d echoes have come, want 7", len(heard.Same))
		}
		for i, same := range heard.Same {
			if !same {
				t.Errorf("echo %d is not what was sent", i)
			}
		}
		const bytes, random = 60_000 + 3 + 512 + 20_000 + 3000 + 511, 20_000
		if s := heard.Stats; s.BytesOut != bytes || s.BytesIn != bytes || s.WireOut > random+3000 || s.WireIn > random+3000 {
			t.Errorf("the page has sent %d bytes as %d, and got %d as %d, want %d as little more than %d", s.BytesOut, s.WireOut, s.BytesIn, s.WireIn, bytes, random)
		}
		ch, _ := c.Channels().ID("history")
		if s := c.ChannelStats(ch); s.WireOut > random+3000 || s.BytesOut != bytes {
			t.Errorf("the server has sent %d bytes as %d", s.BytesOut, s.WireOut)
		}
	})
}
