package loop

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// counting is a script that counts its calls, and whose batches take time.
type counting struct {
	script
	sizes     []int // sizes of the batches that were written
	deadlines int
	takes     time.Duration
}

func (s *counting) ReadBatch(ds []udpio.Datagram) (int, error) {
	time.Sleep(s.takes)
	return s.script.ReadBatch(ds)
}

func (s *counting) WriteBatch(ds []udpio.Datagram) (int, error) {
	s.sizes = append(s.sizes, len(ds))
	return s.script.WriteBatch(ds)
}

func (s *counting) SetReadDeadline(t time.Time) error {
	s.deadlines++
	return s.script.SetReadDeadline(t)
}

func newCounting(in ...[]string) *counting {
	return &counting{script: script{Bell: NewBell(), in: in}}
}

// batches returns n full batches.
func batches(n int) [][]string {
	return slices.Repeat([][]string{{"1", "1", "1", "1"}}, n)
}

// Unlocked runs before the first handler and at the end of a turn.
func TestUnlockedRunsTwiceInATurn(t *testing.T) {
	r := newRecorder(t, &script{Bell: NewBell()}, sizes)
	r.news[1] = true
	r.deliver = func(int) {
		if r.unlocked != 1 || !r.Entry(1).HasNews() || r.Entry(1).Touched() {
			t.Errorf("Unlocked has run %d times before the handler, want 1; the member is %+v", r.unlocked, r.Entry(1))
		}
	}
	r.locked(func() { r.loop.Touch(1); r.loop.Touch(2) })
	if !r.Entry(2).Touched() {
		t.Error("Touch in a handler does not touch the other member")
	}
	if err := r.turn(); err != nil || r.unlocked != 2 || r.Entry(2).HasNews() {
		t.Errorf("%v; Unlocked has run %d times, want 2; %+v", err, r.unlocked, r.Entry(2))
	}
}

// Stats.Handlers is the time of the handlers alone.
func TestTimeOfHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, NewBell(), sizes)
		r.deliver = func(int) { time.Sleep(time.Second) }
		for _, news := range []bool{true, false, true} {
			r.news[1], r.news[2] = news, news
			r.locked(func() { r.loop.Touch(1); r.loop.Touch(2); r.loop.Wake() })
			if _, err := r.loop.Turn(time.Time{}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if r.loop.Stats.Handlers != 4*time.Second {
			t.Errorf("Stats.Handlers = %v, want 4 s", r.loop.Stats.Handlers)
		}
	})
}

// After any change of a member its deadline is asked again, and the socket waits until then.
func TestWhenTheDeadlineIsAsked(t *testing.T) {
	at := time.Now().Add(time.Hour)
	release := func(later bool) func(r *recorder) {
		return func(r *recorder) { r.loop.Lock(); r.loop.Release(1, later, false) }
	}
	for name, c := range map[string]struct {
		manual bool
		do     func(r *recorder)
		armed  bool
	}{
		"a turn":                    {false, func(r *recorder) { r.locked(func() { r.loop.Touch(1) }); r.turn() }, true},
		"a call":                    {false, release(false), true},
		"a manual call, then Due":   {true, func(r *recorder) { release(false)(r); r.loop.Due() }, true},
		"a call for later, flushed": {false, func(r *recorder) { release(true)(r); r.Flush() }, true},
		"a datagram":                {false, func(r *recorder) { r.locked(func() { r.loop.Pushed(1) }) }, false},
		"a datagram, left":          {false, func(r *recorder) { r.locked(func() { r.loop.Pushed(1); r.loop.SendBatch() }) }, true},
	} {
		config := sizes
		config.Manual = c.manual
		r := newRecorder(t, newCounting(), config)
		r.due[1] = at
		c.do(r)
		st := r.loop.State()
		if !st.Timer.Equal(at) || st.Deadline.Equal(at) != c.armed {
			t.Errorf("%s: due at %v, want %v; the socket waits until %v, want that time: %v", name, st.Timer, at, st.Deadline, c.armed)
		}
	}
}

func (r *recorder) Flush() { r.loop.Flush() }

