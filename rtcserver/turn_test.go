package rtcserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A message is on its way when Send or Broadcast returns; in a handler, when the batch is
// over, with all others.
func TestWhenMessagesLeave(t *testing.T) {
	sent := func(s *Server) uint64 { return s.Stats().DatagramsOut }
	var inHandler []uint64
	var w *world
	conns := make(chan *Conn, 1)
	inWorld(t, Config{Handler: Handler{
		Open: func(c *Conn) { conns <- c },
		Message: func(c *Conn, m Message) {
			for range 3 {
				c.Send(0, Text, []byte("from a handler"))
				w.server.Broadcast(0, Text, []byte("to all"))
				inHandler = append(inHandler, sent(w.server))
			}
		},
	}}, func(world *world) {
		w = world
		p := w.open()
		c := <-conns
		synctest.Wait()
		s := w.server.shards[0]
		for name, send := range map[string]func(){
			"Send":      func() { c.Send(0, Text, []byte("x")) },
			"Broadcast": func() { w.server.Broadcast(0, Text, []byte("x")) },
		} {
			time.Sleep(time.Second)
			synctest.Wait() // and the loop waits
			s.loop.Lock()
			before, beforeTimer := s.loop.Stats.DatagramsOut, c.peer.Deadline()
			s.loop.Unlock()
			send()
			s.loop.Lock()
			if s.loop.Stats.DatagramsOut != before+1 || s.loop.State().Out != 0 {
				t.Errorf("%s: %d datagrams are sent, want 1, and %d wait, want 0", name, s.loop.Stats.DatagramsOut-before, s.loop.State().Out)
			}
			if d := s.Deadline(c); d.IsZero() || s.loop.State().Timer.After(d) || s.loop.State().Deadline.After(d) {
				t.Errorf("%s: the deadline is %v (before: %v), but the loop waits until %v", name, d, beforeTimer, s.loop.State().Deadline)
			}
			s.loop.Unlock()
		}
		p.send("go")
		before := sent(w.server)
		synctest.Wait()
		for _, n := range inHandler {
			if n != inHandler[0] || n > before+1 { // an acknowledgement may have left
				t.Errorf("datagrams sent after each message of a handler: %v, want none", inHandler)
			}
		}
		for range len(p.events) - 6 {
			<-p.events
		}
		for i := range 6 {
			if got := testkit.Next(t, "the page", p.events); !strings.Contains(got, "from a handler") && !strings.Contains(got, "to all") {
				t.Errorf("message %d: %q", i, got)
			}
		}
	})
}

// More than fits a batch leaves too. The page sends first: of what a server sends to a page whose handshake is not
// complete yet, some is dropped.
func TestManyMessagesOfAHandler(t *testing.T) {
	inWorld(t, Config{Handler: Handler{Message: func(c *Conn, _ Message) {
		for i := range 5*batchLen + 1 {
			if err := c.Send(0, Text, fmt.Append(nil, i)); err != nil {
				t.Error(err)
			}
		}
	}}}, func(w *world) {
		p := w.open()
		p.send("go")
		synctest.Wait()
		seen := make(map[string]bool)
		for len(p.events) > 0 {
			seen[<-p.events] = true
		}
		if len(seen) != 5*batchLen+1 {
			t.Errorf("%d messages have arrived, want %d", len(seen), 5*batchLen+1)
		}
	})
}

func TestCloseIsToldAtOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		p := w.open()
		w.want("it opens", "open 1")
		begin := time.Now()
		p.conn.Close()
		w.want("it ends", "close 1: closed by the page")
		if d := time.Since(begin); d != 0 {
			t.Errorf("the wait took %v, want none", d)
		}
	})
}

// A page that has moved and is back before the server looks has no line.
func TestAMoveThereAndBackIsNotLogged(t *testing.T) {
	l := new(lineLog)
	inWorld(t, Config{Logger: slog.New(l)}, func(w *world) {
		p := w.open()
		p.echoes("it is open")
		for c := range w.server.Conns() {
			c.shard.loop.Lock()
			c.noted -= 2
			c.noteMove()
			c.shard.loop.Unlock()
		}
		p.echoes("lines leave with the next turn")
		if lines := l.with("moved"); len(lines) != 0 {
			t.Errorf("%q", lines)
		}
	})
}

