package client

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// A drain is a Carrier that takes everything.
type drain struct{}

func (drain) Send([]byte) bool { return true }
func (drain) Close(string)     {}

// Datagrams that have come before Dial has returned are for the session, and no others are kept. An
// endpoint keeps no link because of a datagram that it has taken.
func TestArrivalsAreNotKept(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
		e := testkit.Must(Serve(socket, Config{Manual: true}))
		defer e.Close()
		s := &Session{endpoint: e, config: SessionConfig{Channels: channel.Channels{{Name: "chat"}}}, opened: make(chan struct{})}
		s.session = testkit.Must(sessioncore.New(time.Now(), s.config.session()))
		var l *Link
		arrive := func() {
			l.Receive([]byte("junk"))
			e.loop.Lock()
			e.takeArrivals()
			e.loop.Unlock()
		}
		s.over = &LinkConfig{Name: "wire", Dial: func(_ context.Context, link *Link) (Carrier, error) {
			l = link
			arrive()
			arrive()
			return drain{}, nil
		}}
		if err := s.dialOver(t.Context(), s.over, s.session); err != nil {
			t.Fatal(err)
		}
		if n := e.arrivals.Len(); n != 2 {
			t.Errorf("%d datagrams are left for the next turn, want 2", n)
		}
		arrive()
		if len(l.carried.early) > 0 {
			t.Errorf("%d datagrams are kept", len(l.carried.early))
		}
		for range 2 {
			taken := e.arrivals.Take()
			for _, a := range taken[:cap(taken)] {
				if a.to != nil {
					t.Error("a link is kept")
				}
			}
		}
	})
}