// The socket's deadline is set only when it changes.
func TestDeadlineIsSetOnce(t *testing.T) {
	s := newCounting()
	r := newRecorder(t, s, sizes)
	r.due[1] = time.Now().Add(time.Hour)
	r.locked(func() {
		for range 3 {
			r.loop.Time(1)
			r.loop.SendBatch()
		}
	})
	if s.deadlines != 1 {
		t.Errorf("the deadline is set %d times, want once", s.deadlines)
	}
}

// A call after a turn sends at once, like one before it. So does Flush.
func TestCallsAfterATurn(t *testing.T) {
	s := newCounting()
	r := newRecorder(t, s, sizes)
	r.locked(func() { r.loop.Touch(1) })
	r.turn()
	r.want("the turn", "settle 1")
	r.loop.Lock()
	r.loop.Release(1, false, false)
	if !slices.Equal(s.sizes, []int{1}) {
		t.Errorf("batches of %d datagrams after a call, want one of 1", s.sizes)
	}
	r.loop.Lock()
	r.loop.Release(1, true, false)
	if len(s.sizes) != 1 {
		t.Errorf("batches of %d datagrams before Flush, want one of 1", s.sizes)
	}
	r.loop.Flush()
	r.want("both", "send 1", "send 1")
	if !slices.Equal(s.sizes, []int{1, 1}) || !r.loop.Due().IsZero() {
		t.Errorf("batches of %d datagrams after Flush, want 1 and 1; the next turn is due at %v, want zero", s.sizes, r.loop.Due())
	}
	r.loop.Lock()
	r.loop.Release(1, false, true)
	if !r.loop.Due().Equal(Past) {
		t.Errorf("a member has news, and Due() = %v, want Past", r.loop.Due())
	}
}

// The members of a turn, and those whose datagrams were sent, are preloaded one by one, and the
// lists do not keep them.
func TestListsOfATurn(t *testing.T) {
	r := newRecorder(t, newCounting(), sizes)
	r.loop.Preload = func(list []int, i int) { r.call("preload %d", list[i]) }
	r.locked(func() { r.loop.Touch(1); r.loop.Touch(2) })
	r.loop.Lock()
	r.loop.Release(3, true, false)
	r.turn()
	r.want("the turn", "preload 1", "settle 1", "preload 2", "settle 2", "preload 3", "send 3")
	for _, list := range [][]int{r.loop.turn[:cap(r.loop.turn)], r.loop.later[:cap(r.loop.later)]} {
		if slices.Max(list) != 0 {
			t.Errorf("the lists keep %d members, want none", list)
		}
	}
}

// A Slot is memory for one datagram in the batch. A full batch is sent.
func TestSlots(t *testing.T) {
	s := newCounting()
	r := newRecorder(t, s, sizes)
	r.locked(func() {
		for m := range 9 {
			if b := r.loop.Slot(); len(b) != 0 || cap(b) != sizes.OutSize {
				t.Errorf("a slot has %d bytes and room for %d, want 0 and %d", len(b), cap(b), sizes.OutSize)
			}
			r.Send(time.Now(), m)
		}
		r.loop.SendBatch()
	})
	if !slices.Equal(s.sizes, []int{4, 4, 1}) {
		t.Errorf("batches of %d datagrams, want 4, 4 and 1", s.sizes)
	}
	to, via := netip.MustParseAddrPort("192.0.2.1:1"), netip.MustParseAddr("192.0.2.2")
	r.locked(func() { r.loop.Push(append(r.loop.Slot(), "x"...), to, via) })
	if d := r.loop.out[0]; string(d.B) != "x" || d.Remote != to || d.Local != via {
		t.Errorf("the datagram is %+v, want x to %v from %v", d, to, via)
	}
}

// A turn of a loop that has ended returns ErrEnded at once.
func TestTurnAfterTheEnd(t *testing.T) {
	r := newRecorder(t, NewBell(), sizes)
	r.locked(func() {
		if r.loop.Closed() {
			t.Error("Closed() = true before Close")
		}
		r.loop.Close()
		if !r.loop.Closed() {
			t.Error("Closed() = false after Close")
		}
	})
	for range 3 {
		if d := r.loop.Due(); !d.Equal(Past) {
			t.Fatalf("the next turn waits until %v, want Past", d)
		}
		if _, err := r.loop.Turn(time.Time{}); err != ErrEnded {
			t.Error(err)
		}
	}
}