// A page that moves again and again, or whose checks an attacker forges, does not fill the log, also if the level of the log changes all the time.
func TestMovesAreLoggedSoManyTimes(t *testing.T) {
	for _, changes := range []bool{false, true} {
		l := &leveled{lineLog: new(lineLog)}
		l.level.Set(slog.LevelDebug)
		inWorld(t, Config{Logger: slog.New(l)}, func(w *world) {
			p := w.open()
			p.echoes("it is open")
			moves := 0
			move := func(level slog.Level) {
				l.level.Set(level)
				if err := p.socket.Rebind(netip.AddrPortFrom(p.addr().Addr(), uint16(50000+moves))); err != nil {
					t.Fatal(err)
				}
				moves++
				time.Sleep(4 * time.Second)
				p.echoes("it has moved")
			}
			for range 20 {
				if changes {
					move(slog.LevelInfo)
				}
				move(slog.LevelDebug)
			}
			if n := len(l.with("moved", "conn=1")); n != maxMoves {
				t.Errorf("the level changes: %v: %d moves are logged, want %d", changes, n, maxMoves)
			}
		})
	}
}

func TestChannelsAreKnownByTheirLabels(t *testing.T) {
	c := &Conn{channels: []Channel{{1, "chat", ""}, {3, "moves", ""}, {5, "other", ""}}}
	if c.label(3) != "moves" || c.label(5) != "other" || c.label(7) != "" {
		t.Errorf("the labels are %q, %q and %q, want moves, other and none", c.label(3), c.label(5), c.label(7))
	}
	if ch, ok := c.forgetChannel(3); !ok || ch.Label != "moves" {
		t.Errorf("forgetChannel(3) = %+v, %v; want moves", ch, ok)
	}
	if ch, ok := c.forgetChannel(3); ok {
		t.Errorf("forgetChannel(3) a second time = %+v, want none", ch)
	}
	if c.label(1) != "chat" || c.label(3) != "" || c.label(5) != "other" || len(c.channels) != 2 {
		t.Errorf("the channels that are left are %v, want chat and other", c.channels)
	}
}

// A channel that the page opens, uses and closes.
func TestChannelsOfPagesAreTold(t *testing.T) {
	inControlledWorld(t, Config{}, func(w *world, h *controlledPage, j *lineLog) {
		w.forget()
		first := h.tsn - 1
		h.packet(data(3, h.tsn, 1, 0, 50, opening(1)))
		h.packet(data(3, h.tsn+1, 1, 1, 51, []byte("hello")))
		w.want("it is open", "channel 1: 1 chat")
		w.want("it is used", "message: 1 hello")
		reset := binary.BigEndian.AppendUint32([]byte{0, 13, 0, 18}, first) // outgoing streams, RFC 6525
		reset = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(reset, 0), h.tsn+1)
		h.packet(chunk(130, 0, append(reset, 0, 1)))
		w.want("it is closed", "channel closed 1: 1 chat")
	})
}

// What comes twice, or late, of a handshake that is over, is nothing.
func TestLateWordsOfAHandshake(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		o := w.offer("")
		o.check(attackerAddr, "")
		synctest.Wait()
		h := o.conn.handshake
		for range 3 {
			w.server.shards[0].emit(o.conn, h, dtls.HandshakeEvent{Kind: dtls.Failed, Err: dtls.ErrTimeout})
		}
		w.want("it fails", "fail 1: the DTLS handshake failed")
		time.Sleep(5 * time.Second)
		w.server.shards[0].emit(o.conn, h, dtls.HandshakeEvent{Kind: dtls.Done})
		w.wantQuiet("that was all")
		if st := w.server.Stats(); st.HandshakesFailed != 1 || st.HandshakesDone != 0 || st.Handshakes != 0 || st.Conns != 0 {
			t.Errorf("%+v, want 1 failed handshake and no connection", st)
		}
	})
}

