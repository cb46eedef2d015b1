package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A recorder is a Host whose members are numbers. It writes down what the loop calls.
type recorder struct {
	t       *testing.T
	loop    *Loop[int]
	entries map[int]*Entry
	due     map[int]time.Time // deadlines
	news    map[int]bool
	calls   []string
	deliver func(m int)
	inbox   Inbox[int]
	next    time.Time

	unlocked int // calls of Unlocked
}

func newRecorder(t *testing.T, socket Socket, c Config) *recorder {
	r := &recorder{t: t, entries: map[int]*Entry{}, due: map[int]time.Time{}, news: map[int]bool{}, deliver: func(int) {}}
	r.loop = New[int](r, socket, c)
	return r
}

func (r *recorder) call(format string, args ...any) {
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

// want compares the calls since the last want.
func (r *recorder) want(what string, calls ...string) {
	r.t.Helper()
	if !slices.Equal(r.calls, calls) {
		r.t.Errorf("%s: %q, want %q", what, r.calls, calls)
	}
	r.calls = nil
}

func (r *recorder) locked(f func()) {
	r.loop.Lock()
	defer r.loop.Unlock()
	f()
}

func (r *recorder) turn() error {
	_, err := r.loop.Turn(Past)
	return err
}

func (r *recorder) Entry(m int) *Entry {
	if r.entries[m] == nil {
		r.entries[m] = &Entry{}
	}
	return r.entries[m]
}

func (r *recorder) Receive(_ time.Time, batch []udpio.Datagram) {
	if r.loop.Stats.Turns > 1<<18 {
		r.t.Fatal("turns without end")
	}
	for _, d := range batch {
		r.call("datagram %s", d.B)
		r.loop.Touch(int(d.B[0] - '0'))
	}
	for _, m := range r.inbox.Take() {
		r.call("inbox %d", m)
		r.loop.Touch(m)
	}
}
func (r *recorder) Advance(_ time.Time, m int) { r.call("advance %d", m); delete(r.due, m) }
func (r *recorder) Ready(m int) bool           { n := r.news[m]; r.news[m] = false; return n }
func (r *recorder) Unlocked()                  { r.locked(func() { r.unlocked++ }) }
func (r *recorder) Deliver(m int)              { r.call("deliver %d", m); r.deliver(m) }
func (r *recorder) Abandon()                   { r.call("abandon") }
func (r *recorder) Settle(_ time.Time, m int)  { r.call("settle %d", m) }
func (r *recorder) Send(_ time.Time, m int) {
	r.call("send %d", m)
	r.loop.Push(append(r.loop.Slot(), byte('0'+m)), netip.AddrPort{}, netip.Addr{})
}
func (r *recorder) Deadline(m int) time.Time { return r.due[m] }
func (r *recorder) NextDeadline() time.Time  { return r.next }

// A script is a Socket that returns batches, and then only waits for its Bell.
type script struct {
	*Bell
	in  [][]string
	out []string
}

var errBroken = errors.New("broken")

func (s *script) ReadBatch(ds []udpio.Datagram) (int, error) {
	if len(s.in) == 0 {
		return s.Bell.ReadBatch(ds)
	}
	batch := s.in[0]
	s.in = s.in[1:]
	for i, b := range batch {
		if b == "broken" {
			return 0, errBroken
		}
		ds[i].B = append(ds[i].B[:0], b...)
	}
	return len(batch), nil
}

func (s *script) WriteBatch(ds []udpio.Datagram) (int, error) {
	for _, d := range ds {
		s.out = append(s.out, string(d.B))
	}
	return len(ds), nil
}

var sizes = Config{Batch: 4, InSize: 8, OutSize: 8}

// A turn takes everything in, runs the handlers, and then lets everything out; what is
// touched meanwhile waits for the next turn.
func TestOrderOfATurn(t *testing.T) {
	s := &script{Bell: NewBell(), in: [][]string{{"1", "2", "1"}}}
	r := newRecorder(t, s, sizes)
	r.news[1] = true
	r.due[3] = time.Now().Add(-time.Second)
	r.locked(func() {
		r.loop.Time(3)
		*r.inbox.Add() = 4
	})
	r.deliver = func(int) {
		for _, m := range []int{1, 5} {
			r.loop.Lock()
			r.loop.Release(m, false, m == 5)
		}
		r.call("the handler returns")
	}
	if n, err := r.loop.Turn(time.Time{}); n != 3 || err != nil {
		t.Errorf("%d datagrams, %v", n, err)
	}
	r.want("the turn", "datagram 1", "datagram 2", "datagram 1", "inbox 4", "advance 3",
		"deliver 1", "the handler returns",
		"settle 1", "settle 2", "settle 4", "settle 3", "send 5")
	if !slices.Equal(s.out, []string{"5"}) {
		t.Errorf("%q left", s.out)
	}
	if st := r.loop.Stats; st.Turns != 1 || st.DatagramsIn != 3 || st.BytesIn != 3 || st.DatagramsOut != 1 || st.BytesOut != 1 {
		t.Errorf("%+v", st)
	}
	if _, err := r.loop.Turn(time.Time{}); err != nil { // it does not wait: there is news
		t.Error(err)
	}
	r.want("the next turn", "settle 5")
}

// A call outside a turn sends at once; with later or Config.Manual, at Flush or at the end
// of the next turn, once.
func TestWhenCallsAreSent(t *testing.T) {
	for _, c := range []struct {
		name          string
		manual, later bool
		atOnce        bool
	}{{"a call", false, false, true}, {"later", false, true, false}, {"manual", true, false, false}} {
		c2 := sizes
		c2.Manual = c.manual
		s := &script{Bell: NewBell()}
		r := newRecorder(t, s, c2)
		for range 2 {
			r.loop.Lock()
			r.loop.Release(1, c.later, false)
		}
		if c.atOnce {
			r.want(c.name, "send 1", "send 1")
			continue
		}
		r.want(c.name)
		r.loop.Flush()
		r.want(c.name+", flushed", "send 1")
		r.loop.Flush()
		r.want(c.name + ", flushed again")
		r.loop.Lock()
		r.loop.Release(1, c.later, false)
		if err := r.turn(); err != nil {
			t.Error(err)
		}
		r.want(c.name+", after a turn", "send 1")
		if len(s.out) != 2 {
			t.Errorf("%s: %q left", c.name, s.out)
		}
	}
}

// A loop waits until the first of: a member's deadline, the host's, the caller's, and Wake.
func TestWhatEndsAWait(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(r *recorder, at time.Time)
		call bool // by Turn's own limit
	}{
		"a member": {set: func(r *recorder, at time.Time) {
			r.due[1] = at
			r.locked(func() { r.loop.Time(1); r.loop.SendBatch() })
		}},
		"the host":   {set: func(r *recorder, at time.Time) { r.next = at; r.locked(func() { r.loop.SendBatch() }) }},
		"the caller": {call: true, set: func(*recorder, time.Time) {}},
		"Wake": {set: func(r *recorder, at time.Time) {
			go func() {
				time.Sleep(time.Until(at))
				r.locked(r.loop.Wake)
			}()
		}},
		"a call with a deadline, amid the wait": {call: true, set: func(r *recorder, at time.Time) {
			go func() {
				time.Sleep(time.Second)
				r.due[1] = at.Add(time.Hour)
				r.loop.Lock()
				r.loop.Release(1, false, false)
			}()
		}},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRecorder(t, NewBell(), sizes)
			start := time.Now()
			at := start.Add(3 * time.Second)
			c.set(r, at)
			until := start.Add(time.Hour)
			if c.call {
				until = at
			}
			if _, err := r.loop.Turn(until); err != nil || !time.Now().Equal(at) {
				t.Errorf("%s: the wait ends after %v, %v", name, time.Since(start), err)
			}
		})
	}
}

