package netsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// terrible does everything a Link can do.
var terrible = Link{
	Loss: 0.1, Burst: 3, Duplicate: 0.1, Reorder: 0.1, Corrupt: 0.1, Delay: 20 * ms, Jitter: 15 * ms,
	Rate: 90_000, Queue: 5000, MTU: 1400, Outage: 100 * ms, OutageEvery: time.Second,
}

// record sends n datagrams over l and returns their deliveries and the trace.
func record(t *testing.T, l Link, n int) (want [][]Delivery, trace []Fate) {
	t.Helper()
	var text bytes.Buffer
	r := NewRecorder(&text)
	w := NewWire(l, 1)
	w.Record(r, `a "path"`)
	sendAll(n, w, func(ds []Delivery) { want = append(want, ds) })
	if err := r.Flush(); err != nil {
		t.Fatal(err)
	}
	trace, err := ReadTrace(&text)
	if err != nil {
		t.Fatal(err)
	}
	return want, trace
}

// sendAll sends n datagrams in bursts of three, which share a time.
func sendAll(n int, w *Wire, each func([]Delivery)) {
	for i := range n {
		each(w.Send(start.Add(time.Duration(i/3)*30*ms), 100+i%1400, nil))
	}
}

// TestReplayIsTheRecordedRun: equal traffic has equal fates, to the nanosecond
// and the bit, and a second time when the recording starts again.
func TestReplayIsTheRecordedRun(t *testing.T) {
	const n = 3000
	want, trace := record(t, terrible, n)
	if len(trace) != n || trace[0].Path != `a "path"` {
		t.Fatalf("%d datagrams of path %q, want %d", len(trace), trace[0].Path, n)
	}
	replay, err := NewReplay(trace, "")
	if err != nil {
		t.Fatal(err)
	}
	recorded := NewWire(terrible, 1)
	sendAll(n, recorded, func([]Delivery) {})

	w := NewWire(Link{Replay: replay, Loss: 1}, 2)
	i := 0
	sendAll(n, w, func(got []Delivery) {
		if !reflect.DeepEqual(got, want[i]) {
			t.Fatalf("datagram %d: %v, want %v", i, got, want[i])
		}
		i++
	})
	got, was := w.Stats(), recorded.Stats()
	was.Reordered = 0 // that a datagram is late is all that is known of it
	if got != was {
		t.Errorf("stats of the replay\n%+v, want\n%+v", got, was)
	}
}

func TestReplayTakesTheNearest(t *testing.T) {
	replay, err := NewReplay([]Fate{
		{At: 5 * time.Second, Path: "x", Drop: DropLost},
		{At: 100 * ms, Path: "up", After: []time.Duration{ms}},
		{At: 200 * ms, Path: "up", Drop: dropQueue},
		{At: 300 * ms, Path: "up", After: []time.Duration{3 * ms, 4 * ms}, Flip: []int{-1, 90}},
	}, "up")
	if err != nil {
		t.Fatal(err)
	}
	if replay.Len() != 3 || replay.Duration() != 300*ms {
		t.Errorf("%d datagrams in %v, want 3 in 300 ms", replay.Len(), replay.Duration())
	}
	w := newTestWire(Link{Replay: replay, MTU: 1000})
	wantAfter(t, "the first", w.send(1, 10, 40*ms), ms)
	wantAfter(t, "40 ms are nearer to 0 than to 100", w.send(1, 10, 20*ms), ms)
	wantAfter(t, "60 ms are not", w.send(1, 10, 140*ms))
	wantAfter(t, "the third is doubled", w.send(1, 10, 0), 3*ms, 4*ms)
	wantAfter(t, "the MTU counts", w.send(1, 1001, 100*ms))
	wantAfter(t, "from the beginning", w.send(1, 10, 0), ms)
	w.Blackout(w.now.Add(ms))
	wantAfter(t, "a blackout counts", w.send(1, 10, ms))
	want := LinkStats{Sent: 7, SentBytes: 1061, Passed: 4, PassedBytes: 40, Lost: 1, QueueDropped: 1, TooLarge: 1, Duplicated: 1, Corrupted: 1}
	if w.stats != want {
		t.Errorf("stats %+v, want %+v", w.stats, want)
	}
	w.Blackout(time.Time{})
	w.now = start.Add(500 * ms) // the third of the second round
	if ds := w.Send(w.now, 1, nil); ds[1].Flip != 90%8 {
		t.Errorf("bit %d of a smaller datagram is inverted, want %d", ds[1].Flip, 90%8)
	}
	if ds := w.Send(w.now, 0, nil); ds[1].Flip != -1 {
		t.Errorf("the bit %d of an empty datagram is inverted, want none", ds[1].Flip)
	}
}

