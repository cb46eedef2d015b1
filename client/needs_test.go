package client

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// interrupt lets the session be silent for too long; its link stays.
func (b *bare) interrupt() {
	b.s.session.Advance(time.Now().Add(4 * time.Second))
	if !b.s.session.Interrupted() {
		b.t.Fatal("it is not interrupted")
	}
}

// What a session needs in each state: a link while it is open and interrupted, a better one while it is
// open on a link that is worse than WebRTC, and a new session between two sessions.
func TestWhatASessionNeeds(t *testing.T) {
	const rtc, ws = session.LinkWebRTC, session.LinkWebSocket
	for _, c := range []struct {
		name        string
		link        string
		state       sessionState
		interrupted bool
		noReconnect bool
		want        need
	}{
		{"open on WebRTC", rtc, sessionOpen, false, false, needNothing},
		{"open on a WebSocket", ws, sessionOpen, false, false, needBetter},
		{"open on a WebSocket, with NoReconnect", ws, sessionOpen, false, true, needNothing},
		{"interrupted", rtc, sessionOpen, true, false, needLink},
		{"interrupted on a WebSocket", ws, sessionOpen, true, false, needLink},
		{"interrupted, with NoReconnect", rtc, sessionOpen, true, true, needNothing},
		{"not open yet on a WebSocket", ws, sessionOpening, false, false, needNothing},
		{"being closed on a WebSocket", ws, sessionClosing, false, false, needNothing},
		{"interrupted and being closed", rtc, sessionClosing, true, false, needNothing},
		{"between two sessions", rtc, sessionRenewing, false, false, needSession},
		{"while a new one opens", ws, sessionReopening, false, false, needSession},
		{"given up", rtc, sessionGivenUp, true, false, needNothing},
		{"over", ws, sessionEnded, true, false, needNothing},
	} {
		inBare(t, SessionConfig{NoReconnect: c.noReconnect}, func(b *bare) {
			b.open(&linkStub{kind: c.link, of: b.s.session})
			if c.interrupted {
				b.interrupt()
			}
			b.s.state = c.state
			if n := b.s.needs(); n != c.want {
				t.Errorf("%s: %v, want %v", c.name, n, c.want)
			}
			b.e.loop.Close()
			if n := b.s.needs(); n != needNothing {
				t.Errorf("%s: %v at an endpoint that is closed", c.name, n)
			}
			b.s.state = sessionEnded
		})
	}
	inBare(t, SessionConfig{}, func(b *bare) {
		b.s.state = sessionOpen // without a link, and not interrupted yet
		if n := b.s.needs(); n != needNothing {
			t.Errorf("without a link: %v", n)
		}
		b.s.state = sessionEnded
	})
}

// An interrupted session leaves its link for a new one. It keeps the link if packets have
// arrived meanwhile.
func TestOldLinkIsLeftOnlyForALinkThatIsNeeded(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s, l := b.s, &linkStub{kind: session.LinkWebRTC, of: b.s.session}
		b.open(l)
		b.e.loop.Unlock()
		if s.removeLink() || s.link != link(l) || l.left != "" {
			t.Errorf("a session that needs no link has left its link: %q", l.left)
		}
		b.e.loop.Lock()
		b.interrupt()
		b.e.loop.Unlock()
		for range 2 { // the second time it has none
			if !s.removeLink() || s.link != nil || l.left != "moved" || s.session.Linked() {
				t.Errorf("an interrupted session keeps its link: %q; linked %v", l.left, s.session.Linked())
			}
		}
		b.e.loop.Lock()
	})
}

// A request for a new link leaves the old link when it is answered, if the session still needs a new
// one. A request that fails leaves it where it is.
func TestWhenARequestLeavesTheOldLink(t *testing.T) {
	const rtc, ws = session.LinkWebRTC, session.LinkWebSocket
	for _, name := range []string{rtc, ws} {
		for _, c := range []struct {
			what                  string
			interrupted, fails    bool
			answered, left, error bool
		}{
			{"it is answered", true, false, true, true, false},
			{"it fails", true, true, false, false, true},
			{"packets arrive again", false, false, false, false, false},
		} {
			inBare(t, SessionConfig{Links: []string{name}}, func(b *bare) {
				s, l := b.s, &linkStub{kind: name, of: b.s.session}
				b.open(l)
				if c.interrupted {
					b.interrupt()
				}
				b.e.signal.client = &http.Client{Transport: testkit.Transport{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.fails {
						w.WriteHeader(http.StatusBadGateway)
					}
					w.Write([]byte(`{"links":[{"type":"websocket","ticket":"t"}]}`))
				})}}
				s.url = "http://game.example/"
				b.e.loop.Unlock()
				conn, a, err := s.request(b.t.Context(), s.session, true, false, s.wants(session.LinkWebRTC))
				b.e.loop.Lock()
				if conn != nil || (a != nil) != c.answered || (l.left != "") != c.left || (s.link == nil) != c.left || (err != nil) != c.error {
					t.Errorf("%s, %s: answered %v, the old link is %q: %v", name, c.what, a != nil, l.left, err)
				}
				s.state = sessionEnded
			})
		}
	}
}

