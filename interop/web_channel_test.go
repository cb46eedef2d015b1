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

// The server opens a channel at run time, and at once sends on it; the page hears of it, hears what was sent, and what it
// sends itself is echoed.
func TestClientTakesAChannelAtRunTime(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWebWorld(t, b, netsim.Link{Loss: 0.05, Delay: 10 * time.Millisecond})
		p := w.tab()
		p.do(`await join();
			window.heard = [];
			window.echoes = 0;
			conn.addEventListener("channel", ({ channel }) => {
				heard.push(channel.name);
				conn.on(channel.name, (b) => heard.push(new TextDecoder().decode(b)));
				conn.send(channel.name, new TextEncoder().encode("from the page"));
			});`, nil, nil)
		c := receive(t, w.conns, "the connection")
		bag, err := c.OpenChannel(godwit.Channel{Name: "bag", Mode: godwit.ReliableOrdered})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Send(bag, []byte("from the server")); err != nil {
			t.Fatal(err)
		}
		var heard []string
		p.do(`await until(Infinity, () => heard.length > 2); return heard;`, nil, &heard)
		if want := []string{"bag", "from the server", "from the page"}; !slices.Equal(heard, want) {
			t.Errorf("the page heard %q, want %q", heard, want)
		}
	})
}

// TestAPageOpensAndClosesChannels opens channels in a page on a link that loses packets. The
// page closes every second one, the server the others; there are more than the page may have
// open at a time. Each message must arrive on its channel, once.
func TestAPageOpensAndClosesChannels(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		closed := make(chan godwit.ChannelID, 16)
		w := newWebWorld(t, b, netsim.Link{Loss: 0.1, Delay: 10 * time.Millisecond}, func(c *godwit.Config) {
			c.MaxClientChannels = 3
			c.Handler.ChannelClosed = func(_ *godwit.Conn, ch godwit.ChannelID) { note(closed, ch) }
			c.Handler.Request = func(c *godwit.Conn, r *godwit.Request) {
				if ch, ok := c.Channels().ID(string(r.Data)); ok {
					c.CloseChannel(ch)
				}
				r.Ack()
			}
		})
		p := w.tab()
		p.do(`await join(); window.ended = []; window.heard = [];
			conn.addEventListener("channelclosed", ({ channel }) => ended.push(channel.name));`, nil, nil)
		c := receive(t, w.conns, "the connection")
		var heard []string
		p.do(`for (let i = 0; i < 12; i++) {
				const name = "life" + i;
				while (conn.channels.length > 2) await new Promise((r) => conn.addEventListener("channelclosed", r, { once: true }));
				conn.openChannel({ name, mode: i % 2 ? "reliable-unordered" : "reliable-ordered" });
				conn.on(name, (b) => {
					heard.push(name + " " + new TextDecoder().decode(b));
					if (i % 2) conn.closeChannel(name);
					else conn.request("close", new TextEncoder().encode(name)).catch(() => {});
				});
				conn.send(name, new TextEncoder().encode(name));
			}
			await until(Infinity, () => ended.length === 12);
			return heard;`, nil, &heard)
		slices.Sort(heard)
		var want []string
		for i := range 12 {
			want = append(want, fmt.Sprintf("life%d life%d", i, i))
		}
		slices.Sort(want)
		if !slices.Equal(heard, want) {
			t.Errorf("the page heard %q, want %q", heard, want)
		}
		for range 12 {
			receive(t, closed, "the end of a channel at the server")
		}
		// The number of a channel is free some time after its handler has returned.
		again := time.NewTicker(5 * time.Millisecond)
		defer again.Stop()
		for give := time.Now().Add(patience); len(c.Channels()) != len(webTable); <-again.C {
			if time.Now().After(give) {
				t.Fatalf("the server has %d channels, want %d: %v", len(c.Channels()), len(webTable), c.Channels())
			}
		}
	})
}
