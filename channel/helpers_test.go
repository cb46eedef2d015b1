package channel

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// A testMux acts as the peer of one Mux, packet by packet.
type testMux struct {
	t      *testing.T
	m      *Mux
	now    time.Time
	number uint64 // of our next packet
	sent   []byte // the last packet it sent
}

func newTestMux(t *testing.T, config Config) *testMux {
	t.Helper()
	if config.Channels == nil {
		config.Channels = testTable
	}
	if config.KeepAlive == 0 {
		config.KeepAlive = -1
	}
	x := &testMux{t: t, now: time.Unix(1000, 0)}
	var err error
	if x.m, err = New(x.now, config); err != nil {
		t.Fatal(err)
	}
	return x
}

func (x *testMux) send(ch ID, s string, o Options) MessageID {
	x.t.Helper()
	id, err := x.m.Send(x.now, ch, []byte(s), o)
	if err != nil {
		x.t.Fatalf("Send on %d: %v", ch, err)
	}
	return id
}

// wait advances the time, and calls Advance at each Deadline.
func (x *testMux) wait(d time.Duration) {
	stop := x.now.Add(d)
	for {
		at := x.m.Deadline()
		if at.IsZero() || at.After(stop) {
			break
		}
		if at.After(x.now) {
			x.now = at
		}
		x.m.Advance(x.now)
		if !x.m.Deadline().After(x.now) {
			break // it wants Append, which the test calls
		}
	}
	x.now = stop
	x.m.Advance(x.now)
}

// receive gives the Mux a packet of these frames, and of an ack block if acks has
// one.
func (x *testMux) receive(frames ...[]byte) {
	x.m.Receive(x.now, append(appendHeader(nil, x.number), bytes.Join(frames, nil)...))
	x.number++
}

// ack acknowledges ranges of packets: pairs of first and last, going down.
func (x *testMux) ack(ranges ...uint64) {
	x.m.Receive(x.now, x.ackPacket(ranges...))
	x.number++
}

func (x *testMux) ackPacket(ranges ...uint64) []byte {
	a := ackBlock{largest: uint16(ranges[1]), first: ranges[1] - ranges[0]}
	for i := 2; i < len(ranges); i += 2 {
		a.rest[a.ranges] = ackRange{ranges[i-2] - ranges[i+1] - 2, ranges[i+1] - ranges[i]}
		a.ranges++
	}
	b := appendHeader(nil, x.number)
	b, flags := a.append(b, MaxPacket)
	b[0] |= flags
	return b
}

// wantPacket compares the content of the next packet.
func (x *testMux) wantPacket(why string, want ...string) {
	x.t.Helper()
	x.sent = x.m.Append(x.now, nil, MaxPacket)
	if got, want := script(x.sent), strings.Join(want, "; "); got != want {
		x.t.Errorf("%s:\n got %s\nwant %s", why, got, want)
	}
}

func (x *testMux) wantIdle(why string) {
	x.t.Helper()
	if b := x.m.Append(x.now, nil, MaxPacket); len(b) > 0 {
		x.t.Errorf("%s: got %s, want nothing", why, script(b))
	}
}

func (x *testMux) wantEvents(why string, want ...string) {
	x.t.Helper()
	var got []string
	for _, ev := range x.m.Events(nil) {
		switch ev.Type {
		case EventMessage:
			got = append(got, fmt.Sprintf("%d %s", ev.Channel, short(ev.Payload)))
		case EventReceipt:
			got = append(got, fmt.Sprintf("receipt %d %v", ev.Message, ev.Fate))
		case EventClosed:
			got = append(got, fmt.Sprintf("closed %d %s", ev.Code, ev.Payload))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		x.t.Errorf("%s:\n got %q\nwant %q", why, got, want)
	}
}

// script writes a packet for people: "ack 0-2; bare 1 hello; fragment 4/0 1 of 2100".
func script(b []byte) string {
	if len(b) == 0 {
		return "nothing"
	}
	var p packet
	if !p.parse(b) {
		return fmt.Sprintf("malformed %x", b)
	}
	var out []string
	if p.hasAck {
		high := uint64(p.ack.largest)
		low := high - p.ack.first
		s := fmt.Sprintf("ack %d-%d", low, high)
		for _, r := range p.ack.rest[:p.ack.ranges] {
			high = low - r.gap - 2
			low = high - r.length
			s += fmt.Sprintf(" %d-%d", low, high)
		}
		out = append(out, s)
	}
	for b := p.frames; len(b) > 0; {
		var f frame
		n := f.parse(b)
		if n == 0 {
			return "malformed frame"
		}
		b = b[n:]
		switch {
		case f.kind == frameBare:
			out = append(out, fmt.Sprintf("bare %d %s", f.channel, short(f.payload)))
		case f.kind == frameMessage:
			out = append(out, fmt.Sprintf("message %d/%d %s", f.channel, f.id, short(f.payload)))
		case f.kind == frameFragment:
			out = append(out, fmt.Sprintf("fragment %d/%d %d of %d", f.channel, f.id, f.index, f.total))
		case f.channel == controlPing:
			out = append(out, "ping")
		case f.channel == controlClose:
			out = append(out, fmt.Sprintf("close %d %s", f.code, f.payload))
		default:
			out = append(out, fmt.Sprintf("control %d", f.channel))
		}
	}
	return strings.Join(out, "; ")
}

func short(b []byte) string {
	if len(b) > 40 {
		return fmt.Sprintf("%d bytes", len(b))
	}
	return string(b)
}

func whole(ch ID, id uint64, s string) []byte { return appendPiece(nil, ch, false, id, []byte(s), 0) }
func bare(ch ID, s string) []byte             { return appendPiece(nil, ch, true, 0, []byte(s), 0) }
