package game

import (
	"math"
	"testing"
)

// want checks what Take returns for a tick.
func want(t *testing.T, q *Inputs[string], tick uint32, input string, missing int) {
	t.Helper()
	if got, m := q.Take(tick); got != input || m != missing {
		t.Errorf("tick %d: input %q, %d missing; want %q, %d", tick, got, m, input, missing)
	}
}

func wantEarly(t *testing.T, q *Inputs[string], ticks int, ok bool) {
	t.Helper()
	if got, is := q.Early(); got != ticks || is != ok {
		t.Errorf("the inputs were early by %d, %t; want %d, %t", got, is, ticks, ok)
	}
}

func wantStats(t *testing.T, q *Inputs[string], want InputStats) {
	t.Helper()
	if got := q.Stats(); got != want {
		t.Errorf("the counters are %+v, want %+v", got, want)
	}
}

func TestInputsComeBackInOrder(t *testing.T) {
	q := NewInputs[string](100, InputsConfig[string]{})
	q.Add(103, []string{"c", "b", "a"})
	q.Add(102, []string{"other", "other"}) // the first counts
	q.Add(105, []string{"e"})
	want(t, q, 101, "a", 0)
	want(t, q, 101, "a", 0)
	want(t, q, 102, "b", 0)
	want(t, q, 90, "b", 0)
	want(t, q, 103, "c", 0)
	want(t, q, 104, "c", 1)
	want(t, q, 105, "e", 0)
	wantStats(t, q, InputStats{Used: 4, Missing: 1, Repeated: 2})
}

func TestLostMessageLeavesNoGap(t *testing.T) {
	q := NewInputs[string](0, InputsConfig[string]{})
	q.Add(1, []string{"a"})
	// The message of tick 2 is lost.
	q.Add(3, []string{"c", "b", "a"})
	want(t, q, 1, "a", 0)
	want(t, q, 2, "b", 0)
	want(t, q, 3, "c", 0)
	wantStats(t, q, InputStats{Used: 3, Repeated: 1})
}

func TestMissingInputIsHeldForAWhile(t *testing.T) {
	q := NewInputs[string](0, InputsConfig[string]{Hold: 2})
	q.Add(1, []string{"a"})
	want(t, q, 1, "a", 0)
	want(t, q, 2, "a", 1)
	want(t, q, 3, "a", 2)
	want(t, q, 4, "", 3)
	q.Add(4, []string{"d", "c", "b"}) // too late
	q.Add(4, []string{"d", "c", "b"})
	q.Add(5, []string{"e"})
	want(t, q, 5, "e", 0)
	wantStats(t, q, InputStats{Used: 2, Missing: 3, Late: 3, Repeated: 3})

	q = NewInputs[string](0, InputsConfig[string]{Hold: -1})
	q.Add(1, []string{"a"})
	want(t, q, 1, "a", 0)
	want(t, q, 2, "", 1)
}

// TestLateInputsAreCountedOnce adds inputs for ticks of which nothing is known any more, and for the tick
// before the first.
func TestLateInputsAreCountedOnce(t *testing.T) {
	q := NewInputs[string](0, InputsConfig[string]{MaxAhead: 4})
	for tick := range uint32(8) {
		q.Take(tick + 1)
	}
	q.Add(4, []string{"old"})
	q.Add(8, []string{"late"})
	q.Add(8, []string{"late"})
	wantStats(t, q, InputStats{Missing: 8, Late: 2, Repeated: 1})
	q = NewInputs[string](0, InputsConfig[string]{MaxAhead: 4})
	q.Add(0, []string{"before"})
	q.Add(0, []string{"before"})
	wantStats(t, q, InputStats{Late: 2})
	wantEarly(t, q, -1, true) // a tick before the first
}

func TestEarlyIsTheLeastSinceTheLastCall(t *testing.T) {
	q := NewInputs[string](100, InputsConfig[string]{MaxAhead: 8})
	wantEarly(t, q, 0, false)
	q.Add(104, []string{"d", "c", "b", "a"})
	wantEarly(t, q, 3, true)
	want(t, q, 101, "a", 0)
	q.Add(105, []string{"e"})
	want(t, q, 102, "b", 0)
	want(t, q, 103, "c", 0)
	q.Add(104, []string{"d"}) // just in time
	wantEarly(t, q, 0, true)
	q.Add(106, []string{"f"})
	q.Add(102, []string{"b"})
	wantEarly(t, q, -2, true)
	q.Add(1, []string{"old"})
	wantEarly(t, q, -8, true)
	q.Add(1000, []string{"far"})
	wantEarly(t, q, 7, true)
	wantEarly(t, q, 0, false)
	q.Add(112, []string{"too far"})
	q.Add(111, []string{"as far as possible"})
	wantEarly(t, q, 7, true)
	wantStats(t, q, InputStats{Used: 3, Late: 1, Repeated: 2, Ahead: 2})
}

