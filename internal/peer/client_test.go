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
				w := newWorld(t, dtlsClient)
				w.connect()
				w.client.say("ping")
				w.server.say("pong")
				if len(w.server.got) != 1 || w.server.got[0] != "ping" || len(w.client.got) != 1 || w.client.got[0] != "pong" {
					t.Errorf("the server got %q, the client %q", w.server.got, w.client.got)
				}
			})
		})
	}
}

func TestTheServersFirstFlightMayOvertakeTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		begin := time.Now()
		answers := 0
		w.lose = func(from *side, b []byte) bool {
			// The first check is answered, and the answer is lost.
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
			t.Errorf("connected after %v: the second check should do", d)
		}
	})
}

func TestConnectsThoughEveryThirdDatagramIsLost(t *testing.T) {
	for _, dtlsClient := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, dtlsClient)
			n := 0
			w.lose = func(*side, []byte) bool { n++; return n%3 == 0 }
			w.connect()
		})
	}
}

func TestClientHearsTheServerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.connect()
		w.server.Close(time.Now(), "the game is over")
		w.run(func() bool { return w.client.State() >= Closing })
		if why, err := w.client.Why(); why != RemoteClose || err != nil {
			t.Errorf("reason %d, error %v", why, err)
		}
	})
}

func TestServerHearsTheClientClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.connect()
		w.client.Close(time.Now(), "bye")
		w.run(func() bool { return w.server.State() >= Closing })
		if why, _ := w.server.Why(); why != RemoteClose {
			t.Errorf("reason %d", why)
		}
		sent := w.client.sent
		w.run(func() bool { return w.client.State() == Gone })
		if again := w.client.sent - sent; again != 3 {
			t.Errorf("the closed client said its farewell %d times more, want after 250, 500 and 1000 ms", again)
		}
	})
}

// The keys may come after Close: the handshake is a goroutine of its own.
func TestKeysDoNotReviveAClosedPeer(t *testing.T) {
	w := newWorld(t, false)
	now := time.Now()
	for _, s := range []*side{w.server, w.client} {
		s.Begin()
		s.Close(now, "")
		s.Keys(now, keysOf(t))
		events := s.Done(now, nil)
		if why, _ := s.Why(); s.State() != Closing || why != LocalClose || len(events) > 0 {
			t.Errorf("state %d for reason %d, events %v", s.State(), why, events)
		}
	}
}

func TestClientNoticesADeadServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.connect()
		w.lose = func(*side, []byte) bool { return true }
		begin := time.Now()
		w.run(func() bool { return w.client.State() >= Closing })
		if why, _ := w.client.Why(); why != Silent {
			t.Errorf("reason %d", why)
		}
		if d := time.Since(begin); d < 27*time.Second || d > 31*time.Second {
			t.Errorf("after %v", d)
		}
		_, _, err := w.client.Send(time.Now(), nil, 0, 0, nil)
		if !errors.Is(err, ErrNotOpen) {
			t.Errorf("Send: %v", err)
		}
	})
}

func TestClientOfNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.lose = func(*side, []byte) bool { return true }
		w.run(func() bool { return w.client.State() >= Closing })
		if why, _ := w.client.Why(); why != Unheard {
			t.Errorf("reason %d", why)
		}
	})
}

func TestStrangersAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, false)
		w.connect()
		_, before := w.client.Stats()
		now := time.Now()
		if w.client.Answered(now, w.server.addr, make([]byte, 20)) {
			t.Error("an answer of zeros is taken")
		}
		w.client.Receive(now, w.client.addr, []byte{22, 0xfe, 0xfd}, nil)
		if _, after := w.client.Stats(); after != before+2 {
			t.Errorf("%d were counted, want 2", after-before)
		}
	})
}
