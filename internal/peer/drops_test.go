package peer

import (
	"testing"
	"testing/synctest"
	"time"
)

// Records that the handshake does not need are counted as dropped while it runs, and still
// after it.
func TestDropsOfTheHandshakeAreCounted(t *testing.T) {
	for _, dtlsClient := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			const junk = 5
			w := newPair(t, dtlsClient)
			alert := []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40} // in plaintext
			during := uint64(0)
			w.run(func() bool {
				if during == 0 && w.server.State() == Handshaking {
					_, before := w.server.Stats()
					for range junk {
						w.server.Receive(time.Now(), w.client.addr, alert, nil)
					}
					_, after := w.server.Stats()
					if during = after - before; during != junk {
						t.Errorf("%d drops are counted in the handshake, want %d", during, junk)
					}
				}
				return w.server.State() == Secure && w.server.handshake == nil
			})
			if during == 0 {
				t.Fatal("the server was never in the state Handshaking")
			}
			if _, after := w.server.Stats(); after < during {
				t.Errorf("%d drops are counted after the handshake, want the %d of the handshake at least", after, during)
			}
		})
	}
}
