package peer

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// The DTLS client's INIT follows its Finished at once (False Start). So an INIT does not show
// that the DTLS server's Finished has arrived.
func TestLastFlightIsRepeatedThoughAnInitHasCome(t *testing.T) {
	for name, dtlsClient := range map[string]bool{"server is active": false, "server is passive": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPair(t, dtlsClient)
				lost := w.loseLastFlights(dtlsClient, 3)
				begin := time.Now()
				w.connect()
				if *lost != 3 {
					t.Errorf("%d last flights were lost, want 3", *lost)
				}
				if d := time.Since(begin); d > 2*time.Second {
					t.Errorf("connected after %v, want at most 2 s", d)
				}
			})
		})
	}
}

// loseLastFlights loses the first n last flights of the handshake, and counts them.
func (w *pair) loseLastFlights(dtlsClient bool, n int) *int {
	last := w.client
	if dtlsClient {
		last = w.server
	}
	lost := new(int)
	w.lose = func(from *side, b []byte) bool {
		lose := from == last && *lost < n && hasFinished(b)
		if lose {
			*lost++
		}
		return lose
	}
	return lost
}

// The last flight of the DTLS server is repeated as long as its client may wait for it: the
// server's own handshake is over and does not repeat it.
func TestLastFlightOutlivesALongOutage(t *testing.T) {
	const outage = 6 * time.Second
	for name, dtlsClient := range map[string]bool{"server is active": false, "server is passive": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPair(t, dtlsClient)
				last := w.client
				if dtlsClient {
					last = w.server
				}
				var end time.Time
				w.lose = func(from *side, b []byte) bool {
					if end.IsZero() && from == last && hasFinished(b) {
						end = time.Now().Add(outage)
					}
					return Classify(b) == DTLS && time.Now().Before(end)
				}
				w.connect()
				if late := time.Since(end); late < 0 || late > 2*time.Second {
					t.Errorf("connected %v after the outage, want between 0 and 2 s", late)
				}
			})
		})
	}
}

// hasFinished reports whether a datagram has an encrypted handshake record in it.
func hasFinished(b []byte) bool {
	for r := range dtls.Records(b) {
		if r.Type == dtls.TypeHandshake && r.Epoch == 1 {
			return true
		}
	}
	return false
}

// Both sides connect within a second if any one datagram is lost.
func TestConnectsWithoutAnyOneDatagram(t *testing.T) {
	for _, dtlsClient := range []bool{false, true} {
		for nth := range 40 {
			synctest.Test(t, func(t *testing.T) {
				w := newPair(t, dtlsClient)
				n := 0
				w.lose = func(*side, []byte) bool { n++; return n == nth+1 }
				begin := time.Now()
				w.connect()
				if d := time.Since(begin); d > time.Second {
					t.Errorf("datagram %d is lost: connected after %v, want at most 1 s", nth, d)
				}
			})
		}
	}
}

// An observer replays the client's checks and its handshake from another address. This does not
// prove that address.
func TestReplayedHandshakeProvesNoAddress(t *testing.T) {
	victim := netip.MustParseAddrPort("203.0.113.99:9999")
	for _, dtlsClient := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newPair(t, dtlsClient)
			var check []byte
			replayed := 0
			w.lose = func(from *side, b []byte) bool {
				switch {
				case from != w.client:
				case Classify(b) == STUN:
					check = append([]byte(nil), b...)
				case w.server.dtls != nil:
					replayed++
					w.server.request.Parse(check)
					w.server.Check(time.Now(), victim, w.server.addr.Addr(), &w.server.request, nil)
					_, part := w.server.Receive(time.Now(), victim, append([]byte(nil), b...), nil)
					w.server.dtls.Receive(part)
					// The victim's address is selected until the client's next check.
					w.server.Check(time.Now(), w.client.addr, w.server.addr.Addr(), &w.server.request, nil)
				}
				return false
			}
			w.connect()
			if p := w.server.ice.lite.Path(victim); p == nil || p.Proved() || replayed == 0 {
				t.Errorf("the victim's path is %+v after %d replays, want an unproved path and some replays", p, replayed)
			}
		})
	}
}