// Only an error that looks like a misunderstanding of the roles is logged, once a minute.
func TestWarningsOfRoles(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		c, t0 := w.offer("").conn, time.Now()
		var s shard
		s.server = w.server
		for _, warn := range []struct {
			after time.Duration
			err   error
			want  int
		}{
			{0, dtls.ErrTimeout, 0},
			{0, dtls.ErrPeer, 0},
			{0, fmt.Errorf("it is said that %w", dtls.ErrRoles), 1},
			{time.Minute - 1, dtls.ErrNoAnswer, 1},
			{time.Minute, dtls.ErrTimeout, 1},
			{time.Minute, dtls.ErrNoAnswer, 2},
		} {
			s.warnOfRoles(t0.Add(warn.after), c, warn.err)
			if n := len(s.lines); n != warn.want {
				t.Errorf("%v after %v: %d lines, want %d", warn.err, warn.after, n, warn.want)
			}
		}
	})
}

func TestListOfOpenConnectionsStaysWhole(t *testing.T) {
	s := newBareShards(t, 1).shards[0]
	a, b, c := &Conn{}, &Conn{}, &Conn{}
	for _, x := range []*Conn{a, b, c} {
		s.addOpen(x)
	}
	for _, step := range []struct {
		strike *Conn
		want   []*Conn
	}{{a, []*Conn{c, b}}, {a, []*Conn{c, b}}, {b, []*Conn{c}}, {b, []*Conn{c}}, {c, nil}, {c, nil}} {
		s.removeOpen(step.strike)
		if !slices.Equal(s.allOpen(), step.want) {
			t.Fatalf("%d are left, want %d", len(s.open), len(step.want))
		}
		for i, x := range s.open {
			if int(x.openIndex) != i+1 {
				t.Fatalf("the connection at index %d has the index %d", i, x.openIndex-1)
			}
		}
	}
}

// A shard that is slow, or closed, gets no more from the others than its inbox holds.
func TestInboxIsBounded(t *testing.T) {
	s := listen(t, Config{}).shards[0]
	s.loop.Lock()
	defer s.loop.Unlock()
	d := udpio.Datagram{B: []byte("x"), Remote: attackerAddr}
	for range inboxLen + 3 {
		s.addToInbox(&d, false)
	}
	if n := s.stats.drops[DropInbox]; s.inbox.Len() != inboxLen || n != 3 {
		t.Errorf("%d datagrams are in the inbox, want %d; %d dropped, want 3", s.inbox.Len(), inboxLen, n)
	}
	s.inbox.Take()
	s.loop.Close()
	s.addToInbox(&d, false)
	if n := s.stats.drops[DropInbox]; s.inbox.Len() != 0 || n != 4 {
		t.Errorf("closed: %d datagrams are in the inbox, want 0; %d dropped, want 4", s.inbox.Len(), n)
	}
}

// Two servers share no secret, and two connections no numbers.
func TestServersAndConnectionsDiffer(t *testing.T) {
	a, b := listen(t, Config{}), listen(t, Config{})
	if a.cookieKey == b.cookieKey || a.pathKey == b.pathKey {
		t.Error("two servers have the same keys")
	}
	if cap(a.gate) != runtime.GOMAXPROCS(0) {
		t.Errorf("%d handshakes may compute at once, want %d", cap(a.gate), runtime.GOMAXPROCS(0))
	}
	inWorld(t, Config{}, func(w *world) {
		c := w.offer("").conn
		one, two := w.server.peerConfig(c, peer.Credentials{}, peer.Credentials{}, 0), w.server.peerConfig(c, peer.Credentials{}, peer.Credentials{}, 0)
		if one.SCTP.LocalTag == two.SCTP.LocalTag || one.SCTP.InitialTSN == two.SCTP.InitialTSN || one.ICE.Salt == two.ICE.Salt {
			t.Error("two connections have the same tag, TSN or salt")
		}
	})
}

