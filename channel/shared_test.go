package channel

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Whatever the fate of a message is, its shared payload is given back once: delivered,
// lost, replaced, expired, dropped because there is no room, refused, abandoned.
func TestSharedIsDoneOnce(t *testing.T) {
	table := Channels{
		{Name: "unreliable", QueueLimit: 40 << 10}, {Name: "sequenced", Mode: Sequenced, QueueLimit: 40 << 10},
		{Name: "unordered", Mode: ReliableUnordered, MaxMessage: 9000, QueueLimit: 40 << 10},
		{Name: "ordered", Mode: ReliableOrdered, MaxMessage: 9000, QueueLimit: 40 << 10},
	}
	now := time.Unix(1000, 0)
	var ends [2]*Mux
	for i := range ends {
		m, err := New(now, Config{Channels: table, Server: i == 0})
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = m
	}
	random := rand.New(rand.NewPCG(1, 1))
	var done []int
	fates := make(map[string]int)
	send := func() {
		n := len(done)
		done = append(done, 0)
		p := &Shared{B: make([]byte, random.IntN(9000)), Done: func() { done[n]++ }}
		o := Options{Receipt: random.IntN(2) == 0, Key: uint64(random.IntN(4))}
		if random.IntN(3) == 0 {
			o.Deadline = now.Add(time.Duration(random.IntN(50)) * time.Millisecond)
		}
		if _, err := ends[0].SendShared(now, ID(1+random.IntN(len(table))), p, o); err != nil {
			fates[err.Error()]++
			if done[n] != 0 {
				t.Fatalf("Send fails with %v, and has returned the payload", err)
			}
			done[n] = 1
		}
	}
	for step := range 3000 {
		now = now.Add(5 * time.Millisecond)
		if step < 2800 {
			send()
		}
		for i, m := range ends {
			m.Advance(now)
			for b := m.Append(now, nil, MaxPacket); len(b) > 0; b = m.Append(now, nil, MaxPacket) {
				if random.IntN(5) > 0 {
					ends[1-i].Receive(now, b)
				}
			}
			evs := m.Events(nil)
			for _, ev := range evs {
				if ev.Type == EventReceipt {
					fates[ev.Fate.String()]++
				}
			}
			m.Release(evs)
		}
		if step == 1500 {
			for _, m := range ends {
				m.Relink(now, false, 0)
			}
		}
	}
	for range 10 {
		send()
	}
	ends[0].Close(now, 0, "")
	for n, times := range done {
		if times != 1 {
			t.Fatalf("the payload of message %d is returned %d times, want once", n, times)
		}
	}
	if len(fates) < 7 {
		t.Errorf("some fates are missing: %v", fates)
	}
}

// A Shared without Done is not given back, whatever the fate of its message is.
func TestSharedWithoutDone(t *testing.T) {
	table := Channels{{Name: "unreliable"}, {Name: "sequenced", Mode: Sequenced}, {Name: "unordered", Mode: ReliableUnordered}, {Name: "ordered", Mode: ReliableOrdered}}
	now := time.Unix(1000, 0)
	var ends [2]*Mux
	for i := range ends {
		m, err := New(now, Config{Channels: table, Server: i == 0})
		if err != nil {
			t.Fatal(err)
		}
		ends[i] = m
	}
	for id := range table {
		for _, o := range []Options{{}, {Key: 1}, {Key: 1}, {Deadline: now.Add(time.Millisecond)}} {
			if _, err := ends[0].SendShared(now, ID(1+id), &Shared{B: []byte("x")}, o); err != nil {
				t.Fatal(err)
			}
		}
	}
	now = now.Add(10 * time.Millisecond) // some expire
	for range 10 {
		for i, m := range ends {
			now = now.Add(10 * time.Millisecond)
			m.Advance(now)
			for b := m.Append(now, nil, 1200); len(b) > 0; b = m.Append(now, nil, 1200) {
				ends[1-i].Receive(now, b)
			}
		}
	}
	if n := ends[0].Stats().Queued; n != 0 {
		t.Errorf("%d bytes are queued, want 0", n)
	}
	if _, err := ends[0].SendShared(now, 4, &Shared{B: []byte("x")}, Options{}); err != nil {
		t.Fatal(err)
	}
	ends[0].Close(now, 0, "") // gives up what waits
}
