package peer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// Either side can be the DTLS client.
func TestClientAndServerConnect(t *testing.T) {
	for name, dtlsClient := range map[string]bool{"server is active": false, "server is passive": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPair(t, dtlsClient)
				w.connect()
				w.client.sendText("ping")
				w.server.sendText("pong")
				if len(w.server.got) != 1 || w.server.got[0] != "ping" || len(w.client.got) != 1 || w.client.got[0] != "pong" {
					t.Errorf("the server received %q, want [ping]; the client %q, want [pong]", w.server.got, w.client.got)
				}
			})
		})
	}
}

func TestTheServersFirstFlightMayOvertakeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPair(t, false)
		begin := time.Now()
		answers := 0
		w.lose = func(from *side, b []byte) bool {
			// The server gets the first check, but its answer is lost.
			lost := from == w.client && Classify(b) == STUN && answers == 0
			if lost {
				answers++
				w.server.request.Parse(b)
				w.server.Check(time.Now(), w.client.addr, w.server.addr.Addr(), &w.server.request, nil)
				w.server.begin()
			}
			return lost
		}
		w.connect()
		if d := time.Since(begin); d > 60*time.Millisecond {
			t.Errorf("connected after %v, want at most 60 ms: the second check is enough", d)
		}
	})
}

func TestConnectsThoughEveryThirdDatagramIsLost(t *testing.T) {
	for _, dtlsClient := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newPair(t, dtlsClient)
			n := 0
			w.lose = func(*side, []byte) bool { n++; return n%3 == 0 }
			w.connect()
		})
	}
}

func TestClientHearsTheServerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPair(t, false)
		w.connect()
		w.server.Close(time.Now(), "the game is over")
		w.run(func() bool { return w.client.State() >= Closing })
		if why, err := w.client.Why(); why != RemoteClose || err != nil {
			t.Errorf("the client ended for reason %d, error %v; want %d (RemoteClose), no error", why, err, RemoteClose)
		}
	})
}

func TestServerHearsTheClientClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPair(t, false)
		w.connect()
		w.client.Close(time.Now(), "bye")
		w.run(func() bool { return w.server.State() >= Closing })
		if why, _ := w.server.Why(); why != RemoteClose {
			t.Errorf("the server ended for reason %d, want %d (RemoteClose)", why, RemoteClose)
		}
		sent := w.client.sent
		w.run(func() bool { return w.client.State() == Gone })
		if again := w.client.sent - sent; again != 3 {
			t.Errorf("the closed client repeated its farewell %d times, want 3: after 250, 500 and 1000 ms", again)
		}
	})
}

// The keys may come after Close, because the handshake runs in a goroutine.
func TestKeysDoNotReviveAClosedPeer(t *testing.T) {
	w := newPair(t, false)
	now := time.Now()
	for _, s := range []*side{w.server, w.client} {
		s.Begin()
		s.Close(now, "")
		s.Keys(now, keysOf(t))
		events := s.Done(now, nil)
		if why, _ := s.Why(); s.State() != Closing || why != LocalClose || len(events) > 0 {
			t.Errorf("state %d, reason %d, events %v; want state %d (Closing), reason %d (LocalClose), no events", s.State(), why, events, Closing, LocalClose)
		}
	}
}

func TestClientNoticesADeadServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPair(t, false)
		w.connect()
		w.lose = func(*side, []byte) bool { return true }
		begin := time.Now()
		w.run(func() bool { return w.client.State() >= Closing })
		if why, _ := w.client.Why(); why != TimedOut {
			t.Errorf("the client ended for reason %d, want %d (TimedOut)", why, TimedOut)
		}
		if d := time.Since(begin); d < 27*time.Second || d > 31*time.Second {
			t.Errorf("the client ended after %v, want between 27 and 31 s", d)
		}
		_, _, err := w.client.Send(time.Now(), nil, 0, 0, nil)
		if !errors.Is(err, ErrNotOpen) {
			t.Errorf("Send after the end: %v, want ErrNotOpen", err)
		}
	})
}

func TestClientOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPair(t, false)
		w.lose = func(*side, []byte) bool { return true }
		w.run(func() bool { return w.client.State() >= Closing })
		if why, _ := w.client.Why(); why != NoContact {
			t.Errorf("the client ended for reason %d, want %d (NoContact)", why, NoContact)
		}
	})
}

func TestStrangersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPair(t, false)
		w.connect()
		_, before := w.client.Stats()
		now := time.Now()
		if w.client.Answered(now, w.server.addr, make([]byte, 20)) {
			t.Error("Answered accepts 20 zero bytes")
		}
		w.client.Receive(now, w.client.addr, []byte{22, 0xfe, 0xfd}, nil)
		if _, after := w.client.Stats(); after != before+2 {
			t.Errorf("%d drops are counted, want 2", after-before)
		}
	})
}
