package rtcserver

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// A broken is a socket whose reads fail.
type broken struct{ *netsim.Conn }

func (b *broken) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, errors.New("no such device")
}

// A server whose socket fails reports it in the log, in Stats, and in the refusal of every
// offer.
func TestFailedSocketIsReported(t *testing.T) {
	var log testkit.Log
	inWorld(t, Config{Logger: log.Logger(slog.LevelWarn)}, func(w *world) {
		pc := testkit.Listen(t, w.network, netip.MustParseAddrPort("192.0.2.77:7"))
		if n := w.server.Stats().StoppedShards; n != 0 {
			t.Errorf("%d shards of a working server have stopped, want 0", n)
		}
		w.server.Close()
		if n := w.server.Stats().StoppedShards; n != 0 {
			t.Errorf("%d shards count as stopped after Close, want 0", n)
		}
		w.serve(&broken{pc}, w.server.config)
		w.server.running.Wait()
		if n := w.server.Stats().StoppedShards; n != 1 {
			t.Errorf("%d shards have stopped, want 1", n)
		}
		w.wantRefused("the socket failed")
		w.server.Close()
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "no such device") || !strings.Contains(got, "listen again") {
			t.Errorf("the log has %q, want one line with the reason and what to do", got)
		}
	})
}

// When no loop runs any more, one of two concurrent calls of Close takes the last turns and the
// other waits for it: the race detector notices if both take them.
func TestCloseTwiceAtOnceAfterTheSocketFailed(t *testing.T) {
	inWorld(t, Config{Logger: slog.New(slog.DiscardHandler)}, func(w *world) {
		pc, err := w.network.Listen(netip.MustParseAddrPort("192.0.2.77:7"))
		if err != nil {
			t.Fatal(err)
		}
		w.server.Close()
		w.serve(&broken{pc}, w.server.config)
		w.server.running.Wait()
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() { w.server.Close() })
		}
		both.Wait()
		if err := w.server.shards[0].socket.SetReadDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the socket is not closed: %v, want net.ErrClosed", err)
		}
	})
}
