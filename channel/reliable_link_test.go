package channel

import (
	"testing"
	"time"
)

// reliablePair returns two ends of a reliable link, with a channel for bulk.
func reliablePair(t *testing.T, now time.Time) (a, b *Mux) {
	t.Helper()
	table := Channels{{Name: "bulk", Mode: ReliableOrdered, QueueLimit: 8 << 20}}
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

// Over a path that takes 1 Mbit/s and 50 ms each way, packets never wait longer in the path than
// the time of queueTime and a little: the rest waits in the queues of the channels.
func TestQueueOfAReliableLink(t *testing.T) {
	const rate = 125_000.0 // bytes per second
	start := time.Unix(1000, 0)
	now := start
	a, b := reliablePair(t, now)
	type flying struct {
		at time.Time
		p  []byte
	}
	var there, back []flying
	free := now // when the narrow link has sent everything
	var worst time.Duration
	delivered := 0
	for ; now.Sub(start) < 30*time.Second; now = now.Add(time.Millisecond) {
		for a.Free(1) >= 1000 {
			a.Send(now, 1, make([]byte, 1000), Options{})
		}
		for len(there) > 0 && !there[0].at.After(now) {
			delivered += len(there[0].p)
			b.Receive(now, there[0].p)
			b.Release(b.Events(nil))
			there = there[1:]
		}
		for len(back) > 0 && !back[0].at.After(now) {
			a.Receive(now, back[0].p)
			a.Release(a.Events(nil))
			back = back[1:]
		}
		a.Advance(now)
		b.Advance(now)
		for p := a.Append(now, nil, MaxPacket); len(p) > 0; p = a.Append(now, nil, MaxPacket) {
			if free.Before(now) {
				free = now
			}
			free = free.Add(time.Duration(float64(len(p)) / rate * float64(time.Second)))
			worst = max(worst, free.Sub(now))
			there = append(there, flying{free.Add(50 * time.Millisecond), p})
		}
		for p := b.Append(now, nil, MaxPacket); len(p) > 0; p = b.Append(now, nil, MaxPacket) {
			back = append(back, flying{now.Add(50 * time.Millisecond), p})
		}
	}
	if worst > 150*time.Millisecond {
		t.Errorf("a packet waits %v in the path", worst)
	}
	if got := float64(delivered) / 30; got < 0.95*rate {
		t.Errorf("%.0f bytes a second arrive, want most of %.0f", got, rate)
	}
}
