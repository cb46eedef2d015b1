package main

import (
	"math"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// Sizes and times of TCP as Linux has them.
const (
	segmentSize   = 1448                   // bytes of a segment on Ethernet, with timestamps
	firstWindow   = 10                     // segments, https://www.rfc-editor.org/rfc/rfc6928.html#section-2
	mostSegments  = 256                    // in flight
	firstTimeout  = time.Second            // https://www.rfc-editor.org/rfc/rfc6298.html#section-2
	leastVariance = 200 * time.Millisecond // TCP_RTO_MIN of Linux, which it adds to the round trip
	mostTimeout   = time.Minute
	lossFactor    = 0.7 // https://www.rfc-editor.org/rfc/rfc9438.html#section-4.6
	ackSize       = 52  // bytes of a segment without data
)

// A stream imitates one direction of a TCP connection over a bad link: bytes go in, and come out in order, when
// TCP would deliver them. It is a value without goroutines, locks and clocks.
//
// The sender has selective acknowledgements and finds a lost segment by the acknowledgement of a later one (RACK,
// RFC 8985). Where no later one is acknowledged it waits for the retransmission timeout (RFC 6298). A loss makes the
// window smaller, by the factor of CUBIC, once for each window. Where the model differs from the kernel it is in favour of
// TCP: every segment is acknowledged at once, an acknowledgement names all that has arrived, the window grows also when it is
// not used, and the opening of the connection costs nothing. The exception are tail loss probes, which are missing: a stream
// with a segment in each tick does not need them.
type stream struct {
	data, acks *netsim.Wire // the link, and the link back
	air        netsim.Timeline[flight]

	queue     []byte    // written, and in no segment yet
	segments  []segment // sent; the first is not acknowledged
	base      int       // number of segments[0]
	window    float64   // segments that may be in flight
	threshold float64   // window at which slow start ends
	recovery  int       // losses of segments below this number have made the window smaller already

	rtt, variance, least time.Duration // of the round trip: smoothed, its variance, the least; zero before the first
	newest               time.Time     // when the latest acknowledged transmission was sent
	newestRTT            time.Duration // its round trip
	reorder              time.Time     // when a segment that may only be late counts as lost; zero if there is none
	timeout              time.Time     // of retransmission; zero if nothing is in flight
	backoff              int           // timeouts in a row

	want int            // number of the first segment that has not arrived
	held map[int][]byte // arrived, after want
	out  []byte         // delivered, and not taken yet
}

// A segment is what the sender knows of one.
type segment struct {
	data  []byte
	sent  time.Time // of the last transmission
	again bool      // was sent more than once
	acked bool
	lost  bool // and not sent again yet
}

// A flight is a segment, or an acknowledgement if held is not nil, on its way.
type flight struct {
	number int // of the segment
	data   []byte
	sent   time.Time // for an acknowledgement, when the segment was
	want   int
	held   []int
}

func newStream(l netsim.Link, seed uint64) *stream {
	return &stream{
		data: netsim.NewWire(l, seed), acks: netsim.NewWire(l, seed+1),
		window: firstWindow, threshold: math.Inf(1), held: make(map[int][]byte),
	}
}

// setLink changes the link for what is sent from now on.
func (s *stream) setLink(l netsim.Link) {
	s.data.SetLink(l)
	s.acks.SetLink(l)
}

// write takes a copy of b, to be sent in order.
func (s *stream) write(now time.Time, b []byte) {
	s.queue = append(s.queue, b...)
	s.fill(now)
}

// waiting returns the number of bytes that are written and not in a segment.
func (s *stream) waiting() int { return len(s.queue) }

// idle reports whether everything that was written has been delivered and acknowledged.
func (s *stream) idle() bool { return len(s.queue) == 0 && len(s.segments) == 0 }

// take returns what is delivered. It is valid until the next call of another method.
func (s *stream) take() []byte {
	b := s.out
	s.out = s.out[:0]
	return b
}

// deadline returns when advance must be called. Zero means never.
func (s *stream) deadline() time.Time {
	at, _ := s.air.Next()
	for _, t := range []time.Time{s.reorder, s.timeout} {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	return at
}

// advance lets arrive what is due, and sends what TCP would send.
func (s *stream) advance(now time.Time) {
	for {
		f, ok := s.air.Pop(now)
		if !ok {
			break
		}
		if f.held != nil {
			s.acknowledged(now, f)
		} else {
			s.arrived(now, f)
		}
	}
	if !s.reorder.IsZero() && !s.reorder.After(now) {
		s.findLost(now)
	}
	if !s.timeout.IsZero() && !s.timeout.After(now) {
		s.timedOut(now)
	}
	s.fill(now)
}

// arrived is the receiver: it delivers what is in order, and acknowledges.
func (s *stream) arrived(now time.Time, f flight) {
	if f.number >= s.want {
		s.held[f.number] = f.data
	}
	for {
		b, ok := s.held[s.want]
		if !ok {
			break
		}
		delete(s.held, s.want)
		s.out = append(s.out, b...)
		s.want++
	}
	ack := flight{sent: f.sent, want: s.want, held: make([]int, 0, len(s.held))}
	for number := range s.held {
		ack.held = append(ack.held, number)
	}
	for _, d := range s.acks.Send(now, ackSize, nil) {
		s.air.Push(d.At, ack)
	}
}

// acknowledged processes an acknowledgement.
func (s *stream) acknowledged(now time.Time, f flight) {
	progress := false
	acked := func(number int) {
		i := number - s.base
		if i < 0 || s.segments[i].acked {
			return
		}
		s.segments[i].acked, s.segments[i].lost, progress = true, false, true
		if s.window < s.threshold {
			s.window++
		} else {
			s.window += 1 / s.window
		}
	}
	for number := s.base; number < f.want; number++ {
		acked(number)
	}
	for _, number := range f.held {
		acked(number)
	}
	s.window = min(s.window, mostSegments)
	if progress {
		// The acknowledgement names the transmission that caused it, as a timestamp does.
		s.measure(now.Sub(f.sent))
		if f.sent.After(s.newest) {
			s.newest, s.newestRTT = f.sent, now.Sub(f.sent)
		}
		s.backoff = 0
		s.arm(now)
	}
	for len(s.segments) > 0 && s.segments[0].acked {
		s.segments = s.segments[1:]
		s.base++
	}
	if len(s.segments) == 0 {
		s.timeout = time.Time{}
	}
	s.findLost(now)
}

// measure takes a round trip into account.
func (s *stream) measure(rtt time.Duration) {
	if s.rtt == 0 {
		s.rtt, s.variance, s.least = rtt, rtt/2, rtt
		return
	}
	s.variance += ((s.rtt - rtt).Abs() - s.variance) / 4
	s.rtt += (rtt - s.rtt) / 8
	s.least = min(s.least, rtt)
}

// arm sets the retransmission timeout.
func (s *stream) arm(now time.Time) {
	d := firstTimeout
	if s.rtt > 0 {
		d = s.rtt + max(4*s.variance, leastVariance)
	}
	s.timeout = now.Add(min(d<<min(s.backoff, 10), mostTimeout))
}

// findLost marks the segments that were sent before an acknowledged one, by more than reordering explains.
func (s *stream) findLost(now time.Time) {
	s.reorder = time.Time{}
	for i := range s.segments {
		g := &s.segments[i]
		if g.acked || g.lost || !g.sent.Before(s.newest) {
			continue
		}
		due := g.sent.Add(s.newestRTT + s.least/4)
		if due.After(now) {
			if s.reorder.IsZero() || due.Before(s.reorder) {
				s.reorder = due
			}
			continue
		}
		g.lost = true
		if s.base+i >= s.recovery {
			s.recovery = s.base + len(s.segments)
			s.threshold = max(2, s.window*lossFactor)
			s.window = s.threshold
		}
	}
}

// timedOut considers everything in flight lost, and starts again with a window of one segment.
// https://www.rfc-editor.org/rfc/rfc9438.html#section-4.8
func (s *stream) timedOut(now time.Time) {
	for i := range s.segments {
		s.segments[i].lost = !s.segments[i].acked
	}
	if s.base >= s.recovery {
		s.threshold = max(2, s.window*lossFactor)
	}
	s.recovery, s.window = s.base+len(s.segments), 1
	s.backoff++
	s.arm(now)
}

// fill sends as many segments as the window allows: lost ones first.
func (s *stream) fill(now time.Time) {
	flying := 0
	for _, g := range s.segments {
		if !g.acked && !g.lost {
			flying++
		}
	}
	for i := range s.segments {
		if flying >= int(s.window) {
			return
		}
		if g := &s.segments[i]; g.lost {
			g.lost, g.again = false, true
			s.transmit(now, i)
			flying++
		}
	}
	for len(s.queue) > 0 && flying < int(s.window) {
		n := min(len(s.queue), segmentSize)
		s.segments = append(s.segments, segment{data: slices.Clone(s.queue[:n])})
		s.queue = append(s.queue[:0], s.queue[n:]...)
		s.transmit(now, len(s.segments)-1)
		flying++
	}
}

func (s *stream) transmit(now time.Time, i int) {
	g := &s.segments[i]
	g.sent = now
	if s.timeout.IsZero() {
		s.arm(now)
	}
	for _, d := range s.data.Send(now, ackSize+len(g.data), nil) {
		s.air.Push(d.At, flight{number: s.base + i, data: g.data, sent: now})
	}
}
