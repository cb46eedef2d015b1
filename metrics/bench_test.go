package metrics

import (
	"fmt"
	"sync"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// BenchmarkScrape measures a scrape of sessions over WebRTC, on a network in memory,
// while they say nothing.
func BenchmarkScrape(b *testing.B) {
	for _, n := range []int{0, 1000} {
		b.Run(fmt.Sprintf("%dsessions", n), func(b *testing.B) {
			w := newWorld(b, godwit.Config{
				Channels: table, OpenTimeout: testkit.Patience, RTC: rtcserver.Settings{HandshakeTimeout: testkit.Patience},
			})
			defer w.close()
			w.network.SetDefault(netsim.Link{})
			var joining sync.WaitGroup
			for range 20 { // at once
				joining.Go(func() {
					for range n / 20 {
						_, ends, err := w.connect(table)
						if err != nil {
							b.Error(err)
							return
						}
						b.Cleanup(func() { ends.Close() })
					}
				})
			}
			joining.Wait()
			page := Append(nil, w.server)
			b.ReportAllocs()
			for b.Loop() {
				page = Append(page[:0], w.server)
			}
			b.ReportMetric(float64(len(page)), "page-bytes")
			if n > 0 {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/session")
			}
		})
	}
}
