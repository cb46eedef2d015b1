package fleet

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// What waits for NATS is bounded by its number and by its bytes. Each reason to drop a message has its error and its counter.
func TestLimitsOfWhatANodeGivesNATS(t *testing.T) {
	q := newQuiet(t, Config{MaxPending: 3, MaxPendingBytes: 10})
	q.maxPayload = 11 - envelope
	for _, c := range []struct {
		what           string
		bytes          int
		closed, away   bool
		err            error
		msgs, size     int // that wait afterwards
		dropped, aways uint64
	}{
		{"a closed fleet", 1, true, true, ErrClosed, 0, 0, 0, 0},
		{"NATS is away", 1, false, true, ErrAway, 0, 0, 0, 1},
		{"more bytes than NATS takes", 12, false, false, ErrTooLarge, 0, 0, 0, 1},
		{"more bytes than ever fit", 11, false, false, ErrTooLarge, 0, 0, 0, 1},
		{"as many bytes as fit", 10, false, false, nil, 1, 10, 0, 1},
		{"one byte more", 1, false, false, ErrFull, 1, 10, 1, 1},
		{"no bytes", 0, false, false, nil, 2, 10, 1, 1},
		{"as many messages as fit", 0, false, false, nil, 3, 10, 1, 1},
		{"one message more", 0, false, false, ErrFull, 3, 10, 2, 1},
	} {
		q.mu.Lock()
		q.closed = c.closed
		q.away.Store(c.away)
		err := q.publish("x", "", make([]byte, c.bytes))
		q.mu.Unlock()
		if s := q.Stats(); err != c.err || q.out.msgs != c.msgs || q.out.bytes != c.size || len(q.out.ops) != c.msgs || s.OutDropped != c.dropped || s.Away != c.aways {
			t.Errorf("%s: %v; %d messages with %d bytes wait, in %d steps; %d are dropped, %d while NATS is away; want %+v",
				c.what, err, q.out.msgs, q.out.bytes, len(q.out.ops), s.OutDropped, s.Away, c)
		}
	}
	if len(q.out.wake) != 1 {
		t.Errorf("the writing goroutine has %d tokens, want 1", len(q.out.wake))
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.unsubscribe(nil)
	if len(q.out.ops) != 3 {
		t.Errorf("%d steps wait, want 3", len(q.out.ops))
	}
}

// plug connects the node to NATS. got has what somebody else gets of a subject.
func (q *quiet) plug(subject string) (other *nats.Conn, got chan *nats.Msg) {
	q.nc = testkit.Must(nats.Connect(newNATS(q.t).address()))
	q.t.Cleanup(q.nc.Close)
	other = testkit.Must(nats.Connect(q.nc.ConnectedUrl()))
	q.t.Cleanup(other.Close)
	got = make(chan *nats.Msg, 16)
	testkit.Must(other.ChanSubscribe(subject, got))
	must(q.t, other.Flush())
	return other, got
}

// The writing goroutine gives NATS what is not too old, in order, and counts it. It keeps memory for the messages that follow, up to
// a limit.
func TestWhatTheWritingGoroutineDoes(t *testing.T) {
	q := newQuiet(t, Config{MaxDelay: time.Minute})
	other, got := q.plug("out.*")

	// write runs the goroutine until it has nothing to do.
	write := func() {
		close(q.out.wake)
		q.write()
		q.out.wake = make(chan struct{}, 1)
	}
	in, never := q.subscribe("in.*"), new(subscription)
	q.unsubscribe(never)
	buffer := append(q.buffer(), "first"...)
	must(t, q.publish("out.a", "", buffer))
	must(t, q.publish("out.b", "in.reply", append(q.buffer(), "second"...)))
	must(t, q.publish("out.old", "", append(q.buffer(), "too old"...)))
	q.out.ops[4].at = time.Now().Add(-time.Minute - 1)
	must(t, q.publish("out.c", "", make([]byte, 1, maxFreeCap)))
	must(t, q.publish("out.d", "", make([]byte, 2, maxFreeCap+1)))
	write()
	must(t, q.nc.Flush())
	for _, want := range []string{"out.a  5", "out.b in.reply 6", "out.c  1", "out.d  2"} {
		m := testkit.Next(t, "a message", got)
		testkit.Want(t, "a message", single(fmt.Sprintf("%s %s %d", m.Subject, m.Reply, len(m.Data))), want)
	}
	if s := q.Stats(); s.Sent != 4 || s.SentBytes != 14 || s.OutOld != 1 || s.Away != 0 || q.out.msgs != 0 || q.out.bytes != 0 {
		t.Errorf("%+v; %d messages with %d bytes wait", s, q.out.msgs, q.out.bytes)
	}
	if in.sub == nil || !in.sub.IsValid() || never.sub != nil {
		t.Errorf("the subscription is %v, that of the one that was never begun %v", in.sub, never.sub)
	}
	if n := len(q.out.free); n != 4 || cap(q.out.free[3]) != maxFreeCap {
		t.Errorf("%d buffers are kept, want 4", n)
	}
	all := q.out.spare[:cap(q.out.spare)]
	if len(q.out.ops) != 0 || len(all) < 7 || slices.ContainsFunc(all, func(o op) bool { return o.data != nil || o.sub != nil }) {
		t.Errorf("%d steps wait, and the memory of %d steps is kept with what is in it", len(q.out.ops), len(all))
	}

	// What the subscription brings is in the inbox; a buffer is used again, by one message at a time.
	must(t, other.Publish("in.x", nil))
	if m := testkit.Next(t, "a message of NATS", q.in.arrived); m.Subject != "in.x" {
		t.Errorf("a message to %s has come", m.Subject)
	}
	one, two := q.buffer(), q.buffer()
	if len(one) != 0 || len(two) != 0 || cap(one) != maxFreeCap || &one[:1][0] == &two[:1][0] || len(q.out.free) != 2 {
		t.Errorf("buffers of %d and %d bytes, %d are left", cap(one), cap(two), len(q.out.free))
	}
	if b := q.buffer(); &b[:1][0] == &one[:1][0] || &b[:1][0] == &two[:1][0] {
		t.Error("a buffer is used for two messages at a time")
	}
	q.out.free = nil
	if b := q.buffer(); len(b) != 0 || cap(b) != 512 {
		t.Errorf("a new buffer has %d bytes of %d, want 0 of 512", len(b), cap(b))
	}
	q.unsubscribe(in)
	for range maxFree + 1 {
		must(t, q.publish("out.many", "", append(q.buffer(), "x"...)))
	}
	write()
	if in.sub.IsValid() || len(q.out.free) != maxFree {
		t.Errorf("the subscription is over: %v; %d buffers are kept, want %d", !in.sub.IsValid(), len(q.out.free), maxFree)
	}
	if more := &q.out.spare[:1][0]; more == &all[0] {
		t.Error("the memory of the steps before is used by the steps after them at once")
	}
	must(t, q.publish("out.again", "", append(q.buffer(), "x"...)))
	if &q.out.ops[0] != &all[0] {
		t.Error("the memory of steps is not used again")
	}

	// Without a connection messages are counted.
	q.nc.Close()
	before := q.Stats()
	must(t, q.publish("out.x", "", append(q.buffer(), "x"...)))
	q.subscribe("in.*")
	write()
	if s := q.Stats(); s.Away != before.Away+2 || s.Sent != before.Sent || q.out.msgs != 0 {
		t.Errorf("without a connection %d messages are counted as dropped, want 2, and %d as sent", s.Away-before.Away, s.Sent-before.Sent)
	}

	// The goroutine ends when the fleet is closed, with everything done.
	must(t, q.publish("out.last", "", append(q.buffer(), "x"...)))
	q.closed = true
	q.write()
	if n := q.Stats().Away; n != before.Away+3 {
		t.Errorf("%d messages are counted, want 3", n-before.Away)
	}
}

// A message is too old when its age is more than MaxDelay.
func TestTheAgeOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{MaxDelay: time.Minute})
		must(t, q.publish("x", "", []byte("too old")))
		time.Sleep(time.Nanosecond)
		must(t, q.publish("x", "", []byte("not too old")))
		time.Sleep(time.Minute)
		close(q.out.wake)
		q.write()
		if s := q.Stats(); s.OutOld != 1 || s.Away != 1 { // there is no NATS
			t.Errorf("%d messages are too old, and %d are for NATS, want 1 and 1", s.OutOld, s.Away)
		}
	})
}

