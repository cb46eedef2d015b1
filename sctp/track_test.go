package sctp

import (
	"math/bits"
	"math/rand/v2"
	"testing"
)

// Only the bits of received TSNs beyond base are set, and base is as high as possible, whatever
// comes: TSNs near and far, late and lost ones, skips of a few TSNs, of the whole window and of
// more, with and without eager acknowledgement.
func TestBitsOfATracker(t *testing.T) {
	for seed := range uint64(12) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		var r tracker
		first := rnd.Uint32()
		r.init(first - 1)
		got := map[uint32]bool{} // received TSNs beyond base
		for step := range 1500 {
			was := r
			switch tsn := r.high + 1 + rnd.Uint32N(90); rnd.IntN(30) {
			case 0:
				tsn += rnd.Uint32N(maxAhead)
				fallthrough
			case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12:
				if r.beyond(tsn) {
					continue
				}
				r.mark(tsn)
				got[tsn] = true
			case 13:
				r.skipAll()
			case 14:
				r.skip(r.cum + []uint32{1, 63, 64, 65, 200, maxAhead - 1, maxAhead, maxAhead + 1, 3 * maxAhead}[rnd.IntN(9)])
			default:
				late := r.base + 1 + rnd.Uint32N(r.high-r.base+1)
				if rnd.IntN(2) == 0 {
					late = r.base + 1 // so that base advances
				}
				if r.seen(late) != (got[late] || late == r.base) {
					t.Fatalf("seed %d, step %d: seen(base+%d) = %v, want %v", seed, step, late-r.base, r.seen(late), !r.seen(late))
				}
				if !r.seen(late) && !r.beyond(late) {
					r.mark(late)
					got[late] = true
				}
			}
			if r.base-was.base > 1<<31 || r.cum-was.cum > 1<<31 {
				t.Fatalf("seed %d, step %d: base or cum went back", seed, step)
			}
			checkBits(t, &r, got)
		}
	}
}

func checkBits(t *testing.T, r *tracker, got map[uint32]bool) {
	t.Helper()
	if r.cum-r.base > maxAhead || r.high-r.cum > maxAhead || r.high-r.base > maxAhead {
		t.Fatalf("the tracker breaks its bounds: base %d, cum %d, high %d", r.base, r.cum, r.high)
	}
	for tsn := range got {
		if tsn-r.base-1 >= 1<<31 {
			delete(got, tsn) // base has passed it
		}
	}
	if got[r.base+1] || got[r.cum+1] {
		t.Fatalf("base or cum is too low: base %d, cum %d, high %d", r.base, r.cum, r.high)
	}
	set := 0
	if r.bits != nil {
		for _, word := range r.bits {
			set += bits.OnesCount64(word)
		}
	}
	for tsn := range got {
		if tsn-r.base > r.high-r.base || !r.seen(tsn) {
			t.Fatalf("TSN base+%d was received and is not marked", tsn-r.base)
		}
	}
	if set != len(got) {
		t.Fatalf("%d bits are set, want %d", set, len(got))
	}
}

// A TSN beyond the window is no duplicate, though it uses the same bit as a received one.
func TestTSNsAWindowApart(t *testing.T) {
	a := newTestAssoc(t, honest)
	a.use()
	a.write(text(4, "x"))
	a.write(text(4+maxAhead, "x"))
	a.wantDrops("beyond the window", dropWindow, 1)
	if n := a.Stats().Duplicates; n != 0 {
		t.Errorf("%d duplicates are counted, want 0", n)
	}
}

// A message that the peer gave up and that arrives late is delivered, once, if it is at most
// 4096 TSNs late. One that is later cannot be distinguished from a duplicate.
func TestLateAfterAFarForward(t *testing.T) {
	for _, far := range []uint32{maxAhead, maxAhead + 1} {
		a := newTestAssoc(t, honest)
		a.use()
		a.write(text(5, "x"))
		a.events = nil
		a.write(forward(1 + far))
		a.write(text(3, "late"), text(3, "late"))
		if came := len(a.events) == 1; came != (far == maxAhead) {
			t.Errorf("FORWARD-TSN by %d: the late message is delivered: %v, want %v", far, came, far == maxAhead)
		}
		a.events = nil
		a.write(text(2+far, "next"), text(5+maxAhead, "of the same bit as 5"))
		if len(a.events) != 2 {
			t.Errorf("FORWARD-TSN by %d: %d new messages are delivered, want 2", far, len(a.events))
		}
	}
}
