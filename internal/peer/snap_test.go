package peer

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
)

// snap is an edit of newPairWith: both ends have the INIT of the other.
func snap(c *Config) {
	c.RemoteInit, _ = ParseInit(LocalInit(&SCTPConfig{LocalTag: 2, InitialTSN: 200}))
}

// What the other end does though the server has its INIT.
var snapKinds = map[string]func(*pair){
	"SNAP": func(w *pair) {
		w.client.Peer.config.remote, _ = ParseInit(LocalInit(&w.server.Peer.config.Config))
	},
	"a handshake with the same tag": func(*pair) {},
	"a handshake with another tag":  func(w *pair) { w.client.Peer.config.LocalTag, w.client.Peer.config.InitialTSN = 3, 300 },
}

// newSnapPair makes a pair in which the server has an INIT of the client.
func newSnapPair(t testing.TB, dtlsClient bool, kind string) *pair {
	w := newPairWith(t, dtlsClient, snap)
	snapKinds[kind](w)
	return w
}

// allSnaps runs a test for both DTLS roles and each kind.
func allSnaps(t *testing.T, test func(t *testing.T, dtlsClient bool, kind string)) {
	for name, dtlsClient := range map[string]bool{"server is active": false, "server is passive": true} {
		for kind := range snapKinds {
			t.Run(name+"/"+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { test(t, dtlsClient, kind) })
			})
		}
	}
}

// meets exchanges one message in each direction, and repeats it until it has arrived.
func (w *pair) meets() {
	w.t.Helper()
	got := func(s *side, text string) bool { return slices.Contains(s.got, text) }
	for range 100 {
		w.client.sendText("ping")
		w.server.sendText("pong")
		if got(w.server, "ping") && got(w.client, "pong") {
			return
		}
		end := time.Now().Add(20 * time.Millisecond)
		w.run(func() bool { return !time.Now().Before(end) })
	}
	w.t.Fatalf("the server received %q, the client %q; want ping and pong", w.server.got, w.client.got)
}

func TestSnapConnects(t *testing.T) {
	allSnaps(t, func(t *testing.T, dtlsClient bool, kind string) {
		w := newSnapPair(t, dtlsClient, kind)
		w.connect()
		w.meets()
	})
}

func TestSnapConnectsThoughEveryThirdDatagramIsLost(t *testing.T) {
	allSnaps(t, func(t *testing.T, dtlsClient bool, kind string) {
		w := newSnapPair(t, dtlsClient, kind)
		n := 0
		w.lose = func(*side, []byte) bool { n++; return n%3 == 0 }
		w.connect()
		w.lose = nil
		w.meets()
	})
}

func TestSnapConnectsWithoutAnyOneDatagram(t *testing.T) {
	for nth := range 20 {
		allSnaps(t, func(t *testing.T, dtlsClient bool, kind string) {
			w := newSnapPair(t, dtlsClient, kind)
			n := 0
			w.lose = func(*side, []byte) bool { n++; return n == nth+1 }
			begin := time.Now()
			w.connect()
			w.meets()
			if d := time.Since(begin); d > 2*time.Second {
				t.Errorf("datagram %d is lost: messages after %v, want at most 2 s", nth, d)
			}
		})
	}
}

// With SNAP the association of the DTLS server is established before its Finished has arrived, so
// the last flight is repeated nevertheless.
func TestSnapRepeatsTheLastFlight(t *testing.T) {
	allSnaps(t, func(t *testing.T, dtlsClient bool, kind string) {
		w := newSnapPair(t, dtlsClient, kind)
		lost := w.loseLastFlights(dtlsClient, 3)
		w.connect()
		w.meets()
		if *lost != 3 {
			t.Errorf("%d last flights were lost, want 3", *lost)
		}
		// Then both ends rest. The state of the handshake is freed.
		end := time.Now().Add(20 * time.Second)
		w.run(func() bool { return time.Now().After(end) })
		if w.client.handshake != nil || w.server.handshake != nil {
			t.Error("the state of a handshake is not freed")
		}
	})
}

// Before the page's Finished is verified, nothing leaves a DTLS client after its own Finished, not
// even a handshake of SCTP. The association is established when it is verified, and messages
// that came with the Finished are processed then.
func TestNothingBeforeTheFinishedWithSnap(t *testing.T) {
	for _, client := range []bool{true, false} {
		h := newChecked(t, func(c *Config) { c.Client = client; snap(c) })
		s := h.server
		h.client.Peer.client = !client
		h.client.Peer.config.remote, _ = ParseInit(LocalInit(&s.Peer.config.Config))
		h.client.setKeys(h.now, h.server.addr)
		h.client.note()
		if !h.client.opened {
			t.Fatal("the page is not open when its handshake is over")
		}
		s.Begin()
		s.handshake.noteAddress(h.client.addr)
		s.flight(h.now, "Finished", true, false)
		s.wantDue(h.now, "its own Finished", "Finished")
		s.ProcessHandshake(h.now, dtls.HandshakeEvent{Kind: dtls.KeysReady, Keys: keysOf(t)}, nil)
		early, _, err := h.client.Send(h.now, nil, 1, 0, []byte("early"))
		if err != nil {
			t.Fatal(err)
		}
		if events, part := s.Receive(h.now, h.client.addr, early, nil); len(events) > 0 || len(part) > 0 {
			t.Errorf("a message before the Finished: %v, %d bytes for the handshake; want nothing", events, len(part))
		}
		for range 100 { // half a second, with repetitions of the flight
			h.now = h.now.Add(5 * ms)
			s.events = s.Advance(h.now, s.events[:0])
			s.Flush(h.now)
			for _, b := range s.due(h.now) {
				if string(b) != "Finished" {
					t.Fatalf("DTLS client: %v: %x leaves before the page's Finished is verified", client, b)
				}
			}
			if len(s.events) > 0 {
				t.Fatalf("events %v before the page's Finished is verified", s.events)
			}
		}
		if _, _, err := s.Send(h.now, nil, 1, 0, []byte("x")); err != ErrNotOpen {
			t.Errorf("Send before the page's Finished is verified: %v, want ErrNotOpen", err)
		}
		events := s.ProcessHandshake(h.now, dtls.HandshakeEvent{Kind: dtls.Done}, []Event{{Type: Message}})
		var got []string
		for _, e := range events {
			got = append(got, e.Type.String()+" "+string(e.Payload))
		}
		if s := strings.Join(got, ", "); s != "message , established , channel open , message early" {
			t.Errorf("Done: %s", s)
		}
		if _, _, err := s.Send(h.now, nil, 1, 0, []byte("x")); err != nil {
			t.Errorf("Send after it: %v", err)
		}
	}
}

// The INIT in the answers of a peer is that of its association, before and after the keys. Without
// SNAP there is none.
func TestSentInit(t *testing.T) {
	for _, snaps := range []bool{false, true} {
		h := newChecked(t, func(c *Config) {
			if snaps {
				snap(c)
			}
		})
		var want []byte
		if snaps {
			want = LocalInit(&h.server.Peer.config.Config)
		}
		for _, s := range []string{"before", "after"} {
			if got := h.server.SentInit(); !bytes.Equal(got, want) {
				t.Errorf("%s the keys: %x, want %x", s, got, want)
			}
			if s == "before" {
				h.server.setKeys(h.now, h.client.addr)
			}
		}
	}
}
