package rtcserver

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/peer"
)

// A testEngine is an engine that sends what the test chooses, and notes its events.
type testEngine struct {
	conn     *Conn
	queue    []string
	deadline time.Time
	asked    int      // calls of Append
	heard    []string // events, calls of Advance and Deliver
	news     bool
	told     func() // what a handler does
	why      *CloseError
}

func (p *testEngine) Receive(_ time.Time, ev LinkEvent) {
	if ev.Type == LinkClosed {
		p.why = ev.Err
	}
	p.heard = append(p.heard, ev.Type.String())
}

func (p *testEngine) Append(_ time.Time, b []byte, _ int) []byte {
	p.asked++
	if len(p.queue) == 0 {
		return b
	}
	b = append(b, p.queue[0]...)
	p.queue = p.queue[1:]
	return b
}

func (p *testEngine) Deadline() time.Time { return p.deadline }

func (p *testEngine) Advance(now time.Time) {
	p.heard = append(p.heard, "advance")
	p.deadline = time.Time{}
}

func (p *testEngine) Preload(int) {}

func (p *testEngine) Ready() bool { ready := p.news; p.news = false; return ready }

func (p *testEngine) Deliver() {
	p.heard = append(p.heard, "deliver")
	if p.told != nil {
		p.told()
	}
}

// inEngineWorld runs a test with a page whose connection has a testEngine.
func inEngineWorld(t *testing.T, c Config, test func(w *world, page *page, p *testEngine)) {
	t.Helper()
	var p *testEngine
	c.Engine = func(c *Conn, _ *http.Request) (Engine, error) {
		p = &testEngine{conn: c, queue: []string{"before it is open"}}
		return p, nil
	}
	inWorld(t, c, func(w *world) {
		w.offer("").check(attackerAddr, "")
		synctest.Wait()
		if p.asked > 0 {
			t.Errorf("the engine is asked %d times before it may send, want 0", p.asked)
		}
		page := w.open()
		page.want("what waited", "0 1 before it is open")
		synctest.Wait()
		test(w, page, p)
	})
}

// say calls into the engine as its owner does.
func (p *testEngine) say(later, news bool, deadline time.Time, texts ...string) {
	p.conn.Acquire()
	p.queue = append(p.queue, texts...)
	p.news, p.deadline = news, deadline
	p.conn.Release(later, news)
}

// wantNow expects messages that came without a wait.
func (p *page) wantNow(why string, events ...string) {
	p.w.t.Helper()
	synctest.Wait()
	var got []string
	for len(p.events) > 0 {
		got = append(got, <-p.events)
	}
	if !slices.Equal(got, events) {
		p.w.t.Errorf("%s: %q, want %q", why, got, events)
	}
}

// wantHeard compares the events since the last call.
func (p *testEngine) wantHeard(t *testing.T, why string, want ...string) {
	t.Helper()
	synctest.Wait()
	p.conn.Acquire()
	got := p.heard
	p.heard = nil
	p.conn.shard.loop.Unlock()
	if !slices.Equal(got, want) {
		t.Errorf("%s: the engine was told %q, want %q", why, got, want)
	}
}

func TestEnginesSpeakWhenTheyAreReleased(t *testing.T) {
	inEngineWorld(t, Config{}, func(w *world, page *page, p *testEngine) {
		p.wantHeard(t, "it opens", "opened")
		p.say(false, false, time.Time{}, "now", "and this")
		page.wantNow("at once", "0 1 now", "0 1 and this")
		p.wantHeard(t, "nothing is new")
		for range 2 { // the second time as well
			for i := range 5 {
				p.say(true, false, time.Time{}, fmt.Sprint(i))
			}
			page.wantNow("later")
			if n := p.conn.shard.loop.State().Later; n != 1 {
				t.Errorf("the connection is in the list %d times, want once", n)
			}
			w.server.Flush()
			page.wantNow("when it is flushed", "0 1 0", "0 1 1", "0 1 2", "0 1 3", "0 1 4")
		}
		p.wantHeard(t, "nothing is new")
		p.say(false, true, time.Time{})
		p.wantHeard(t, "news", "deliver")
		p.say(true, true, time.Time{}, "with news")
		p.wantHeard(t, "news, and words for later", "deliver")
		page.wantNow("the loop has come by", "0 1 with news")
	})
}

// Messages that a handler sends leave with the batch.
func TestEnginesSpeakInHandlers(t *testing.T) {
	inEngineWorld(t, Config{}, func(w *world, page *page, p *testEngine) {
		p.told = func() {
			p.told = nil
			before := w.server.Stats().DatagramsOut
			p.say(false, false, time.Time{}, "in a handler")
			if n := w.server.Stats().DatagramsOut; n != before {
				t.Errorf("%d datagrams are sent while the handler runs, want 0", n-before)
			}
		}
		p.say(false, true, time.Time{})
		page.wantNow("the batch is over", "0 1 in a handler")
	})
}

