package sctp

import (
	"fmt"
	"testing"
	"time"
)

// A release is a packet, or a time, after which all messages that wait are delivered or
// dropped.
type release struct {
	name    string
	opening []byte              // OPEN of stream 1, before the other packets; nil for none
	fill    func(i, n int) data // chunk i of n that wait
	reverse bool                // the last chunk comes first
	last    func(n int) []byte  // chunk that ends the waiting; nil for the time
	events  func(n int) int     // number of events that follow
}

// heldTSN is the TSN of the first chunk that waits.
const heldTSN = peerTSN + 2

func releases() []release {
	reliable := openChunk(peerTSN, 1, channelReliable, 0, "")
	ordered := openChunk(peerTSN, 1, channelRetransmits, 1, "")
	message := func(i, _ int) data { return data{ssn: uint16(2 + i), flags: flagWhole} }
	sparse := func(i, _ int) data { return data{ssn: uint16(2 + 2*i), flags: flagWhole} }
	half := func(i, _ int) data { return data{stream: 2 * uint16(i&1), flags: flagBegin | flagUnordered} }
	missing := func(int) []byte { return rawData(flagWhole, heldTSN-1, 1, 1, ppidBinary, "x") }
	all := func(n int) int { return n }
	return []release{
		{"missing", reliable, message, false, missing, func(n int) int { return n + 1 }},
		{"missing, in reverse", reliable, message, true, missing, func(n int) int { return n + 1 }},
		{"given up", ordered, sparse, false, func(n int) []byte { return forward(uint32(heldTSN+n), 1, uint16(2*n+2)) }, all},
		{"given up, in reverse", ordered, sparse, true, func(n int) []byte { return forward(uint32(heldTSN+n), 1, uint16(2*n+2)) }, all},
		{"opened", nil, message, true, func(int) []byte { return unreliableOpen(peerTSN, 1, "") }, func(n int) int { return n + 1 }},
		{"halves given up", nil, half, false, func(n int) []byte { return forward(uint32(heldTSN + n)) }, func(int) int { return 0 }},
		{"halves reset", unreliableOpen(peerTSN, 1, ""), half, false, func(n int) []byte { return resetRequest(peerTSN, peerTSN, 1, 3) }, func(int) int { return 1 }},
		{"halves too old", nil, half, false, nil, func(int) int { return 0 }},
	}
}

// held returns an association that stores as many messages of one byte, or halves, as fit, and
// their number.
func (r *release) held(now time.Time, buffer int) (*Assoc, int) {
	a := New(Config{
		LocalTag: ourTag, InitialTSN: ourTSN, Ack: AckHonest, EvenStreams: true,
		AllowReliable: r.opening != nil || r.name == "opened", MaxMessage: buffer / 4, MaxBuffered: buffer,
	})
	a.peer = endpoint{tag: peerTag, tsn: peerTSN, in: 0xffff}
	a.establish(a.since(now), nil)
	a.rx.init(peerTSN - 1)
	if r.opening != nil {
		a.Receive(now, packet(ourTag, r.opening), nil)
	}
	n := buffer / (1 + bufferOverhead)
	for k := range n {
		i := k
		if r.reverse {
			i = n - 1 - k
		}
		d := r.fill(i, n)
		a.Receive(now, packet(ourTag, rawData(d.flags, uint32(heldTSN+i), 1+d.stream, d.ssn, ppidBinary, string([]byte{byte(i)}))), nil)
	}
	return a, n
}

// let gives a the packet p, or the time if p is nil.
func (r *release) let(a *Assoc, now time.Time, p []byte, events []Event) []Event {
	if p == nil {
		return a.Advance(now.Add(time.Minute), events)
	}
	return a.Receive(now, p, events)
}

// packet returns the packet that ends the waiting, or nil.
func (r *release) packet(n int) []byte {
	if r.last == nil {
		return nil
	}
	return packet(ourTag, r.last(n))
}

// All messages that wait are delivered or dropped at once and in order, without an allocation
// for each.
func TestReleaseOfAllThatIsHeld(t *testing.T) {
	now := time.Unix(1, 0)
	for _, r := range releases() {
		a, n := r.held(now, 64<<10)
		if a.buffered != n*(1+bufferOverhead) {
			t.Fatalf("%s: %d bytes are buffered, want %d", r.name, a.buffered, n*(1+bufferOverhead))
		}
		p, events := r.packet(n), make([]Event, 0, n+1)
		warm, _ := r.held(now, 64<<10) // for the first call of AllocsPerRun, which it does not count
		allocs := testing.AllocsPerRun(1, func() {
			events = r.let(warm, now, p, events[:0])
			warm = a
		})
		if allocs > 3 { // an OPEN allocates its answer and may grow the list of channels
			t.Errorf("%s: %v allocations, want at most 3", r.name, allocs)
		}
		if len(events) != r.events(n) {
			t.Errorf("%s: %d events, want %d", r.name, len(events), r.events(n))
		}
		for i := range min(n, len(events)-1) {
			if p := events[len(events)-1-i].Payload; len(p) > 0 && p[0] != byte(n-1-i) {
				t.Fatalf("%s: the messages are not in order", r.name)
			}
		}
		if a.buffered != 0 || len(a.loose) != 0 || len(a.kept) != 0 {
			t.Errorf("%s: %d bytes are buffered, want 0", r.name, a.buffered)
		}
	}
}

// BenchmarkRelease measures the packet that costs most: after it all messages that wait are
// delivered or dropped.
func BenchmarkRelease(b *testing.B) {
	now := time.Unix(1, 0)
	for _, r := range releases() {
		for _, buffer := range []int{64 << 10, 256 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", r.name, buffer>>10), func(b *testing.B) {
				var events []Event
				for b.Loop() {
					b.StopTimer()
					a, n := r.held(now, buffer)
					p := r.packet(n)
					events = append(events[:0], make([]Event, n+1)...)[:0]
					b.StartTimer()
					events = r.let(a, now, p, events)
				}
			})
		}
	}
}
