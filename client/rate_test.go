package client_test

import (
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
)

// Rate and Ceiling of a SessionConfig bound what the client sends.
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
