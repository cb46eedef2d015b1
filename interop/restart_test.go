package interop

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// After pc.restartIce() the page sends a new offer, as the browser wants it. The connection keeps its
// channels, and echoes continue: never are as many messages in a row without an echo as the page sends
// in a second. Another offer, for a section of audio, changes nothing, either.
func TestARestartOfICEKeepsTheConnection(t *testing.T) {
	t.Parallel()
	everyBrowser(t, []browser.Kind{browser.Chromium, browser.ChromiumSNAP, browser.Firefox}, func(t *testing.T, b *browser.Browser) {
		w := newWorld(t, b, godwitServers)
		p := w.tab()
		p.connect()
		receive(t, w.opened, "the page opens")
		seconds := 8
		if *long {
			seconds = 40
		}
		var got struct {
			Sent, Echoed, Missing int     // the longest run of messages without an echo
			Gap                   float64 // longest time between two echoes, in ms
			Ufrags                []string
			State, Failed         string
		}
		p.doWithin(time.Duration(seconds)*time.Second+patience, `
			const r = { sent: 0, echoed: 0, missing: 0, gap: 0, ufrags: [], failed: "" };
			const echoed = new Set();
			let last = performance.now();
			ch.dc.onmessage = ({ data }) => {
				const now = performance.now();
				r.gap = Math.max(r.gap, now - last);
				last = now;
				echoed.add(Number(data));
			};
			const renegotiate = async () => {
				await c.pc.setLocalDescription();
				const response = await fetch("/new_rtc_session", { method: "POST", body: c.pc.localDescription.sdp });
				if (!response.ok) throw new Error(response.status + " " + (await response.text()));
				const { answer } = await response.json();
				await c.pc.setRemoteDescription(answer);
				r.ufrags.push(/a=ice-ufrag:(.*)/.exec(answer.sdp)[1].trim());
			};
			const steps = [
				() => (c.pc.restartIce(), renegotiate()),
				() => (c.pc.restartIce(), renegotiate()),
				() => (c.pc.addTransceiver("audio"), renegotiate()),
			];
			const total = arg * 50;
			await new Promise((resolve) => {
				const timer = setInterval(() => {
					if (r.sent === total) {
						clearInterval(timer);
						setTimeout(resolve, 500);
						return;
					}
					if (steps.length && r.sent === Math.floor((total * (4 - steps.length)) / 5)) {
						steps.shift()().catch((e) => (r.failed += e.message + "; "));
					}
					ch.send(String(r.sent++));
				}, 20);
			});
			let run = 0;
			for (let i = 0; i < total; i++) r.missing = Math.max(r.missing, (run = echoed.has(i) ? 0 : run + 1));
			r.echoed = echoed.size;
			r.state = c.pc.connectionState;
			return r;`, seconds, &got)
		st := w.server.(*rtcserver.Server).Stats().Restarts
		t.Logf("%s: %d of %d echoes, at most %d missing in a row, longest gap %.0f ms, %d restarts", b.Kind, got.Echoed, got.Sent, got.Missing, got.Gap, st)
		switch {
		case got.Failed != "" || got.State != "connected":
			t.Errorf("the page is %s: %s", got.State, got.Failed)
		case len(got.Ufrags) != 3 || got.Ufrags[0] == got.Ufrags[1] || got.Ufrags[1] != got.Ufrags[2]:
			t.Errorf("the fragments of the answers are %v, want two new ones, and the second again", got.Ufrags)
		case got.Missing >= 50:
			t.Errorf("%d messages in a row have no echo, want less than 50, a second", got.Missing)
		case st != 2:
			t.Errorf("%d restarts, want 2", st)
		}
		select {
		case <-w.opened:
			t.Error("a second connection has opened")
		case why := <-w.closed:
			t.Errorf("the connection was closed: %s", why)
		default:
		}
	})
}
