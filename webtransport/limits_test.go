package webtransport

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/qlog"
	"github.com/quic-go/quic-go/qlogwriter"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// credit notes what a server allows its client to send. It is the client's qlog.
type credit struct {
	mu          sync.Mutex // guards the fields below
	first       qlog.ParametersSet
	all, stream int // bytes that may be sent, in all and on one stream
}

func (c *credit) AddProducer() qlogwriter.Recorder { return c }
func (c *credit) SupportsSchemas(string) bool      { return false }
func (c *credit) Close() error                     { return nil }

func (c *credit) RecordEvent(e qlogwriter.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch e := e.(type) {
	case qlog.ParametersSet:
		if e.Initiator == qlog.InitiatorRemote {
			c.first, c.all, c.stream = e, int(e.InitialMaxData), int(e.InitialMaxStreamDataUni)
		}
	case qlog.PacketReceived:
		for _, f := range e.Frames {
			switch f := f.Frame.(type) {
			case *qlog.MaxDataFrame:
				c.all = max(c.all, int(f.MaximumData))
			case *qlog.MaxStreamDataFrame:
				c.stream = max(c.stream, int(f.MaximumStreamData))
			}
		}
	}
}

// A client may have the three streams of HTTP/3 beside its request, and makes the server hold 16 KiB of
// each and 32 KiB of all. That stays so when the server reads fast.
func TestWhatAClientMayMakeTheServerHold(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		c := new(credit)
		tc := pinned(w.offer().Hashes)
		tc.NextProtos = []string{http3.NextProtoH3}
		conn := testkit.Must(w.guest("192.0.2.66").transport.Dial(w.t.Context(), net.UDPAddrFromAddrPort(serverAddr), tc, &quic.Config{
			EnableDatagrams: true, Tracer: func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace { return c },
		}))
		defer conn.CloseWithError(0, "")
		c.mu.Lock()
		p := c.first
		c.mu.Unlock()
		if p.InitialMaxStreamsBidi != 1 || p.InitialMaxStreamsUni != 3 || p.InitialMaxData != 2*streamWindow ||
			p.InitialMaxStreamDataUni != streamWindow || p.InitialMaxStreamDataBidiRemote != streamWindow {
			t.Errorf("the server allows %+v", p)
		}
		control := testkit.Must(conn.OpenUniStream())
		sent, _ := control.Write([]byte{0, 4, 0})                                     // the stream's type, and SETTINGS without one
		frame := append(quicvarint.Append([]byte{0x21}, 1000), make([]byte, 1000)...) // of a type that says nothing
		for range 200 {
			n, err := control.Write(frame)
			if err != nil {
				t.Fatal(err)
			}
			sent += n
		}
		time.Sleep(time.Second)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.stream < sent || c.stream > sent+streamWindow || c.all < sent || c.all > sent+2*streamWindow {
			t.Errorf("after %d bytes the server allows %d on the stream, and %d in all", sent, c.stream-sent, c.all-sent)
		}
	})
}

// A request may have 8 KiB of headers.
func TestHeadersThatAreTooLarge(t *testing.T) {
	inWorld(t, godwit.Config{}, Config{}, func(w *world) {
		o := w.offer()
		g := w.guest("192.0.2.66")
		for size, want := range map[int]int{7 << 10: http.StatusForbidden, 9 << 10: http.StatusRequestHeaderFieldsTooLarge} {
			resp, _, err := g.dial(w.t.Context(), o.URL, http.Header{"X-Much": {fmt.Sprintf("%0*d", size, 0)}}, o.Hashes)
			if resp == nil || resp.StatusCode != want {
				t.Errorf("%d bytes: %+v, %v, want %d", size, resp, err, want)
			}
		}
	})
}
