package game

import (
	"encoding/json"
	"flag"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

var write = flag.Bool("write", false, "write testdata/calls.json, which web/test/game.test.ts reads, too")

// A call is a call of the client's side, or all calls of a frame with what they return. Times are in ms.
type call struct {
	Do    string    `json:"do"` // hear, early, state or frame
	T     float64   `json:"t"`
	Tick  uint32    `json:"tick,omitempty"`
	RTT   float64   `json:"rtt,omitempty"`
	Early int       `json:"early,omitempty"`
	Place float64   `json:"place,omitempty"` // of the player, in a state
	Due   []uint32  `json:"due,omitempty"`
	Want  []float64 `json:"want,omitempty"` // now, ahead; from, to, share, shown, delay; own place, recent inputs
}

// steered is the input of a tick.
func steered(tick uint32) float64 { return float64(tick/7%3) - 1 }

// record plays over a bad network, with a server that stops for a while, a client that draws no frame for a while, and a path that
// gets longer and shorter, and records all calls.
func record(t *testing.T) []call {
	w := newWorld(t, 50*time.Millisecond, netsim.Preset{
		Up:   netsim.Link{Delay: 40 * time.Millisecond, Jitter: 60 * time.Millisecond, Loss: 0.1},
		Down: netsim.Link{Delay: 30 * time.Millisecond, Jitter: 80 * time.Millisecond, Loss: 0.1, Reorder: 0.1, ReorderDelay: 120 * time.Millisecond},
	})
	w.steer = steered
	w.frameTime *= 3
	start, calls := w.now, []call(nil)
	ms := func() float64 { return w.now.Sub(start).Seconds() * 1000 }
	w.heard = func(tick uint32, place float64, early int, tell bool) {
		calls = append(calls, call{Do: "state", T: ms(), Tick: tick, RTT: w.least.Seconds() * 1000, Place: place})
		if tell {
			calls = append(calls, call{Do: "early", T: ms(), Early: early})
		}
	}
	w.due = func(due []uint32) { calls = append(calls, call{Do: "frame", T: ms(), Due: due}) }
	w.frame = func() {
		now := w.now
		want := []float64{w.clock.Now(now), w.clock.Ahead(now)}
		if from, to, share, ok := w.others.At(now); ok {
			own, _ := w.own.At(now)
			want = append(want, from, to, share, w.others.Shown(), w.others.Delay(), own)
			want = w.own.Recent(want, 4)
		}
		calls[len(calls)-1].Want = want
	}
	w.run(4 * time.Second)
	w.begin = w.begin.Add(time.Second)
	w.run(6 * time.Second)
	w.drawn = w.now.Add(1500 * time.Millisecond) // no frame for a while, so no input, and states of later ticks
	w.run(3 * time.Second)
	w.up.SetLink(netsim.Link{Delay: 300 * time.Millisecond})
	w.run(4 * time.Second)
	w.up.SetLink(netsim.Link{Delay: 10 * time.Millisecond})
	w.run(6 * time.Second)
	return calls
}

// TestCallsReturnTheSameInTypeScript compares what is recorded with testdata/calls.json. The test of
// the browser client does the same calls and wants the same results.
func TestCallsReturnTheSameInTypeScript(t *testing.T) {
	const file = "testdata/calls.json"
	calls := record(t)
	if *write {
		lines := make([]string, len(calls))
		for i, c := range calls {
			b, err := json.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			lines[i] = string(b)
		}
		if err := os.WriteFile(file, []byte("[\n"+strings.Join(lines, ",\n")+"\n]\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want []call
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	near := func(a, b float64) bool { return math.Abs(a-b) < 1e-6 } // processors round a*b+c in two ways
	if !slices.EqualFunc(calls, want, func(a, b call) bool {
		same := near(a.T, b.T) && near(a.RTT, b.RTT) && near(a.Place, b.Place) && slices.EqualFunc(a.Want, b.Want, near)
		return same && a.Do == b.Do && a.Tick == b.Tick && a.Early == b.Early && slices.Equal(a.Due, b.Due)
	}) {
		t.Error("the calls return something else than " + file + " says: if that is right, run go test ./game -write")
	}
}
