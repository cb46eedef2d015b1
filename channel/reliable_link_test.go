package channel

import (
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// reliablePair returns two ends of a reliable link, with a channel for bulk and one for states.
func reliablePair(t *testing.T, now time.Time) (a, b *Mux) {
	t.Helper()
	table := Channels{{Name: "bulk", Mode: ReliableOrdered, QueueLimit: 8 << 20}, {Name: "states", Mode: Sequenced}}
	config := Config{Channels: table, ReliableLink: true, Ceiling: -1, Rate: 64 << 20}
	a, err := New(now, config)
	if err != nil {
		t.Fatal(err)
	}
	config.Server = true
	b, err = New(now, config)
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}

// drainInto gives b all that a may send now, and returns the number of bytes.
func drainInto(now time.Time, a, b *Mux) (n int) {
	for p := a.Append(now, nil, MaxPacket); len(p) > 0; p = a.Append(now, nil, MaxPacket) {
		n += len(p)
		if b != nil {
			b.Receive(now, p)
			b.Release(b.Events(nil))
		}
	}
	return n
}

// On a reliable link at most 8 KiB leave before anything is acknowledged. The receiver
// acknowledges at once after 4096 bytes, and the sender goes on. Nothing is sent twice.
func TestWindowOfAReliableLink(t *testing.T) {
	now := time.Unix(1000, 0)
	a, _ := reliablePair(t, now)
	for range 100 {
		if _, err := a.Send(now, 1, make([]byte, 10_000), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	silent := 0
	for range 1000 { // nobody acknowledges, for a minute
		now = now.Add(60 * time.Millisecond)
		a.Advance(now)
		silent += drainInto(now, a, nil)
	}
	if silent < leastWindow || silent > leastWindow+MaxPacket {
		t.Errorf("%d bytes have left, want about %d", silent, leastWindow)
	}
	if st := a.Stats(); st.Retransmits+st.Timeouts+st.Copies != 0 {
		t.Errorf("%d pieces were sent again, %d timeouts, %d copies", st.Retransmits, st.Timeouts, st.Copies)
	}

	a, b := reliablePair(t, now)
	if _, err := a.Send(now, 1, make([]byte, 3000), Options{}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Millisecond)
	drainInto(now, a, b)
	if at := b.Deadline(); !at.After(now) {
		t.Error("3000 bytes are acknowledged at once")
	}
	if _, err := a.Send(now, 1, make([]byte, 3000), Options{}); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Millisecond)
	drainInto(now, a, b)
	if n := drainInto(now, b, a); n == 0 {
		t.Error("6000 bytes are not acknowledged at once")
	}
}

// On a reliable link an acknowledgement is due at once after 4096 bytes, to the byte. Packets that
// need no acknowledgement do not count.
func TestBytesThatAreAcknowledgedAtOnce(t *testing.T) {
	content, padding := bare(effects, strings.Repeat("x", 1018)), make([]byte, 1021) // packets of 1024 bytes
	for _, c := range []struct {
		name     string
		reliable bool
		last     []byte
		wait     time.Duration
	}{
		{"a byte less", true, bare(effects, strings.Repeat("x", 1017)), maxAckDelay},
		{"4096 bytes", true, content, 0},
		{"padding", true, padding, maxAckDelay},
		{"another link", false, content, maxAckDelay},
	} {
		x := newTestMux(t, Config{ReliableLink: c.reliable})
		for range 3 {
			x.receive(content)
		}
		x.receive(c.last)
		if d := x.m.Deadline().Sub(x.now); d != c.wait {
			t.Errorf("%s: an acknowledgement is due in %v, want %v", c.name, d, c.wait)
		}
	}
}

// A narrow path in two directions, reliable, of 1 Mbit/s in one of them. One step is a millisecond.
type narrow struct {
	now         time.Time
	a, b        *Mux
	oneWay      time.Duration
	there, back []flying
	free        time.Time     // when the narrow direction has sent everything
	worst       time.Duration // longest wait for the rate
	delivered   int
	arrived     func(Event) // gets the messages at b
}

type flying struct {
	at time.Time
	p  []byte
}

const narrowRate = 125_000.0 // bytes per second

func (n *narrow) step() {
	n.now = n.now.Add(time.Millisecond)
	now := n.now
	for len(n.there) > 0 && !n.there[0].at.After(now) {
		n.delivered += len(n.there[0].p)
		n.b.Receive(now, n.there[0].p)
		events := n.b.Events(nil)
		for _, e := range events {
			if n.arrived != nil {
				n.arrived(e)
			}
		}
		n.b.Release(events)
		n.there = n.there[1:]
	}
	for len(n.back) > 0 && !n.back[0].at.After(now) {
		n.a.Receive(now, n.back[0].p)
		n.a.Release(n.a.Events(nil))
		n.back = n.back[1:]
	}
	n.a.Advance(now)
	n.b.Advance(now)
	for p := n.a.Append(now, nil, MaxPacket); len(p) > 0; p = n.a.Append(now, nil, MaxPacket) {
		if n.free.Before(now) {
			n.free = now
		}
		n.free = n.free.Add(time.Duration(float64(len(p)) / narrowRate * float64(time.Second)))
		n.worst = max(n.worst, n.free.Sub(now))
		n.there = append(n.there, flying{n.free.Add(n.oneWay), p})
	}
	for p := n.b.Append(now, nil, MaxPacket); len(p) > 0; p = n.b.Append(now, nil, MaxPacket) {
		n.back = append(n.back, flying{now.Add(n.oneWay), p})
	}
}

// Over a path that takes 1 Mbit/s and 50 ms each way, packets never wait longer in the path than
// the time of queueTime and a little: the rest waits in the queues of the channels.
func TestQueueOfAReliableLink(t *testing.T) {
	start := time.Unix(1000, 0)
	a, b := reliablePair(t, start)
	n := &narrow{now: start, a: a, b: b, oneWay: 50 * ms}
	for n.now.Sub(start) < 30*time.Second {
		for a.Free(1) >= 1000 {
			a.Send(n.now, 1, make([]byte, 1000), Options{})
		}
		n.step()
	}
	if n.worst > 150*ms {
		t.Errorf("a packet waits %v in the path", n.worst)
	}
	if got := float64(n.delivered) / 30; got < 0.95*narrowRate {
		t.Errorf("%.0f bytes a second arrive, want most of %.0f", got, narrowRate)
	}
}

// States of a game, 60 a second, beside a bulk transfer over the same reliable link: the newest state
// at the receiver is never much older than a one-way trip and queueTime, also while the shortest
// round trip is measured again.
func TestStatesBesideBulkOnAReliableLink(t *testing.T) {
	for _, oneWay := range []time.Duration{5 * ms, 25 * ms, 50 * ms, 150 * ms} {
		start := time.Unix(1000, 0)
		a, b := reliablePair(t, start)
		n := &narrow{now: start, a: a, b: b, oneWay: oneWay}
		newest := start
		n.arrived = func(e Event) {
			if e.Type == EventMessage && e.Channel == 2 {
				newest = start.Add(time.Duration(binary.BigEndian.Uint64(e.Payload)))
			}
		}
		var oldest time.Duration
		states, before := 0, 0
		for n.now.Sub(start) < 30*time.Second {
			for a.Free(1) >= 16<<10 {
				a.Send(n.now, 1, make([]byte, 16<<10), Options{})
			}
			if at := n.now.Sub(start); int(at/ms)*60/1000 > states {
				states++
				state := binary.BigEndian.AppendUint64(make([]byte, 0, 200), uint64(at))[:200]
				if _, err := a.Send(n.now, 2, state, Options{}); err != nil {
					t.Fatal(err)
				}
			}
			n.step()
			if n.now.Sub(start) > 3*time.Second {
				oldest = max(oldest, n.now.Sub(newest))
			}
			if n.now.Sub(start) == 10*time.Second { // the rate is found
				before = n.delivered
			}
		}
		if limit := oneWay + queueTime + 70*ms; oldest > limit {
			t.Errorf("%v each way: the newest state was %v old, want at most %v", oneWay, oldest, limit)
		}
		if got := float64(n.delivered-before) / 20; got < 0.95*narrowRate {
			t.Errorf("%v each way: %.0f bytes a second arrive, want most of %.0f", oneWay, got, narrowRate)
		}
	}
}
