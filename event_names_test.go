package godwit

import (
	"testing"

	"github.com/godwit-rtc/godwit/session"
)

// Events and settings print as words.
func TestEventsPrintAsWords(t *testing.T) {
	for typ, want := range map[session.EventType]string{
		session.EventOpen: "open", session.EventMessage: "message", session.EventRequest: "request", session.EventReceipt: "receipt", session.EventChannel: "channel",
		session.EventChannelClosed: "channel closed", session.EventRoom: "room",
		session.EventInterrupted: "interrupted", session.EventResumed: "resumed", session.EventClose: "close", session.EventEnded: "ended", 99: "unknown",
	} {
		if got := typ.String(); got != want {
			t.Errorf("event %d prints %q, want %q", uint8(typ), got, want)
		}
	}
	for d, want := range map[Duplicates]string{DuplicatesAllow: "allow", DuplicatesRefuse: "refuse", DuplicatesReplace: "replace", 9: "unknown"} {
		if got := d.String(); got != want {
			t.Errorf("Duplicates %d prints %q, want %q", uint8(d), got, want)
		}
	}
}
