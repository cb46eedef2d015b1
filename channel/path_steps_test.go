package channel

import (
	"slices"
	"testing"
	"time"
)

// A run counts packets that were lost above a size, and turns in which one was lost and a
// smaller one arrived. It ends when one arrives that is as large as the smallest lost one.
func TestARunOfLostPackets(t *testing.T) {
	const at = 7 * time.Millisecond
	var r run
	r.end()
	r.acked(1, MaxPacket)
	for i, step := range []struct {
		lost        bool
		n, next     uint64
		size        int
		count, turn int // of r afterwards
	}{
		{true, 10, 20, 1100, 1, 0},
		{false, 9, 0, 500, 1, 0},
		{true, 11, 20, 1100, 2, 0},
		{false, 10, 0, 1099, 2, 0},
		{true, 9, 21, 1090, 3, 1},
		{false, 21, 0, 300, 3, 1},
		{true, 20, 30, 1100, 4, 1},
		{true, 21, 30, 1100, 5, 2},
		{true, 30, 31, 1100, 6, 2},
		{false, 30, 0, 1089, 6, 2},
		{true, 31, 40, 1100, 7, 3},
		{false, 40, 0, 1090, 0, 0},
		{false, 40, 0, MaxPacket, 0, 0},
	} {
		if step.lost {
			r.add(at+moment(i), step.n, step.next, step.size, fallRun)
		} else {
			r.acked(step.n, step.size)
		}
		if r.lost != step.count || r.turns != step.turn || r.lost > 0 && r.began != at {
			t.Errorf("step %d: %d lost in %d turns since %v, want %d in %d since %v", i+1, r.lost, r.turns, r.began, step.count, step.turn, at)
		}
	}
	if r.add(time.Second, 50, 60, 1100, fallRun); r.began != time.Second || r.since != 50 || r.least != 1100 {
		t.Errorf("the next run began at %v with packet %d of %d bytes, want 1 s, 50, 1100", r.began, r.since, r.least)
	}
	r.end()
	r.add(0, 60, 70, MaxPacket, fallRun)
	if r.acked(61, MaxPacket-1); r.lost != 1 {
		t.Errorf("a packet that is a byte smaller arrives: %d lost, want 1", r.lost)
	}
}

// A run is long after a number of packets and a number of turns. Both numbers are exact.
func TestLengthOfARun(t *testing.T) {
	for length, want := range map[int][]bool{
		3: {false, false, false, false, true, true},
		5: {false, false, false, false, true, true},
		6: {false, false, false, false, false, true},
	} {
		var r run
		r.end()
		var got []bool
		for n := range uint64(len(want)) {
			got = append(got, r.add(0, 10*n, 10*n+5, 1100, length))
			r.acked(10*n+5, 100)
		}
		if !slices.Equal(got, want) {
			t.Errorf("a run of %d: %v, want %v", length, got, want)
		}
	}
}

// A pathSteps reports to the path of a Mux which packets arrive and which are lost.
type pathSteps struct {
	*testing.T
	m *Mux
	n uint64
}

// lose loses k packets of one size, each in its own turn and at its own time.
func (s *pathSteps) lose(k, size int, began, step moment) {
	for i := range k {
		s.n += 10
		s.m.flight.next = s.n + 5
		s.m.recordLoss(began+moment(i)*step, s.n, size)
		s.m.path.acked(s.n+5, 100)
	}
}

func (s *pathSteps) limit(when string, t moment, want int) {
	s.Helper()
	if got := s.m.path.limit(t, false); got != want {
		s.Errorf("%s: packets of %d bytes, want %d", when, got, want)
	}
}

func (s *pathSteps) events(when string, want ...Event) {
	s.Helper()
	if !slices.EqualFunc(s.m.events, want, func(a, b Event) bool { return a.Type == b.Type && a.Code == b.Code }) {
		s.Errorf("%s: events %+v, want %+v", when, s.m.events, want)
	}
	s.m.events = nil
}

func newPathSteps(t *testing.T) *pathSteps {
	m, err := New(time.Now(), Config{Channels: testTable})
	if err != nil {
		t.Fatal(err)
	}
	return &pathSteps{T: t, m: m}
}

