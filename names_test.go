package godwit

import "testing"

// What a program prints of an event or a setting are words.
func TestEventsPrintAsWords(t *testing.T) {
	for typ, want := range map[EventType]string{
		OpenEvent: "open", MessageEvent: "message", RequestEvent: "request", ReceiptEvent: "receipt", ChannelEvent: "channel",
		InterruptedEvent: "interrupted", ResumedEvent: "resumed", CloseEvent: "close", EndedEvent: "ended", 99: "unknown",
	} {
		if got := typ.String(); got != want {
			t.Errorf("event %d prints %q, want %q", uint8(typ), got, want)
		}
	}
	for d, want := range map[Duplicates]string{Allow: "allow", Refuse: "refuse", Replace: "replace", 9: "unknown"} {
		if got := d.String(); got != want {
			t.Errorf("Duplicates %d prints %q, want %q", uint8(d), got, want)
		}
	}
}
