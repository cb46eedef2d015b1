package sctp

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Tags and initial TSNs of a testAssoc and of its peer.
const (
	ourTag  = 0x11111111
	ourTSN  = 1000
	peerTag = 0x22222222
	peerTSN = 1
)

// A testAssoc is an association in virtual time. The test writes the packets of its peer.
type testAssoc struct {
	*Assoc
	t      *testing.T
	now    time.Time
	events []Event
}

// newIdleAssoc returns an association before its handshake.
func newIdleAssoc(t *testing.T, set ...func(*Config)) *testAssoc {
	t.Helper()
	c := Config{LocalTag: ourTag, InitialTSN: ourTSN, CookieKey: [32]byte{1, 2, 3}, EvenStreams: true}
	for _, f := range set {
		f(&c)
	}
	return &testAssoc{Assoc: New(c), t: t, now: time.Unix(1_800_000_000, 0)}
}

// newTestAssoc returns an established association.
func newTestAssoc(t *testing.T, set ...func(*Config)) *testAssoc {
	t.Helper()
	a := newIdleAssoc(t, set...)
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	a.write(cookieEcho(cookieOf(t, a.next())))
	a.wantPacket("the handshake ends", "COOKIE-ACK")
	a.wantEvent("it is open", Event{Type: Established})
	return a
}

func eager(c *Config)         { c.Ack = AckEager }
func honest(c *Config)        { c.Ack = AckHonest }
func allowReliable(c *Config) { c.AllowReliable = true }

// packet builds a packet of the peer.
func packet(tag uint32, chunks ...[]byte) []byte {
	b := []byte{0x13, 0x88, 0x13, 0x88, 0, 0, 0, 0, 0, 0, 0, 0}
	binary.BigEndian.PutUint32(b[offsetTag:], tag)
	for _, c := range chunks {
		b = append(b, c...)
	}
	return finishPacket(b, 0)
}

func rawChunk(kind, flags byte, value []byte) []byte {
	return finishTLV(append(appendChunk(nil, kind, flags), value...), 0)
}

