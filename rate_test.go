package godwit

import (
	"testing"
	"time"
)

// Rate, Floor and Ceiling of the Config limit the bytes that the server sends to each client.
func TestBytesToEachClientAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) {
			c.Rate, c.Floor, c.Ceiling = 10_000, 5_000, 20_000
			c.Channels = Channels{{Name: "file", Mode: ReliableOrdered, MaxMessage: 1 << 10, QueueLimit: 1 << 20}}
		})
		for range 2 {
			_, server, _ := join(t, srv, "")
			if st := server.Stats(); st.Rate != 10_000 {
				t.Errorf("at first the rate is %.0f bytes a second, want Rate", st.Rate)
			}
			for server.Free(1) >= 1<<10 {
				must(t, server.Send(1, make([]byte, 1<<10)))
			}
			time.Sleep(5 * time.Second)
			before := server.Stats().BytesOut
			time.Sleep(5 * time.Second)
			if st := server.Stats(); st.Rate != 20_000 || st.BytesOut-before > 102_000 || st.BytesOut-before < 80_000 {
				t.Errorf("%d bytes left in 5 s at a rate of %.0f, want the Ceiling's 20,000 a second", st.BytesOut-before, st.Rate)
			}
		}
	})
}

// Floor is kept from the first packet on, though Rate is less.
func TestFloorIsKept(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) { c.Rate, c.Floor = 1_000, 5_000 })
		_, server, _ := join(t, srv, "")
		if rate := server.Stats().Rate; rate != 5_000 {
			t.Errorf("the rate is %.0f, want Floor", rate)
		}
	})
}
