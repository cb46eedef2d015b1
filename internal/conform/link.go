package conform

import (
	"fmt"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/rtcserver"
)

// patience is how long a case waits for what must come, besides the slack of the machine.
const patience = 5 * time.Second

func (x *exam) patience() time.Duration { return patience + x.slack }

// A message is one whole message of the client.
type message struct {
	channel int
	id      uint64 // not of a BARE
	data    []byte
}

// A link is one WebRTC connection of the client, and the server's end of the channel
// protocol on it. The end is as plain as can be: it acknowledges each packet at once and
// sends nothing twice, because the link is the loopback interface.
type link struct {
	x    *exam
	conn *rtcserver.Conn
	in   chan []byte
	gone chan struct{}

	// The client's packets.
	expected uint64          // one more than the largest number that came
	came     map[uint64]bool // by number
	inbox    []message
	partial  map[[2]uint64][][]byte
	times    map[[2]uint64]int // in how many packets a MESSAGE came, by channel and id
	deaf     bool              // acknowledge nothing
	pings    int
	acks     int    // packets of nothing but an acknowledgement
	closed   *frame // the client's CLOSE

	// Ours.
	sent  int64           // the last number; -1 before the first
	acked map[uint64]bool // those that the client has
	width int             // of numbers, in bytes
}

func newLink(x *exam, conn *rtcserver.Conn) *link {
	return &link{x: x, conn: conn, in: make(chan []byte, 1<<14), gone: make(chan struct{}), came: map[uint64]bool{},
		partial: map[[2]uint64][][]byte{}, times: map[[2]uint64]int{}, sent: -1, acked: map[uint64]bool{}, width: 3}
}

// number is the packet number that comes next.
func (l *link) number() uint64 { return uint64(l.sent + 1) }

// send sends a packet of these frames, with an acknowledgement of what came.
func (l *link) send(frames ...frame) uint64 {
	var b []byte
	for _, f := range frames {
		b = f.append(b)
	}
	return l.sendRaw(b)
}

// sendAll sends each frame in a packet of its own, and those again that are not
// acknowledged soon, until all are or the client has closed.
func (l *link) sendAll(list []frame) {
	const batch = 8 // what no browser's socket is too small for
	for end := time.Now().Add(l.x.patience()); len(list) > 0 && l.closed == nil; {
		if time.Now().After(end) {
			l.x.fail("PROTOCOL 4", "packets with %v were not acknowledged within %v", list[0], l.x.patience())
		}
		first := list[:min(batch, len(list))]
		numbers := make([]uint64, len(first))
		for i, f := range first {
			numbers[i] = l.send(f)
		}
		l.within(200*time.Millisecond, func() bool {
			for _, n := range numbers {
				if !l.acked[n] {
					return l.closed != nil
				}
			}
			return true
		})
		left := list[len(first):]
		for i, n := range numbers {
			if !l.acked[n] {
				left = append(left, first[i])
			}
		}
		list = left
	}
}

// sendRaw sends a packet with these bytes for frames.
func (l *link) sendRaw(frames []byte) uint64 {
	n := l.number()
	l.sent = int64(n)
	l.transmit(append(l.header(n, !l.deaf && l.expected > 0), frames...))
	return n
}

// transmit sends a packet as it is.
func (l *link) transmit(b []byte) { l.conn.Send(0, rtcserver.Binary, b) } // next finds out if the link is closed

// header returns the beginning of packet n: flags, number and, if asked for, an ack
// block of what came.
func (l *link) header(n uint64, ack bool) []byte {
	b := []byte{1<<4 | byte(l.width-1)}
	for i := l.width - 1; i >= 0; i-- {
		b = append(b, byte(n>>(8*i)))
	}
	if !ack {
		return b
	}
	runs := l.runs()
	largest := l.expected - 1
	b = append(b, byte(largest>>8), byte(largest), 0)
	b = appendVarint(b, runs[0].last-runs[0].first)
	b[0] |= 4
	if len(runs) == 1 {
		return b
	}
	b[0] |= 8
	b = append(b, byte(len(runs)-1))
	for i, s := range runs[1:] {
		b = appendVarint(appendVarint(b, runs[i].first-s.last-2), s.last-s.first)
	}
	return b
}

