package interop

import (
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// An ordered channel without retransmission, over a link that loses and reorders: the
// messages arrive in order and once, and a lost message causes no other loss.
func TestOrderedChannelOverALossyLink(t *testing.T) {
	// Not parallel: a busy machine loses datagrams of its own.
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newRelayedWorld(t, b, godwitServers, netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.05, Reorder: 0.05, ReorderDelay: 30 * time.Millisecond}, netsim.Link{Delay: 20 * time.Millisecond})
		p := w.tab()
		p.connect(channelInit{"label": "moves", "ordered": true, "maxRetransmits": 0})
		const n = 300
		p.do(`
			for (let i = 1; i <= arg; i++) {
				c.channels[0].send(String(i));
				await new Promise((resolve) => setTimeout(resolve, 16));
			}
			await new Promise((resolve) => setTimeout(resolve, 500));
		`, n, nil)
		var got []int
		named := false
		for len(w.messages) > 0 {
			m := <-w.messages
			i, err := strconv.Atoi(string(m.data))
			// Messages that overtake the opening of the channel come on a channel without a name.
			if err != nil || m.label != "moves" && (m.label != "" || named) {
				t.Fatalf("%q on channel %q, want moves", m.data, m.label)
			}
			named = named || m.label != ""
			got = append(got, i)
		}
		t.Logf("%d of %d came", len(got), n)
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("the messages are not in order, or come twice: %v", got)
		}
		if len(got) < n*75/100 {
			t.Errorf("%d of %d messages have arrived, want three quarters at least", len(got), n)
		}
	})
}

// The server closes the channels that it refuses, and the page gets an event: a reliable
// channel, and the seventeenth channel, in-band or negotiated. The other channels work.
func TestRefusedChannelsAreClosedForThePage(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWorldAt(t, b, godwitServers, netip.AddrPortFrom(browser.Host(t), 0), config{})
		p := w.tab()
		p.connect()
		p.wantEcho("the first")
		var got []string
		p.do(`
			const said = [];
			const closes = async (label, init) => {
				const ch = new Channel(c.pc.createDataChannel(label, init));
				const closed = new Promise((resolve) => ch.dc.addEventListener("close", () => resolve("closed")));
				if (init.negotiated) {
					await within(patience, ch.opened, label + " opens");
					ch.send("is anybody there?");
				}
				said.push(label + " " + (await within(patience, closed, label)));
			};
			await closes("reliable", {});
			const unreliable = { ordered: false, maxRetransmits: 0 };
			for (let i = 0; i < 15; i++) {
				const ch = new Channel(c.pc.createDataChannel("more", { ...unreliable, negotiated: true, id: 100 + i }));
				await within(patience, ch.opened, "open");
				said.push(await ch.echo("e"));
			}
			await closes("negotiated", { ...unreliable, negotiated: true, id: 200 });
			await closes("in-band", unreliable);
			said.push(await c.channels[0].echo("goes on"));
			return said;
		`, nil, &got)
		want := []string{"reliable closed"}
		for range 15 {
			want = append(want, "e")
		}
		want = append(want, "negotiated closed", "in-band closed", "goes on")
		if !slices.Equal(got, want) {
			t.Errorf("the messages are %q, want %q", got, want)
		}
	})
}
