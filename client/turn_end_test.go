package client_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Work that the end of a turn causes is done by the next turn, which begins at once and waits
// for no datagram or timer.

// When the session is over, each end closes the link without the help of the other.
func TestLinkIsClosedWithTheSession(t *testing.T) {
	for _, by := range []string{"client", "server"} {
		inGame(t, godwit.Config{}, func(g *game) {
			s, err := g.connect(client.SessionConfig{})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			if by == "client" {
				s.Close(0, "")
			} else {
				slices.Collect(g.server.Conns())[0].Close(0, "")
			}
			time.Sleep(45 * time.Millisecond) // a round trip: the end that gets the close frame closes the link
			synctest.Wait()
			here := map[string]int{"client": g.endpoints[0].Stats().Conns, "server": g.server.RTC().Stats().Conns}[by]
			if here != 0 {
				t.Errorf("the %s has closed the session, and its connection is still open", by)
			}
		})
	}
}

// The fate of a message that a handler sends is delivered as soon as it is known.
func TestFatesOfMessagesOfAHandler(t *testing.T) {
	var fates []godwit.Fate
	inGame(t, godwit.Config{Handler: godwit.Handler{
		Message: func(c *godwit.Conn, _ channel.ID, _ []byte) {
			for range 3 {
				c.SendWith(move, []byte("here"), channel.Options{Receipt: true})
			}
		},
		Receipt: func(_ *godwit.Conn, _ channel.MessageID, f godwit.Fate) { fates = append(fates, f) },
	}}, func(g *game) {
		s, err := g.connect(client.SessionConfig{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if err := s.Send(chat, []byte("where?")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Millisecond) // one way
		synctest.Wait()
		if want := []godwit.Fate{channel.FateReplaced, channel.FateReplaced}; !slices.Equal(fates, want) {
			t.Errorf("%v, want %v", fates, want)
		}
	})
}

// Poll does not wait longer than a session in the process may, on a server that has a port.
func TestPollHeedsSessionsInTheProcess(t *testing.T) {
	inGame(t, godwit.Config{Manual: true}, func(g *game) {
		poll := func(d time.Duration) {
			for range g.server.Poll(d) {
			}
		}
		testkit.Must(g.server.Local(godwit.LocalConfig{}))
		for range 10 {
			poll(time.Second)
		}
		start := time.Now()
		slices.Collect(g.server.Conns())[0].Renew(start.Add(50 * time.Millisecond))
		for g.server.Len() > 0 {
			poll(3 * time.Second)
		}
		if late := time.Since(start) - 50*time.Millisecond; late != 0 {
			t.Errorf("the session ended %v too late", late)
		}
	})
}
