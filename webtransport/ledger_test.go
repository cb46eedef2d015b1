package webtransport

import (
	"flag"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

var matrix = flag.Bool("matrix", false, "run all 945 cells of the ledger")

// The promises of the ledger of package channel hold over WebTransport, in the same bad links.
func TestLedgerOverWebTransport(t *testing.T) {
	cells := testkit.CoveringCells(12)
	if *matrix {
		cells = testkit.AllCells()
	}
	for _, c := range cells {
		t.Run(c.String(), func(t *testing.T) { runCell(t, c) })
	}
}

func runCell(t *testing.T, c testkit.Cell) {
	up, down := testkit.NewLedger(c.Seed()), testkit.NewLedger(c.Seed()+1)
	opened := make(chan *godwit.Conn, 1)
	inWorld(t, godwit.Config{
		// One channel of each mode, in the order of the ledger's.
		Channels: channel.Channels{{Name: "effects"}, {Name: "move", Mode: channel.Sequenced}, {Name: "loot", Mode: channel.ReliableUnordered}, {Name: "chat", Mode: channel.ReliableOrdered}},
		Grace:    time.Hour, Limits: session.Limits{Messages: -1, Bytes: -1}, RTC: noLimits,
		Handler: godwit.Handler{
			Open:    func(c *godwit.Conn) { opened <- c },
			Message: func(_ *godwit.Conn, ch godwit.ChannelID, b []byte) { up.Take(int(ch), b) },
			Receipt: func(*godwit.Conn, channel.MessageID, channel.Fate) { down.Fate() },
		},
	}, Config{}, func(w *world) {
		opened = make(chan *godwit.Conn, 1)
		s := w.guest("192.0.2.77").player(client.SessionConfig{Links: []string{session.LinkWebTransport}, Handler: client.SessionHandler{
			Message: func(_ *client.Session, ch channel.ID, b []byte) { down.Take(int(ch), b) },
			Receipt: func(*client.Session, channel.MessageID, channel.Fate) { up.Fate() },
		}})
		to := func(e session.End) func(int, []byte, bool) bool {
			return func(ch int, b []byte, receipt bool) bool {
				_, err := e.SendWith(channel.ID(ch), b, channel.Options{Receipt: receipt})
				if err != nil && err != session.ErrBudget && err != session.ErrInterrupted {
					w.t.Error(err)
				}
				return err == nil
			}
		}
		theirs := <-opened
		w.network.SetDefault(c.Link())
		time.AfterFunc(2*time.Second, func() { w.network.BlackoutFor(netip.Addr{}, netip.Addr{}, c.Blackout()) })
		testkit.PlayBoth(6*time.Second+c.Blackout(), 20*time.Minute, [2]*testkit.Ledger{up, down}, [2]func(int, []byte, bool) bool{to(s), to(theirs)})
		for _, p := range append(up.Problems(), down.Problems()...) {
			t.Error(p)
		}
	})
}
