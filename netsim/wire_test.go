package netsim

import (
	"math"
	"testing"
	"time"
)

// TestBurstLengths: mean runs of five at every loss rate that is tested with,
// in as many lengths as a chain of two states gives. The counts pin the model.
func TestBurstLengths(t *testing.T) {
	const n, mean = 400_000, 5
	for _, test := range []struct {
		loss           float64
		wantLost, runs int
	}{
		{0.01, 3527, 739},
		{0.05, 19_681, 3953},
		{0.1, 39_456, 7955},
		{0.2, 80_460, 16_098},
		{0.3, 120_446, 24_000},
		{0.5, 199_952, 39_845},
	} {
		w := newTestWire(Link{Loss: test.loss, Burst: mean})
		lengths := map[int]int{}
		runs, lost, run := 0, 0, 0
		for range n {
			if len(w.Send(w.now, 100, nil)) == 0 {
				lost++
				run++
				continue
			}
			if run > 0 {
				runs++
				lengths[run]++
			}
			run = 0
		}
		if lost != test.wantLost || runs != test.runs {
			t.Errorf("loss %v: %d lost in %d runs, want exactly %d in %d", test.loss, lost, runs, test.wantLost, test.runs)
		}
		// Losses come in runs, so the count varies more than by chance alone:
		// the factor is (1+c)/(1-c) for a chain whose states hold on by c.
		hold := 1 - 1./mean - test.loss/(mean*(1-test.loss))
		dev := math.Sqrt(n * test.loss * (1 - test.loss) * (1 + hold) / (1 - hold))
		if off := math.Abs(float64(lost) - n*test.loss); off > 4*dev {
			t.Errorf("loss %v: %d of %d lost, want %.0f ± %.0f", test.loss, lost, n, n*test.loss, dev)
		}
		if m := float64(lost) / float64(runs); math.Abs(m-mean) > 0.25 {
			t.Errorf("loss %v: runs of %.2f, want %d", test.loss, m, mean)
		}
		// A run goes on with chance 4/5 after each loss.
		for length := 1; length <= 8; length++ {
			p := math.Pow(0.8, float64(length-1)) * 0.2
			want, dev := p*float64(runs), math.Sqrt(p*(1-p)*float64(runs))
			if got := float64(lengths[length]); math.Abs(got-want) > 4*dev {
				t.Errorf("loss %v: %v runs of %d, want %.0f ± %.0f", test.loss, got, length, want, dev)
			}
		}
	}
}

func TestOutage(t *testing.T) {
	w := newTestWire(Link{Outage: 300 * ms, OutageEvery: time.Second})
	for i := range 50 {
		arrived := len(w.send(1, 100, 100*ms)) == 1
		if want := i%10 < 7; arrived != want {
			t.Fatalf("after %d ms: arrived is %v, want %v", 100*i, arrived, want)
		}
	}
	if w.stats.Lost != 15 {
		t.Errorf("%d lost, want 15", w.stats.Lost)
	}
}

func TestWireBlackout(t *testing.T) {
	w := newTestWire(Link{})
	w.Blackout(w.now.Add(2 * time.Second))
	wantAfter(t, "dark for two seconds", w.send(3, 100, time.Second), 0)
	w.Blackout(w.now.Add(time.Hour))
	wantAfter(t, "dark again", w.send(1, 100, time.Second))
	w.Blackout(time.Time{})
	wantAfter(t, "and light", w.send(1, 100, time.Second), 0)
}

// TestSameLuckAfterTrouble: what a blackout, a tap or an outage takes does not
// move the luck of those that follow.
func TestSameLuckAfterTrouble(t *testing.T) {
	calm, troubled := newTestWire(Link{Loss: 0.3, Burst: 3}), newTestWire(Link{Loss: 0.3, Burst: 3})
	for i := range 10_000 {
		if i == 100 {
			troubled.Blackout(troubled.now.Add(100 * ms))
		}
		a, b := len(calm.send(1, 100, ms)), len(troubled.send(1, 100, ms))
		if dark := i >= 100 && i < 200; a != b && !dark {
			t.Fatalf("datagram %d has another fate on the second wire", i)
		}
	}
	plain, tapped := newTestWire(Link{Loss: 0.3}), newTestWire(Link{Loss: 0.3})
	plain.send(10, 100, 0)
	for range 10 {
		tapped.refuse(tapped.now, 100, dropTap)
	}
	for i := range 100 {
		if len(plain.send(1, 100, ms)) != len(tapped.send(1, 100, ms)) {
			t.Fatalf("datagram %d has another fate with a tap", i)
		}
	}
}

