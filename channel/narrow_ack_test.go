package channel

import (
	"strings"
	"testing"
	"time"
)

// An ack block leaves room for the largest piece. In a packet on a narrow path that room is
// most of the packet: there the block leaves it only to a piece that leaves now.
func TestRoomOfAcknowledgements(t *testing.T) {
	for _, c := range []struct {
		name         string
		limit        int
		narrow       bool
		piece, waits bool // a piece is to be sent; congestion control lets it wait
		all          bool // the block has all ranges
	}{
		{name: "a narrow path, nothing to send", limit: MaxPacket, narrow: true, all: true},
		{name: "a narrow path, a piece that waits", limit: MaxPacket, narrow: true, piece: true, waits: true, all: true},
		{name: "a narrow path, a piece", limit: MaxPacket, narrow: true, piece: true},
		{name: "the smallest limit, nothing to send", limit: MinLimit},
		{name: "the smallest limit, a piece", limit: MinLimit, piece: true},
		{name: "a wide path, a piece", limit: MaxPacket, piece: true, all: true},
	} {
		x := newTestMux(t, Config{Ceiling: -1})
		limit := c.limit
		if c.narrow {
			limit = leastBudget
			x.m.path.budget, x.m.path.retryAt = leastBudget, never
		}
		if c.piece {
			x.send(chat, string(make([]byte, 2*pieceSize)), Options{})
		}
		if c.waits {
			x.m.flight.bytes = 1 << 30
		}
		for range maxRanges + 8 { // every second packet arrives
			x.receive([]byte{frameControl | controlPing})
			x.number++
		}
		x.now = x.now.Add(time.Second)
		b := x.m.Append(x.now, nil, c.limit)
		var p packet
		if !p.parse(b) || !p.hasAck {
			t.Fatalf("%s: %s, want an ack block", c.name, script(b))
		}
		block, room := len(b)-len(p.frames), limit-maxFragmentHeader-pieceSize
		if c.all && p.ack.ranges != maxRanges-1 {
			t.Errorf("%s: %d ranges, want %d", c.name, p.ack.ranges+1, maxRanges)
		}
		if !c.all && (block > room || block < room-1) { // a range has two bytes
			t.Errorf("%s: the ack block ends at %d, want %d", c.name, block, room)
		}
		if left := len(p.frames) > pieceSize; left != (c.piece && !c.waits) {
			t.Errorf("%s: a piece is sent: %v, want %v", c.name, left, c.piece && !c.waits)
		}
	}
}

// When no answer arrives, and the last packet was large, a ping leaves alone before the
// retransmission: it shows whether only large packets do not arrive.
func TestSmallProbeBeforeALargeOne(t *testing.T) {
	for size, small := range map[int]bool{leastBudget / 2: false, leastBudget/2 + 1: true} {
		x := newTestMux(t, Config{})
		x.send(loot, strings.Repeat("x", size-7), Options{})
		if b := x.m.Append(x.now, nil, MaxPacket); len(b) != size {
			t.Fatalf("a packet of %d bytes, want %d", len(b), size)
		}
		for timeout, want := range []bool{false, small} {
			x.wait(x.m.Deadline().Sub(x.now))
			var all []string
			for b := x.m.Append(x.now, nil, MaxPacket); len(b) > 0; b = x.m.Append(x.now, nil, MaxPacket) {
				all = append(all, script(b))
			}
			if got := len(all) > 0 && all[0] == "ping"; got != want || len(all) == 0 || strings.Contains(all[len(all)-1], "ping") {
				t.Errorf("%d bytes, timeout %d: %q, want a ping first: %v", size, timeout+1, all, want)
			}
		}
	}
}
