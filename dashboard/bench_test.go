package dashboard

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// BenchmarkPoll is what one poll costs a server with native clients on loopback, each
// from an address of its own, which only Linux has.
func BenchmarkPoll(b *testing.B) {
	four := append(table[:2:2], godwit.Channel{Name: "effects"}, godwit.Channel{Name: "loot", Mode: godwit.ReliableUnordered})
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{
		Channels: four, MaxConns: 1 << 20, RTC: rtcserver.Config{MaxOffers: -1},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	web := httptest.NewServer(srv)
	defer web.Close()
	e, err := client.Listen("0.0.0.0:0", client.Config{Sources: netip.MustParsePrefix("127.64.0.0/10")})
	if err != nil {
		b.Skip(err)
	}
	defer e.Close()
	for _, n := range []int{20, 1000} {
		for srv.Len() < n {
			if _, err := e.Join(b.Context(), web.URL, client.SessionConfig{Channels: four}); err != nil {
				b.Fatal(err)
			}
		}
		b.Run(fmt.Sprintf("%dsessions", n), func(b *testing.B) {
			b.ReportAllocs()
			size := 0
			for b.Loop() {
				size = get(srv, http.MethodGet, "/?figures&order=rtt").Body.Len()
			}
			b.ReportMetric(float64(size), "B/answer")
		})
	}
}