// The writing goroutine looks for a beat amid messages at most every 100 ms.
func TestHowOftenTheWritingGoroutineLooksForABeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{MaxDelay: time.Minute})
		looks := func(what string, want time.Time) {
			t.Helper()
			must(t, q.publish("x", "", []byte("x")))
			close(q.out.wake)
			q.write()
			if q.out.wake = make(chan struct{}, 1); !q.out.looked.Equal(want) {
				t.Errorf("%s: it has looked %v after the first time", what, q.out.looked.Sub(want))
			}
		}
		begun := time.Now()
		looks("at once", begun)
		time.Sleep(beatLook - 1)
		looks("soon", begun)
		time.Sleep(time.Nanosecond)
		looks("after that time", begun.Add(beatLook))
		q.publishBeat(make([]byte, 3, 1000))
		looks("soon after that", begun.Add(beatLook))
		if !slices.ContainsFunc(q.out.free, func(b []byte) bool { return cap(b) == 1000 }) {
			t.Error("the memory of a beat is not kept for other messages")
		}
	})
}

// What tells of a node goes to NATS when there is no room for messages, before those that wait, however old it is. The newest one goes.
func TestABeatDoesNotWait(t *testing.T) {
	q := newQuiet(t, Config{MaxPending: 2, MaxDelay: time.Minute})
	other, got := q.plug(">")
	fill := func() {
		t.Helper()
		must(t, q.publish("out.a", "", []byte("a")))
		must(t, q.publish("out.b", "", []byte("b")))
		if err := q.publish("out.c", "", []byte("c")); err != ErrFull {
			t.Errorf("a third message: %v, want ErrFull", err)
		}
	}
	beats := uint64(0) // bytes of the beats
	write := func(what string, want ...string) {
		t.Helper()
		beats += uint64(len(q.out.beat.data))
		close(q.out.wake)
		q.write()
		q.out.wake = make(chan struct{}, 1)
		must(t, q.nc.Flush())
		for _, subject := range want {
			if m := testkit.Next(t, what, got); m.Subject != subject {
				t.Fatalf("%s: a message to %q, want one to %q", what, m.Subject, subject)
			}
		}
		must(t, other.Flush())
		if len(got) != 0 || q.out.msgs != 0 || q.out.bytes != 0 || q.out.beat.data != nil {
			t.Errorf("%s: %d messages more, and %d with %d bytes wait", what, len(got), q.out.msgs, q.out.bytes)
		}
	}
	fill()
	now := time.Now()
	q.nodes.self.Name = "old"
	q.beat(now, false)
	q.nodes.self.Name = "new"
	q.beat(now, false)
	if len(q.out.wake) != 1 || !strings.Contains(string(q.out.beat.data), `"new"`) {
		t.Errorf("the writing goroutine has %d tokens, and gets %s", len(q.out.wake), q.out.beat.data)
	}
	write("a beat overtakes messages", q.beatSubject(), "out.a", "out.b")
	fill()
	q.beat(now, false)
	q.out.looked = now.Add(time.Hour)
	write("the goroutine has looked a moment ago", "out.a", "out.b", q.beatSubject())
	fill()
	q.beat(now, true)
	q.closed = true
	q.out.looked = time.Time{}
	write("the last beat is behind what the node has said", "out.a", "out.b", q.beatSubject())
	sent := q.Stats()
	if sent.Sent != 9 || sent.SentBytes != 6+beats || sent.OutDropped != 3 || sent.Away != 0 {
		t.Errorf("%d messages with %d bytes are sent, %d dropped and %d dropped without NATS; want 9 with %d, 3 and 0", sent.Sent, sent.SentBytes, sent.OutDropped, sent.Away, 6+beats)
	}
	q.beat(now, false)
	if q.out.beat.data != nil {
		t.Error("a beat waits after Close")
	}
	q.closed = false
	q.away.Store(true)
	q.beat(now, false)
	q.away.Store(false)
	q.nc.Close()
	q.beat(now, false)
	close(q.out.wake)
	q.write()
	if s := q.Stats(); s.Away != 2 || s.Sent != sent.Sent || q.out.beat.data != nil {
		t.Errorf("without NATS: %d beats are dropped and %d sent, want 2 and none", s.Away, s.Sent-sent.Sent)
	}
}