// After a panic of a handler the next turn is due.
func TestTurnAfterAPanicIsDue(t *testing.T) {
	r := newRecorder(t, NewBell(), sizes)
	r.news[1] = true
	r.deliver = func(int) { panic("a handler") }
	r.locked(func() { r.loop.Touch(1) })
	func() {
		defer func() { recover() }()
		r.turn()
	}()
	if !r.loop.Due().Equal(Past) {
		t.Errorf("Due() = %v after a panic, want Past", r.loop.Due())
	}
	r.turn()
	if !r.loop.Due().IsZero() {
		t.Errorf("Due() = %v after the next turn, want zero", r.loop.Due())
	}
}

// Poll takes turns until a batch is not full, or until its bound of datagrams or of time.
func TestPollTakesWhatHasArrived(t *testing.T) {
	for name, c := range map[string]struct {
		in    [][]string
		takes time.Duration
		d     time.Duration
		want  uint64
	}{
		"nothing":                   {nil, 0, 0, 0},
		"a batch that is not full":  {[][]string{{"1"}, {"1"}}, 0, 0, 1},
		"full batches, then less":   {append(batches(2), []string{"1"}, []string{"1"}), 0, 0, 9},
		"full batches, then none":   {batches(2), 0, 0, 8},
		"full batches, in no time":  {batches(20), 300 * time.Millisecond, -time.Second, 80},
		"full batches, in a second": {batches(20), 250 * time.Millisecond, time.Second, 16},
		"more than one Poll takes":  {batches(MaxPolled/4 + 9), 0, 0, MaxPolled},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newCounting(c.in...)
			s.takes = c.takes
			r := newRecorder(t, s, sizes)
			if err := r.loop.Poll(c.d); err != nil || r.loop.Stats.DatagramsIn != c.want {
				t.Errorf("%s: %d datagrams, want %d; %v", name, r.loop.Stats.DatagramsIn, c.want, err)
			}
		})
	}
}

// Poll of a loop without a socket is one turn, which waits until its time.
func TestPollWithoutASocket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecorder(t, NewBell(), Config{})
		began := time.Now()
		if err := r.loop.Poll(time.Second); err != nil || time.Since(began) != time.Second || r.loop.Stats.Turns != 1 {
			t.Errorf("%d turns in %v, %v; want 1 in a second", r.loop.Stats.Turns, time.Since(began), err)
		}
		r.locked(r.loop.Wake)
		if err := r.loop.Poll(time.Second); err != nil || time.Since(began) != time.Second || r.loop.Stats.Turns != 2 {
			t.Errorf("after Wake: %d turns in %v, %v; want 2, and no second wait", r.loop.Stats.Turns, time.Since(began), err)
		}
		r.locked(r.loop.Close)
		if err := r.loop.Poll(time.Second); err != ErrEnded {
			t.Errorf("Poll after Close: %v, want ErrEnded", err)
		}
	})
}

// An Inbox frees the memory of a burst when less than a quarter of it is used, and keeps other
// memory.
func TestWhichMemoryAnInboxKeeps(t *testing.T) {
	for _, c := range []struct {
		first, next int // numbers of items that two Takes return
		kept        bool
	}{
		{8, 0, true}, {keptItems, 0, true}, {2 * keptItems, 0, false},
		{2 * keptItems, keptItems / 2, true}, {2 * keptItems, keptItems/2 - 1, false},
		{4 * keptItems, 4 * keptItems, true},
	} {
		var b Inbox[int]
		for range c.first {
			b.Add()
		}
		memory := &b.Take()[0]
		for range c.next {
			b.Add()
		}
		b.Take()
		if kept := b.Add() == memory; kept != c.kept {
			t.Errorf("%d items, then %d: the memory is kept: %v, want %v", c.first, c.next, kept, c.kept)
		}
	}
}

// Take does not return the item that Undo has removed.
func TestUndo(t *testing.T) {
	var b Inbox[int]
	*b.Add() = 1
	*b.Add() = 2
	b.Undo()
	if got := b.Take(); b.Len() != 0 || !slices.Equal(got, []int{1}) {
		t.Errorf("Take returns %d, want 1 alone", got)
	}
}