func TestEnginesAreAdvancedInTime(t *testing.T) {
	inEngineWorld(t, Config{}, func(w *world, page *page, p *testEngine) {
		p.wantHeard(t, "it opens", "opened")
		for name, release := range map[string]func(at time.Time){
			"at once":    func(at time.Time) { p.say(false, false, at) },
			"at a flush": func(at time.Time) { p.say(true, false, at); w.server.Flush() },
			"with news":  func(at time.Time) { p.say(true, true, at); synctest.Wait(); p.heard = nil },
		} {
			time.Sleep(time.Second) // nothing else is due soon
			begin := time.Now()
			release(begin.Add(7 * time.Millisecond))
			time.Sleep(7*time.Millisecond - 1)
			p.wantHeard(t, name+", a nanosecond before")
			time.Sleep(time.Nanosecond)
			p.wantHeard(t, name, "advance")
		}
	})
}

// An engine gets the end once, and is not asked for packets after it; it may have deadlines
// after it.
func TestEnginesOutliveTheirLinks(t *testing.T) {
	inEngineWorld(t, Config{}, func(w *world, page *page, p *testEngine) {
		p.wantHeard(t, "it opens", "opened")
		begin := time.Now()
		page.conn.Close()
		p.wantHeard(t, "the page closes it", "closed")
		if d := time.Since(begin); d != 0 {
			t.Errorf("the end is reported after %v, want at once", d)
		}
		asked := p.asked
		p.say(false, false, time.Now().Add(time.Minute), "to nobody")
		w.server.Withdraw(p.conn, "twice")
		p.conn.Close("and again")
		if err := p.conn.Send(0, Text, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Send: %v, want ErrClosed", err)
		}
		p.wantHeard(t, "nothing is new")
		time.Sleep(time.Minute - 1)
		p.wantHeard(t, "a nanosecond before its time")
		time.Sleep(time.Nanosecond)
		p.wantHeard(t, "its time", "advance")
		if p.asked != asked {
			t.Error("the engine is asked for messages after the end")
		}
		if err := p.conn.Send(0, Text, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("Send: %v, want ErrClosed", err)
		}
		p.conn.Close("for the last time")
		time.Sleep(10 * time.Second)
		p.wantHeard(t, "nothing is new")
		if st := w.server.Stats(); st.Closed[CloseByPage] != 1 || st.Closed[CloseByServer] != 0 {
			t.Errorf("the counted ends are %v, want one by the page", st.Closed)
		}
	})
}

func TestWithdrawnConnectionsEnd(t *testing.T) {
	inEngineWorld(t, Config{}, func(w *world, page *page, p *testEngine) {
		p.wantHeard(t, "it opens", "opened")
		w.server.Withdraw(p.conn, "not wanted")
		page.want("the page hears it", "close: closed by the server")
		p.wantHeard(t, "and the engine", "closed")
		all, _ := w.server.registry.count()
		waits := w.offer("")
		w.server.Withdraw(waits.conn, "")
		if now, waiting := w.server.registry.count(); now != all || waiting != 0 {
			t.Errorf("%d connections, want %d; %d wait", now, all, waiting)
		}
	})
}

// A connection may open from its answer on, until it is open, closed or withdrawn.
func TestOpeningConnections(t *testing.T) {
	inEngineWorld(t, Config{}, func(w *world, page *page, p *testEngine) {
		want := func(what string, c *Conn, opening bool) {
			t.Helper()
			synctest.Wait()
			if got := w.server.Opening(c); got != opening {
				t.Errorf("%s: Opening() = %v, want %v", what, got, opening)
			}
		}
		want("a connection that is open", p.conn, false)
		page.conn.Close()
		want("a connection that its page has closed", p.conn, false)
		o := w.offer("")
		want("an answer", o.conn, true)
		o.check(attackerAddr, "")
		want("a handshake", o.conn, true)
		o.conn.Close("")
		want("a handshake that was closed", o.conn, false)
		o = w.offer("")
		w.server.Withdraw(o.conn, "")
		want("an answer that was withdrawn", o.conn, false)
	})
}

