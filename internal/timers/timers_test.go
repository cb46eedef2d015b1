package timers

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
	"weak"
)

var origin = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func at(n int) time.Time { return origin.Add(time.Duration(n) * time.Second) }

type thing struct {
	name string
	slot Slot
}

func (h *Heap[T]) wantDue(t *testing.T, why string, now time.Time, want *thing) {
	t.Helper()
	got, ok := h.Due(now)
	if ok != (want != nil) || ok && any(got) != any(want) {
		t.Errorf("%s: %+v (%v) is due, want %+v", why, got, ok, want)
	}
}

func TestDueInOrder(t *testing.T) {
	var h Heap[*thing]
	a, b, c := &thing{name: "a"}, &thing{name: "b"}, &thing{name: "c"}
	h.Set(a, &a.slot, at(3))
	h.Set(b, &b.slot, at(1))
	h.Set(c, &c.slot, at(2))
	if first, when := h.First(); first != b || when != at(1) {
		t.Errorf("First() = %+v at %v, want the first", first, when)
	}
	h.wantDue(t, "it is early", at(0), nil)
	h.wantDue(t, "the first", at(2), b)
	h.wantDue(t, "the second", at(2), c)
	h.wantDue(t, "the third is not yet", at(2), nil)
	h.wantDue(t, "the third", at(9), a)
	h.wantDue(t, "none is left", at(9), nil)
	if first, when := h.First(); first != nil || !when.IsZero() {
		t.Errorf("First() = %+v at %v of an empty heap, want nothing", first, when)
	}
}

func TestOnlySoonerMoves(t *testing.T) {
	var h Heap[*thing]
	a := &thing{}
	h.Set(a, &a.slot, time.Time{})
	h.wantDue(t, "zero is never", at(9), nil)
	h.Set(a, &a.slot, at(5))
	h.Set(a, &a.slot, at(7))
	h.Set(a, &a.slot, time.Time{})
	if _, when := h.First(); when != at(5) {
		t.Errorf("First is due at %v after a later time, want %v", when, at(5))
	}
	h.Set(a, &a.slot, at(2))
	h.wantDue(t, "sooner moves it", at(2), a)
}

func TestPutOff(t *testing.T) {
	var h Heap[*thing]
	a, b, c := &thing{name: "a"}, &thing{name: "b"}, &thing{name: "c"}
	h.Set(a, &a.slot, at(1))
	h.Set(b, &b.slot, at(2))
	h.Set(c, &c.slot, at(4))
	h.PutOff(at(3))
	h.wantDue(t, "the second is the first now", at(2), b)
	h.wantDue(t, "what was put off is not due yet", at(2), nil)
	h.wantDue(t, "what was put off is due then", at(3), a)
	h.Set(a, &a.slot, at(1))
	h.PutOff(time.Time{})
	h.wantDue(t, "what need not be due is not in the heap", at(9), c)
	h.wantDue(t, "none is left", at(9), nil)
	h.Set(a, &a.slot, at(1))
	h.wantDue(t, "what was taken out may come back", at(1), a)
}

func TestRemove(t *testing.T) {
	var h Heap[*thing]
	a, b := &thing{}, &thing{}
	h.Remove(&a.slot)
	h.Set(a, &a.slot, at(1))
	h.Set(b, &b.slot, at(2))
	h.Remove(&a.slot)
	h.Remove(&a.slot)
	h.wantDue(t, "the other stays", at(5), b)
	h.Set(a, &a.slot, at(1))
	h.wantDue(t, "what was removed may come back", at(5), a)
}

func TestWhatIsRemovedIsNotKept(t *testing.T) {
	var h Heap[*thing]
	b := &thing{}
	h.Set(b, &b.slot, at(1))
	seen := func() weak.Pointer[thing] {
		a := &thing{}
		h.Set(a, &a.slot, at(2))
		h.Remove(&a.slot)
		return weak.Make(a)
	}()
	runtime.GC()
	if seen.Value() != nil {
		t.Error("the heap keeps an element that was removed")
	}
	h.wantDue(t, "the other stays", at(5), b)
}

func TestManyThings(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h Heap[*thing]
	things := make([]thing, 500)
	for range 20_000 {
		x := &things[r.IntN(len(things))]
		if r.IntN(4) == 0 {
			h.Remove(&x.slot)
		} else {
			h.Set(x, &x.slot, at(r.IntN(1000)))
		}
	}
	in := len(h.heap)
	for last := origin; ; in-- {
		_, next := h.First()
		if _, ok := h.Due(at(1000)); !ok {
			break
		}
		if next.Before(last) {
			t.Fatalf("%v comes after %v", next, last)
		}
		last = next
	}
	if in != 0 {
		t.Errorf("%d elements are lost", in)
	}
	for i := range things {
		if things[i].slot.n != 0 {
			t.Fatalf("thing %d has the slot %d, want 0: it is not in the heap", i, things[i].slot.n)
		}
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	var h Heap[*thing]
	a := &thing{}
	n := testing.AllocsPerRun(100, func() {
		h.Set(a, &a.slot, at(1))
		h.Due(at(1))
	})
	if n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}
