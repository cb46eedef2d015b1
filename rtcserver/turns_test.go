package rtcserver

import (
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// opened returns a bareConn that is open, and its engine.
func (x *bareShards) opened() (*bareConn, *testEngine) {
	a := x.bareConn(0)
	a.comes(victimAddr)
	a.state = stateOpen
	return a, a.engine.(*testEngine)
}

// Log lines of a turn are written in the same turn: those of its datagrams before the handlers
// run, and the rest at its end.
func TestLinesAreWrittenInTheirTurn(t *testing.T) {
	x, j := newBareShards(t, 1), new(lineLog)
	x.config.Logger = slog.New(j)
	s := x.shards[0]
	a, p := x.opened()
	old := attackerAddr
	a.remote = &old
	p.news = true
	before := 0
	p.told = func() { before = len(j.with("came in")) }
	s.log(slog.LevelInfo, "came in")
	s.loop.Touch(a.Conn)
	x.Poll(0)
	if before != 1 {
		t.Errorf("%d lines about received datagrams are written when the handlers run, want 1", before)
	}
	if n := len(j.with("moved")); n != 1 {
		t.Errorf("%d lines at the end of the turn say that the page has moved, want 1", n)
	}
}

// Engines that were to send later send in the loop's next turn, whichever connection caused it.
func TestATurnLetsEnginesSpeak(t *testing.T) {
	x := newBareShards(t, 1)
	_, p := x.opened()
	p.say(true, false, time.Time{})
	if p.asked != 0 {
		t.Errorf("the engine is asked %d times at once, want 0", p.asked)
	}
	x.Poll(0)
	if p.asked == 0 {
		t.Error("the turn has not asked the engine")
	}
}

// An engine is advanced when its own time has come, not when something of its link is due.
func TestEnginesAreAdvancedAtTheirOwnTime(t *testing.T) {
	x := newBareShards(t, 1)
	s := x.shards[0]
	a, p := x.opened()
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{0, 0}, {time.Second - 1, 0}, {time.Second, 1}, {2 * time.Second, 1}} {
		if p.deadline = x.now.Add(time.Second); c.after > time.Second {
			p.deadline = time.Time{}
		}
		if s.Advance(x.now.Add(c.after), a.Conn); len(p.heard) != c.want {
			t.Errorf("after %v the engine gets %q, want %d calls", c.after, p.heard, c.want)
		}
	}
}

// The packets of a batch are acknowledged at the end of the batch.
func TestABatchIsAcknowledgedAtItsEnd(t *testing.T) {
	inWorld(t, Config{Handler: Handler{Message: func(*Conn, Message) {}}}, func(w *world) {
		p := w.open()
		p.send("first")
		time.Sleep(time.Second)
		synctest.Wait()
		before := w.server.Stats().DatagramsOut
		p.send("second")
		p.send("third")
		synctest.Wait()
		if n := w.server.Stats().DatagramsOut - before; n != 1 {
			t.Errorf("%d datagrams leave at once, want the acknowledgement", n)
		}
	})
}

// Events that the last handlers cause are delivered before the server is closed.
func TestWhatTheLastHandlersLeaveIsTold(t *testing.T) {
	test := func(t *testing.T, s *Server, p *testEngine) {
		told := 0
		p.told = func() {
			if told++; told < 3 {
				p.say(false, true, time.Time{})
			}
		}
		p.conn.Acquire()
		p.news = true
		p.conn.shard.loop.Unlock()
		s.Close()
		if told != 3 {
			t.Errorf("%d of 3 events are delivered", told)
		}
	}
	t.Run("polled", func(t *testing.T) {
		x := newBareShards(t, 1)
		_, p := x.opened()
		test(t, x.Server, p)
	})
	t.Run("looping", func(t *testing.T) {
		inEngineWorld(t, Config{}, func(w *world, _ *page, p *testEngine) { test(t, w.server, p) })
	})
	t.Run("after the socket is gone", func(t *testing.T) {
		inEngineWorld(t, Config{}, func(w *world, _ *page, p *testEngine) {
			p.told = func() {
				p.told = nil
				p.say(false, true, time.Time{})
			}
			p.conn.Acquire()
			p.news = true
			w.server.shards[0].socket.Close()
			p.conn.shard.loop.Unlock()
			p.wantHeard(t, "at once", "opened", "closed", "deliver", "deliver")
			test(t, w.server, p)
		})
	})
}

// Several goroutines may close a server at the same time, and each returns when all handlers
// have run.
func TestAServerIsClosedTwiceAtOnce(t *testing.T) {
	closes := 0
	inWorld(t, Config{Handler: Handler{Close: func(*Conn, *CloseError) { closes++ }}}, func(w *world) {
		w.open()
		synctest.Wait()
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				w.server.Close()
				if closes != 1 {
					t.Errorf("Close was called %d times, want once", closes)
				}
			})
		}
		all.Wait()
	})
}

