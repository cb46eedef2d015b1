package godwit

import (
	"testing"
	"unsafe"
)

// A server has one Conn and one entry of the directory for each client. The runtime rounds their
// sizes up to the next size class.
func TestAConnFitsItsSizeClass(t *testing.T) {
	if c, e := unsafe.Sizeof(Conn{}), unsafe.Sizeof(entry{}); c > 288 || e > 176 {
		t.Errorf("a Conn has %d bytes and an entry %d, want at most 288 and 176", c, e)
	}
}