func TestBacklog(t *testing.T) {
	w := newTestWire(Link{Rate: 100_000})
	w.send(3, 1000, 0)
	for _, test := range []struct {
		after time.Duration
		want  int
	}{{0, 3000}, {5 * ms, 2500}, {25 * ms, 500}, {30 * ms, 0}, {time.Hour, 0}} {
		if got := w.Backlog(start.Add(test.after)); got != test.want {
			t.Errorf("after %v: %d bytes wait, want %d", test.after, got, test.want)
		}
	}
}

func TestBottleneckIsOneQueue(t *testing.T) {
	neck := NewBottleneck(100_000, 3000) // 10 ms for 1000 bytes
	a, b := newTestWire(Link{Through: neck, Delay: 50 * ms, Rate: 1}), newTestWire(Link{Through: neck})
	wantAfter(t, "the first is on its way", a.send(1, 1000, 0), 60*ms)
	wantAfter(t, "that of another link waits for it", b.send(1, 1000, 0), 20*ms)
	wantAfter(t, "one more fits", a.send(2, 1000, 0), 80*ms)
	wantAfter(t, "and for nobody else", b.send(1, 1000, 0))
	if got := b.Backlog(start); got != 3000 {
		t.Errorf("%d bytes wait, want 3000", got)
	}
	if a.stats.QueueDropped != 1 || b.stats.QueueDropped != 1 {
		t.Errorf("%d and %d dropped, want one each", a.stats.QueueDropped, b.stats.QueueDropped)
	}
	b.now = start.Add(30 * ms)
	neck.Set(1_000_000, 0)
	wantAfter(t, "the rate is live", b.send(1, 1000, ms), ms)
	neck.Set(0, 0)
	wantAfter(t, "and may have no limit", b.send(2, 1000, 0), 0, 0)
}

// TestBottleneckIsFairToEquals: what two equal senders get is what they send,
// when both send twice as much as there is room for.
func TestBottleneckIsFairToEquals(t *testing.T) {
	neck := NewBottleneck(100_000, 10_000)
	wires := [2]*Wire{NewWire(Link{Through: neck}, 1), NewWire(Link{Through: neck}, 2)}
	for i := range 20_000 {
		now := start.Add(time.Duration(i) * 5 * ms) // 200 a second, of which 100 fit
		w := wires[0]
		if i%4 >= 2 { // two in a row each, so that neither always finds the free place
			w = wires[1]
		}
		w.Send(now, 1000, nil)
	}
	a, b := wires[0].Stats().Passed, wires[1].Stats().Passed
	if total := a + b; total < 10_000 || total > 10_010 {
		t.Errorf("%d passed, want what 100 s carry: 10,000", total)
	}
	if share := float64(a) / float64(a+b); share < 0.45 || share > 0.55 {
		t.Errorf("the shares are %.2f and %.2f, want about half each", share, 1-share)
	}
}

func TestDrop(t *testing.T) {
	if dropQueue.String() != "queue" || DropNone.String() != "" || Drop(99).String() != "unknown" {
		t.Errorf("the names of drops are %q, %q and %q, want queue, nothing and unknown", dropQueue, DropNone, Drop(99))
	}
}

// BenchmarkWireSend is the cost of one datagram in a simulation.
func BenchmarkWireSend(b *testing.B) {
	w := NewWire(terrible, 1)
	ds := make([]Delivery, 0, 2)
	now := start
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(ms)
		ds = w.Send(now, 200, ds[:0])
	}
}
