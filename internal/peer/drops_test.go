package peer

import (
	"testing"
	"testing/synctest"
	"time"
)

// What the handshake has no use for is counted while it lasts, and after it.
func TestDropsOfTheHandshakeAreCounted(t *testing.T) {
	for _, dtlsClient := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			const junk = 5
			w := newWorld(t, dtlsClient)
			alert := []byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 40} // in plaintext
			during := uint64(0)
			w.run(func() bool {
				if during == 0 && w.server.State() == Shaking {
					_, before := w.server.Stats()
					for range junk {
						w.server.Receive(time.Now(), w.client.addr, alert, nil)
					}
					_, after := w.server.Stats()
					if during = after - before; during != junk {
						t.Errorf("%d of %d were counted in the handshake", during, junk)
					}
				}
				return w.server.State() == Secure && w.server.shake == nil
			})
			if during == 0 {
				t.Fatal("there was no handshake")
			}
			if _, after := w.server.Stats(); after < during {
				t.Errorf("%d are counted after the handshake, %d were in it", after, during)
			}
		})
	}
}
