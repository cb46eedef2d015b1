package interop

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/rtcserver"
)

var godwitServers = implementation{name: "godwit", listen: listenGodwit, tooLarge: rtcserver.ErrTooLarge}

// godwitConn makes a connection of godwit one of the tests.
type godwitConn struct{ *rtcserver.Conn }

func (c godwitConn) Send(stream uint16, text bool, b []byte) error {
	kind := rtcserver.Binary
	if text {
		kind = rtcserver.Text
	}
	return c.Conn.Send(stream, kind, b)
}

func (c godwitConn) Close() error {
	c.Conn.Close("kicked")
	return nil
}

func listenGodwit(addr string, config config) (server, error) {
	c := rtcserver.Config{
		// All pages of a test come from one address.
		Settings: rtcserver.Settings{MaxPerIP: -1, MaxOffers: -1, KeyLog: config.keyLog},
		Handler: rtcserver.Handler{
			Open: func(c *rtcserver.Conn) { config.open(godwitConn{c}) },
			Message: func(c *rtcserver.Conn, m rtcserver.Message) {
				config.message(godwitConn{c}, message{m.Stream, m.Label, m.Kind == rtcserver.Text, m.Data})
			},
			Close: func(c *rtcserver.Conn, why *rtcserver.CloseError) { config.close(godwitConn{c}, why.Error()) },
		},
	}
	if config.honest {
		c.Acks = rtcserver.AckHonest
	}
	if config.public.IsValid() {
		c.Public = []netip.AddrPort{config.public}
	}
	return rtcserver.Listen(addr, c)
}

// Eager acknowledgement keeps a browser's congestion control out of the way: at
// 10 % loss every message that is not itself lost arrives, and the page is never
// told of a gap once the server knows its channels. When it arrives is for
// BenchmarkEchoes.
func TestEchoesUnderLoss(t *testing.T) {
	// Not parallel: a busy machine loses datagrams of its own.
	eachBrowser(t, func(t *testing.T, b *browser.Browser) {
		var acks rtcserver.ConnStats
		f := measureEchoes(t, b, godwitServers, 900, func(c conn) {
			acks = c.(godwitConn).Stats()
		})
		t.Log(f)
		// 90 % get through; 86 % is four standard deviations less.
		if f.share() < 0.86 {
			t.Errorf("%.1f %% of the echoes came, want 86", 100*f.share())
		}
		t.Logf("acknowledgements: %d, with gaps %d, FORWARD-TSN %d", acks.SacksOut, acks.GapSacksOut, acks.Forwards)
		if !acks.EagerAcks {
			t.Error("the acknowledgements are honest, want eager")
		}
		if acks.GapSacksOut > acks.SacksOut/10 {
			t.Errorf("%d of %d acknowledgements report gaps, want at most a tenth", acks.GapSacksOut, acks.SacksOut)
		}
	})
}

func TestConnectsUnderLoss(t *testing.T) {
	t.Parallel()
	for _, kind := range browser.Kinds {
		for _, loss := range []float64{0, lossy} {
			t.Run(fmt.Sprintf("%s/loss=%.0f%%", kind, 100*loss), func(t *testing.T) {
				t.Parallel()
				f := measureConnects(t, browser.Start(t, kind), godwitServers, negotiatedChannel, loss, 10)
				t.Log(f)
				if len(f.ms) < f.tried {
					t.Errorf("%d of %d connections have opened", len(f.ms), f.tried)
				}
			})
		}
	}
}