func single(text string) <-chan string {
	c := make(chan string, 1)
	c <- text
	return c
}

// Where other messages have no room any more, the answers of NATS have as much again.
func TestAnswersOfNATSHaveMoreRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQuiet(t, Config{MaxPending: 2, MaxPendingBytes: 10})
		q.running.Go(q.collect)
		arrives := func(what string, m *nats.Msg, waiting, bytes int) {
			t.Helper()
			q.in.arrived <- m
			synctest.Wait()
			if q.in.waiting != waiting || q.in.bytes != bytes {
				t.Errorf("%s: %d messages with %d bytes wait, want %d with %d", what, q.in.waiting, q.in.bytes, waiting, bytes)
			}
		}
		five, nobody := make([]byte, 5), nats.Header{"Status": {"503"}}
		arrives("a message", &nats.Msg{Data: five}, 1, 5)
		arrives("one more", &nats.Msg{Data: five}, 2, 10)
		arrives("there is no room", &nats.Msg{}, 2, 10)
		arrives("an answer of NATS", &nats.Msg{Header: nobody}, 3, 10)
		arrives("there is no room for a message with a header", &nats.Msg{Header: nobody, Data: five}, 3, 10)
		arrives("another answer", &nats.Msg{Header: nobody}, 4, 10)
		arrives("an answer too many", &nats.Msg{Header: nobody}, 4, 10)
		close(q.stop)
		q.running.Wait()
	})
}