// A wait ends when its time has passed, after wakeReconnect, when the session ends, and at once if
// the session needs something else. A wake from before an attempt does not end the wait after it.
func TestWaitsOfReconnect(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s := b.s
		b.open(&linkStub{kind: session.LinkWebSocket, of: s.session})
		b.e.loop.Unlock()
		defer b.e.loop.Lock()
		takes := func(what string, want time.Duration, wait func()) {
			t.Helper()
			begin := time.Now()
			if wait(); time.Since(begin) != want {
				t.Errorf("%s: %v, want %v", what, time.Since(begin), want)
			}
		}
		s.forgetWake()
		takes("a wait", time.Minute, func() { s.pause(needBetter, time.Minute) })
		takes("a wait for something else", 0, func() { s.pause(needLink, time.Minute) })
		s.wakeReconnect()
		s.wakeReconnect() // the second one changes nothing
		takes("after a wake", 0, func() { s.pause(needBetter, time.Minute) })
		takes("after the same wake", time.Minute, func() { s.pause(needBetter, time.Minute) })
		s.wakeReconnect()
		s.forgetWake()
		takes("after a wake that is forgotten", time.Minute, func() { s.pause(needBetter, time.Minute) })
		rested := func(want bool) func() {
			return func() {
				if got := s.rest(needBetter, time.Minute); got != want {
					t.Errorf("rest returns %v, want %v", got, want)
				}
			}
		}
		takes("a rest", time.Minute, rested(true))
		s.wakeReconnect()
		takes("a rest with a wake", time.Minute, rested(true))
		time.AfterFunc(time.Second, func() {
			b.e.loop.Lock()
			s.state = sessionClosing
			b.e.loop.Unlock()
			s.wakeReconnect()
		})
		takes("a rest of a session that is closed", time.Second, rested(false))
		takes("a rest of a session that is being closed", 0, rested(false))
		s.state = sessionOpen
		time.AfterFunc(time.Second, s.cancel)
		takes("a rest of a session that ends", time.Second, rested(false))
		takes("a wait of a session that has ended", 0, func() { s.pause(needBetter, time.Minute) })
		takes("a rest of a session that has ended", 0, rested(false))
	})
}

// A session waits for as long as a busy server says before it asks for a link again, though its old link ends meanwhile. If it was resumed
// meanwhile, or while the server had not answered yet, and is interrupted again, it asks at once.
func TestTheEndOfTheOldLinkIsNoReasonToHurry(t *testing.T) {
	for _, c := range []struct {
		what     string
		answered time.Duration // the server answers so long after the request
		again    bool          // the session was resumed after a second, and is interrupted again already
		second   time.Duration // when it asks for the second time; 0 means 8 s to 12 s after the first time
	}{
		{"its link ends", 0, false, 0},
		{"it is interrupted again", 0, true, time.Second},
		{"it is interrupted again before the answer", 2 * time.Second, true, 2 * time.Second},
	} {
		inBare(t, SessionConfig{Links: []string{session.LinkWebSocket}}, func(b *bare) {
			var asked []time.Duration
			began := time.Now()
			b.e.signal.client = &http.Client{Transport: answered(func(*http.Request) *http.Response {
				asked = append(asked, time.Since(began))
				time.Sleep(c.answered)
				w := httptest.NewRecorder()
				w.Header().Set("Retry-After", "8")
				w.WriteHeader(http.StatusServiceUnavailable)
				w.WriteString(`{"code":"full","error":"busy"}`)
				return w.Result()
			})}
			s, l := b.s, &linkStub{kind: session.LinkWebSocket, of: b.s.session}
			b.open(l)
			s.url, s.reconnecting = "http://game.example/", false
			b.interrupt()
			s.startReconnect()
			after := func(d time.Duration) {
				b.e.loop.Unlock()
				time.Sleep(d)
				synctest.Wait()
				b.e.loop.Lock()
			}
			after(time.Second)
			if c.again {
				s.resumed++ // and it is interrupted again already
				s.wakeReconnect()
			}
			s.linkDown(l, &CloseError{})
			after(6900 * time.Millisecond)
			early := len(asked)
			after(4100 * time.Millisecond) // half as much again as the server says, because many clients wait
			if c.second == 0 && (early != 1 || len(asked) != 2) || c.second != 0 && (early != 2 || asked[1] != c.second) {
				t.Errorf("%s: it asks after %v, want at once and after %v, or 8 s to 12 s later", c.what, asked, c.second)
			}
			s.state = sessionEnded
			s.cancel()
			after(3 * time.Second)
		})
	}
}

