package interop

import (
	"math"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// Level one from the client: datagrams of both kinds through a lossy relay, and an end for which the page gets an event.
func TestClientSendsPlainDatagrams(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		const count = 300
		pages := make(chan *rtcserver.Conn, 1)
		labels := make(chan string, count)
		w := newWebWorld(t, b, netsim.Link{Loss: lossy, Delay: oneWay}, func(c *godwit.Config) {
			c.RTCHandler = rtcserver.Handler{
				Open: func(c *rtcserver.Conn) { note(pages, c) },
				Message: func(c *rtcserver.Conn, m rtcserver.Message) {
					note(labels, m.Label)
					c.Send(m.Stream, m.Kind, m.Data)
				},
			}
		})
		p := w.tab()
		var got struct{ Sent, Dropped, Texts, Binaries, Duplicates, Strange, Total int }
		p.do(`
			const raw = (window.raw = await godwit.connectRaw("/godwit/", { label: "plain" }));
			window.ended = new Promise((resolve) => raw.addEventListener("close", resolve));
			const r = { sent: 0, texts: 0, binaries: 0, duplicates: 0, strange: 0 };
			const seen = new Set();
			raw.addEventListener("message", ({ data }) => {
				const text = typeof data === "string";
				const words = text ? data : data instanceof Uint8Array ? new TextDecoder().decode(data) : "";
				const n = Number(words.match(/^datagram ([0-9]+)$/)?.[1] ?? -1);
				if (n < 0 || text !== (n % 2 === 1)) return r.strange++;
				if (seen.has(n)) return r.duplicates++;
				seen.add(n);
				text ? r.texts++ : r.binaries++;
			});
			await steady(60, arg, (n) => {
				const words = "datagram " + n;
				if (raw.send(n % 2 ? words : new TextEncoder().encode(words))) r.sent++;
			});
			await pause(1000); // the last echoes
			return { ...r, dropped: raw.dropped, total: Math.round(raw.times.total) };`, count, &got)
		t.Logf("%+v", got)
		if got.Sent+got.Dropped != count || got.Duplicates > 0 || got.Strange > 0 {
			t.Errorf("%d sent, %d dropped by the browser, %d came twice, %d were changed", got.Sent, got.Dropped, got.Duplicates, got.Strange)
		}
		if got.Texts == 0 || got.Binaries == 0 || got.Total == 0 {
			t.Errorf("%d texts, %d binaries, %d ms to connect; want more than 0 of each", got.Texts, got.Binaries, got.Total)
		}
		// A datagram and its echo survive both ways; four standard deviations less.
		least := math.Pow(1-lossy, 2) - 4*math.Sqrt(0.25/count)
		if share := float64(got.Texts+got.Binaries) / float64(got.Sent); share < least {
			t.Errorf("%.2f of the echoes came, want %.2f", share, least)
		}
		// A datagram may arrive before the message that opens its channel, and the page sends that one again when it was
		// lost: under load later than all datagrams above. So the page goes on.
		p.do(`setInterval(() => raw.send("one more"), 50);`, nil, nil)
		give := time.Now().Add(patience)
		for label := ""; label != "plain"; {
			if label = receive(t, labels, "a message"); time.Now().After(give) {
				t.Fatal("the channel has no label: its opening was lost, and acknowledged")
			}
		}
		receive(t, pages, "the connection").Close("enough")
		p.do(`await ended;`, nil, nil)
	})
}
