package rtcserver

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// junk returns the datagrams of a flood: ClientHellos, checks for unknown connections, checks
// with a wrong password, forged records, noise.
func junk(rng *rand.Rand, hello []byte, ufrag string) [][]byte {
	var all [][]byte
	for range 50 {
		all = append(all, hello,
			checkFor("unknownfrag1:abcd", "0123456789012345678901", true),
			checkFor(ufrag+":abcd", "0123456789012345678901", true),
			record(23, 1, rng.Uint64()>>16, make([]byte, 100+rng.IntN(800))),
			noise(rng, rng.IntN(1200), byte(rng.Uint32())),
		)
	}
	return all
}

// fragments returns so many of each of the hostile checks with fragments that need no offer.
func fragments(d *directState, each int) (all [][]byte) {
	for range each {
		for _, c := range hostileChecks(d) {
			all = append(all, c.b)
		}
	}
	return all
}

// Live pages send at 60 Hz, while 50,000 junk datagrams a second come from all addresses, also
// from those of the pages. The time is virtual, so the test checks that no message is lost and
// no connection is made.
func TestFloodLeavesLiveTrafficAlone(t *testing.T) {
	var d directState
	inWorld(t, d.config(Settings{}), func(w *world) {
		hello := w.recordHello()
		w.network.SetTap(nil)
		pages := make([]*page, count(20, 200))
		for i := range pages {
			pages[i] = w.open()
		}
		w.forget()
		ufrag := w.liveUfrag()
		rng := rand.New(rand.NewPCG(5, 6))
		all := append(junk(rng, hello, ufrag), fragments(&d, 50)...)
		before := w.server.Stats()
		lost, ticks := 0, count(60, 600)
		for range ticks {
			for i := range 833 { // 50,000 a second
				from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{100, 64, byte(rng.Uint32()), byte(rng.Uint32())}), uint16(1+rng.IntN(60000)))
				if i%5 == 0 {
					from = pages[rng.IntN(len(pages))].addr()
				}
				w.network.Inject(from, serverAddr, all[rng.IntN(len(all))])
				if i%100 == 0 {
					time.Sleep(time.Microsecond) // the loop reads
				}
			}
			for _, p := range pages {
				p.send("tick")
			}
			time.Sleep(16 * time.Millisecond)
			for _, p := range pages {
				if len(p.events) != 1 {
					lost++
				}
				for len(p.events) > 0 {
					<-p.events
				}
			}
			w.forget()
		}
		st := w.server.Stats()
		if lost > 0 || st.Conns != len(pages) || st.Handshakes != 0 {
			t.Errorf("%d of %d echoes are lost, want 0; %+v", lost, ticks*len(pages), st)
		}
		if got := st.DatagramsIn - before.DatagramsIn; got < uint64(833*ticks) {
			t.Errorf("only %d datagrams have arrived, want %d at least", got, 833*ticks)
		}
	})
}

// BenchmarkFlood is a tick of a sixtieth of a second of 200 pages over loopback,
// each of which sends a message and gets it back, without and with 50,000 junk
// datagrams a second, or as many hostile checks with fragments that need no offer; the drops are
// told by cause. For figures, in 20 s, on a
// machine that has nothing else to do:
//
//	go test -run '^$' -bench Flood -benchtime 600x ./rtcserver
func BenchmarkFlood(b *testing.B) {
	for _, rate := range []int{0, 50_000} {
		b.Run(fmt.Sprintf("junk=%d/s", rate), func(b *testing.B) {
			benchmarkFlood(b, rate, func(ufrag string, _ *directState) [][]byte {
				return junk(rand.New(rand.NewPCG(7, 8)), record(22, 0, 0, make([]byte, 300)), ufrag)
			})
		})
	}
	b.Run("fragments=50000/s", func(b *testing.B) {
		benchmarkFlood(b, 50_000, func(_ string, d *directState) [][]byte { return fragments(d, 50) })
	})
}

