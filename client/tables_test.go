package client

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// An endpoint counts what it sends and receives, and keeps nothing of a connection that is
// over, whichever end has closed it: no route, no deadline, no handshake.
func TestEndpointKeepsNothingOfAConnection(t *testing.T) {
	for name, byClient := range map[string]bool{"closed by the client": true, "closed by the server": false} {
		testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
			server, page := netip.MustParseAddrPort("192.0.2.1:7777"), netip.MustParseAddrPort("198.51.100.7:4000")
			s := testkit.Must(rtcserver.Serve(testkit.Listen(t, network, server), rtcserver.Config{Handler: rtcserver.Handler{
				Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) },
			}}))
			defer s.Close()
			var mu sync.Mutex // the loops of both ends call the tap
			var want Stats
			network.SetTap(func(p *netsim.Packet) bool {
				mu.Lock()
				defer mu.Unlock()
				switch page {
				case p.From:
					want.DatagramsOut++
					want.BytesOut += uint64(len(p.Payload))
				case p.To:
					want.DatagramsIn++
					want.BytesIn += uint64(len(p.Payload))
				}
				return true
			})
			e := testkit.Must(Serve(testkit.Listen(t, network, page), Config{}))
			defer e.Close()
			c, err := e.Connect(t.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
				return testkit.Serve(s, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(offer))).Body.Bytes(), nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Send(0, Text, []byte("hello")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			network.Inject(netip.MustParseAddrPort("203.0.113.5:9"), page, []byte{22, 0xfe, 0xfd})
			mu.Lock()
			want.DatagramsIn, want.BytesIn = want.DatagramsIn+1, want.BytesIn+3 // the tap does not see it
			mu.Unlock()
			time.Sleep(time.Second)
			if st := e.Stats(); st.Conns != 1 || st.Opened != 1 || st.Closed != 0 || st.Batches == 0 {
				t.Errorf("%s: %+v, want 1 connection that is open", name, st)
			}
			if byClient {
				c.Close()
				time.Sleep(3 * time.Second) // it says so again for 2 s
			} else {
				go s.Close()
				time.Sleep(10 * time.Millisecond) // long before the next check
			}
			synctest.Wait()
			st := e.Stats()
			mu.Lock()
			defer mu.Unlock()
			want.Opened, want.Closed, want.MessagesIn, want.MessagesOut, want.Strangers = 1, 1, 1, 1, 1
			want.Batches = st.Batches
			if u := e.socket.Stats(); st != want || u.Received != st.DatagramsIn || u.Sent != st.DatagramsOut {
				t.Errorf("%s: over: %+v\nwant %+v", name, st, want)
			}
			e.loop.Lock()
			defer e.loop.Unlock()
			if len(e.conns) != 0 || !e.loop.State().Timer.IsZero() || c.handshake != nil || c.expected != nil {
				t.Errorf("%s: %d routes, want 0; deadline %v, want none; a handshake: %v, want false", name, len(e.conns), e.loop.State().Timer, c.handshake != nil)
			}
		})
	}
}

// A connection that is still opening ends with its endpoint: nothing of its handshake is left.
func TestEndpointClosesWhatIsOpening(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		server, page := netip.MustParseAddrPort("192.0.2.1:7777"), netip.MustParseAddrPort("198.51.100.7:4000")
		s := testkit.Must(rtcserver.Serve(testkit.Listen(t, network, server), rtcserver.Config{}))
		defer s.Close()
		network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond})
		e := testkit.Must(Serve(testkit.Listen(t, network, page), Config{}))
		failed := make(chan error, 1)
		go func() {
			_, err := e.Connect(t.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
				return testkit.Serve(s, httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(offer))).Body.Bytes(), nil
			}, nil)
			failed <- err
		}()
		time.Sleep(160 * time.Millisecond) // the check is answered, the handshake runs
		e.loop.Lock()
		shaking := 0
		for _, c := range e.conns {
			if c.handshake != nil {
				shaking++
			}
		}
		e.loop.Unlock()
		if shaking == 0 {
			t.Error("no handshake has begun")
		}
		e.Close()
		if err := testkit.Next(t, "Connect", failed); err == nil {
			t.Error("Connect returns no error")
		}
		if len(e.conns) != 0 || e.live != 0 || e.loop.State().Busy {
			t.Errorf("%d routes of %d connections, want 0 of 0", len(e.conns), e.live)
		}
	})
}

// A datagram that the system did not send counts, whatever the cause.
func TestDatagramsThatAreNotSentCount(t *testing.T) {
	var st Stats
	st.addSocket(udpio.Stats{SendFull: 1, SendTooLarge: 2, SendUnreachable: 4, SendDenied: 8, SendFailed: 16, KernelDrops: 32, ReadErrors: 64})
	if want := (Stats{SendFailed: 31, KernelDrops: 32, ReadErrors: 64}); st != want {
		t.Errorf("the counters are %+v, want %+v", st, want)
	}
}
