package channel

import (
	"testing"
	"time"
	"unsafe"
)

// The Muxes of a complete table share its channels. A Mux with a table that has zero values gets a
// copy with the defaults, and leaves the table as it is.
func TestMuxesShareACompleteTable(t *testing.T) {
	table := Channels{{Name: "a", Mode: ReliableOrdered}, {Name: "b"}}
	full := table.WithDefaults()
	mux := func(c Channels) *Mux {
		m, err := New(time.Time{}, Config{Channels: c})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first, second, third := mux(full), mux(full), mux(table)
	for id := Control; id <= 2; id++ {
		if s := first.senders[id]; s.cfg != second.senders[id].cfg || s.cfg != first.receivers[id].cfg {
			t.Errorf("two Muxes have two copies of channel %d of a complete table, want one", id)
		}
		if a, b := first.senders[id].cfg, third.senders[id].cfg; *a != *b || id > 0 && a == b {
			t.Errorf("channel %d of a table with zero values is %+v, want a copy with the defaults, %+v", id, *b, *a)
		}
	}
	if table[0] != (Channel{Name: "a", Mode: ReliableOrdered}) || table[1] != (Channel{Name: "b"}) {
		t.Errorf("New has changed the table to %+v", table)
	}
}

// A server has a Mux, and both halves of each channel, for each client. The runtime rounds their sizes up to
// the next size class.
func TestAMuxAndItsChannelsFitTheirSizeClasses(t *testing.T) {
	if s, r := unsafe.Sizeof(sender{}), unsafe.Sizeof(receiver{}); s > 288 || r > 208 {
		t.Errorf("a sender has %d bytes and a receiver %d, want at most 288 and 208", s, r)
	}
	if m := unsafe.Sizeof(Mux{}); m > 3200 {
		t.Errorf("a Mux has %d bytes, want at most 3,200", m)
	}
}
