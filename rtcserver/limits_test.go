package rtcserver

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Some limits may be negative, which means no limit. A negative value of the others would refuse
// everything.
func TestNegativeLimitsAreErrors(t *testing.T) {
	for name, c := range map[string]Config{
		"MaxConns":         {Settings: Settings{MaxConns: -1}},
		"MaxPending":       {Settings: Settings{MaxPending: -1}},
		"MaxHandshakes":    {Settings: Settings{MaxHandshakes: -1}},
		"PendingTimeout":   {Settings: Settings{PendingTimeout: -1}},
		"HandshakeTimeout": {Settings: Settings{HandshakeTimeout: -1}},
	} {
		if err := c.setDefaults(); err == nil || !strings.Contains(err.Error(), "Config."+name+" is negative") {
			t.Errorf("%s: %v, want an error that says Config.%s is negative", name, err, name)
		}
	}
	c := Config{Settings: Settings{MaxPerIP: -1, MaxOffers: -1}}
	if err := c.setDefaults(); err != nil {
		t.Errorf("no limit: %v, want nil", err)
	}
}

// What no browser sends as its origin can only be a mistake.
func TestOriginsThatAreNoneAreErrors(t *testing.T) {
	for _, o := range []string{"game.example", "https://game.example/", "https://game.example/play", "https://", "", ":", "localhost:8080",
		"https://*", "https://a.*.example", "https://game.*", "http://localhost:*", "https://*.192.0.2.1", "https://müller.example", "https://game.example:", "https://game.example:99999", "https://u@game.example"} {
		c := Config{Settings: Settings{Origins: []string{"https://friend.example", o}}}
		if err := c.setDefaults(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("Config.Origins has %q", o)) {
			t.Errorf("origin %q: %v, want an error that names it", o, err)
		}
	}
	c := Config{Settings: Settings{Origins: []string{"*", "null", "http://localhost:8080", "https://[::1]", "capacitor://localhost", "HTTPS://Game.Example", "https://game.example:443", "https://*.game.example"}}}
	if err := c.setDefaults(); err != nil {
		t.Error(err)
	}
}

func TestMaxConnsKeepsOthersOutUntilThereIsRoom(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxConns: 2}}, func(w *world) {
		first, second := w.open(), w.open()
		third := w.newPage(client.Config{AnswerTimeout: 3 * time.Second})
		if err := third.connect(nil); err == nil {
			t.Fatal("a third page has connected, want at most 2")
		}
		if st := w.server.Stats(); st.Conns != 2 || st.Drops[DropFull] == 0 {
			t.Errorf("%+v, want 2 connections and some drops", st)
		}
		first.echoes("the others do not notice")
		second.echoes("and this one does not end either")

		// The third keeps knocking, and comes in when one goes.
		w.forget()
		connected := make(chan error)
		fourth := w.newPage(client.Config{})
		go func() { connected <- fourth.connect(nil) }()
		time.Sleep(time.Second)
		first.conn.Close()
		if err := <-connected; err != nil {
			t.Fatal(err)
		}
	})
}

// A check that found the table full must not take its connection from those that
// wait: it would never be forgotten.
func TestRefusedChecksLeaveNothingBehind(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxConns: 1, PendingTimeout: 10 * time.Second}}, func(w *world) {
		p := w.open()
		for range 20 {
			w.offer("").check(attackerAddr, "")
		}
		synctest.Wait()
		if _, waiting := w.server.registry.count(); waiting != 20 {
			t.Errorf("%d wait, want 20", waiting)
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if all, waiting := w.server.registry.count(); all != 1 || waiting != 0 {
			t.Errorf("%d connections exist and %d wait, want the one that is open", all, waiting)
		}
		if st := w.server.Stats(); st.Closed[CloseNeverCame] != 20 || st.Drops[DropFull] != 20 {
			t.Errorf("%+v, want 20 that never came and 20 drops", st)
		}
		p.echoes("the one that is open stays")
	})
}

