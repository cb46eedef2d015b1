package loop

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A recorder is a Host whose members are numbers. It records the calls of the loop.
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

	unlocked int // number of calls of Unlocked
	asked    int // number of calls of Deadline
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
		r.t.Fatalf("more than %d turns: the loop does not end", 1<<18)
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
func (r *recorder) Deadline(m int) time.Time { r.asked++; return r.due[m] }
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

// A turn receives all datagrams, runs the handlers, and then sends all datagrams. A member that
// is touched while handlers run waits for the next turn.
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
		t.Errorf("Turn returns %d datagrams, %v; want 3, nil", n, err)
	}
	r.want("the turn", "datagram 1", "datagram 2", "datagram 1", "inbox 4", "advance 3",
		"deliver 1", "the handler returns",
		"settle 1", "settle 2", "settle 4", "settle 3", "send 5")
	if !slices.Equal(s.out, []string{"5"}) {
		t.Errorf("the datagrams %q are sent, want 5", s.out)
	}
	if st := r.loop.Stats; st.Turns != 1 || st.DatagramsIn != 3 || st.BytesIn != 3 || st.DatagramsOut != 1 || st.BytesOut != 1 {
		t.Errorf("%+v, want 1 turn, 3 datagrams in, 1 out, and as many bytes", st)
	}
	if _, err := r.loop.Turn(time.Time{}); err != nil { // it does not wait, because there is news
		t.Error(err)
	}
	r.want("the next turn", "settle 5")
}

// A call outside a turn sends its datagrams at once. With later or Config.Manual they are sent
// once, at Flush or at the end of the next turn.
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
			t.Errorf("%s: the datagrams %q are sent, want 2", c.name, s.out)
		}
	}
}

// A loop waits until the deadline of a member, of the host or of the caller, or until Wake,
// whichever comes first.
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
				t.Errorf("%s: the wait ends after %v, want %v; error %v", name, time.Since(start), at.Sub(start), err)
			}
		})
	}
}

// A deadline that has become later, as that of consent does at each check, does not end the wait.
func TestALaterDeadlineTakesNoTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, NewBell(), sizes)
		start := time.Now()
		for m := range 3 {
			r.due[m] = start.Add(time.Duration(m+1) * lookAhead / 3)
			r.locked(func() { r.loop.Time(m); r.loop.SendBatch() })
		}
		r.due[0] = start.Add(5 * lookAhead)
		delete(r.due, 1)
		r.locked(func() { r.loop.Time(0); r.loop.Time(1); r.loop.SendBatch() })
		for _, want := range []time.Duration{lookAhead, 5 * lookAhead} {
			if _, err := r.loop.Turn(start.Add(time.Hour)); err != nil || time.Since(start) != want {
				t.Errorf("a turn begins after %v, want %v; error %v", time.Since(start), want, err)
			}
		}
		r.want("the two turns", "advance 2", "settle 2", "advance 0", "settle 0")
	})
}

// A turn long before the first deadline does not look at the member. One in lookAhead does, and so
// does Due then, also if there was no turn since long.
func TestAFarDeadlineIsNotLookedAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, NewBell(), sizes)
		start := time.Now()
		first, then := start.Add(15*time.Second), start.Add(27*time.Second)
		r.due[0] = first
		r.locked(func() { r.loop.Time(0) })
		r.due[0] = then
		for i, c := range []struct {
			at, timer time.Time
			asked     int
		}{{start, first, 0}, {first.Add(-lookAhead - 1), first, 0}, {first.Add(-lookAhead), then, 1}} {
			time.Sleep(time.Until(c.at))
			r.asked = 0
			r.locked(func() { r.loop.Wake() })
			if _, err := r.loop.Turn(time.Time{}); err != nil {
				t.Fatal(err)
			}
			if got := r.loop.State(); !got.Timer.Equal(c.timer) || !got.Deadline.Equal(c.timer) || r.asked != c.asked {
				t.Errorf("turn %d waits for %v and looks at %d members, want %v and %d", i, got.Deadline.Sub(start), r.asked, c.timer.Sub(start), c.asked)
			}
		}
		r.due[0] = then.Add(time.Minute)
		time.Sleep(time.Until(then.Add(-lookAhead)))
		if got := r.loop.Due(); !got.Equal(r.due[0]) {
			t.Errorf("a second before the first deadline Due returns %v, want %v", got.Sub(start), r.due[0].Sub(start))
		}
	})
}

// A member that is over is not due any more.
func TestForgottenMembersAreNotDue(t *testing.T) {
	r := newRecorder(t, NewBell(), sizes)
	r.due[1] = time.Now()
	r.locked(func() { r.loop.Time(1); r.loop.Remove(1) })
	if err := r.turn(); err != nil || !r.loop.State().Timer.IsZero() {
		t.Errorf("the turn ends with %v; the timer is %v, want none", err, r.loop.State().Timer)
	}
	r.want("the turn")
}

