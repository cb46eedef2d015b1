package channel

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
	"github.com/pion/logging"
	"github.com/pion/sctp"
)

// What native reliable data channels do, to compare with: a stream of pion/sctp over
// a netsim network in a bubble. There is no DTLS in between, nor below our channel.

var (
	nearAddr = netip.MustParseAddrPort("10.0.0.1:5000")
	farAddr  = netip.MustParseAddrPort("10.0.0.2:5000")
)

// pionConn is a netsim.Conn with one peer.
type pionConn struct {
	*netsim.Conn
	peer netip.AddrPort
}

func (c pionConn) Read(b []byte) (int, error) {
	n, _, err := c.ReadFromUDPAddrPort(b)
	return n, err
}

func (c pionConn) Write(b []byte) (int, error) { return c.WriteToUDPAddrPort(b, c.peer) }
func (c pionConn) RemoteAddr() net.Addr        { return net.UDPAddrFromAddrPort(c.peer) }

// pionStream connects two associations over a perfect network and opens a stream from
// one to the other. close ends everything.
func pionStream(t *testing.T, seed uint64) (network *netsim.Network, near, far *sctp.Stream, end func()) {
	t.Helper()
	network = netsim.New(seed + *shift)
	network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond})
	logs := logging.NewDefaultLoggerFactory()
	logs.DefaultLogLevel = logging.LogLevelDisabled
	options := func(own, peer netip.AddrPort) (conn, log, mtu sctp.AssociationOption) {
		c, err := network.Listen(own)
		if err != nil {
			t.Fatal(err)
		}
		return sctp.WithNetConn(pionConn{c, peer}), sctp.WithLoggerFactory(logs), sctp.WithMTU(1191)
	}
	other := make(chan *sctp.Association)
	go func(conn, log, mtu sctp.AssociationOption) {
		b, err := sctp.ServerWithOptions(conn, log, mtu)
		if err != nil {
			t.Error(err)
		}
		other <- b
	}(options(farAddr, nearAddr))
	synctest.Wait() // it listens
	conn, log, mtu := options(nearAddr, farAddr)
	a, err := sctp.ClientWithOptions(conn, log, mtu)
	if err != nil {
		t.Fatal(err)
	}
	b := <-other
	near, err = a.OpenStream(1, sctp.PayloadTypeWebRTCBinary)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := near.Write(make([]byte, trialSize)); err != nil {
		t.Fatal(err)
	}
	if far, err = b.AcceptStream(); err != nil {
		t.Fatal(err)
	}
	far.Read(make([]byte, trialSize))
	time.Sleep(time.Second)
	return network, near, far, func() {
		network.Close()
		a.Close()
		b.Close()
	}
}

func sctpLatency(t *testing.T, seed uint64, l netsim.Link, length time.Duration) (r trial) {
	synctest.Test(t, func(t *testing.T) {
		network, near, far, end := pionStream(t, seed)
		network.SetDefault(l)
		before := network.Stats(nearAddr.Addr(), farAddr.Addr()).SentBytes
		r.sent = int(length.Seconds() * trialRate)
		start := time.Now()
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := make([]byte, 1<<16)
			for len(r.took) < r.sent {
				n, err := far.Read(b)
				if err != nil {
					return
				}
				born := time.Duration(binary.BigEndian.Uint64(b[:n]))
				r.took = append(r.took, time.Since(start)-born)
			}
		}()
		b := make([]byte, trialSize)
		for range r.sent {
			binary.BigEndian.PutUint64(b, uint64(time.Since(start)))
			if _, err := near.Write(b); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second / trialRate)
		}
		select {
		case <-done:
		case <-time.After(trialWait):
		}
		r.bytes = int(network.Stats(nearAddr.Addr(), farAddr.Addr()).SentBytes - before)
		end()
		<-done
	})
	slices.Sort(r.took)
	return r
}

func sctpFlow(t *testing.T) (points []flowPoint) {
	synctest.Test(t, func(t *testing.T) {
		network, near, far, end := pionStream(t, 32)
		neck := netsim.NewBottleneck(flowWide, flowQueue)
		var rate, got atomic.Int64
		var over atomic.Bool
		set := func(r int) {
			rate.Store(int64(r))
			neck.Set(r, flowQueue)
		}
		set(flowWide)
		network.SetLink(nearAddr.Addr(), farAddr.Addr(), netsim.Link{Delay: flowLink.Delay, Through: neck})
		time.AfterFunc(flowNarrows, func() { set(flowNarrow) })
		time.AfterFunc(flowWidens, func() { set(flowWide) })
		done := make(chan struct{}, 2)
		go func() {
			b := make([]byte, 1<<16)
			for n, err := far.Read(b); err == nil; n, err = far.Read(b) {
				got.Add(int64(n))
			}
			done <- struct{}{}
		}()
		go func() {
			for b := make([]byte, 16<<10); !over.Load(); time.Sleep(5 * time.Millisecond) {
				for near.BufferedAmount() < 1<<20 && !over.Load() {
					if _, err := near.Write(b); err != nil {
						break
					}
				}
			}
			done <- struct{}{}
		}()
		before := 0
		start := time.Now()
		for time.Since(start) <= flowLength {
			synctest.Wait()
			wait := time.Duration(float64(neck.Backlog(time.Now())) / float64(rate.Load()) * float64(time.Second))
			sum := int(got.Load())
			points = append(points, flowPoint{time.Since(start), sum - before, wait})
			before = sum
			time.Sleep(flowBin)
		}
		over.Store(true)
		end()
		<-done
		<-done
	})
	return points
}
