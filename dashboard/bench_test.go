package dashboard

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

var four = godwit.Channels{table[0], table[1], {Name: "effects"}, {Name: "loot", Mode: godwit.ReliableUnordered}}

func benchmarkPoll(b *testing.B, srv *godwit.Server) {
	b.Run(fmt.Sprintf("%dsessions", srv.Len()), func(b *testing.B) {
		b.ReportAllocs()
		size := 0
		for b.Loop() {
			size = get(srv, http.MethodGet, "/?figures&order=rtt").Body.Len()
		}
		b.ReportMetric(float64(size), "B/answer")
	})
}

// BenchmarkPoll measures one poll of a server with native clients on loopback. Each client has
// its own address, which works only on Linux.
func BenchmarkPoll(b *testing.B) {
	srv, err := godwit.Listen("127.0.0.1:0", godwit.Config{
		Channels: four, MaxConns: 1 << 20, RTC: rtcserver.Settings{MaxOffers: -1, HandshakeTimeout: testkit.Patience},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	web := httptest.NewServer(srv)
	defer web.Close()
	e, err := client.Listen("0.0.0.0:0", client.Config{
		Sources: netip.MustParsePrefix("127.64.0.0/10"), AnswerTimeout: testkit.Patience, HandshakeTimeout: testkit.Patience,
	})
	if err != nil {
		b.Skipf("only Linux has the addresses 127.64.0.0/10 on loopback without configuration: %v", err)
	}
	defer e.Close()
	for _, n := range []int{20, 1000} {
		for srv.Len() < n {
			if _, err := e.Join(b.Context(), web.URL, client.SessionConfig{Channels: four}); err != nil {
				b.Fatal(err)
			}
		}
		benchmarkPoll(b, srv)
	}
}

// BenchmarkPollInProcess measures the same with clients of Server.Local.
func BenchmarkPollInProcess(b *testing.B) {
	srv, err := godwit.New(godwit.Config{Channels: four})
	if err != nil {
		b.Fatal(err)
	}
	defer srv.Close()
	for _, n := range []int{20, 1000} {
		for srv.Len() < n {
			joined := srv.Len()
			join(b, srv, "")
			for srv.Len() == joined {
				runtime.Gosched()
			}
		}
		benchmarkPoll(b, srv)
	}
}