// A member that is over is not due any more.
func TestForgottenMembersAreNotDue(t *testing.T) {
	r := newRecorder(t, NewBell(), sizes)
	r.due[1] = time.Now()
	r.locked(func() { r.loop.Time(1); r.loop.Remove(1) })
	if err := r.turn(); err != nil || !r.loop.State().Timer.IsZero() {
		t.Errorf("%v, %+v", err, r.loop.State())
	}
	r.want("the turn")
}

// A closed loop ends when its handlers have run; what they leave for others is told first.
func TestClosedLoopRunsTheLastHandlers(t *testing.T) {
	r := newRecorder(t, &script{Bell: NewBell()}, sizes)
	r.news[1] = true
	r.deliver = func(m int) {
		if m < 3 {
			r.locked(func() {
				r.news[m+1] = true
				r.loop.Touch(m + 1)
				r.loop.Wake()
			})
		}
	}
	r.locked(func() {
		r.loop.Touch(1)
		r.loop.Close()
	})
	if err := r.loop.Run(); err != ErrEnded {
		t.Error(err)
	}
	r.want("the last turns", "deliver 1", "settle 1", "deliver 2", "settle 2", "deliver 3", "settle 3")
	if err := r.turn(); err != ErrEnded {
		t.Errorf("after the end: %v", err)
	}
}