// A handshake yields its place when its time is over, and not later because the loop was busy
// just before.
func TestPlacesAreGivenUpInTime(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxHandshakes: 1}}, func(w *world) {
		w.offerFrom(attackerAddr.Addr()).check(attackerAddr, "")
		w.offerFrom(victimAddr.Addr()).check(attackerAddr, "")
		synctest.Wait()
		yielded := func() uint64 { return w.server.Stats().HandshakesYielded }
		time.Sleep(pageRests - 30*time.Millisecond)
		w.network.Inject(attackerAddr, serverAddr, []byte("not ours"))
		time.Sleep(30*time.Millisecond - 1)
		synctest.Wait()
		if n := yielded(); n != 0 {
			t.Errorf("%d handshakes have yielded too early, want 0", n)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if n := yielded(); n != 1 {
			t.Errorf("%d have yielded in time, want 1", n)
		}
	})
}

// A handshake that fails, or gives its place up, ends its connection in the same turn.
func TestAHandshakesEndIsToldInItsTurn(t *testing.T) {
	for name, end := range map[string]func(s *shard, c *Conn, now time.Time){
		"it fails": func(s *shard, c *Conn, now time.Time) {
			*s.outbox.Add() = outboxed{c, c.handshake, dtls.HandshakeEvent{Kind: dtls.Failed, Err: dtls.ErrTimeout}}
			s.takeOutbox(now)
		},
		"it yields": func(s *shard, _ *Conn, now time.Time) { s.yieldPlaces(now.Add(pageRests)) },
	} {
		inWorld(t, Config{Settings: Settings{MaxHandshakes: 1}}, func(w *world) {
			o := w.offerFrom(attackerAddr.Addr())
			o.check(attackerAddr, "")
			w.offerFrom(victimAddr.Addr()).check(victimAddr, "")
			synctest.Wait()
			s := w.server.shards[0]
			s.loop.Lock()
			defer s.loop.Unlock()
			end(s, o.conn, time.Now())
			told := o.conn.engine.(*datagrams).queue
			if len(told) != 1 || told[0].Err == nil || told[0].Err.Code != CloseNoHandshake || !o.conn.entry.Touched() {
				t.Errorf("%s: the events are %v, want CloseNoHandshake; touched: %v, want true", name, told, o.conn.entry.Touched())
			}
			s.loop.Wake()
		})
	}
}

// A handshake that begins while others wait gives its place up in time, although the handshakes that began before
// it have more time.
func TestAHandshakeThatBeginsWhileOthersWaitYieldsInTime(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxHandshakes: 2}}, func(w *world) {
		for range cap(w.server.gate) {
			w.server.gate <- struct{}{} // all handshakes wait for their turn to compute
		}
		begin := func(site byte, setup string) *Conn {
			text := testkit.Replace("a=setup:actpass", setup)(browserOffer(t))
			from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, site}), 6666)
			answer, err := w.signal(from.Addr(), text)
			if err != nil {
				t.Fatal(err)
			}
			o := w.offeredWith(text, string(answer))
			o.check(from, "")
			synctest.Wait()
			return o.conn
		}
		want := func(what string, want connState, c *Conn) {
			t.Helper()
			synctest.Wait()
			c.Acquire()
			got := c.state
			c.shard.loop.Unlock()
			if got != want {
				t.Errorf("%s is %v, want %v", what, got, want)
			}
		}
		first, second := begin(1, "a=setup:actpass"), begin(2, "a=setup:actpass")
		silent, last := begin(3, insistsOnActive), begin(4, "a=setup:actpass")
		want("the second", stateShaking, second)
		want("the silent one, which waits,", stateQueued, silent)
		first.Close("")
		want("the silent one, which has the place of the first,", stateShaking, silent)
		time.Sleep(pageRests - 1)
		want("the last, before the silent one must yield,", stateQueued, last)
		time.Sleep(time.Nanosecond)
		want("the last, when the silent one must yield,", stateShaking, last)
		want("the second, which waits for its turn to compute,", stateShaking, second)
	})
}

// The memory of the outbox keeps no connection.
func TestTheOutboxKeepsNothing(t *testing.T) {
	x := newBareShards(t, 1)
	s, c := x.shards[0], x.bareConn(0).Conn
	s.loop.Lock()
	defer s.loop.Unlock()
	*s.outbox.Add() = outboxed{c, new(handshake), dtls.HandshakeEvent{Kind: dtls.Flight, Datagram: []byte("flight")}} // of a handshake that was stopped
	s.takeOutbox(x.now)
	s.outbox.Take() // the other half of the outbox
	if o := s.outbox.Add(); o.conn != nil || o.handshake != nil || o.event.Datagram != nil {
		t.Errorf("the outbox keeps %+v, want nothing", *o)
	}
	s.outbox.Undo()
}
