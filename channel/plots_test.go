package channel

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

var plots = flag.String("plots", "", "write the pictures of docs/reliability.md into this directory")

// What is compared: a reliable ordered channel of ours, a reliable ordered stream of
// pion/sctp, and a model of TCP.
var systems = [...]struct {
	class, name string
	latency     func(t *testing.T, seed uint64, l netsim.Link, length time.Duration) trial
	flow        func(t *testing.T) []flowPoint
}{
	{"godwit", "godwit, reliable ordered", channelLatency, channelFlow},
	{"sctp", "SCTP, reliable ordered: pion/sctp", sctpLatency, sctpFlow},
	{"tcp", "TCP, a model", tcpLatency, tcpFlow},
}

const (
	trialRate = 60  // messages a second
	trialSize = 200 // bytes each
	trialWait = 2 * time.Minute
)

// A trial has the fates of the messages of one run.
type trial struct {
	sent  int
	took  []time.Duration // of those that came within trialWait of the end
	bytes int             // given to the link in the direction of the messages, headers above UDP included
}

// share returns how long it took until a share of the messages was there, or false if
// it never was.
func (r *trial) share(p float64) (time.Duration, bool) {
	i := int(math.Ceil(p*float64(r.sent))) - 1
	if i >= len(r.took) {
		return 0, false
	}
	return r.took[max(0, i)], true
}

// add pools two trials.
func (r *trial) add(o trial) {
	r.sent, r.bytes = r.sent+o.sent, r.bytes+o.bytes
	r.took = append(r.took, o.took...)
	slices.Sort(r.took)
}

func (r *trial) text(p float64) string {
	if d, ok := r.share(p); ok {
		return fmt.Sprint(d.Milliseconds())
	}
	return "never"
}

// trialWorld plays a run of messages that are sent by send, which gets the number of
// each, and counted by the function it returns.
func trialWorld(w *world, length time.Duration, send func(i int)) (r *trial, came func(i int)) {
	r = &trial{sent: int(length.Seconds() * trialRate)}
	born := make([]time.Duration, r.sent)
	w.every(time.Second/trialRate, r.sent, func(i int) {
		born[i] = w.now
		send(i)
	})
	return r, func(i int) { r.took = append(r.took, w.now-born[i]) }
}

func channelLatency(t *testing.T, seed uint64, l netsim.Link, length time.Duration) trial {
	w := newWorld(t, seed)
	up, down := w.both(l)
	c, s := w.connect(Config{Channels: testTable}, up, down)
	r, came := trialWorld(w, length, func(i int) {
		w.send(c, chat, binary.BigEndian.AppendUint32(make([]byte, trialSize-4, trialSize), uint32(i)), Options{})
	})
	s.message = func(_ ID, b []byte) { came(int(binary.BigEndian.Uint32(b[trialSize-4:]))) }
	w.run(length+trialWait, func() bool { return len(r.took) == r.sent })
	r.bytes = int(up.Stats().SentBytes)
	slices.Sort(r.took)
	return *r
}

func tcpLatency(t *testing.T, seed uint64, l netsim.Link, length time.Duration) trial {
	w := newWorld(t, seed)
	up, down := w.both(l)
	c := newTCP(w, up, down)
	r, came := trialWorld(w, length, func(int) { c.write(trialSize) })
	c.deliver = func(upTo int) {
		for len(r.took) < upTo/trialSize {
			came(len(r.took))
		}
	}
	w.run(length+trialWait, func() bool { return len(r.took) == r.sent })
	r.bytes = int(up.Stats().SentBytes)
	slices.Sort(r.took)
	return *r
}

// The link of the throughput plot: its rate falls to a tenth for ten seconds.
const (
	flowWide, flowNarrow = 10 * megabit, megabit
	flowQueue            = megabit // bytes: 0.1 s of the wide link, 1 s of the narrow one
	flowBin              = 100 * time.Millisecond
	flowMean             = 5 // bins whose throughput is drawn as one
	flowLength           = 40 * time.Second
	flowNarrows          = 10 * time.Second
	flowWidens           = 20 * time.Second
)