// When the socket fails, Turn says so, and Drain runs the last handlers and sends nothing.
func TestBrokenSocket(t *testing.T) {
	s := &script{Bell: NewBell(), in: [][]string{{"broken"}}}
	r := newRecorder(t, s, sizes)
	r.news[1] = true
	r.locked(func() { r.loop.Touch(1) })
	if err := r.loop.Run(); err != errBroken {
		t.Error(err)
	}
	r.loop.Drain()
	if !r.loop.TryLock() {
		t.Error("Drain keeps the lock")
	}
	r.want("drained", "deliver 1")
	if len(s.out) != 0 {
		t.Errorf("%q left", s.out)
	}
}

// A handler may panic in Drain, too: the caller gets the panic, with the lock free, and a
// further Drain runs the other handlers.
func TestPanicInDrain(t *testing.T) {
	r := newRecorder(t, &script{Bell: NewBell(), in: [][]string{{"broken"}}}, sizes)
	r.news[1], r.news[2] = true, true
	r.deliver = func(m int) {
		if m == 1 {
			r.news[2] = true // as in TestPanicOfAHandler
			panic("a handler")
		}
	}
	r.locked(func() { r.loop.Touch(1); r.loop.Touch(2) })
	if err := r.loop.Run(); err != errBroken {
		t.Error(err)
	}
	func() {
		defer func() {
			if p := recover(); p != "a handler" {
				t.Error(p)
			}
		}()
		r.loop.Drain()
	}()
	r.calls = nil
	r.loop.Drain()
	r.want("drained", "deliver 2")
}

// A loop that is closed while it takes its last turn does not wait in a further one, in
// which Close looks for the last handlers.
func TestLoopClosedDuringATurnDoesNotWaitAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, &script{Bell: NewBell(), in: [][]string{{"1"}}}, sizes)
		r.news[1] = true
		r.next = time.Now().Add(time.Hour)
		r.deliver = func(int) { r.locked(r.loop.Close) }
		for range 2 {
			if err := r.loop.Run(); err != ErrEnded || !time.Now().Equal(r.next.Add(-time.Hour)) {
				t.Errorf("%v, %v before the deadline", err, time.Until(r.next))
			}
		}
	})
}