// What waits for the processing goroutine is bounded by its number and by its bytes, and processed in order.
func TestLimitsOfWhatOtherNodesSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 40
		q := newQuiet(t, Config{MaxPending: 3, MaxPendingBytes: limit})
		q.running.Go(q.collect)
		arrive := func(sizes ...int) {
			for _, n := range sizes {
				q.in.arrived <- &nats.Msg{Data: make([]byte, n)}
			}
			synctest.Wait()
		}
		waits := func(what string, msgs, bytes int, s Stats) {
			t.Helper()
			got := q.Stats()
			if q.in.waiting != msgs || q.in.bytes != bytes || got.Received != s.Received || got.ReceivedBytes != s.ReceivedBytes ||
				got.InDropped != s.InDropped || got.Malformed != s.Malformed {
				t.Errorf("%s: %d messages with %d bytes wait, want %d with %d; %+v, want %+v", what, q.in.waiting, q.in.bytes, msgs, bytes, got, s)
			}
		}
		arrive(limit + 1)
		waits("too many bytes at once", 0, 0, Stats{Received: 1, ReceivedBytes: limit + 1, InDropped: 1})
		arrive(limit)
		waits("as many bytes as fit", 1, limit, Stats{Received: 2, ReceivedBytes: 2*limit + 1, InDropped: 1})
		arrive(1, 0)
		waits("one byte more, and none", 2, limit, Stats{Received: 4, ReceivedBytes: 2*limit + 2, InDropped: 2})
		arrive(0, 0)
		waits("as many messages as fit, and one more", 3, limit, Stats{Received: 6, ReceivedBytes: 2*limit + 2, InDropped: 3})
		if len(q.in.msgs) != 3 || len(q.in.wake) != 1 {
			t.Errorf("%d messages wait with %d tokens, want 3 and 1", len(q.in.msgs), len(q.in.wake))
		}

		q.running.Go(q.process)
		synctest.Wait()
		waits("processed", 0, 0, Stats{Received: 6, ReceivedBytes: 2*limit + 2, InDropped: 3, Malformed: 3})
		all := q.in.spare[:cap(q.in.spare)]
		if len(q.in.msgs) != 0 || len(all) < 3 || slices.ContainsFunc(all, func(m *nats.Msg) bool { return m != nil }) {
			t.Errorf("%d messages wait, and the memory of %d is kept with what is in it", len(q.in.msgs), len(all))
		}
		arrive(1, 2)
		waits("two more", 0, 0, Stats{Received: 8, ReceivedBytes: 2*limit + 5, InDropped: 3, Malformed: 5})
		arrive(3)
		waits("one more", 0, 0, Stats{Received: 9, ReceivedBytes: 2*limit + 8, InDropped: 3, Malformed: 6})
		if len(q.in.msgs) != 0 || &all[0] != &q.in.spare[:1][0] && &all[0] != &q.in.msgs[:1][0] {
			t.Error("the memory of messages is not used again")
		}
		close(q.stop)
		q.running.Wait()
	})
}

