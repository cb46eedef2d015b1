package interop

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// Both browsers fall silent 100,009 messages after the first loss if nobody tells
// them what was given up. So the losses come first, in both directions, and then
// many more messages than that; but only with -long, for it takes a minute.
func TestManyMessages(t *testing.T) {
	const (
		rate   = 5000 // messages a second, which is less than either browser can
		losses = 3 * time.Second
	)
	count := 30_000
	if *long {
		count = 250_000
	}
	tail := count * 2 / 5
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newRelayedWorld(t, browser.Start(t, kind), godwitServers, netsim.Link{Loss: .05}, netsim.Link{Loss: .05})
			p := w.tab()
			p.connect(negotiatedChannel)
			c := receive(t, w.opened, "the connection")
			better := time.AfterFunc(losses, func() {
				w.relay.SetUp(netsim.Link{})
				w.relay.SetDown(netsim.Link{})
			})
			defer better.Stop()

			var got struct{ Sent, Echoed, Tail int }
			p.doWithin(time.Duration(count)*3*time.Second/rate, `return await flood(ch, arg);`,
				map[string]any{"count": count, "rate": rate, "tail": tail, "drain": 1000}, &got)
			s := c.(godwitConn).Stats()
			t.Logf("sent %d, server got %d, echoed %d, of the last %d %d; FORWARD-TSN %d; relay %+v",
				got.Sent, s.MessagesIn, got.Echoed, tail, got.Tail, s.Forwards, w.relay.Stats())
			if got.Sent != count {
				t.Errorf("the page sent %d messages before its channel closed, want %d", got.Sent, count)
			}
			// Silence would leave nothing. A few are lost in the sockets of a browser
			// that does not get to read on a busy machine.
			if got.Tail < tail*9/10 {
				t.Errorf("%d of the last %d messages came back", got.Tail, tail)
			}
		})
	}
}