func u32s(vs ...uint32) (b []byte) {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func rawParam(kind uint16, value []byte) []byte {
	return finishTLV(append(appendParam(nil, kind), value...), 0)
}

// tlv returns a parameter or cause without padding.
func tlv(kind uint16, value string) []byte {
	b := binary.BigEndian.AppendUint16(nil, kind)
	return append(binary.BigEndian.AppendUint16(b, uint16(4+len(value))), value...)
}

// initChunk returns an INIT or INIT ACK as Chromium writes it, with further parameters.
func initChunk(kind byte, tag, tsn uint32, more ...[]byte) []byte {
	v := u32s(tag, 5<<20, 0xffff_ffff, tsn)
	v = append(v, rawParam(paramForwardTSN, nil)...)
	v = append(v, rawParam(paramExtensions, []byte{chunkReconfig, chunkForwardTSN})...)
	return rawChunk(kind, 0, append(v, slices.Concat(more...)...))
}

func cookieEcho(cookie []byte) []byte { return rawChunk(chunkCookieEcho, 0, cookie) }

// cookieOf returns the cookie of an INIT ACK packet.
func cookieOf(t *testing.T, b []byte) []byte {
	t.Helper()
	for c := range chunks(b) {
		if info, ok := parseInit(c.value); ok && c.kind == chunkInitAck {
			return info.cookie
		}
	}
	t.Fatalf("not an INIT ACK: %s", debugPacket(b))
	return nil
}

// dataChunk returns a chunk with a whole unordered message.
func dataChunk(tsn uint32, stream uint16, ppid uint32, payload string) []byte {
	return rawData(flagWhole|flagUnordered, tsn, stream, 0, ppid, payload)
}

func text(tsn uint32, s string) []byte { return dataChunk(tsn, 1, ppidText, s) }

func rawData(flags byte, tsn uint32, stream, ssn uint16, ppid uint32, payload string) []byte {
	b := appendDataHeader(nil, flags, tsn, stream, ssn, ppid, len(payload))
	return finishTLV(append(b, payload...), 0)
}

// sack returns a SACK up to cum, with gap blocks that are given by their first and last TSN.
func sack(cum uint32, blocks ...uint32) []byte {
	v := u32s(cum, 1<<20, uint32(len(blocks)/2)<<16)
	for _, tsn := range blocks {
		v = binary.BigEndian.AppendUint16(v, uint16(tsn-cum))
	}
	return rawChunk(chunkSack, 0, v)
}

func forward(tsn uint32, pairs ...uint16) []byte {
	v := u32s(tsn)
	for _, p := range pairs {
		v = binary.BigEndian.AppendUint16(v, p)
	}
	return rawChunk(chunkForwardTSN, 0, v)
}

// openMessage returns a DATA_CHANNEL_OPEN.
func openMessage(kind byte, limit uint32, label string) string {
	b := []byte{dcepOpen, kind, 1, 0}
	b = binary.BigEndian.AppendUint32(b, limit)
	b = binary.BigEndian.AppendUint16(b, uint16(len(label)))
	return string(append(append(b, 0, 0), label...))
}

func openChunk(tsn uint32, stream uint16, kind byte, limit uint32, label string) []byte {
	return rawData(flagWhole, tsn, stream, 0, ppidDCEP, openMessage(kind, limit, label))
}

// unreliableOpen opens a channel like a page with ordered:false, maxRetransmits:0.
func unreliableOpen(tsn uint32, stream uint16, label string) []byte {
	return openChunk(tsn, stream, channelUnordered|channelRetransmits, 0, label)
}

func resetRequest(number, last uint32, streams ...uint16) []byte {
	v := u32s(number, 0, last)
	for _, s := range streams {
		v = binary.BigEndian.AppendUint16(v, s)
	}
	return rawChunk(chunkReconfig, 0, rawParam(paramOutgoingReset, v))
}

func resetResponse(number, result uint32) []byte {
	return rawChunk(chunkReconfig, 0, rawParam(paramResetResponse, u32s(number, result)))
}

// receive gives the association a packet with our tag, without ending the batch.
func (a *testAssoc) receive(chunks ...[]byte) { a.receivePacket(packet(ourTag, chunks...)) }

func (a *testAssoc) receivePacket(b []byte) {
	a.t.Helper()
	a.keep(a.Receive(a.now, b, append(make([]Event, 0, 3), before)))
}

// before is the event that the caller's slice already has.
var before = Event{Type: 99}

// keep checks that before is still first, and stores the other events.
func (a *testAssoc) keep(events []Event) {
	a.t.Helper()
	if len(events) == 0 || events[0].Type != before.Type {
		a.t.Fatalf("the events of the caller are lost: %v", events)
	}
	a.events = append(a.events, events[1:]...)
}

// write gives the association a packet with our tag as a batch of its own.
func (a *testAssoc) write(chunks ...[]byte) { a.writePacket(packet(ourTag, chunks...)) }

func (a *testAssoc) writePacket(b []byte) {
	a.t.Helper()
	a.receivePacket(b)
	a.Flush(a.now)
}

// next returns the next packet, or nil.
func (a *testAssoc) next() []byte {
	b := a.Append(a.now, nil)
	if len(b) > MaxPacket {
		a.t.Errorf("packet of %d bytes, want at most %d", len(b), MaxPacket)
	}
	return b
}

// send sends a message and returns the packet.
func (a *testAssoc) send(stream uint16, k Kind, payload string) []byte {
	a.t.Helper()
	b, err := a.AppendMessage(a.now, nil, stream, k, []byte(payload))
	if err != nil {
		a.t.Fatalf("AppendMessage: %v", err)
	}
	if len(b) > MaxPacket {
		a.t.Errorf("packet of %d bytes, want at most %d", len(b), MaxPacket)
	}
	return b
}

// ackAll acknowledges all TSNs that were sent.
func (a *testAssoc) ackAll() { a.write(sack(a.nextTSN - 1)) }

// drain appends packets until none is due.
func (a *testAssoc) drain() (packets []string) {
	for b := a.next(); len(b) > 0; b = a.next() {
		packets = append(packets, debugPacket(b))
	}
	return packets
}

// pass advances the time by d, and calls Advance at each deadline.
func (a *testAssoc) pass(d time.Duration) {
	for end := a.now.Add(d); ; {
		next := a.Deadline()
		if next.IsZero() || next.After(end) {
			a.now = end
			return
		}
		if next.After(a.now) {
			a.now = next
		}
		a.keep(a.Advance(a.now, append(make([]Event, 0, 3), before)))
		if d := a.Deadline(); !d.IsZero() && !d.After(a.now) {
			a.t.Fatal("Advance left a deadline in the past")
		}
	}
}

func (a *testAssoc) wantPacket(why, want string) {
	a.t.Helper()
	b := a.next()
	if len(b) == 0 {
		a.t.Fatalf("%s: want %s, have nothing", why, want)
	}
	a.want(why, b, want)
}

func (a *testAssoc) want(why string, b []byte, want string) {
	a.t.Helper()
	if got := debugPacket(b); got != want {
		a.t.Fatalf("%s:\nwant %s\nhave %s", why, want, got)
	}
}

func (a *testAssoc) wantIdle(why string) {
	a.t.Helper()
	if b := a.next(); len(b) > 0 {
		a.t.Fatalf("%s: want nothing, have %s", why, debugPacket(b))
	}
}

func (a *testAssoc) wantEvent(why string, want Event) {
	a.t.Helper()
	if len(a.events) == 0 {
		a.t.Fatalf("%s: want %s, have no event", why, debugEvent(want))
	}
	got := a.events[0]
	a.events = a.events[1:]
	if debugEvent(got) != debugEvent(want) {
		a.t.Fatalf("%s:\nwant %s\nhave %s", why, debugEvent(want), debugEvent(got))
	}
}

func (a *testAssoc) wantMessage(why string, stream uint16, k Kind, payload string) {
	a.t.Helper()
	a.wantEvent(why, Event{Type: Message, Stream: stream, Kind: k, Payload: []byte(payload)})
}

func (a *testAssoc) wantNoEvent(why string) {
	a.t.Helper()
	if len(a.events) > 0 {
		a.t.Fatalf("%s: want no event, have %s", why, debugEvent(a.events[0]))
	}
}

func (a *testAssoc) wantDrops(why string, r DropReason, n uint32) {
	a.t.Helper()
	if got := a.Stats().Drops[r]; got != n {
		a.t.Fatalf("%s: %d drops as %q, want %d", why, got, r, n)
	}
}

// use makes stream 1 a known channel, and advances the time by settleTime, so that
// acknowledgement may become eager.
func (a *testAssoc) use() {
	a.t.Helper()
	a.write(text(peerTSN, "hello"))
	a.drain()
	a.pass(settleTime)
	a.drain()
	a.events = nil
}

func debugEvent(e Event) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s", e.Type)
	switch e.Type {
	case Message:
		fmt.Fprintf(&s, " stream=%d %s %q", e.Stream, e.Kind, e.Payload)
	case Closed:
		fmt.Fprintf(&s, ": %s cause=%d %q", e.Reason, e.Cause, e.Payload)
	case ChannelClosed:
		fmt.Fprintf(&s, " stream=%d", e.Stream)
	case ChannelOpen, ChannelRefused:
		fmt.Fprintf(&s, " stream=%d %q %q negotiated=%v ordered=%v %s %d %s",
			e.Stream, e.Label, e.Protocol, e.Negotiated, e.Ordered, e.Reliability, e.Limit, e.Refused)
	}
	return s.String()
}

func TestAckRidesWithReply(t *testing.T) {
	a := newTestAssoc(t)
	a.receive(text(1, "ping"))
	a.wantIdle("the batch is not over")
	a.want("one packet answers both", a.send(1, Text, "pong"),
		`SACK(cum=1) DATA(tsn=1000 stream=1 ssn=0 ppid=51 flags=7 "pong")`)
	a.Flush(a.now)
	a.wantIdle("nothing is left to say")
}

func TestEveryEnumHasNames(t *testing.T) {
	for i := Established; i <= Echo; i++ {
		check(t, i.String())
	}
	for i := PeerAbort; i < closeReasons; i++ {
		check(t, i.String())
	}
	for i := RefusedReliable; i < refuseReasons; i++ {
		check(t, i.String())
	}
	for i := dropShort; i < dropReasons; i++ {
		check(t, i.String())
	}
	if s := dropReasons.String(); !strings.HasPrefix(s, "unknown") {
		t.Errorf("the value after the last has a name: %s", s)
	}
}

func check(t *testing.T, s string) {
	t.Helper()
	if s == "" || strings.HasPrefix(s, "unknown") && s != "unknown chunk" {
		t.Errorf("a value has no name: %q", s)
	}
}
