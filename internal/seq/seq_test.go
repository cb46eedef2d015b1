package seq

import "testing"

func TestOrderHoldsAcrossTheWrap(t *testing.T) {
	for _, tt := range []struct {
		a, b uint16
		less bool
	}{
		{0, 0, false},
		{0, 1, true},
		{1, 0, false},
		{0xffff, 0, true},
		{0, 0xffff, false},
		{0xfff0, 0x0010, true},
		{0, 0x7fff, true},
		{0, 0x8000, false}, // half of the space apart: no order
		{0x8000, 0, false},
		{0, 0x8001, false},
		{0x8001, 0, true},
	} {
		if got := Less(tt.a, tt.b); got != tt.less {
			t.Errorf("Less(%#x, %#x) = %v, want %v", tt.a, tt.b, got, tt.less)
		}
		// The same distances with the 32 bits of a TSN.
		wide := func(v uint16) uint32 { return uint32(v) << 16 }
		if got := Less(wide(tt.a), wide(tt.b)); got != tt.less {
			t.Errorf("Less(%#x, %#x) = %v, want %v", wide(tt.a), wide(tt.b), got, tt.less)
		}
	}
}

func TestLessEqAndExtremes(t *testing.T) {
	const before, after = uint32(0xffff_fff0), uint32(5)
	if !LessEq(before, before) || !LessEq(before, after) || LessEq(after, before) {
		t.Error("LessEq is wrong at the wrap")
	}
	if Max(before, after) != after || Max(after, before) != after {
		t.Error("Max is wrong at the wrap")
	}
	if Min(before, after) != before || Min(after, before) != before {
		t.Error("Min is wrong at the wrap")
	}
}

func TestEveryNearPairHasOneOrder(t *testing.T) {
	for a := range 1 << 16 {
		for _, d := range []uint16{1, 2, 255, 4096, 0x7fff} {
			if x := uint16(a); !Less(x, x+d) || Less(x+d, x) {
				t.Fatalf("Less(%d, %d) = %v, want true, and false in reverse", x, x+d, Less(x, x+d))
			}
		}
	}
}