func benchmarkFlood(b *testing.B, rate int, what func(ufrag string, d *directState) [][]byte) {
	if runtime.GOOS != "linux" {
		b.Skip("one socket is many pages on Linux only")
	}
	var d directState
	c := d.config(Settings{Certificate: serverCertificate, MaxPerIP: -1, MaxOffers: -1})
	c.Handler = Handler{Message: func(c *Conn, m Message) { c.Send(m.Stream, m.Kind, m.Data) }}
	server, err := Listen("127.0.0.1:0", c)
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	l := &load{base: time.Now()}
	page := unhurriedPage(client.Handler{Message: l.echo})
	page.Sources = netip.MustParsePrefix("127.8.0.0/16")
	e, err := client.Listen("0.0.0.0:0", page)
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	w := &world{server: server}
	conns := make([]*client.Conn, 200)
	for i := range conns {
		conns[i], err = e.Connect(b.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
			return w.signal(netip.MustParseAddr("127.0.0.1"), string(offer))
		}, nil)
		if err != nil {
			b.Fatal(err)
		}
	}
	over := make(chan struct{})
	var flood sync.WaitGroup
	all := what(w.liveUfrag(), &d)
	flood.Go(func() { floodAt(b, rate, server.Addr(), all, over) })
	before := server.Stats()
	tick := time.NewTicker(time.Second / 60)
	defer tick.Stop()
	for b.Loop() {
		<-tick.C
		for _, c := range conns {
			c.Send(0, client.Binary, binary.BigEndian.AppendUint64(nil, uint64(time.Since(l.base))))
		}
	}
	time.Sleep(200 * time.Millisecond)
	close(over)
	flood.Wait()
	after := server.Stats()
	l.mu.Lock()
	defer l.mu.Unlock()
	slices.Sort(l.times)
	b.ReportMetric(l.quantile(0.5), "p50-ms")
	b.ReportMetric(l.quantile(0.99), "p99-ms")
	b.ReportMetric(float64(b.N*len(conns)-len(l.times)), "lost")
	b.ReportMetric(float64(after.DatagramsIn-before.DatagramsIn)/b.Elapsed().Seconds(), "datagrams/s")
	b.ReportMetric(float64(after.Socket.KernelDrops-before.Socket.KernelDrops), "kernel-drops")
	for reason := range dropReasons {
		b.ReportMetric(float64(after.Drops[reason]-before.Drops[reason]), reason.String())
	}
	b.ReportMetric(float64(after.Closed[CloseTimeout]+after.Closed[CloseNoAssociation]+after.Closed[CloseNoHandshake]), "closed")
}

// load gathers how long echoes took.
type load struct {
	base  time.Time
	mu    sync.Mutex
	times []time.Duration
}

func (l *load) echo(_ *client.Conn, m client.Message) {
	took := time.Since(l.base) - time.Duration(binary.BigEndian.Uint64(m.Data))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times = append(l.times, took)
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.times)
}

// quantile returns one of the sorted times in milliseconds.
func (l *load) quantile(q float64) float64 {
	if len(l.times) == 0 {
		return 0
	}
	return l.times[min(int(q*float64(len(l.times))), len(l.times)-1)].Seconds() * 1000
}

// floodAt sends so many junk datagrams a second until it is over.
func floodAt(t testing.TB, rate int, to netip.AddrPort, all [][]byte, over chan struct{}) {
	conn, err := net.ListenUDP("udp4", nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close()
	begin, n := time.Now(), 0
	for {
		select {
		case <-over:
			return
		case <-time.After(time.Millisecond):
		}
		for due := int(time.Since(begin).Seconds() * float64(rate)); n < due; n++ {
			conn.WriteToUDPAddrPort(all[n%len(all)], to)
		}
	}
}

// A page sends a message from time to time for three days. Short form: an hour.
func TestThreeDays(t *testing.T) {
	hours := count(1, 72)
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		w.forget()
		before := testkit.HeapNow()
		for end := time.Now().Add(time.Duration(hours) * time.Hour); time.Now().Before(end); {
			p.echoes("it lives")
			w.forget()
			time.Sleep(10 * time.Second)
		}
		if grown := testkit.HeapNow() - before; grown > 256<<10 {
			t.Errorf("the heap has grown by %d bytes in %d hours, want at most 256 KiB", grown, hours)
		}
		st := w.server.Stats()
		t.Logf("%d hours: %d datagrams in, %d out", hours, st.DatagramsIn, st.DatagramsOut)
		if st.Opened != 1 || st.Conns != 1 {
			t.Errorf("%+v, want 1 connection", st)
		}
	})
}