func TestPendingAnswersExpire(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxPending: 3, PendingTimeout: 5 * time.Second}}, func(w *world) {
		for range 3 {
			w.offer("")
		}
		_, err := w.signal(netip.MustParseAddr("203.0.113.9"), browserOffer(t))
		if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Status != http.StatusServiceUnavailable {
			t.Errorf("a fourth offer: %v, want status 503", err)
		}
		begin := time.Now()
		for range 3 {
			if got := testkit.Next(t, "the server", w.events); !strings.HasSuffix(got, "the page never connected") {
				t.Errorf("the event %q, want the end of a connection that never came", got)
			}
		}
		if d := time.Since(begin); d != 5*time.Second {
			t.Errorf("the end after %v, want 5 s", d)
		}
		synctest.Wait()
		wantNothing(t, w.server)
		w.offer("")
		if st := w.server.Stats(); st.Pending != 1 || st.Closed[CloseNeverCame] != 3 || st.Refused[http.StatusServiceUnavailable] != 1 || st.Offers != 4 {
			t.Errorf("%+v, want 1 pending, 3 that never came, 1 refusal, 4 offers", st)
		}
	})
}

// Poll tells of the end of a connection whose page never came when its time is over, and not a turn
// later.
func TestThePollAtTheTimeLimitTellsOfTheEnd(t *testing.T) {
	inWorld(t, Config{Manual: true, Settings: Settings{PendingTimeout: 5 * time.Second}}, func(w *world) {
		w.offer("")
		time.Sleep(5*time.Second - time.Nanosecond)
		w.server.Poll(0)
		w.wantQuiet("a nanosecond before its time")
		time.Sleep(time.Nanosecond)
		w.server.Poll(0)
		w.want("at its time", "fail 1: the page never connected")
		w.wantQuiet("that was all")
	})
}

// An attacker posts offers and never connects, more than twice as many as there is room for in
// the time that answers wait. Other pages connect nevertheless.
func TestOffersThatAreNeverUsedKeepNobodyOut(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxPending: 100, PendingTimeout: 30 * time.Second}}, func(w *world) {
		for i := range 60 * 8 {
			w.signal(netip.MustParseAddr("203.0.113.9"), browserOffer(t))
			if i%80 == 0 {
				w.open().echoes("a page comes and stays")
			}
			if _, waiting := w.server.registry.count(); waiting > 100 {
				w.t.Fatalf("%d connections wait, want at most 100", waiting)
			}
			w.forget()
			time.Sleep(time.Second / 8)
		}
		if st := w.server.Stats(); st.Refused[http.StatusServiceUnavailable] != 0 || st.Opened != 6 || st.Closed[CloseNeverCame] < 300 {
			t.Errorf("%+v, want 6 opened, 300 that never came at least, no refusal", st)
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if all, waiting := w.server.registry.count(); all != 6 || waiting != 0 {
			t.Errorf("%d connections exist and %d wait, want the pages", all, waiting)
		}
	})
}

// A connection that came and went is not remembered among those that wait.
func TestPendingListHoldsNoMoreThanThoseThatWait(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.offer("") // the oldest, and nobody comes
		for range 150 {
			p := w.open()
			p.Close()
		}
		time.Sleep(3 * time.Second)
		w.server.registry.mu.RLock()
		defer w.server.registry.mu.RUnlock()
		if n := len(w.server.registry.pending); n > 100 {
			t.Errorf("%d entries for one connection that waits, want at most 100", n)
		}
	})
}

