package channel

import (
	"testing"
	"time"
)

func TestHeardAndIdle(t *testing.T) {
	now := time.Unix(1000, 0)
	table := Channels{{Name: "chat", Mode: ReliableOrdered}}
	a, err := New(now, Config{Channels: table})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(now, Config{Channels: table, Server: true})
	if err != nil {
		t.Fatal(err)
	}
	a.Send(now, 1, []byte("hello"), Options{})
	if a.Idle() {
		t.Error("Idle() = true with a message in the queue")
	}
	packet := a.Append(now, nil, MaxPacket)

	now = now.Add(30 * time.Millisecond)
	b.Receive(now, packet)
	if at, n := b.Heard(); !at.Equal(now) || n != 1 {
		t.Errorf("Heard() = %v, %d; want %v, 1", at, n, now)
	}
	b.Receive(now.Add(time.Second), []byte("no packet"))
	if at, n := b.Heard(); !at.Equal(now) || n != 1 || b.Dropped(DropMalformed) != 1 {
		t.Errorf("after an invalid packet Heard() = %v, %d, want %v, 1, and one drop", at, n, now)
	}

	now = now.Add(30 * time.Millisecond)
	a.Receive(now, b.Append(now, nil, MaxPacket))
	if !a.Idle() {
		t.Error("Idle() = false though the message is acknowledged")
	}
}

// An answer to a ping takes the time of silence before the ping, and the round trips: estimated at first, then smoothed.
func TestTimeOfAnAnswer(t *testing.T) {
	x := newTestMux(t, Config{KeepAlive: time.Second, RTT: 30 * ms})
	if d := x.m.AnswerTime(3); d != time.Second+90*ms {
		t.Errorf("AnswerTime(3) = %v, want 1.09 s", d)
	}
	x.send(chat, "x", Options{})
	x.m.Append(x.now, nil, MaxPacket)
	x.now = x.now.Add(50 * ms)
	x.ack(0, 0)
	if d := x.m.AnswerTime(2); d != time.Second+100*ms {
		t.Errorf("AnswerTime(2) = %v after a round trip of 50 ms, want 1.1 s", d)
	}
}