func TestPollInAHandler(t *testing.T) {
	var err error
	told := false
	inWorld(t, Config{Manual: true}, func(w *world) {
		w.server.config.Handler.Open = func(*Conn) { told, err = true, w.server.Poll(0) }
		done := make(chan struct{})
		go func() { defer close(done); w.newPage(client.Config{}).connect(nil) }()
		for !told {
			w.server.Poll(time.Millisecond)
		}
		<-done
		if !errors.Is(err, ErrInHandler) {
			t.Errorf("Poll in a handler: %v, want ErrInHandler", err)
		}
		if err := w.server.Poll(0); err != nil {
			t.Errorf("Poll after the handler: %v, want nil", err)
		}
	})
}

// Poll waits for its d while nothing is due, however often it is called.
func TestPollWaits(t *testing.T) {
	inWorld(t, Config{Manual: true}, func(w *world) {
		for _, d := range []time.Duration{16 * time.Millisecond, 16 * time.Millisecond, 0, time.Millisecond} {
			begin := time.Now()
			if err := w.server.Poll(d); err != nil || time.Since(begin) != d {
				t.Errorf("Poll(%v) took %v: %v", d, time.Since(begin), err)
			}
		}
	})
}

// One that has given its place up is over at once.
func TestAHandshakeThatYieldsIsOver(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxHandshakes: 1}}, func(w *world) {
		w.offer("").check(attackerAddr, "")
		synctest.Wait()
		begin := time.Now()
		p := w.newPage(client.Config{})
		if err := p.connect(nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.want("it fails", "fail 1: the DTLS handshake failed")
		w.want("and another opens", "open 2")
		if st := w.server.Stats(); st.Conns != 1 || st.HandshakesYielded != 1 {
			t.Errorf("after %v: %+v, want 1 connection and 1 yielded handshake", time.Since(begin), st)
		}
	})
}

// The first datagram of the peer's flight makes it this end's turn; a repetition changes
// nothing.
func TestAnAnswerMakesItOurTurn(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		o := w.offer("")
		o.check(attackerAddr, "")
		synctest.Wait()
		s, began := w.server.shards[0], time.Now()
		drip := record(22, 0, 0, []byte{2, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 1, 0xfe})
		want := func(what string, ours bool, last time.Duration) {
			t.Helper()
			s.loop.Lock()
			defer s.loop.Unlock()
			if h := o.conn.handshake; h == nil || h.ours != ours || !h.last.Equal(began.Add(last)) {
				t.Errorf("%s: the handshake is %+v", what, h)
			}
		}
		want("our hello has gone", false, 0)
		time.Sleep(300 * time.Millisecond)
		w.network.Inject(attackerAddr, serverAddr, record(23, 1, 7, make([]byte, 40)))
		synctest.Wait()
		want("nothing for the handshake", false, 0)
		w.network.Inject(attackerAddr, serverAddr, bytes.Clone(drip))
		synctest.Wait()
		want("the first byte", true, 300*time.Millisecond)
		time.Sleep(300 * time.Millisecond)
		w.network.Inject(attackerAddr, serverAddr, bytes.Clone(drip))
		synctest.Wait()
		want("again", true, 300*time.Millisecond)
	})
}

// A connection that checks from many addresses has few of them, and none when it is over.
func TestAConnectionHasFewAddresses(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		o := w.offer("")
		s := w.server.shards[0]
		for i := range 5 * peer.MaxPaths {
			o.check(netip.AddrPortFrom(attackerAddr.Addr(), uint16(1000+i)), "")
			synctest.Wait()
			s.loop.Lock()
			if n := len(o.conn.addrs); n != len(s.byAddr) || n > 2*peer.MaxPaths || i < 2*peer.MaxPaths && n != i+1 {
				t.Fatalf("after %d checks: %d addresses, and %d of the shard", i+1, n, len(s.byAddr))
			}
			for _, a := range o.conn.addrs {
				if s.byAddr[a] != o.conn {
					t.Errorf("the connection is not in the table with the address %v", a)
				}
			}
			s.loop.Unlock()
		}
	})
}
