package client_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/netsim"
)

// A native client and a server send compressed messages over a link that loses packets and is lost
// itself: by number and by name.
func TestCompressedMessagesOfANativeClient(t *testing.T) {
	c := godwit.Config{MaxClientChannels: 1, Handler: godwit.Handler{
		Message: func(c *godwit.Conn, ch godwit.ChannelID, b []byte) { c.Send(ch, b) },
	}}
	inGame(t, c, func(g *game) {
		g.network.SetDefault(netsim.Link{Delay: 20 * time.Millisecond, Loss: 0.1})
		h := g.handler()
		h.Interrupted, h.Resumed = nil, nil
		h.Message = func(_ *client.Session, _ channel.ID, b []byte) {
			g.note("%d bytes, %v", len(b), len(bytes.Trim(b, "again ")) == 0)
		}
		s, err := g.connect(client.SessionConfig{Handler: h})
		g.must(err)
		g.want("open")
		id, err := s.OpenChannel(channel.Channel{Name: "history", Mode: channel.ReliableOrdered, Compress: true})
		g.must(err)
		g.must(s.Send(id, bytes.Repeat([]byte("again "), 20_000)))
		_, err = s.SendNamed("history", bytes.Repeat([]byte("again "), 100), channel.Options{})
		g.must(err)
		for c := range g.server.RTC().Conns() {
			c.Close("cut")
		}
		g.must(s.Send(id, []byte("again ")))
		g.want("120000 bytes, true", "600 bytes, true", "6 bytes, true")
		if st := s.ChannelStats(id); st.BytesOut != 120_606 || st.BytesIn != 120_606 || st.WireOut > 2000 || st.WireIn > 2000 {
			t.Errorf("%d bytes have left as %d, and %d came as %d, want 120,606 as few", st.BytesOut, st.WireOut, st.BytesIn, st.WireIn)
		}
	})
}