// One goroutine connects again, whatever happens meanwhile, and none if nothing is needed.
func TestReconnectRunsOnce(t *testing.T) {
	inBare(t, SessionConfig{Links: []string{session.LinkWebRTC}}, func(b *bare) {
		s := b.s
		b.open(&linkStub{kind: session.LinkWebRTC, of: s.session})
		s.reconnecting = false
		s.wakeReconnect()
		if s.startReconnect(); s.reconnecting || len(s.woken) != 1 {
			t.Errorf("it connects again without need: %v; %d wakes", s.reconnecting, len(s.woken))
		}
		b.interrupt()
		s.url = ":" // so that every attempt fails
		if s.startReconnect(); !s.reconnecting {
			t.Error("it does not connect again")
		}
		b.e.loop.Unlock()
		synctest.Wait()
		b.e.loop.Lock()
		before := testkit.BubbleGoroutines()
		if s.startReconnect(); testkit.BubbleGoroutines() != before {
			t.Error("it connects again twice")
		}
		s.state = sessionClosing
		s.wakeReconnect()
		b.e.loop.Unlock()
		synctest.Wait()
		b.e.loop.Lock()
		if s.reconnecting {
			t.Error("it connects again after Close")
		}
	})
}

// A program that closes its session between two sessions gets no new one.
func TestNoNewSessionAfterClose(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s, l := b.s, &linkStub{kind: session.LinkWebRTC, of: b.s.session}
		b.open(l)
		old := s.session
		s.state = sessionGivenUp
		b.e.loop.Unlock()
		err := s.reopen(b.t.Context())
		b.e.loop.Lock()
		if err != nil || s.session != old || s.link != link(l) || s.state != sessionGivenUp {
			t.Errorf("%v; a new session %v, the link %v, %v", err, s.session != old, s.link, s.state)
		}
		s.state = sessionEnded
	})
}

// A new session that follows another one leaves the old link, and forgets why that link has ended.
func TestNewSessionLeavesTheOldLink(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s, l := b.s, &linkStub{kind: session.LinkWebSocket, of: b.s.session}
		b.open(l)
		s.session.Close(time.Now(), 0, "", true)
		s.state, s.lost, s.url = sessionRenewing, &CloseError{Code: CloseTimeout}, ":"
		old := s.session
		b.e.loop.Unlock()
		err := s.reopen(b.t.Context())
		b.e.loop.Lock()
		if err == nil || s.session == old || s.link != nil || l.left != "ended" || s.lost != nil || s.state != sessionRenewing {
			t.Errorf("%v; the same session %v, the link is %q, lost because of %v, %v", err, s.session == old, l.left, s.lost, s.state)
		}
		if s.session.State() != sessioncore.Closed || b.e.loop.State().Touched == 0 {
			t.Errorf("the session that did not open is %v; %d members are looked at", s.session.State(), b.e.loop.State().Touched)
		}
		s.state = sessionEnded
	})
}

// Why a session has not opened: for the server's reason, or because its connection has ended.
func TestReasonOfASessionThatHasNotOpened(t *testing.T) {
	inBare(t, SessionConfig{}, func(b *bare) {
		s := b.s
		s.lost = &CloseError{Code: CloseTimeout}
		if e := s.unopened(s.session).(*SessionError); e.Err != error(s.lost) || e.Unwrap() != error(s.lost) {
			t.Errorf("%v, want the reason of the connection", e)
		}
		s.lost = nil
		if e := s.unopened(s.session).(*SessionError); e.Err != nil {
			t.Errorf("%v without a connection", e)
		}
		l := &linkStub{kind: session.LinkWebRTC, of: s.session}
		b.open(l)
		b.server.Close(time.Now(), session.CloseKicked, "no", true)
		for d := b.server.Append(time.Now(), nil, MaxMessage); len(d) > 0; d = b.server.Append(time.Now(), nil, MaxMessage) {
			s.session.Receive(time.Now(), d)
		}
		s.lost = &CloseError{Code: CloseTimeout}
		if e := s.unopened(s.session).(*SessionError); e.Err != nil || e.Why.Code != session.CloseKicked || !e.Why.Remote {
			t.Errorf("%v, want the reason of the server", e)
		}
	})
}
