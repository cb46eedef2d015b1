package sessioncore

import (
	"testing"
	"unsafe"
)

// A server has one Session for each client. The runtime rounds its size, and 8 bytes before it, up
// to the next size class: one field more than 896 bytes costs 128 bytes.
func TestASessionFitsItsSizeClass(t *testing.T) {
	if n := unsafe.Sizeof(Session{}); n+8 > 896 {
		t.Errorf("a Session has %d bytes, want at most 888", n)
	}
}
