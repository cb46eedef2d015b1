package client_test

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
)

// A path that carries 1,225 bytes of UDP payload carries all packets of channels, and a narrower
// path does not: README.md and docs/PROTOCOL.md give this number.
func TestLeastPath(t *testing.T) {
	const messages = 1000
	small := channel.Channels{{Name: "small", Mode: channel.ReliableUnordered, QueueLimit: 1 << 20}}
	over := func(mtu int) (got int, lost uint64) {
		c := godwit.Config{Channels: small, Limits: godwit.Limits{Messages: -1}, Handler: godwit.Handler{
			Message: func(*godwit.Conn, godwit.ChannelID, []byte) { got++ },
		}}
		inGame(t, c, func(g *game) {
			g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, MTU: mtu})
			s, err := g.connect(client.SessionConfig{Channels: small})
			g.must(err)
			for i := range messages { // they fill packets of every size
				g.must(s.Send(1, make([]byte, 1+i%60)))
			}
			time.Sleep(20 * time.Second)
			lost = s.Stats().PacketsLost
		})
		return got, lost
	}
	if got, lost := over(1225); got != messages || lost != 0 {
		t.Errorf("over 1,225 bytes %d of %d messages have arrived, and %d packets are lost, want 0", got, messages, lost)
	}
	if _, lost := over(1215); lost == 0 {
		t.Error("over 1,215 bytes no packet is lost: the documented minimum of the path is too large")
	}
}

// Rate and Ceiling of a SessionConfig limit the bytes that the client sends.
func TestBytesFromAClientAreBounded(t *testing.T) {
	file := channel.Channels{{Name: "file", Mode: channel.ReliableOrdered, MaxMessage: 1 << 10, QueueLimit: 1 << 20}}
	inGame(t, godwit.Config{Channels: file}, func(g *game) {
		s, err := g.connect(client.SessionConfig{Channels: file, Rate: 10_000, Floor: 5_000, Ceiling: 20_000, Handler: g.handler()})
		g.must(err)
		g.want("open")
		if rate := s.Stats().Rate; rate != 10_000 {
			t.Errorf("at first the rate is %.0f bytes a second, want Rate", rate)
		}
		for range 500 {
			g.must(s.Send(1, make([]byte, 1<<10)))
		}
		time.Sleep(5 * time.Second)
		before := s.Stats().BytesOut
		time.Sleep(5 * time.Second)
		if st := s.Stats(); st.Rate != 20_000 || st.BytesOut-before > 102_000 || st.BytesOut-before < 80_000 {
			t.Errorf("%d bytes left in 5 s at a rate of %.0f, want the Ceiling's 20,000 a second", st.BytesOut-before, st.Rate)
		}
	})
}