var flowLink = netsim.Link{Delay: 50 * time.Millisecond, Rate: flowWide, Queue: flowQueue}

// A flowPoint is a moment of a transfer: what arrived since the last one, and how
// long a packet would wait in the queue now.
type flowPoint struct {
	at    time.Duration
	bytes int
	queue time.Duration
}

// flow watches a transfer of which got tells the bytes that have arrived.
func (w *world) flow(up *way, got func() int) []flowPoint {
	set := func(rate int) func() { return func() { up.change(func(l *netsim.Link) { l.Rate = rate }) } }
	w.after(flowNarrows, set(flowNarrow))
	w.after(flowWidens, set(flowWide))
	var points []flowPoint
	before := 0
	w.every(flowBin, int(flowLength/flowBin)+1, func(int) {
		points = append(points, flowPoint{w.now, got() - before, up.queue(w.time())})
		before = got()
	})
	w.run(flowLength+time.Millisecond, nil)
	return points
}

func flowWorld(t *testing.T) (w *world, up, down *way) {
	w = newWorld(t, 23)
	up, down = w.both(flowLink)
	down.change(func(l *netsim.Link) { l.Rate = 0 })
	return w, up, down
}

func channelFlow(t *testing.T) []flowPoint {
	w, up, down := flowWorld(t)
	c, s := w.connect(Config{Channels: testTable, Ceiling: -1}, up, down)
	got := 0
	s.message = func(_ ID, b []byte) { got += len(b) }
	w.pump(c, bulk, 1<<30)
	return w.flow(up, func() int { return got })
}

func tcpFlow(t *testing.T) []flowPoint {
	w, up, down := flowWorld(t)
	c := newTCP(w, up, down)
	got := 0
	c.deliver = func(upTo int) { got = upTo }
	c.write(1 << 30)
	return w.flow(up, func() int { return got })
}

// On a link that loses a tenth, the 99th percentile of the channel's latency is at most half of
// that of a browser's data channel, and of a TCP socket.
func TestAgainstOthers(t *testing.T) {
	var p99 [len(systems)]time.Duration
	for i, s := range systems {
		r := s.latency(t, 21, netsim.Link{Delay: 50 * time.Millisecond, Loss: 0.1}, 20*time.Second)
		var ok bool
		if p99[i], ok = r.share(0.99); !ok {
			t.Fatalf("%s: only %d of %d messages have arrived", s.name, len(r.took), r.sent)
		}
		t.Logf("%s: p50 %s ms, p99 %s ms, %d B/s", s.name, r.text(0.5), r.text(0.99), r.bytes/20)
	}
	if 2*p99[0] > p99[1] || 2*p99[0] > p99[2] {
		t.Errorf("the 99th percentiles are %v, want the first at most half of the others", p99)
	}
}