// A closed loop ends when its handlers have run. News that they cause for other members is
// delivered first.
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
		t.Errorf("Turn after the end: %v, want ErrEnded", err)
	}
}

// If the socket fails, Turn returns the error, and Drain runs the last handlers, sends nothing
// and keeps no member.
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
		t.Error("Drain does not unlock")
	}
	r.want("drained", "deliver 1")
	if kept := r.loop.turn[:cap(r.loop.turn)]; slices.Contains(kept, 1) {
		t.Errorf("the loop keeps the members %v, want none", kept)
	}
	if len(s.out) != 0 {
		t.Errorf("the datagrams %q are sent, want none", s.out)
	}
}

// If a handler panics in Drain, the caller gets the panic, the loop is unlocked, and a further
// Drain runs the other handlers.
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
				t.Errorf("Drain panics with %v, want the value of the handler", p)
			}
		}()
		r.loop.Drain()
	}()
	r.calls = nil
	r.loop.Drain()
	r.want("drained", "deliver 2")
}

// A loop that is closed during its last turn does not wait in a further turn, in which Close
// runs the last handlers.
func TestLoopClosedDuringATurnDoesNotWaitAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, &script{Bell: NewBell(), in: [][]string{{"1"}}}, sizes)
		r.news[1] = true
		r.next = time.Now().Add(time.Hour)
		r.deliver = func(int) { r.locked(r.loop.Close) }
		for range 2 {
			if err := r.loop.Run(); err != ErrEnded || !time.Now().Equal(r.next.Add(-time.Hour)) {
				t.Errorf("Run returns %v, %v before the deadline; want ErrEnded, an hour before it", err, time.Until(r.next))
			}
		}
	})
}

// A handler that panics ends its turn if the program recovers. The other members get their news
// in the next turn, and the memory of the batch is not used again.
func TestPanicOfAHandler(t *testing.T) {
	s := &script{Bell: NewBell(), in: [][]string{{"1", "2"}, {"3"}}}
	r := newRecorder(t, s, sizes)
	r.news[1], r.news[2] = true, true
	r.deliver = func(m int) {
		if m == 1 {
			r.news[2] = true // Ready of a real member keeps the news that is not delivered yet
			panic("a handler")
		}
	}
	first := &r.loop.in[0].B[:1][0]
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the handler does not reach the caller")
			}
		}()
		r.loop.Turn(time.Time{})
	}()
	r.want("the turn", "datagram 1", "datagram 2", "deliver 1", "abandon", "settle 1", "settle 2")
	if r.loop.State().Busy {
		t.Error("State().Busy = true after the turn")
	}
	if &r.loop.in[0].B[:1][0] == first {
		t.Error("the memory of the batch is used again")
	}
	if err := r.turn(); err != nil {
		t.Error(err)
	}
	r.want("the next turn", "datagram 3", "deliver 2", "settle 1", "settle 2", "settle 3")
}

// A full batch is sent, and one turn may send several.
func TestOutgoingBatches(t *testing.T) {
	s := &script{Bell: NewBell()}
	r := newRecorder(t, s, sizes)
	r.locked(func() {
		for m := range 9 {
			r.Send(time.Now(), m)
			r.loop.Push(r.loop.Slot(), netip.AddrPort{}, netip.Addr{}) // an empty datagram is not sent
		}
		r.loop.SendBatch()
	})
	if len(s.out) != 9 || s.out[8] != "8" || r.loop.Stats.DatagramsOut != 9 {
		t.Errorf("the datagrams %q are sent, want 9; %d are counted", s.out, r.loop.Stats.DatagramsOut)
	}
}

// An Inbox uses its memory again, except the memory of a burst, and after Abandon.
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
		t.Errorf("%d items wait, want 1; %q are taken, want 2", b.Len(), one)
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
		t.Error("the memory is used again after Abandon")
	}
	add(100 * keptItems)
	for range 4 {
		b.Take()
		add(1)
	}
	if cap(b.next) > keptItems || cap(b.taken) > keptItems {
		t.Errorf("memory for %d and %d items is kept, want at most %d", cap(b.next), cap(b.taken), keptItems)
	}
}

// A Bell returns at its deadline, and not before, whoever sets the deadline and when.
func TestBell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, start := NewBell(), time.Now()
		after := func(what string, want time.Duration) {
			t.Helper()
			if n, err := b.ReadBatch(nil); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != want {
				t.Errorf("%s: %d datagrams after %v, %v; want none after %v, ErrDeadlineExceeded", what, n, time.Since(start), err, want)
			}
		}
		b.SetReadDeadline(start)
		after("now", 0)
		b.SetReadDeadline(Past)
		after("in the past", 0)
		b.SetReadDeadline(start.Add(math.MinInt64)) // time.Until of the zero time is as long ago
		after("as long ago as a Duration can be", 0)
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
