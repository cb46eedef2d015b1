package client_test

import (
	"context"
	"flag"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

var matrix = flag.Bool("matrix", false, "run all 945 cells of the ledger")

// ledgerTable has one channel of each mode, in the order of the ledger's channels.
var ledgerTable = channel.Channels{
	{Name: "effects", Mode: channel.Unreliable},
	{Name: "move", Mode: channel.Sequenced},
	{Name: "loot", Mode: channel.ReliableUnordered},
	{Name: "chat", Mode: channel.ReliableOrdered},
}

// sendTo returns a func that sends messages of a ledger from one end of a session.
func sendTo(t *testing.T, e session.End) func(ch int, b []byte, receipt bool) bool {
	return func(ch int, b []byte, receipt bool) bool {
		_, err := e.SendWith(channel.ID(ch), b, channel.Options{Receipt: receipt})
		if err != nil && err != session.ErrBudget && err != session.ErrInterrupted {
			t.Error(err)
		}
		return err == nil
	}
}

// changer moves a session to the next link once a second, until stop is closed: from WebRTC to a
// WebSocket, and back.
func changer(ctx context.Context, s *client.Session, stop <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		within, cancel := context.WithTimeout(ctx, 5*time.Second)
		if s.Link() == session.LinkWebRTC {
			client.MoveToWebSocket(within, s)
		} else {
			client.MoveToWebRTC(within, s)
		}
		cancel()
	}
}

// runCell plays the ledger over a real session in both directions. With moves the session changes
// its link every second; otherwise links are those that it may use.
func runCell(t *testing.T, c testkit.Cell, links []string, moves bool) {
	ledgers := [2]*testkit.Ledger{testkit.NewLedger(c.Seed()), testkit.NewLedger(c.Seed() + 1)}
	up, down := ledgers[0], ledgers[1]
	opened := make(chan *godwit.Conn, 1)
	gc := godwit.Config{
		Channels: ledgerTable, Grace: time.Hour, Limits: session.Limits{Messages: -1, Bytes: -1},
		Handler: godwit.Handler{
			Open:    func(c *godwit.Conn) { opened <- c },
			Message: func(_ *godwit.Conn, ch godwit.ChannelID, b []byte) { up.Take(int(ch), b) },
			Receipt: func(*godwit.Conn, channel.MessageID, channel.Fate) { down.Fate() },
		},
	}
	gc.RTC.MaxOffers, gc.RTC.MaxPerIP = -1, -1
	inGame(t, gc, func(g *game) {
		opened = make(chan *godwit.Conn, 1)
		path := testkit.NewPath(g.t)
		web := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RemoteAddr = "198.51.100.7:1"
			g.server.ServeHTTP(w, r)
		})
		dial := path.Over(testkit.ServeHTTP(g.t, web).Dial)
		e := testkit.Must(client.Serve(testkit.Listen(g.t, g.network, pageAddr), client.Config{
			HTTP: &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}},
		}))
		defer e.Close()
		s := testkit.Must(g.join(e, client.SessionConfig{Channels: ledgerTable, Links: links, Handler: client.SessionHandler{
			Message: func(_ *client.Session, ch channel.ID, b []byte) { down.Take(int(ch), b) },
			Receipt: func(*client.Session, channel.MessageID, channel.Fate) { up.Fate() },
		}}))
		theirs := <-opened
		g.network.SetDefault(c.Link())
		path.SetLink(c.Link(), c.Seed())
		time.AfterFunc(2*time.Second, func() {
			g.dark(c.Blackout())
			path.BlackoutFor(c.Blackout())
		})
		stop := make(chan struct{})
		var moving sync.WaitGroup
		if moves {
			moving.Go(func() { changer(g.t.Context(), s, stop) })
		}
		length := 6*time.Second + c.Blackout()
		testkit.PlayBoth(length, 20*time.Minute, ledgers, [2]func(int, []byte, bool) bool{sendTo(t, s), sendTo(t, theirs)})
		close(stop)
		moving.Wait()
		for i, l := range ledgers {
			if p := l.Problems(); len(p) > 0 {
				t.Errorf("direction %d:\n\t%s", i, strings.Join(p, "\n\t"))
			}
		}
		st := s.Stats()
		if least := uint32(4); moves && c.Loss() == 0 && c.Blackout() <= time.Second && st.Resumed < least {
			t.Errorf("the session has changed its link %d times, want %d at least", st.Resumed, least)
		}
	})
}

// The ledger of package channel over real sessions, whose HTTP and WebSockets cross the same bad
// links as UDP: over a WebSocket, and while the session goes from WebRTC to a WebSocket, and back,
// every second.
func TestLedgerOverLinks(t *testing.T) {
	cells := testkit.CoveringCells(12)
	if *matrix {
		cells = testkit.AllCells()
	}
	for _, c := range cells {
		t.Run("a WebSocket/"+c.String(), func(t *testing.T) { runCell(t, c, []string{session.LinkWebSocket}, false) })
		t.Run("a link that changes/"+c.String(), func(t *testing.T) { runCell(t, c, nil, true) })
	}
}