// A handler that panics, and whose program recovers, ends its turn: the others are told in
// the next one, and the memory of what they get is not used again.
func TestPanicOfAHandler(t *testing.T) {
	s := &script{Bell: NewBell(), in: [][]string{{"1", "2"}, {"3"}}}
	r := newRecorder(t, s, sizes)
	r.news[1], r.news[2] = true, true
	r.deliver = func(m int) {
		if m == 1 {
			r.news[2] = true // Ready of a real member keeps what is not told yet
			panic("a handler")
		}
	}
	first := &r.loop.in[0].B[:1][0]
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nobody has panicked")
			}
		}()
		r.loop.Turn(time.Time{})
	}()
	r.want("the turn", "datagram 1", "datagram 2", "deliver 1", "abandon", "settle 1", "settle 2")
	if r.loop.State().Busy {
		t.Error("the loop believes that it is in a turn")
	}
	if &r.loop.in[0].B[:1][0] == first {
		t.Error("the memory of the batch is used again")
	}
	if err := r.turn(); err != nil {
		t.Error(err)
	}
	r.want("the next turn", "datagram 3", "deliver 2", "settle 1", "settle 2", "settle 3")
}

// A batch that is full leaves, and more than one fits a turn.
func TestOutgoingBatches(t *testing.T) {
	s := &script{Bell: NewBell()}
	r := newRecorder(t, s, sizes)
	r.locked(func() {
		for m := range 9 {
			r.Send(time.Now(), m)
			r.loop.Push(r.loop.Slot(), netip.AddrPort{}, netip.Addr{}) // nothing to say
		}
		r.loop.SendBatch()
	})
	if len(s.out) != 9 || s.out[8] != "8" || r.loop.Stats.DatagramsOut != 9 {
		t.Errorf("%q left, %d are counted", s.out, r.loop.Stats.DatagramsOut)
	}
}

// An Inbox uses its memory again, except that of a burst, and after Abandon.
func TestInboxKeepsItsMemory(t *testing.T) {
	var b Inbox[[]byte]
	add := func(n int) {
		for range n {
			p := b.Add()
			*p = append((*p)[:0], "x"...)
		}
	}
	add(2)
	one := b.Take()
	add(1)
	if b.Len() != 1 || len(one) != 2 || string(one[1]) != "x" {
		t.Errorf("%d wait, %q are taken", b.Len(), one)
	}
	b.Take()
	if p := b.Add(); &(*p)[:1][0] != &one[0][0] {
		t.Error("the memory of an item is not used again")
	}
	b.Undo()
	b.Take()
	add(1)
	b.Take()
	b.Abandon()
	if b.Take(); cap(b.next) != 0 {
		t.Error("memory is used again after Abandon")
	}
	add(100 * keptItems)
	for range 4 {
		b.Take()
		add(1)
	}
	if cap(b.next) > keptItems || cap(b.taken) > keptItems {
		t.Errorf("room for %d and %d items is kept", cap(b.next), cap(b.taken))
	}
}

// A Bell returns at its deadline, whoever sets it and when, and not before.
func TestBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := NewBell(), time.Now()
		after := func(what string, want time.Duration) {
			t.Helper()
			if n, err := b.ReadBatch(nil); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != want {
				t.Errorf("%s: after %v, %v", what, time.Since(start), err)
			}
		}
		b.SetReadDeadline(start)
		after("now", 0)
		b.SetReadDeadline(Past)
		after("in the past", 0)
		b.SetReadDeadline(start.Add(time.Second))
		after("later", time.Second)
		for what, set := range map[string][]time.Duration{
			"sooner": {time.Hour, 5 * time.Second}, "later after all": {3 * time.Second, 5 * time.Second},
			"from none": {0, 5 * time.Second}, "none, then again": {3 * time.Second, 0, 5 * time.Second},
		} {
			start = time.Now()
			go func() {
				for i, d := range set {
					if i > 0 {
						time.Sleep(time.Second)
					}
					if d == 0 {
						b.SetReadDeadline(time.Time{})
					} else {
						b.SetReadDeadline(start.Add(d))
					}
				}
			}()
			synctest.Wait()
			after(what, 5*time.Second)
		}
	})
}