// As many packets as were large and lost are small, since what was lost has to arrive;
// the next ones try again.
func TestSmallPacketsFollowLostLargeOnes(t *testing.T) {
	s := newPathSteps(t)
	p := &s.m.path
	s.limit("at first", 0, MaxPacket)
	if got := p.limit(0, true); got != leastBudget {
		t.Errorf("a probe may have %d bytes, want %d", got, leastBudget)
	}
	p.sent(0, 700)
	if p.last != 700 || p.watched {
		t.Errorf("the last packet had %d bytes, want 700; watched %v, want false", p.last, p.watched)
	}
	s.lose(2, leastBudget+1, 0, 0)
	for i := range 2 {
		s.limit("a large packet was lost", 0, leastBudget)
		if !p.watched {
			t.Error("watched = false, want true")
		}
		if p.sent(0, 300); p.careful != 1-i {
			t.Errorf("%d more packets must be small, want %d", p.careful, 1-i)
		}
	}
	s.limit("small ones have followed", 0, MaxPacket)
	if p.sent(0, 300); p.careful != 0 {
		t.Errorf("%d more packets must be small, want 0", p.careful)
	}
	if p.acked(s.n, leastBudget+1); p.watched || p.large.lost != 0 {
		t.Errorf("a large packet has arrived: watched %v, want false; %d large ones lost, want 0", p.watched, p.large.lost)
	}
	s.lose(1, leastBudget+1, 0, 0)
	if p.acked(s.n+6, leastBudget+1); !p.watched {
		t.Error("watched = false, though packets must still be small")
	}
	if p.sent(0, 300); p.careful != 0 {
		t.Errorf("%d more packets must be small, want 0", p.careful)
	}
	if p.acked(s.n+6, 100); p.watched {
		t.Error("watched = true, though nothing is lost")
	}
	s.lose(1, leastBudget, 0, 0)
	if s.limit("one of the least budget was lost", 0, MaxPacket); p.medium.lost != 1 || p.large.lost != 0 || p.careful != 0 || !p.watched {
		t.Errorf("a packet of the least budget is lost: %+v", *p)
	}
	s.lose(1, leastBudget/2+1, 0, 0)
	if s.lose(1, leastBudget/2, 0, 0); p.medium.lost != 2 {
		t.Errorf("%d packets above half the least budget are lost, want 2", p.medium.lost)
	}
	s.events("nothing is sure")

	s = newPathSteps(t)
	if s.m.recordLoss(0, 1, MaxPacket); !s.m.path.watched || s.m.path.careful != 1 || s.m.path.large.lost != 1 {
		t.Errorf("a packet of the largest size is lost: %+v", s.m.path)
	}
}

// Packets get smaller when the run is long, one tries the larger budget each minute, and
// they get large again when one arrives that was sent since, and is as large as those that
// did not.
func TestThePathFallsAndRecovers(t *testing.T) {
	s := newPathSteps(t)
	p := &s.m.path
	const now = 3 * time.Second
	s.lose(fallRun-1, 1100, now, 0)
	if p.budget != MaxPacket {
		t.Errorf("the budget is %d before the run is long enough, want %d", p.budget, MaxPacket)
	}
	s.lose(1, 1090, now, 0)
	s.events("the path falls", Event{Type: EventNarrow, Code: leastBudget})
	if st := s.m.stats; p.budget != leastBudget || p.barred != 1090 || p.careful != 0 || p.large.lost != 0 || st.Fallbacks != 1 {
		t.Errorf("%+v, fell back %d times, want once to the least budget", *p, st.Fallbacks)
	}
	fell := p.fell
	if fell != s.n+5 {
		t.Errorf("it fell before packet %d, want %d", fell, s.n+5)
	}
	s.limit("at once", now, leastBudget)
	s.limit("a moment before the try", now+retryWide-1, leastBudget)
	s.limit("the try", now+retryWide, MaxPacket)
	p.sent(now+retryWide, leastBudget)
	s.limit("the packet was no larger than others", now+retryWide, MaxPacket)
	p.sent(now+retryWide+1, leastBudget+1)
	s.limit("after the try", now+2*retryWide, leastBudget)
	s.limit("the next try", now+2*retryWide+1, MaxPacket)
	s.lose(1, MaxPacket, now, 0)
	if p.careful != 0 || p.large.lost != 0 || !p.watched {
		t.Errorf("a packet that tries a larger size is lost: %+v", *p)
	}
	for _, c := range []struct {
		n    uint64
		size int
		wide bool
	}{{fell, 1089, false}, {fell - 1, MaxPacket, false}, {fell, 1090, true}} {
		if p.acked(c.n, c.size); (p.budget == MaxPacket) != c.wide || p.watched == c.wide {
			t.Errorf("packet %d of %d bytes arrives: budget %d, want the largest: %v; watched %v", c.n, c.size, p.budget, c.wide, p.watched)
		}
	}
	if p.barred != MaxPacket+1 {
		t.Errorf("barred from %d bytes, want %d", p.barred, MaxPacket+1)
	}
	s.lose(fallRun, 1100, now, 0)
	s.events("it falls again")
	if p.budget != leastBudget || s.m.stats.Fallbacks != 2 {
		t.Errorf("the budget is %d, want %d; fell back %d times, want 2", p.budget, leastBudget, s.m.stats.Fallbacks)
	}
	p.init()
	s.limit("a new link", 0, MaxPacket)
}

// A link is stuck after stuckRun lost packets of the least budget that span stuckTime at least. This
// is reported once.
func TestWhenALinkIsStuck(t *testing.T) {
	const step = 100 * time.Millisecond // 59 steps take longer than stuckTime
	s := newPathSteps(t)
	s.lose(stuckRun-1, 1000, time.Second, step)
	s.events("before the last packet")
	s.lose(1, 900, time.Minute, 0)
	s.events("with the last packet", Event{Type: EventStuck, Code: 900})
	s.lose(2, 900, time.Minute, 0)
	s.events("it is reported once")

	s = newPathSteps(t)
	s.lose(stuckRun, 1000, time.Second, 0)
	s.lose(1, 1000, time.Second+stuckTime-1, 0)
	s.events("a moment before the time")
	s.lose(1, 1000, time.Second+stuckTime, 0)
	s.events("after the time", Event{Type: EventStuck, Code: 1000})
}
