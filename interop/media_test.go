package interop

import (
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
)

// Pages whose offer has audio and video beside the data channel, in every order and with
// every bundle policy: with max-bundle the connection goes with the first section. No
// media is sent, and the channel works.
func TestChannelBesideMedia(t *testing.T) {
	t.Parallel()
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		w := newWorld(t, b, godwitServers)
		p := w.tab()
		for _, layout := range [][]string{
			{"data"}, {"audio", "data"}, {"video", "data"}, {"data", "audio"}, {"audio", "video", "data"},
			{"audio", "video", "audio", "video", "audio", "video", "data"},
		} {
			for _, policy := range []string{"balanced", "max-bundle", "max-compat"} {
				var got struct {
					Echo, State, Failed string
					Lines, Tracks       int
					Directions          []string
				}
				p.do(`
					const pc = new RTCPeerConnection({ bundlePolicy: arg.policy });
					const r = { echo: "", failed: "", tracks: 0 };
					pc.ontrack = () => r.tracks++;
					let dc;
					for (const kind of arg.layout) {
						if (kind === "data") dc = pc.createDataChannel("d", { ordered: false, maxRetransmits: 0 });
						else pc.addTransceiver(kind);
					}
					const open = new Promise((resolve) => (dc.onopen = resolve));
					try {
						await pc.setLocalDescription();
						// With the browser's candidates, as a page sends that waits for them.
						await within(patience, new Promise((resolve) => {
							if (pc.iceGatheringState === "complete") resolve();
							pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && resolve();
						}), "candidates");
						const body = pc.localDescription.sdp;
						r.lines = body.split("\n").length;
						const response = await fetch("/new_rtc_session", { method: "POST", body });
						if (!response.ok) throw new Error(response.status + " " + (await response.text()));
						const { answer, candidate } = await response.json();
						await pc.setRemoteDescription(answer);
						await pc.addIceCandidate(candidate);
						await within(patience, open, "open");
						dc.binaryType = "arraybuffer";
						dc.send("beside media");
						r.echo = await within(patience, new Promise((resolve) => (dc.onmessage = (e) => resolve(e.data))), "echo");
						r.state = pc.connectionState;
						r.directions = pc.getTransceivers().map((t) => t.currentDirection ?? "none").filter((d) => d !== "inactive" && d !== "stopped" && d !== "none");
					} catch (e) {
						r.failed = e.message;
					}
					pc.close();
					return r;`, map[string]any{"policy": policy, "layout": layout}, &got)
				t.Logf("%v, %s: %+v", layout, policy, got)
				if got.Failed != "" || got.Echo != "beside media" || got.State != "connected" || got.Tracks != 0 || len(got.Directions) != 0 {
					t.Errorf("%v, %s: %+v, want an echo, a connection and no tracks", layout, policy, got)
				}
			}
		}
	})
}
