package main

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A streamTest runs a stream in virtual time.
type streamTest struct {
	*stream
	now time.Time
	got []byte
	at  []time.Time // when each byte of got arrived
}

func newStreamTest(l netsim.Link, seed uint64) *streamTest {
	return &streamTest{stream: newStream(l, seed), now: time.Unix(0, 0)}
}

// until runs the stream until at.
func (s *streamTest) until(at time.Time) {
	for {
		d := s.deadline()
		if d.IsZero() || d.After(at) {
			break
		}
		s.now = d
		s.advance(s.now)
		s.got = append(s.got, s.take()...)
		for len(s.at) < len(s.got) {
			s.at = append(s.at, s.now)
		}
	}
	s.now = at
}

// rest runs the stream until it is idle, and returns how long that took.
func (s *streamTest) rest(t *testing.T) time.Duration {
	t.Helper()
	began := s.now
	for !s.idle() {
		if d := s.deadline(); d.IsZero() || d.Sub(began) > time.Hour {
			t.Fatalf("the stream does not deliver: deadline %v after the beginning", d.Sub(began))
		}
		s.until(s.deadline())
	}
	return s.now.Sub(began)
}

// Without a loss each round trip doubles the window, as in slow start.
func TestSlowStart(t *testing.T) {
	s := newStreamTest(netsim.Link{Delay: 50 * time.Millisecond}, 1)
	s.write(s.now, make([]byte, 70*segmentSize))
	for _, want := range []float64{2 * firstWindow, 4 * firstWindow} {
		if s.until(s.now.Add(100 * time.Millisecond)); s.window != want {
			t.Errorf("the window is %v, want %v", s.window, want)
		}
	}
}

// All bytes arrive once and in order, whatever the link does.
func TestStreamDeliversInOrder(t *testing.T) {
	for name, l := range map[string]netsim.Link{
		"perfect":    {},
		"lossy":      {Delay: 50 * time.Millisecond, Loss: 0.3},
		"jittery":    {Delay: 5 * time.Millisecond, Jitter: 50 * time.Millisecond, Loss: 0.05},
		"reordering": {Delay: 20 * time.Millisecond, Reorder: 0.2, ReorderDelay: 40 * time.Millisecond, Duplicate: 0.2, Loss: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStreamTest(l, 1)
			var want []byte
			for i := range 500 {
				b := binary.BigEndian.AppendUint32(nil, uint32(i))
				if i%50 == 0 {
					b = append(b, make([]byte, 10_000)...)
				}
				want = append(want, b...)
				s.write(s.now, b)
				s.until(s.now.Add(10 * time.Millisecond))
			}
			s.rest(t)
			if !bytes.Equal(s.got, want) {
				t.Errorf("%d bytes arrived, want the %d that were written", len(s.got), len(want))
			}
		})
	}
}

// delays writes a byte every interval for a minute, and returns how long each was under way, sorted.
func delays(t *testing.T, l netsim.Link, interval time.Duration) []time.Duration {
	t.Helper()
	s := newStreamTest(l, 7)
	n := int(time.Minute / interval)
	for i := range n {
		s.write(s.now, []byte{byte(i)})
		s.until(s.now.Add(interval))
	}
	s.rest(t)
	all := make([]time.Duration, n)
	for i := range all {
		all[i] = s.at[i].Sub(time.Unix(0, 0).Add(time.Duration(i) * interval))
	}
	slices.Sort(all)
	return all
}

// Without loss a byte takes the delay of the link. A lost segment delays what follows by the time in which the sender
// learns of the loss, which is a round trip and the interval at least, and then by the delay.
func TestLostSegmentStopsTheStream(t *testing.T) {
	const delay, interval = 50 * time.Millisecond, time.Second / 30
	calm := delays(t, netsim.Link{Delay: delay}, interval)
	if first, last := calm[0], calm[len(calm)-1]; first != delay || last != delay {
		t.Errorf("without loss bytes take %v to %v, want %v", first, last, delay)
	}
	lossy := delays(t, netsim.Link{Delay: delay, Loss: 0.02}, interval)
	if lossy[0] != delay || lossy[len(lossy)/2] != delay {
		t.Errorf("with loss the fastest byte takes %v and half of them at most %v, want %v", lossy[0], lossy[len(lossy)/2], delay)
	}
	worst := lossy[len(lossy)-1]
	if least := 3*delay + interval; worst < least || worst > 10*delay {
		t.Errorf("the slowest byte takes %v, want at least %v and no more than a few round trips", worst, least)
	}
	late := 0
	for _, d := range lossy {
		if d > delay {
			late++
		}
	}
	if share := float64(late) / float64(len(lossy)); share < 2*0.02 {
		t.Errorf("%.1f %% of the bytes are late, want more than the 2 %% that are lost: those after them wait too", 100*share)
	}
}

// The last segment of a burst has no later one whose acknowledgement could tell of its loss: the timeout does.
func TestTimeoutFindsTheLastLoss(t *testing.T) {
	s := newStreamTest(netsim.Link{Delay: 50 * time.Millisecond}, 1)
	for range 20 {
		s.write(s.now, []byte("x"))
		s.until(s.now.Add(200 * time.Millisecond))
	}
	s.setLink(netsim.Link{Delay: 50 * time.Millisecond, Loss: 1})
	s.write(s.now, []byte("last"))
	s.setLink(netsim.Link{Delay: 50 * time.Millisecond})
	// The timeout, and the way of the segment and of its acknowledgement.
	took := s.rest(t)
	if least, most := 400*time.Millisecond, 450*time.Millisecond; took < least || took > most {
		t.Errorf("it took %v, want %v to %v", took, least, most)
	}
	if !bytes.HasSuffix(s.got, []byte("last")) {
		t.Errorf("%q arrived", s.got)
	}
}

// A timeout makes the threshold smaller once for each window, by the factor of CUBIC.
func TestThresholdAfterTimeouts(t *testing.T) {
	s := newStreamTest(netsim.Link{Loss: 1}, 1)
	s.window = 100
	s.write(s.now, make([]byte, 100*segmentSize))
	for i := range 3 {
		s.until(s.deadline())
		if math.Abs(s.threshold-70) > 1e-9 || s.window != 1 {
			t.Errorf("after timeout %d the threshold is %v and the window %v, want 70 and 1", i+1, s.threshold, s.window)
		}
	}
}

// A link that is dead for long makes the timeouts longer, up to a limit, and the stream goes on afterwards.
func TestStreamSurvivesAnOutage(t *testing.T) {
	s := newStreamTest(netsim.Link{Loss: 1}, 1)
	s.write(s.now, make([]byte, 100_000))
	s.until(s.now.Add(10 * time.Minute))
	if n := len(s.segments); n == 0 || n > firstWindow {
		t.Errorf("%d segments are in flight, want 1 to %d", n, firstWindow)
	}
	if d := s.deadline().Sub(s.now); d > mostTimeout {
		t.Errorf("the next attempt is in %v, want at most %v", d, mostTimeout)
	}
	s.setLink(netsim.Link{})
	s.rest(t)
	if len(s.got) != 100_000 {
		t.Errorf("%d bytes arrived, want 100000", len(s.got))
	}
}
