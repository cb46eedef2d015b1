package prefetch

import "testing"

// A prefetch of no object, or of fewer or more bytes than an object has, changes nothing and
// allocates nothing.
func TestPrefetchHasNoEffect(t *testing.T) {
	type odd struct{ b [129]byte }
	o := &odd{}
	for i := range o.b {
		o.b[i] = byte(i)
	}
	if n := testing.AllocsPerRun(10, func() {
		All(o)
		First(o, 1)
		First(o, 65)
		First(o, 1<<20)
		All((*odd)(nil))
		First((*odd)(nil), 64)
	}); n != 0 {
		t.Errorf("a prefetch allocates %v times, want 0", n)
	}
	for i, b := range o.b {
		if b != byte(i) {
			t.Fatalf("byte %d is %d, want %d", i, b, i)
		}
	}
}
