package channel

import (
	"bytes"
	"testing"
	"time"
)

// Send copies its bytes, SendShared does not, and both return the number that the receipt has.
func TestSendCopiesAndNames(t *testing.T) {
	x := newTestMux(t, Config{})
	b := []byte("as it was")
	first := x.send(chat, "", Options{Receipt: true})
	second, err := x.m.Send(x.now, chat, b, Options{Receipt: true})
	if err != nil {
		t.Fatal(err)
	}
	third, err := x.m.SendShared(x.now, chat, &Shared{B: b}, Options{Receipt: true})
	if err != nil {
		t.Fatal(err)
	}
	copy(b, "as it is ")
	x.wantPacket("the copy, and the shared one", "message 4/0 ", "message 4/1 as it was", "message 4/2 as it is ")
	x.wait(10 * ms)
	x.ack(0, 0)
	evs := x.m.Events(nil)
	for i, id := range []MessageID{first, second, third} {
		if id != MessageID(i+1) || evs[i].Message != id || evs[i].Fate != FateDelivered || evs[i].Channel != chat {
			t.Errorf("message %d: %+v, want FateDelivered on channel %d", id, evs[i], chat)
		}
	}
}

// What a piece takes is reckoned with the number that its message will have.
func TestPacketWithLargeNumbers(t *testing.T) {
	for _, id := range []uint64{0, 127, 128, 1 << 20} {
		for size := range 20 {
			x := newTestMux(t, Config{})
			x.m.senders[loot].nextID = id
			x.send(effects, string(make([]byte, 1000)), Options{})
			x.send(loot, string(make([]byte, 130+size)), Options{})
			b := x.m.Append(x.now, nil, MaxPacket)
			whole := 3 + 1003 + 1 + varintLen(id) + 2 + 130 + size
			if want := map[bool]int{true: whole, false: 3 + 1003}[whole <= MaxPacket]; len(b) != want {
				t.Errorf("message %d of %d bytes: a packet of %d bytes, want %d", id, 130+size, len(b), want)
			}
		}
	}
}

// The defaults of a Config are those that it names; figures of the link begin with them.
func TestDefaultsOfConfig(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		config               Config
		rate, floor, ceiling float64
		rtt                  time.Duration
	}{
		{Config{}, 64 << 10, 8 << 10, 256 << 10, 100 * ms},
		{Config{Rate: 20_000, Floor: 10_000, Ceiling: 30_000, RTT: ms}, 20_000, 10_000, 30_000, ms},
		{Config{Ceiling: -1}, 64 << 10, 8 << 10, 1<<31 - 1, 100 * ms},
		{Config{Ceiling: 10_000}, 10_000, 8 << 10, 10_000, 100 * ms},
		{Config{Rate: 1}, 8 << 10, 8 << 10, 256 << 10, 100 * ms},
	} {
		m, err := New(now, c.config)
		if err != nil {
			t.Fatal(err)
		}
		if s := m.Stats(); s.Rate != c.rate || s.RTT != c.rtt || m.cc.floor != c.floor || m.cc.ceiling != c.ceiling || s.DeliveryRate != 0 || s.MinRTT != 0 {
			t.Errorf("%+v: rate %.0f, floor %.0f, ceiling %.0f, round trip %v", c.config, s.Rate, m.cc.floor, m.cc.ceiling, s.RTT)
		}
	}
}

// Congestion control gets the bytes that leave, whether more would leave, the bytes that arrive,
// and the round trip without the peer's delay.
func TestWhatCongestionControlIsTold(t *testing.T) {
	x := newTestMux(t, Config{Rate: 100_000})
	big := bytes.Repeat([]byte("x"), 1000)
	x.m.Send(x.now, loot, big, Options{})
	sent := len(x.m.Append(x.now, nil, MaxPacket))
	if x.m.Append(x.now, nil, MaxPacket); x.m.cc.round.limited {
		t.Error("the round counts as limited though nothing waits")
	}
	for range 3 {
		x.m.Send(x.now, loot, big, Options{})
	}
	sent += len(x.m.Append(x.now, nil, MaxPacket))
	if x.m.cc.round.limited {
		t.Error("the round counts as limited though more could be sent")
	}
	if x.m.Append(x.now, nil, MaxPacket); !x.m.cc.round.limited || x.m.cc.round.sent != sent {
		t.Errorf("more would leave: %v; %d bytes have, want %d", x.m.cc.round.limited, x.m.cc.round.sent, sent)
	}
	if s := x.m.Stats(); s.BytesOut != uint64(sent) || s.PacketsOut != 2 || s.InFlight != sent {
		t.Errorf("%+v, want 2 packets of %d bytes out and in flight", s, sent)
	}
	x.now = x.now.Add(80 * ms)
	a := ackBlock{largest: 1, first: 1, delay: 100}
	b, flags := a.append(appendHeader(nil, 0), MaxPacket)
	b[0] |= flags
	x.m.Receive(x.now, b)
	if want := 80*ms - 100*delayUnit; x.m.cc.minRTT != want || x.m.cc.delivered != uint64(sent) {
		t.Errorf("%v, and %d bytes have arrived; want %v, %d", x.m.cc.minRTT, x.m.cc.delivered, want, sent)
	}
	x.m.cc.recent[3] = 54_321
	if s := x.m.Stats(); s.Rate != 100_000 || s.DeliveryRate != 54_321 {
		t.Errorf("rate %.0f, want 100,000; delivery rate %.0f, want 54,321", s.Rate, s.DeliveryRate)
	}

	c := newCongestion(100_000)
	c.judge(time.Second+minRTTAge+1, 50_000, 0)
	if c.probing == 0 {
		t.Error("a round does not refresh an old minimum of the round trip")
	}
}