// References from other places do not keep the memory of a connection that is gone: an answer
// before it that waits for its page, a connection that had its address before, a queue.
func TestNothingHoldsAConnectionThatIsGone(t *testing.T) {
	for name, come := range map[string]func(w *world) *offered{
		"pending": func(w *world) *offered {
			w.offer("") // nobody comes for it
			p, o := w.openKnown("a=setup:actpass")
			p.conn.Close()
			return o
		},
		"claimant": func(w *world) *offered {
			p := w.open()
			o := w.offer("")
			o.check(p.addr(), "")
			synctest.Wait()
			sh := w.server.shards[0]
			sh.loop.Lock()
			if all := sh.claimants[p.addr()]; len(all) != 2 || all[1] != w.server.registry.byUfrag[o.ours] {
				t.Error("the page's address has no second claimant")
			}
			sh.loop.Unlock()
			return o
		},
		"queued": func(w *world) *offered {
			w.offer("").check(attackerAddr, "")
			synctest.Wait()
			o := w.offer("")
			o.check(attackerAddr, "")
			synctest.Wait()
			if o.conn.state != stateQueued {
				t.Errorf("the state of the connection is %v, want that its handshake waits", o.conn.state)
			}
			o.conn.Close("")
			return o
		},
		"never came": func(w *world) *offered { return w.offer("") },
		"to speak later": func(w *world) *offered {
			p, o := w.openKnown("a=setup:actpass")
			o.conn.Acquire()
			o.conn.Release(true, false)
			w.server.Flush()
			p.conn.Close()
			return o
		},
	} {
		inWorld(t, Config{Settings: Settings{MaxHandshakes: 1, HandshakeTimeout: 10 * time.Second}}, func(w *world) {
			o := come(w)
			gone := weak.Make(o.conn)
			o.conn = nil
			time.Sleep(5 * time.Second)
			if name == "claimant" || name == "never came" {
				time.Sleep(time.Minute)
			}
			synctest.Wait()
			runtime.GC()
			if c := gone.Value(); c != nil {
				t.Errorf("%s: the memory of a connection is not freed; its state is %v", name, c.state)
			}
		})
	}
}

// One that is closed while its handshake waits for its turn does not get it.
func TestAClosedConnectionDoesNotShakeHands(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxHandshakes: 1}}, func(w *world) {
		first, second := w.offer(""), w.offer("")
		first.check(attackerAddr, "")
		second.check(victimAddr, "")
		synctest.Wait()
		sh := w.server.shards[0]
		sh.loop.Lock()
		second.conn.close(time.Now(), CloseByServer, "")
		sh.endHandshake(first.conn) // before the loop has seen that
		begun := second.conn.handshake != nil
		sh.loop.Unlock()
		if begun {
			t.Error("a handshake has begun")
		}
	})
}

func TestMaxPerIPCountsLiveOnes(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxPerIP: 2}}, func(w *world) {
		p := w.newPage(client.Config{})
		from := p.addr().Addr()
		if err := p.connect(nil); err != nil {
			w.t.Fatal(err)
		}
		if _, err := w.signal(from, browserOffer(t)); err != nil {
			w.t.Fatal(err)
		}
		_, err := w.signal(from, browserOffer(t))
		if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Status != http.StatusTooManyRequests {
			t.Errorf("a third offer: %v, want status 429", err)
		}
		p.Close()
		time.Sleep(3 * time.Second)
		if _, err := w.signal(from, browserOffer(t)); err != nil {
			t.Errorf("an offer after the end of another connection: %v, want nil", err)
		}
		if n := w.server.Stats().Refused[http.StatusTooManyRequests]; n != 1 {
			t.Errorf("%d refusals are counted, want 1", n)
		}
	})
}

// Handshakes beyond MaxHandshakes wait their turn, here until those of a page that
// does not answer give their places up.
func TestMaxHandshakesMakesOthersWait(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxHandshakes: 2, HandshakeTimeout: 2 * time.Second}}, func(w *world) {
		for range 4 {
			w.offer("").check(attackerAddr, "")
		}
		synctest.Wait()
		if st := w.server.Stats(); st.Handshakes != 2 || st.HandshakesQueued != 2 {
			t.Errorf("%+v, want 2 handshakes that run and 2 that wait", st)
		}
		p := w.newPage(client.Config{})
		begin := time.Now()
		if err := p.connect(nil); err != nil {
			w.t.Fatal(err)
		}
		if d := time.Since(begin); d < time.Second || d > 1500*time.Millisecond {
			t.Errorf("connected after %v, want after a second and its own handshake", d)
		}
		time.Sleep(10 * time.Second)
		if st := w.server.Stats(); st.HandshakesQueued != 3 || st.HandshakesYielded < 2 || st.HandshakesFailed != 4 || st.HandshakesDone != 1 || st.Closed[CloseNoHandshake] != 4 || st.Handshakes != 0 {
			t.Errorf("%+v, want 3 queued, 2 yielded, 4 failed, 1 done", st)
		}
	})
}