func TestHostileInputsHaveNoEffect(t *testing.T) {
	q := NewInputs(1000, InputsConfig[float64]{
		MaxAhead: 4, MaxInputs: 3, MaxMessages: 6,
		Valid: func(v float64) bool { return Finite(v) && math.Abs(v) <= 1 },
	})
	q.Add(math.MaxUint32, []float64{1, 1, 1})
	q.Add(1005, []float64{1})                             // too far ahead
	q.Add(1003, []float64{math.NaN(), math.Inf(-1), 1e9}) // wild
	q.Add(1, []float64{1, 1, 1})                          // ticks 1, 0 and before
	q.Add(1004, make([]float64, 1000))                    // 1004, 1003, 1002 and a flood
	q.Add(1001, nil)
	q.Add(1001, []float64{1}) // the seventh message
	for tick := uint32(1001); tick <= 1004; tick++ {
		if in, missing := q.Take(tick); in != 0 || (missing > 0) != (tick == 1001) {
			t.Errorf("tick %d: input %v, %d missing", tick, in, missing)
		}
	}
	if got, want := q.Stats(), (InputStats{Used: 3, Missing: 1, Late: 3, Ahead: 4, Invalid: 3, Flooded: 998}); got != want {
		t.Errorf("the counters are %+v, want %+v", got, want)
	}
	if q.Take(math.MaxUint32); q.Stats().Missing != 2 {
		t.Errorf("after a jump of the server %d ticks have no input, want 2", q.Stats().Missing)
	}
	q.Add(math.MaxUint32, []float64{1}) // the last tick of all
}

// Nothing that a config says makes the limits useless.
func TestLimitsOfInputs(t *testing.T) {
	q := NewInputs[string](0, InputsConfig[string]{MaxAhead: -1, MaxInputs: -1, MaxMessages: -1})
	q.Add(32, []string{"a"})
	q.Add(33, []string{"a"})
	wantStats(t, q, InputStats{Ahead: 1})
	if q := NewInputs[string](0, InputsConfig[string]{MaxAhead: math.MaxInt}); len(q.slots) != 1024 {
		t.Errorf("place for %d inputs, want 1024", len(q.slots))
	}
}

func TestInputsDoNotAllocate(t *testing.T) {
	q := NewInputs[[2]float64](0, InputsConfig[[2]float64]{})
	inputs, tick := make([][2]float64, 4), uint32(0)
	if n := testing.AllocsPerRun(100, func() {
		tick++
		q.Add(tick+2, inputs)
		q.Take(tick)
		q.Early()
	}); n != 0 {
		t.Errorf("%v allocations for each tick, want 0", n)
	}
}

// model is Inputs without limits of memory: maps of all that has happened.
type model struct {
	first map[uint32]byte // the input that counts for a tick
	taken uint32
}

// FuzzInputs gives an Inputs messages and ticks as the fuzzer likes, and compares with the model: a
// tick has the first input that arrived for it in time, and every input is counted once.
func FuzzInputs(f *testing.F) {
	f.Add([]byte{0, 1, 3, 7, 8, 9, 1, 1, 1, 2, 0, 200, 1, 5})
	f.Add([]byte{0, 5, 2, 1, 255, 0, 4, 1, 3, 1, 1, 1, 1, 1, 1, 1, 200, 0, 1, 1, 9})
	f.Fuzz(func(t *testing.T, script []byte) {
		const start, ahead = 250, 8
		q := NewInputs(start, InputsConfig[byte]{MaxAhead: ahead, MaxInputs: 4, MaxMessages: 3, Hold: 1, Valid: func(b byte) bool { return b != 255 }})
		m := model{first: make(map[uint32]byte), taken: start}
		var sent, before uint64
		messages, last := 0, byte(0)
		next := func() (b byte) {
			if len(script) > 0 {
				b, script = script[0], script[1:]
			}
			return b
		}
		for len(script) > 0 {
			if op := next(); op%2 == 0 {
				newest := m.taken + uint32(int8(next()))
				if op == 254 {
					newest *= 1 << 24
				}
				inputs := make([]byte, next()%7)
				for i := range inputs {
					inputs[i] = next()
				}
				q.Add(newest, inputs)
				if messages++; messages > 3 {
					sent++
					continue
				}
				sent += uint64(len(inputs))
				for i, in := range inputs[:min(len(inputs), 4)] {
					tick := int64(newest) - int64(i)
					if _, ok := m.first[uint32(tick)]; !ok && tick > int64(m.taken) && tick <= int64(m.taken)+ahead && in != 255 {
						m.first[uint32(tick)] = in
					}
				}
				continue
			}
			m.taken += 1 + uint32(next()%3)
			messages = 0
			got, missing := q.Take(m.taken)
			in, ok := m.first[m.taken]
			if ok {
				last = in
			}
			if ok != (missing == 0) || ok && got != in || missing == 1 && got != last || missing > 1 && got != 0 {
				t.Fatalf("tick %d: input %d, %d missing; want %d, %t", m.taken, got, missing, in, ok)
			}
			if early, ok := q.Early(); early < -ahead || early >= ahead || !ok && early != 0 {
				t.Fatalf("early by %d, %t", early, ok)
			}
			s := q.Stats()
			if n := s.Used + s.Missing; n != before+1 {
				t.Fatalf("%d ticks are counted, want %d", n, before+1)
			}
			before++
			waiting := uint64(0)
			for tick := m.taken + 1; tick <= m.taken+ahead; tick++ {
				if _, ok := m.first[tick]; ok {
					waiting++
				}
			}
			// Some of those that were in time have never been used, because the server has left out their tick.
			if n := s.Used + waiting + s.Late + s.Repeated + s.Ahead + s.Invalid + s.Flooded; n > sent || sent-n > uint64(len(m.first)) {
				t.Fatalf("%d inputs are counted of %d: %+v", n, sent, s)
			}
		}
	})
}
