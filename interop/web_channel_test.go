package interop

import (
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
		p.do(`await until(5000, () => heard.length > 2); return heard;`, nil, &heard)
		if want := []string{"bag", "from the server", "from the page"}; !slices.Equal(heard, want) {
			t.Errorf("the page heard %q, want %q", heard, want)
		}
	})
}