// TestPlots draws docs/plots/*.svg with -plots, and prints the table beside them.
func TestPlots(t *testing.T) {
	losses, runs, length := []float64{0, 0.05, 0.10, 0.20, 0.30, 0.50}, 30, time.Minute
	if *plots == "" {
		losses, runs, length = losses[1:2], 1, 5*time.Second // that it can be drawn
	}
	write := func(name, svg string) {
		if *plots == "" {
			return
		}
		if err := os.WriteFile(filepath.Join(*plots, name), []byte(svg), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("latency.svg", latencyPlot(t, losses, runs, length))
	write("bottleneck.svg", flowPlot(t))
}

func latencyPlot(t *testing.T, losses []float64, runs int, length time.Duration) string {
	c := newChart(1000, 690, "How long reliable ordered messages take",
		"60 messages of 200 bytes a second, one way, round trip 100 ms, loss each way as given. Curves end where messages never came.")
	c.legend(20, 74, legendEntries()...)
	seconds := []tick{{0.05, "0.05"}, {0.1, ""}, {0.2, "0.2"}, {0.5, "0.5"}, {1, "1"}, {2, "2"}, {5, "5"}, {10, "10"}, {20, "20"}, {50, "50"}, {120, "120"}}
	for i, loss := range losses {
		p := panel{
			title: fmt.Sprintf("%.0f %% loss", 100*loss), left: 80 + i%3*312, top: 120 + i/3*285, width: 266, height: 205,
			x: logarithmic("", 0.045, 130, seconds...), y: nines(""),
		}
		if i%3 == 0 {
			p.y.label = "% of messages delivered within"
		}
		if i >= 3 {
			p.x.label = "seconds from sending to delivery"
		}
		for _, s := range systems {
			var r trial
			for i := range runs {
				r.add(s.latency(t, 21+uint64(i), netsim.Link{Delay: 50 * time.Millisecond, Loss: loss}, length))
			}
			t.Logf("| %.0f %% | %s | %s | %s | %s | %.1f | %.1f |", 100*loss, s.name, r.text(0.5), r.text(0.99), r.text(0.999),
				100*float64(len(r.took))/float64(r.sent), float64(r.bytes)/length.Seconds()/float64(runs)/1000)
			p.lines = append(p.lines, line{s.class, r.curve()})
		}
		c.add(p)
	}
	return c.String()
}

func legendEntries() (entries [][2]string) {
	for _, s := range systems {
		entries = append(entries, [2]string{s.class, s.name})
	}
	return entries
}

// curve is the share of messages over time, until the last that came.
func (r *trial) curve() (points [][2]float64) {
	const steps = 400
	for i := range steps + 1 {
		p := 1 - math.Pow(10, -3.05*float64(i)/steps)
		d, ok := r.share(p)
		if !ok {
			break
		}
		points = append(points, [2]float64{d.Seconds(), p})
	}
	return points
}

func flowPlot(t *testing.T) string {
	c := newChart(1000, 690, "A bottleneck comes and goes",
		"One bulk transfer, round trip 100 ms. From second 10 to 20 the link of 10 Mbit/s carries 1 Mbit/s. Its queue holds 125 kB.")
	c.legend(20, 74, append(legendEntries(), [2]string{"link", "what the link carries"})...)
	seconds := flowLength.Seconds()
	speed := panel{title: "Throughput: bytes handed to the receiver", left: 80, top: 120, width: 890, height: 240,
		x: linear("", seconds, 5), y: linear("Mbit/s", 12, 2)}
	queue := panel{title: "Standing queue: how long a packet waits in front of the link", left: 80, top: 410, width: 890, height: 220,
		x: linear("seconds", seconds, 5), y: linear("ms", 1100, 200)}
	a, b := flowNarrows.Seconds(), flowWidens.Seconds()
	speed.lines = []line{{"link", [][2]float64{{0, 10}, {a, 10}, {a, 1}, {b, 1}, {b, 10}, {seconds, 10}}}}
	for _, s := range systems {
		var rates, waits [][2]float64
		var during []time.Duration
		sum := 0
		recent := 0
		flow := s.flow(t)
		for i, p := range flow {
			at := p.at.Seconds()
			recent += p.bytes
			if i >= flowMean {
				recent -= flow[i-flowMean].bytes
				span := flowMean * flowBin.Seconds()
				rates = append(rates, [2]float64{at - span/2, float64(recent) * 8 / span / 1e6})
			}
			waits = append(waits, [2]float64{at, float64(p.queue.Milliseconds())})
			sum += p.bytes
			if p.at > flowNarrows+3*time.Second && p.at <= flowWidens {
				during = append(during, p.queue)
			}
		}
		t.Logf("| %s | %.1f MB | %d | %d |", s.name, float64(sum)/1e6, percentile(during, 0.5).Milliseconds(), percentile(during, 0.95).Milliseconds())
		speed.lines = append(speed.lines, line{s.class, rates})
		queue.lines = append(queue.lines, line{s.class, waits})
	}
	c.add(speed)
	c.add(queue)
	return c.String()
}
