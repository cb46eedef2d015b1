package interop

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// Both browsers stop sending 100,009 messages after the first loss if no FORWARD-TSN tells
// them which messages were abandoned. So the losses come first, in both directions, and then
// more messages than that; with -long many more.
func TestManyMessages(t *testing.T) {
	slow(t)
	// Not parallel: an echo that takes 100 ms counts as lost.
	const (
		lossy  = 2_000
		window = 200 // small packets that fit the buffer of a browser's socket
	)
	clean := 102_000
	if *long {
		clean = 250_000
	}
	kinds := []browser.Kind{browser.Chromium} // the two share the fault and its remedy
	if *long {
		kinds = browser.Kinds
	}
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newRelayedWorld(t, browser.Start(t, kind), godwitServers, netsim.Link{Loss: .05}, netsim.Link{Loss: .05})
			p := w.tab()
			p.connect(negotiatedChannel)
			c := receive(t, w.opened, "the connection")
			flood := func(count int) {
				t.Helper()
				var got struct{ Sent, Echoed int }
				began := time.Now()
				p.doWithin(5*time.Minute, `return await flood(ch, arg);`, map[string]any{"count": count, "window": window}, &got)
				t.Logf("sent %d, echoed %d, in %.1f s", got.Sent, got.Echoed, time.Since(began).Seconds())
				// A browser that stopped would send nothing more. A busy machine loses a few messages.
				if got.Sent != count || got.Echoed < count/2 {
					t.Errorf("%d of %d messages are sent, %d are echoed, want half at least", got.Sent, count, got.Echoed)
				}
			}
			flood(lossy)
			w.relay.SetUp(netsim.Link{})
			w.relay.SetDown(netsim.Link{})
			flood(clean)
			s := c.(godwitConn).Stats()
			t.Logf("server got %d, sent %d, FORWARD-TSN %d", s.MessagesIn, s.MessagesOut, s.Forwards)
		})
	}
}