// What is no message of another node is counted as malformed, or is the report that nobody has got a message.
func TestMessagesThatANodeReceives(t *testing.T) {
	q := newQuiet(t, Config{})
	from := instance{1}
	envelope := func(k kind, from instance) []byte { return appendHeader(nil, k, from) }
	nobody := nats.Header{"Status": {"503"}}
	for _, c := range []struct {
		what               string
		m                  nats.Msg
		malformed, notHere uint64
	}{
		{"nobody has got a message to a player", nats.Msg{Subject: q.inboxSubject("x"), Header: nobody}, 0, 1},
		{"another status", nats.Msg{Subject: q.inboxSubject("x"), Header: nats.Header{"Status": {"404"}}}, 1, 0},
		{"no status", nats.Msg{Subject: q.inboxSubject("x")}, 1, 0},
		{"a status, and data", nats.Msg{Subject: q.inboxSubject("x"), Header: nobody, Data: []byte("x")}, 1, 0},
		{"nobody has got something else", nats.Msg{Subject: q.inboxSubject("y"), Header: nobody}, 0, 0},
		{"no such kind", nats.Msg{Data: envelope(200, from)}, 1, 0},
		{"no such kind, of this node", nats.Msg{Data: envelope(200, q.me)}, 0, 0},
		{"no body", nats.Msg{Data: envelope(kindGroup, from)}, 1, 0},
		{"an answer that nobody waits for", nats.Msg{Subject: q.inboxSubject("r", "1"), Data: envelope(kindAnswer, from)}, 0, 0},
		{"an answer to nothing", nats.Msg{Subject: q.inboxSubject("r", "?"), Data: envelope(kindAnswer, from)}, 1, 0},
	} {
		q.counts = Stats{}
		q.receive(&c.m)
		if s := q.Stats(); s.Malformed != c.malformed || s.NotHere != c.notHere {
			t.Errorf("%s: %d messages are counted as malformed, want %d; %d for players who are nowhere, want %d", c.what, s.Malformed, c.malformed, s.NotHere, c.notHere)
		}
	}
}

// Sessions that open and end after Close cost no memory.
func TestSessionsAfterClose(t *testing.T) {
	q := newQuiet(t, Config{})
	q.claims.kv = &bucket{}
	must(t, q.Close())
	q.out.ops = nil
	for i := range 3 {
		c := q.join(fmt.Sprint("p", i)).server
		q.opened(c)
		q.ended(c)
	}
	if len(q.out.ops)+len(q.players)+len(q.claims.queue) != 0 {
		t.Errorf("%d steps for NATS wait, %d players are there, and %d names wait", len(q.out.ops), len(q.players), len(q.claims.queue))
	}
}
