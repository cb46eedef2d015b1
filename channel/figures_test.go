package channel

import (
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// The figures of a round trip are those of RFC 9002, section 5, to the nanosecond.
func TestFiguresOfTheRoundTrip(t *testing.T) {
	x := newTestMux(t, Config{RTT: 50 * time.Millisecond})
	want := func(why string, smoothed, variance, minimum, latest time.Duration) {
		t.Helper()
		if s := x.m.Stats(); s.RTT != smoothed || s.RTTVar != variance || s.MinRTT != minimum || s.LatestRTT != latest {
			t.Errorf("%s: smoothed %v, variance %v, shortest %v, latest %v; want %v, %v, %v, %v",
				why, s.RTT, s.RTTVar, s.MinRTT, s.LatestRTT, smoothed, variance, minimum, latest)
		}
	}
	const ms = time.Millisecond
	want("a guess", 50*ms, 25*ms, 0, 50*ms)
	for i, c := range []struct{ trip, smoothed, variance, minimum time.Duration }{
		{80 * ms, 80 * ms, 40 * ms, 80 * ms},
		{100 * ms, 82500 * time.Microsecond, 35 * ms, 80 * ms},
		{60 * ms, 79687500, 31875 * time.Microsecond, 60 * ms},
	} {
		x.send(chat, "ping", Options{})
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(c.trip)
		x.ack(uint64(i), uint64(i))
		want("a sample", c.smoothed, c.variance, c.minimum, c.trip)
	}
}

// What waits at either end is counted by the byte, for the link and for each channel.
func TestFiguresOfQueues(t *testing.T) {
	x := newTestMux(t, Config{Channels: Channels{
		{Name: "a", Mode: ReliableOrdered, MaxMessage: 1400, QueueLimit: 1500},
		{Name: "b", Mode: ReliableUnordered, MaxMessage: 1000, QueueLimit: 5000},
	}})
	want := func(why string, queued, held int) {
		t.Helper()
		if s := x.m.Stats(); s.Queued != queued || s.Held != held {
			t.Errorf("%s: %d bytes queued and %d held, want %d and %d", why, s.Queued, s.Held, queued, held)
		}
	}
	channel := func(why string, ch ID, waiting, bytes, held, free int) {
		t.Helper()
		if s := x.m.ChannelStats(ch); s.Queued != waiting || s.QueueBytes != bytes || s.Held != held || x.m.Free(ch) != free {
			t.Errorf("%s: channel %d has %d messages of %d bytes queued, %d bytes held, %d free; want %d, %d, %d, %d",
				why, ch, s.Queued, s.QueueBytes, s.Held, x.m.Free(ch), waiting, bytes, held, free)
		}
	}
	want("at first", 0, 0)
	channel("at first", 1, 0, 0, 0, 1400)
	x.send(1, strings.Repeat("a", 100), Options{})
	x.send(1, strings.Repeat("a", 200), Options{})
	x.send(2, strings.Repeat("b", 300), Options{})
	all := 600 + 3*messageCost
	want("three messages", all, 0)
	channel("two messages", 1, 2, 300+2*messageCost, 0, 1500-300-3*messageCost)
	channel("one message", 2, 1, 300+messageCost, 0, 1000)
	for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
	}
	want("on the way they count until they are acknowledged", all, 0)
	channel("none waits to be sent", 1, 0, 300+2*messageCost, 0, 1500-300-3*messageCost)
	x.wait(10 * time.Millisecond)
	x.ack(0, x.m.flight.next-1)
	want("acknowledged", 0, 0)
	channel("acknowledged", 1, 0, 0, 0, 1400)
	x.receive(whole(1, 1, strings.Repeat("c", 50)))
	want("one waits for the one before", 0, 50+messageCost)
	channel("one waits", 1, 0, 0, 50+messageCost, 1400)
	channel("nothing is held on another channel", 2, 0, 0, 0, 1000)
	x.receive(whole(1, 0, "d"))
	x.wantEvents("both", "1 d", "1 50 bytes")
	want("nothing is held", 0, 0)
}

