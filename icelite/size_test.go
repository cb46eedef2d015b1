package icelite

import (
	"testing"
	"unsafe"
)

// Each connection of a server has an Agent and one Path. The runtime rounds up to 112 and 208
// bytes, among other sizes.
func TestSizes(t *testing.T) {
	if a, p := unsafe.Sizeof(Agent{}), unsafe.Sizeof(Path{}); a > 208 || p > 112 {
		t.Errorf("an Agent has %d bytes and a Path %d, want at most 208 and 112", a, p)
	}
}