// runs are the newest ranges of what came, at most 32.
func (l *link) runs() (runs []span) {
	for n := int64(l.expected) - 1; n >= 0 && n > int64(l.expected)-4096; n-- {
		switch {
		case !l.came[uint64(n)]:
		case len(runs) > 0 && runs[len(runs)-1].first == uint64(n)+1:
			runs[len(runs)-1].first--
		case len(runs) == 32:
			return runs
		default:
			runs = append(runs, span{uint64(n), uint64(n)})
		}
	}
	return runs
}

// next takes the client's next packet. ok is false if none comes within d.
func (l *link) next(d time.Duration) (p packet, ok bool) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case b := <-l.in:
		return l.take(b), true
	case <-t.C:
		return p, false
	case <-l.gone:
		select {
		case b := <-l.in:
			return l.take(b), true
		default:
		}
		if l.closed != nil {
			return p, false
		}
		l.x.fail("SESSION 5", "the client's link ended in the middle of the case")
		return p, false
	}
}

// take reads a packet, acknowledges it, and puts its messages into the inbox.
func (l *link) take(b []byte) packet {
	p, err := parsePacket(b)
	if err != nil {
		l.x.fail("PROTOCOL 3-5", "the client sent a malformed packet: %v: %x", err, b[:min(len(b), 64)])
	}
	n := restore(p.truncated, p.length, l.expected)
	if l.came[n] {
		l.x.fail("PROTOCOL 3", "the client used packet number %d twice", n)
	}
	l.came[n] = true
	l.expected = max(l.expected, n+1)
	if p.hasAck {
		if len(p.frames) == 0 {
			l.acks++
		}
		spans, err := p.acked(l.sent)
		if err != nil {
			l.x.fail("PROTOCOL 4", "%v", err)
		}
		for _, s := range spans {
			for n := s.first; n <= s.last; n++ {
				l.acked[n] = true
			}
		}
	}
	wants := false
	for _, f := range p.frames {
		wants = wants || f.wantsAck()
		l.frame(f)
	}
	if wants && !l.deaf {
		l.transmit(l.ackOnly())
	}
	return p
}

// ackOnly is a packet of nothing but an ack block.
func (l *link) ackOnly() []byte {
	n := l.number()
	l.sent = int64(n)
	return l.header(n, true)
}

func (l *link) frame(f frame) {
	switch {
	case f.kind == kindControl:
		switch f.channel {
		case controlPing:
			l.pings++
		case controlClose:
			l.closed = &f
		}
		return
	case l.closed != nil:
		return
	case f.channel > len(l.x.modes()):
		l.x.fail("PROTOCOL 6", "the client sent on channel %d, which the table has not", f.channel)
	case (f.kind == kindBare) != (l.x.mode(f.channel) == unreliable) && f.kind != kindFragment:
		l.x.fail("PROTOCOL 5", "the client sent %v on a channel that is %s", f, l.x.mode(f.channel))
	}
	if f.kind != kindFragment {
		l.times[[2]uint64{uint64(f.channel), f.id}]++
		l.arrive(message{f.channel, f.id, f.data})
		return
	}
	key := [2]uint64{uint64(f.channel), f.id}
	pieces := l.partial[key]
	if pieces == nil {
		pieces = make([][]byte, (f.total+pieceLen-1)/pieceLen)
		l.partial[key] = pieces
	}
	if want := int((f.total + pieceLen - 1) / pieceLen); len(pieces) != want {
		l.x.fail("PROTOCOL 5", "fragments of message %d of channel %d differ in their total", f.id, f.channel)
	}
	pieces[f.index] = f.data
	var whole []byte
	for _, piece := range pieces {
		if piece == nil {
			return
		}
		whole = append(whole, piece...)
	}
	delete(l.partial, key)
	l.arrive(message{f.channel, f.id, whole})
}

// arrive takes a message once: docs/PROTOCOL.md, section 7.
func (l *link) arrive(m message) {
	if l.x.mode(m.channel) == unreliable {
		l.inbox = append(l.inbox, m)
		return
	}
	key := [2]uint64{uint64(m.channel), m.id}
	if was, ok := l.x.ids[key]; ok {
		if was != string(m.data) {
			l.x.fail("PROTOCOL 5", "message %d of channel %d came twice and differs", m.id, m.channel)
		}
		return
	}
	l.x.ids[key] = string(m.data)
	l.inbox = append(l.inbox, m)
}

