package prefetch

import "testing"

// A read past the end of an object could be of memory that does not exist. Run with -d=checkptr,
// which -race implies, All and Read panic if they leave the object.
func TestReadStaysInsideTheObject(t *testing.T) {
	type small struct{ a byte }
	type odd struct{ b [129]byte }
	s, o := &small{a: 7}, &odd{}
	for i := range o.b {
		o.b[i] = byte(i)
	}
	if got := Read(s, 1<<20); got != 7 {
		t.Errorf("Read of a small object = %d, want its only byte, 7", got)
	}
	if got := Read(o, 1<<20); got != 0+64+128 {
		t.Errorf("Read of 129 bytes = %d, want one byte of each of 3 lines, 192", got)
	}
	if got := Read(o, 65); got != 0+64 {
		t.Errorf("Read of the first 65 bytes = %d, want one byte of 2 lines, 64", got)
	}
	if got := Read((*odd)(nil), 64); got != 0 {
		t.Errorf("Read of nil = %d, want 0", got)
	}
	if n := testing.AllocsPerRun(10, func() { All(o) }); n != 0 {
		t.Errorf("All allocates %v times, want 0", n)
	}
}
