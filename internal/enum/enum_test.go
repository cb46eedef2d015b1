package enum

import "testing"

func TestValuesWithoutANameAreUnknown(t *testing.T) {
	names := []string{"zero", "", "two"}
	for v, want := range []string{"zero", "unknown", "two", "unknown"} {
		if got := Name(uint8(v), names); got != want {
			t.Errorf("%d is %q, want %q", v, got, want)
		}
	}
}