// find takes the first message of a channel from the inbox.
func (l *link) find(channel int) (m message, ok bool) {
	for i, m := range l.inbox {
		if m.channel == channel {
			l.inbox = append(l.inbox[:i:i], l.inbox[i+1:]...)
			return m, true
		}
	}
	return m, false
}

// within takes packets for d, or until done says so, and reports which.
func (l *link) within(d time.Duration, done func() bool) bool {
	for end := time.Now().Add(d); ; {
		if done() {
			return true
		}
		left := time.Until(end)
		if left <= 0 {
			return false
		}
		if _, ok := l.next(left); !ok && l.closed != nil {
			return done()
		}
	}
}

// never is for within, to take all that comes.
func never() bool { return false }

// message waits for a message of a channel.
func (l *link) message(channel int, clause string) message {
	var m message
	var ok bool
	if !l.within(l.x.patience(), func() bool { m, ok = l.find(channel); return ok }) {
		l.x.fail(clause, "no message came on channel %d (%s) within %v%s", channel, l.x.mode(channel), l.x.patience(), l.why())
	}
	return m
}

// why is what else there is to say when something did not come.
func (l *link) why() string {
	if l.closed == nil {
		return ""
	}
	return fmt.Sprintf("; the client closed with code %d %q", l.closed.code, l.closed.data)
}

// echo waits for the echo of a message.
func (l *link) echo(channel int, want, clause string) message {
	m := l.message(channel, clause)
	if string(m.data) != want {
		l.x.fail(clause, "channel %d (%s): the echo is %.60q, want %.60q", channel, l.x.mode(channel), m.data, want)
	}
	return m
}

// echoOf has say send a message that may be lost on the way, as its echo may, until the
// echo comes. An echo that takes longer than a third of the patience counts as lost.
func (l *link) echoOf(say func(), channel int, want, clause string) {
	for range 3 {
		say()
		found := l.within(l.x.patience()/3, func() bool {
			return slices.ContainsFunc(l.inbox, func(m message) bool { return m.channel == channel })
		})
		if found || l.closed != nil {
			break
		}
	}
	l.echo(channel, want, clause)
}

// silent sees to it that no message comes on a channel for a while.
func (l *link) silent(channel int, clause, because string) {
	var m message
	if l.within(300*time.Millisecond, func() (ok bool) { m, ok = l.find(channel); return ok }) {
		l.x.fail(clause, "channel %d (%s): the client answered %.60q, %s", channel, l.x.mode(channel), m.data, because)
	}
}

// isAcked waits until the client has acknowledged a packet.
func (l *link) isAcked(n uint64, clause string) {
	if !l.within(l.x.patience(), func() bool { return l.acked[n] }) {
		l.x.fail(clause, "packet %d was not acknowledged within %v%s", n, l.x.patience(), l.why())
	}
}

// isNotAcked sees to it that the client has not acknowledged a packet that it must not,
// after it has acknowledged one that came later.
func (l *link) isNotAcked(n uint64, clause, because string) {
	l.isAcked(l.send(ping()), clause)
	if l.acked[n] {
		l.x.fail(clause, "packet %d was acknowledged, %s", n, because)
	}
}

// noAck sees to it that the client sends no packet of nothing but an acknowledgement because of packets that want none.
// Before say sends them, the client has acknowledged all that does.
func (l *link) noAck(say func(), what string) {
	l.isAcked(l.send(ping()), "PROTOCOL 4")
	before := l.acks
	say()
	l.within(500*time.Millisecond, never)
	if n := l.acks - before; n > 0 {
		l.x.fail("PROTOCOL 4", "the client sent %d packets of nothing but an acknowledgement, because of %s", n, what)
	}
}

// ends waits for the client's CLOSE.
func (l *link) ends(code uint64, clause string) {
	if !l.within(l.x.patience(), func() bool { return l.closed != nil }) {
		l.x.fail(clause, "the client did not close within %v; it must, with code %d", l.x.patience(), code)
	}
	if l.closed.code != code {
		l.x.fail(clause, "the client closed with code %d %q, want code %d", l.closed.code, l.closed.data, code)
	}
}