// Each channel counts its own messages and bytes, in and out.
func TestFiguresOfEachChannel(t *testing.T) {
	x := newTestMux(t, Config{})
	for i, ch := range []ID{effects, positions, loot, chat} {
		for range i + 1 {
			x.send(ch, strings.Repeat("x", 10*(i+1)), Options{Key: uint64(x.m.handles)})
			x.m.Append(x.now, nil, MaxPacket)
		}
	}
	x.receive(bare(effects, "one"), whole(chat, 0, "three"), whole(chat, 1, "four"), whole(loot, 0, "seven..."))
	for ch, want := range map[ID]ChannelStats{
		effects:   {MessagesOut: 1, BytesOut: 10, MessagesIn: 1, BytesIn: 3},
		positions: {MessagesOut: 2, BytesOut: 40},
		loot:      {MessagesOut: 3, BytesOut: 90, MessagesIn: 1, BytesIn: 8},
		chat:      {MessagesOut: 4, BytesOut: 160, MessagesIn: 2, BytesIn: 9},
	} {
		got := x.m.ChannelStats(ch)
		if got.MessagesOut != want.MessagesOut || got.BytesOut != want.BytesOut || got.MessagesIn != want.MessagesIn || got.BytesIn != want.BytesIn {
			t.Errorf("channel %d: %d messages of %d bytes out, %d of %d in; want %d of %d, %d of %d", ch,
				got.MessagesOut, got.BytesOut, got.MessagesIn, got.BytesIn, want.MessagesOut, want.BytesOut, want.MessagesIn, want.BytesIn)
		}
	}
}

// Probes do not wait for the pacer but use its tokens, so later packets wait. Otherwise seven
// times this Ceiling would be sent.
func TestProbesArePaidFor(t *testing.T) {
	for seed := range uint64(4) {
		w := newWorld(t, seed)
		up, down := w.both(netsim.Link{Delay: 5 * time.Millisecond})
		const ceiling, seconds = 16 << 10, 20
		c, _ := w.connect(Config{Channels: testTable, Rate: ceiling, Floor: ceiling, Ceiling: ceiling}, up, down)
		w.pump(c, bulk, 1<<30)
		w.run(3*time.Second, nil)
		for _, l := range []*way{up, down} {
			l.change(func(l *netsim.Link) { l.Loss = 0.5 })
		}
		before := c.mux.Stats()
		w.run(seconds*time.Second, nil)
		s := c.mux.Stats()
		if s.Timeouts == before.Timeouts {
			t.Errorf("no probe is sent: %d timeouts", s.Timeouts)
		}
		if rate := float64(s.BytesOut-before.BytesOut) / seconds; rate > 2*ceiling {
			t.Errorf("%.0f bytes a second are sent with a Ceiling of %d", rate, ceiling)
		}
	}
}

// The rate grows on a link that carries more, but not beyond the Ceiling, and does
// not fall below the Floor when nothing arrives.
func TestCeilingAndFloor(t *testing.T) {
	over := func(c Config, link netsim.Link) (sent float64, stats Stats) {
		w := newWorld(t, 16)
		up, down := w.both(link)
		c.Channels = testTable
		client, _ := w.connect(c, up, down)
		w.every(10*time.Millisecond, 1000, func(int) {
			for client.mux.Free(loot) >= 1000 {
				if w.send(client, loot, make([]byte, 1000), Options{}) != nil {
					break
				}
			}
		})
		w.run(5*time.Second, nil)
		before := client.mux.Stats().BytesOut
		w.run(5*time.Second, nil)
		stats = client.mux.Stats()
		return float64(stats.BytesOut-before) / 5, stats
	}
	fast := netsim.Link{Delay: 20 * time.Millisecond}
	for _, ceiling := range []int{20_000, 60_000} {
		sent, stats := over(Config{Rate: 16_000, Ceiling: ceiling}, fast)
		if c := float64(ceiling); sent > 1.02*c || sent < 0.8*c || stats.Rate != c {
			t.Errorf("Ceiling %d: %.0f bytes a second are sent, at a rate of %.0f", ceiling, sent, stats.Rate)
		}
	}
	if sent, _ := over(Config{Rate: 16_000}, fast); sent > 1.02*(256<<10) || sent < 0.8*(256<<10) {
		t.Errorf("without a Ceiling %.0f bytes a second were sent, want about 256 KiB", sent)
	}
	if sent, _ := over(Config{Ceiling: -1}, fast); sent < 2*(256<<10) {
		t.Errorf("without a limit %.0f bytes a second are sent, want %d at least", sent, 2*(256<<10))
	}
	if _, stats := over(Config{Rate: 10_000, Ceiling: 5_000}, fast); stats.Rate != 8<<10 && stats.Rate != 5_000 {
		t.Errorf("the rate is %.0f, want the Ceiling of 5,000, or 8 KiB", stats.Rate)
	}
	narrow := netsim.Link{Delay: 20 * time.Millisecond, Rate: 3000, Queue: 10_000}
	if _, stats := over(Config{Floor: 6_000, Ceiling: 100_000}, narrow); stats.Rate < 6_000 || stats.Rate > 9_000 {
		t.Errorf("with a Floor of 6,000 on a link of 3,000 the rate is %.0f, want 6,000 to 9,000", stats.Rate)
	}
}
