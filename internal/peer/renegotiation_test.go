package peer

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// There is no renegotiation: HelloRequests and ClientHellos change nothing and get no answer,
// in plaintext or sealed with the peer's keys.
func TestRenegotiationIsIgnored(t *testing.T) {
	for name, dtlsClient := range map[string]bool{"of the DTLS client": true, "of the DTLS server": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPair(t, dtlsClient)
				w.connect()
				time.Sleep(time.Second) // until the repetitions of the handshake are over
				w.client.pump(time.Now())
				w.server.pump(time.Now())
				sent := w.server.sent
				hello := make([]byte, 12+2+32+1+1+2+2+2)
				hello[0], hello[3], hello[11], hello[12], hello[13] = 1, byte(len(hello)-12), byte(len(hello)-12), 0xfe, 0xfd
				for range 100 {
					for _, message := range [][]byte{make([]byte, 12), hello, hello[:13]} {
						b := append(w.client.records.Reserve(nil), message...)
						b, err := w.client.records.Seal(b, 0, dtls.TypeHandshake)
						if err != nil {
							t.Fatal(err)
						}
						w.server.receive(time.Now(), b)
						b = append([]byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, byte(len(message))}, message...)
						w.server.receive(time.Now(), b)
					}
				}
				if n := w.server.sent - sent; n > 0 || w.server.State() != Secure {
					t.Errorf("%d datagrams answer the renegotiation, want 0; state %v, want %v (Secure)", n, w.server.State(), Secure)
				}
				w.client.sendText("still here")
				if !slices.Equal(w.server.got, []string{"still here"}) {
					t.Errorf("the server received %q, want [still here]", w.server.got)
				}
			})
		})
	}
}