// The engines of a polled server send only in Poll and Flush.
func TestEnginesOfAPolledServer(t *testing.T) {
	var p *testEngine
	inWorld(t, Config{Manual: true, Engine: func(c *Conn, _ *http.Request) (Engine, error) {
		p = &testEngine{conn: c}
		return p, nil
	}}, func(w *world) {
		pages := make(chan *page)
		go func() { pages <- w.open() }()
		var page *page
		for page == nil {
			select {
			case page = <-pages:
			default:
				w.server.Poll(time.Millisecond)
			}
		}
		synctest.Wait()
		p.say(false, false, time.Time{}, "later")
		page.wantNow("nobody has flushed")
		w.server.Flush()
		page.wantNow("flushed", "0 1 later")
		p.say(false, false, time.Time{}, "in Poll")
		w.server.Poll(0)
		page.wantNow("polled", "0 1 in Poll")
	})
}

func TestErrorsOfSend(t *testing.T) {
	own := errors.New("another")
	for err, want := range map[error]error{
		peer.ErrTooLarge: ErrTooLarge, peer.ErrSilenced: ErrSilenced, peer.ErrNotOpen: ErrClosed, own: own,
	} {
		if got := sendErrors.For(fmt.Errorf("peer: %w", err)); !errors.Is(got, want) || want != own && got != want {
			t.Errorf("%v is told as %v, want %v", err, got, want)
		}
	}
}

// The memory that a burst adds to an idle connection is freed, and a handler's events are not
// delivered to another.
func TestEventsOfABurst(t *testing.T) {
	told := 0
	s := &shard{server: &Server{config: Config{Handler: Handler{Message: func(*Conn, Message) { told++ }}}}}
	d := &datagrams{conn: &Conn{shard: s}}
	burst := func(n int) {
		for range n {
			d.Receive(time.Time{}, LinkEvent{Type: LinkMessage})
		}
	}
	for queue, kept := range map[int]bool{maxQueue - 3: true, maxQueue - 2: false} {
		d.queue, d.pending = make([]LinkEvent, 0, queue), make([]LinkEvent, 0, 3)
		if d.Ready(); (cap(d.queue)+cap(d.pending) > 0) != kept {
			t.Errorf("memory for %d events is kept: %v, want %v", queue+3, !kept, kept)
		}
	}
	for room, kept := range map[int]bool{keptEvents: true, keptEvents + 1: false} {
		d.queue, d.pending = nil, make([]LinkEvent, 0, room)
		if d.Deliver(); (cap(d.pending) > 0) != kept {
			t.Errorf("memory for %d events is kept after a turn: %v, want %v", room, !kept, kept)
		}
	}
	for _, n := range []int{1, maxQueue, 3 * maxQueue, keptEvents, 10 * keptEvents} {
		told = 0
		burst(n)
		if !d.Ready() {
			t.Fatal("Ready() = false with events")
		}
		d.Deliver()
		if told != n {
			t.Errorf("%d of %d events are delivered", told, n)
		}
		if cap(d.pending) > keptEvents {
			t.Errorf("memory for %d events is kept after %d, want at most %d", cap(d.pending), n, keptEvents)
		}
		if d.Ready() {
			t.Error("Ready() = true after all events")
		}
		if n > maxQueue && cap(d.queue)+cap(d.pending) > maxQueue {
			t.Errorf("an idle connection keeps memory for %d events, want at most %d", cap(d.queue)+cap(d.pending), maxQueue)
		}
	}
	fresh := &datagrams{conn: &Conn{shard: s}}
	fresh.Receive(time.Time{}, LinkEvent{Type: LinkOpened})
	fresh.Ready()
	if fresh.Deliver(); !fresh.opened || cap(fresh.queue)+cap(fresh.pending) > 0 {
		t.Errorf("a page that has only connected: opened %v, memory for %d events, want true and 0", fresh.opened, cap(fresh.queue)+cap(fresh.pending))
	}
	if n := testing.AllocsPerRun(10, func() { burst(1); d.Ready(); d.Deliver() }); n > 0 {
		t.Errorf("%v allocations for an event, want 0", n)
	}
}

// The page of an engine uses a channel without retransmission, so lost packets are acknowledged
// from the first packet on. For other pages the server must find this out.
func TestEnginesAcknowledgeEagerly(t *testing.T) {
	inEngineWorld(t, Config{}, func(w *world, page *page, p *testEngine) {
		if !p.conn.Stats().EagerAcks {
			t.Error("the packets of an engine are acknowledged honestly, want eagerly")
		}
		if got := p.conn.Site(); got != page.addr().Addr() {
			t.Errorf("Site() = %v, want %v", got, page.addr().Addr())
		}
	})
	inWorld(t, Config{Settings: Settings{Acks: AckHonest}}, func(w *world) {
		w.open().echoes("it is open")
		for c := range w.server.Conns() {
			if c.Stats().EagerAcks {
				t.Error("packets are acknowledged eagerly, want honestly")
			}
		}
	})
}