func TestReplayErrors(t *testing.T) {
	if _, err := NewReplay([]Fate{{Path: "up-1", Drop: DropLost}}, "up-2"); err == nil || !strings.Contains(err.Error(), "up-1") {
		t.Errorf("a path that is not there: %v, want the names of those that are", err)
	}
	if _, err := NewReplay([]Fate{{Path: "up"}}, "up"); err == nil {
		t.Error("NewReplay accepts an impossible fate")
	}
	one, err := NewReplay([]Fate{{At: time.Hour, Drop: DropLost}}, "")
	if err != nil {
		t.Fatal(err)
	}
	w := newTestWire(Link{Replay: one})
	wantAfter(t, "the only fate is that of all", w.send(10, 10, time.Second))
}

func TestReadTraceErrors(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{`{"at":0`, "line 2"},
		{`{}`, "either drop or after"},
		{`{"after":[1],"drop":"lost"}`, "either drop or after"},
		{`{"drop":"eaten"}`, "not a cause"},
		{`{"drop":""}`, "not a cause"},
		{`{"at":-1,"drop":"lost"}`, "at is negative"},
		{`{"size":65536,"drop":"lost"}`, "size"},
		{`{"after":[-1]}`, "after is negative"},
		{`{"after":[1],"flip":[-2]}`, "flip 0 is -2"},
		{`{"after":[1],"flip":[1,2]}`, "differ in length"},
		{`{"after":[` + strings.Repeat("1,", 16) + `1]}`, "more than 16"},
		{strings.Repeat("x", 1<<17), "too long"},
	} {
		_, err := ReadTrace(strings.NewReader("\n" + test.line))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%.60s: %v, want %q in it", test.line, err, test.want)
		}
	}
	if trace, err := ReadTrace(strings.NewReader("")); err != nil || trace != nil {
		t.Errorf("ReadTrace of an empty trace = %v, %v; want nil, nil", trace, err)
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add(`{"at":0,"path":"up-1","size":1200,"after":[50000000]}`)
	f.Add(`{"at":33333333,"path":"up-1","size":1200,"after":[50000000,61000000],"flip":[-1,17]}`)
	f.Add("{\"at\":16666667,\"path\":\"up-1\",\"size\":1200,\"drop\":\"lost\"}\n\n{\"at\":16666667,\"size\":9,\"drop\":\"mtu\"}")
	f.Add(`{"at":9223372036854775807,"after":[9223372036854775807]}`)
	f.Add(`{"at":0,"path":"` + strings.Repeat("<", 12_000) + `","size":1,"after":[1]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 10_000 {
			return // a character may have six bytes when it is written, and a line has at most 64 KiB
		}
		trace, err := ReadTrace(strings.NewReader(text))
		if err != nil {
			return
		}
		// What was read can be written and read again.
		var again bytes.Buffer
		for _, f := range trace {
			line, err := json.Marshal(f)
			if err != nil {
				t.Fatal(err)
			}
			again.Write(append(line, '\n'))
		}
		second, err := ReadTrace(&again)
		if err != nil || len(second) != len(trace) {
			t.Fatalf("%d of %d fates are read, %v", len(second), len(trace), err)
		}
		// And every time has a fate.
		replay, err := NewReplay(trace, "")
		if err != nil {
			if len(trace) > 0 {
				t.Fatal(err)
			}
			return
		}
		w := newTestWire(Link{Replay: replay})
		for i := range 20 {
			w.send(1, i, 1<<(2*i))
		}
	})
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

var errBroken = errors.New("broken")

func TestRecorderKeepsTheFirstError(t *testing.T) {
	r := NewRecorder(brokenWriter{})
	w := newTestWire(Link{})
	w.Record(r, "up")
	w.send(2000, 100, ms)
	if err := r.Flush(); err != errBroken {
		t.Errorf("Flush: %v, want errBroken", err)
	}
	w.Record(nil, "")
	w.send(1, 100, ms)
}

func TestRecordingDoesNotAllocate(t *testing.T) {
	w := NewWire(Link{Duplicate: 1, Corrupt: 1}, 1)
	w.Record(NewRecorder(new(discard)), "up-1")
	ds := make([]Delivery, 0, 2)
	if n := testing.AllocsPerRun(1000, func() { ds = w.Send(start, 100, ds[:0]) }); n != 0 {
		t.Errorf("a recorded Send allocates %v times, want 0", n)
	}
}

type discard struct{}

func (*discard) Write(b []byte) (int, error) { return len(b), nil }
