package client_test

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
)

// A link that a session leaves for a new one is a connection that has ended, and is counted.
func TestLinkThatIsReplacedIsCounted(t *testing.T) {
	inGame(t, godwit.Config{}, func(g *game) {
		s, err := g.connect(client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		g.network.SetDefault(netsim.Link{Loss: 1})
		g.want("interrupted")
		time.Sleep(time.Second) // the offer is answered, so the old link is left
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond})
		g.want("resumed")
		time.Sleep(time.Second)
		if n := s.Stats().Resumed; n != 1 {
			t.Errorf("it has resumed on %d new links, want 1", n)
		}
		if st := g.endpoints[0].Stats(); st.Opened != 2 || st.Closed != 1 || st.Conns != 1 {
			t.Errorf("%d links opened, %d ended, %d are there", st.Opened, st.Closed, st.Conns)
		}
	})
}
