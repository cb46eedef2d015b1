package godwit

import (
	"net"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A WebSocket needs at most the memory that docs/security.md says, with its session, which is not
// open: while it is idle, and while a handler runs and its client sends all that the server takes.
func TestMemoryOfAWebSocket(t *testing.T) {
	const sockets = 40
	bubble(t, func(t *testing.T) {
		srv, full := (*Server)(nil), 0
		before, stacks := 0, 0
		srv = testkit.Must(New(Config{Channels: table, Manual: true, Handler: Handler{
			Message: func(*Conn, ChannelID, []byte) {
				settle() // the reading goroutines fill the inbox again
				now, st := testkit.MemoryNow()
				full = (now - before + st - stacks) / sockets
			},
		}}))
		defer srv.Close()
		w := &site{t: t, srv: srv, pipes: testkit.ServeHTTP(t, srv)}
		w.http = w.pipes.Client()
		turn := func() {
			for range srv.Poll(0) {
			}
			settle()
		}
		p := w.player()
		turn()
		before, stacks = testkit.MemoryNow()
		var conns []net.Conn
		for range sockets {
			conn, _ := w.upgraded()
			conns = append(conns, conn)
		}
		turn()
		now, st := testkit.MemoryNow()
		idle := (now - before + st - stacks) / sockets
		for _, conn := range conns {
			go func() {
				for b := frame(0x82, make([]byte, channel.MaxPacket)); ; {
					if _, err := conn.Write(b); err != nil {
						return
					}
				}
			}()
		}
		settle()
		must(t, p.say(move, "measure"))
		settle()
		turn()
		t.Logf("%d bytes idle, %d full", idle, full)
		if idle > 64<<10 || full > 256<<10 || full < 100<<10 {
			t.Errorf("a WebSocket takes %d bytes idle and %d full, want at most 64 and 256 KiB, and that it was full", idle, full)
		}
		for _, conn := range conns {
			conn.Close()
		}
		turn()
		time.Sleep(time.Minute)
		turn()
	})
}
