package peer

import (
	"testing"
	"unsafe"
)

// Each connection has a Peer. The runtime rounds up to 352 bytes, among other sizes.
func TestSize(t *testing.T) {
	if n := unsafe.Sizeof(Peer{}); n > 352 {
		t.Errorf("a Peer has %d bytes, want at most 352", n)
	}
}
