package sctp

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// seeds returns packets of every kind.
func seeds() [][]byte {
	return [][]byte{
		packet(0, initChunk(chunkInit, peerTag, peerTSN)),
		packet(ourTag, initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("cookie")))),
		packet(ourTag, rawChunk(chunkCookieAck, 0, nil)),
		packet(ourTag, cookieEcho(make([]byte, cookieLen)), text(1, "x")),
		packet(ourTag, text(1, "x"), text(2, "y")),
		packet(ourTag, unreliableOpen(1, 1, "label")),
		packet(ourTag, rawData(flagWhole, 1, 1, 0, ppidDCEP, chromiumOpen)),
		packet(ourTag, openChunk(1, 1, channelReliable, 0, "chat")),
		packet(ourTag, frag(flagBegin, 2, "a"), frag(0, 3, "b"), frag(flagEnd, 4, "c")),
		packet(ourTag, frag(flagEnd|unordered, 9, "c"), frag(flagBegin|unordered, 8, "a")),
		packet(ourTag, sack(1000, 1002, 1003, 1005, 1005)),
		packet(ourTag, sack(999, 1000, 999+0xffff)),
		packet(ourTag, forward(100, 1, 2, 3, 4)),
		packet(ourTag, forward(maxForward)),
		packet(ourTag, resetRequest(peerTSN, 0, 1, 3)),
		packet(ourTag, resetRequest(peerTSN+1, 0)),
		packet(ourTag, resetResponse(ourTSN, resultPerformed)),
		packet(ourTag, rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, []byte("info")))),
		packet(ourTag, rawChunk(chunkError, 0, rawParam(causeStaleCookie, u32s(0)))),
		packet(ourTag, rawChunk(0xff, 0, []byte("unknown"))),
		packet(ourTag, rawChunk(chunkShutdown, 0, u32s(999))),
		packet(ourTag, rawChunk(chunkAbort, 0, rawParam(causeUserAbort, []byte("bye")))),
	}
}

// FuzzPacket gives a packet to associations before, in and after the handshake. It corrects the
// checksum first, because otherwise all packets would be dropped.
func FuzzPacket(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkPacket(b)
		if len(b) >= headerLen {
			b = finishPacket(bytes.Clone(b), 0)
		}
		if checkPacket(b) == dropNone {
			n := 0
			for c := range chunks(b) {
				if n += len(c.raw); len(c.raw) != len(c.value)+chunkHeaderLen || n > len(b) {
					t.Fatal("the chunks have more bytes than the packet")
				}
				_ = debugChunk(c)
			}
		}
		idle := newIdleAssoc(t)
		idle.writePacket(b)
		idle.drain()
		waiting := newIdleAssoc(t)
		waiting.Connect(waiting.now)
		waiting.drain()
		waiting.writePacket(b)
		waiting.drain()
		for _, set := range []func(*Config){eager, allowReliable} {
			a := newTestAssoc(t, set)
			a.send(0, Text, "x")
			a.writePacket(b)
			checkInvariants(t, a)
		}
	})
}

// FuzzDCEP parses an OPEN.
func FuzzDCEP(f *testing.F) {
	f.Add([]byte(chromiumOpen))
	f.Add([]byte(firefoxOpen))
	f.Add([]byte(openMessage(channelReliable, 0, "label")))
	f.Add([]byte{dcepAck})
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, why := parseOpen(b); why == refuseNone && len(b) != openLen+len(o.label)+len(o.protocol) {
			t.Fatal("label and protocol do not fill the message")
		}
		if len(b) == 0 || len(b) > MaxPayload {
			return
		}
		a := newTestAssoc(t)
		a.write(rawData(flagWhole, 1, 1, 0, ppidDCEP, string(b)))
		if len(a.events) > 1 {
			t.Fatalf("%d events for one DCEP message, want at most 1", len(a.events))
		}
		checkInvariants(t, a)
	})
}

// FuzzReconfig parses the parameters of a RE-CONFIG chunk.
func FuzzReconfig(f *testing.F) {
	f.Add(resetRequest(peerTSN, 1, 1)[chunkHeaderLen:])
	f.Add(resetRequest(peerTSN, 1)[chunkHeaderLen:])
	f.Add(resetRequest(peerTSN, 9, 1)[chunkHeaderLen:])
	f.Add(slices.Concat( // then this end resets the streams 13 and 16, which looks like a request for all streams
		resetRequest(peerTSN, 0, paramOutgoingReset, paramHeaderLen+outgoingResetLen)[chunkHeaderLen:],
		resetResponse(ourTSN, resultPerformed)[chunkHeaderLen:]))
	f.Add(resetResponse(ourTSN, resultPerformed)[chunkHeaderLen:])
	f.Add(resetResponse(ourTSN, resultInProgress)[chunkHeaderLen:])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxPayload {
			return
		}
		a := openedByFuzz(t)
		a.CloseStream(a.now, 3)
		a.drain()
		a.write(rawChunk(chunkReconfig, 0, b))
		checkInvariants(t, a)
		a.write(rawChunk(chunkReconfig, 0, b))
		checkInvariants(t, a)
	})
}

func openedByFuzz(t *testing.T) *testAssoc {
	a := newTestAssoc(t)
	a.write(unreliableOpen(1, 1, "a"), unreliableOpen(2, 3, "b"))
	a.drain()
	a.ackAll()
	a.events = nil
	return a
}

// FuzzInit parses the value of an INIT or INIT ACK.
func FuzzInit(f *testing.F) {
	f.Add(initChunk(chunkInit, peerTag, peerTSN)[chunkHeaderLen:])
	f.Add(initChunk(chunkInit, peerTag, peerTSN, rawParam(0xc0ff, []byte("unknown")), rawParam(paramCookie, []byte("c")))[chunkHeaderLen:])
	f.Fuzz(func(t *testing.T, b []byte) {
		i, ok := parseInit(b)
		if ok && (i.tag == 0 || len(i.unknown) > maxUnknown || len(i.cookie) > len(b)) {
			t.Fatalf("parseInit accepts a tag of zero or returns too many bytes: %+v", i)
		}
	})
}

// FuzzSequence plays many short chunks against one association. Each step
// takes a few bytes of the input: what to do, and numbers near those in use.
func FuzzSequence(f *testing.F) {
	f.Add([]byte{0}, byte(0))
	f.Add([]byte("\x00\x01\x07\x01\x02\x00\x07\x03\x03\x01\x05\x04\x07\x00\x10\x06\x05\x01\x02\x00\x09"), byte(1))
	f.Add(bytes.Repeat([]byte{0, 3, 1, 5, 5, 2, 5, 9, 9, 3, 2, 2}, 20), byte(2))
	f.Add(bytes.Repeat([]byte{4, 1, 0, 1, 2, 4, 6, 7, 8, 6, 0, 1, 8, 20, 0}, 20), byte(3))
	f.Add(refusedNegotiated(), byte(0))
	f.Add([]byte("\x49\x02\x01\x49\x02\x01\x49\xff\x01\x49\xfd\x01"), byte(4)) // two parts, joined, then one before
	f.Fuzz(func(t *testing.T, script []byte, mode byte) {
		a := newTestAssoc(t, func(c *Config) {
			c.Ack = AckMode(mode % 3)
			c.AllowReliable = mode&4 != 0
			c.MaxBuffered, c.MaxMessage, c.MaxChannels = 4000, 2000, 4
		})
		for len(script) >= 3 && a.state != stateClosed {
			fuzzStep(a, script[0], script[1], script[2])
			script = script[3:]
			checkInvariants(t, a)
			a.events = a.events[:0]
		}
	})
}

// refusedNegotiated is a script of FuzzSequence. The peer resets streams that are not open, and opens
// negotiated channels whose OPEN is then refused.
func refusedNegotiated() (script []byte) {
	for stream := range byte(8) {
		script = append(script, 5, 1, (8+stream)*16)
	}
	for stream := range byte(8) {
		script = append(script, 0, 1, stream, 4, 3, stream)
	}
	return script
}

// fuzzStep does one thing that a peer, or the owner, can do.
func fuzzStep(a *testAssoc, op, x, y byte) {
	near := a.rx.high + uint32(int8(x))
	switch op % 12 {
	case 0:
		a.receive(dataChunk(near, uint16(y%8), ppidText, "x"))
	case 1:
		a.receive(rawData(op>>4, near, uint16(y%8), uint16(y/8), ppidBinary, string(make([]byte, 1+int(x)*4))))
	case 2:
		cum := a.acked + uint32(x%16)
		a.receive(sack(cum, cum+uint32(y%8), cum+uint32(y/8)))
	case 3:
		a.receive(forward(a.rx.cum+uint32(x), uint16(y%8), uint16(y/8)))
	case 4:
		a.receive(openChunk(near, uint16(y%8), x&0x83, uint32(y), "label"))
	case 5:
		a.receive(resetRequest(a.reset.expected+uint32(x%3)-1, a.rx.cum+uint32(x%4)-1, uint16(y%8), uint16(y/16)))
	case 6:
		a.receive(resetResponse(a.reset.next-uint32(x%2), uint32(y%8)))
	case 7:
		b, _ := a.AppendMessage(a.now, nil, uint16(y%8), Kind(y&1), make([]byte, int(x)*5))
		if len(b) > MaxPacket {
			a.t.Fatalf("packet of %d bytes, want at most %d", len(b), MaxPacket)
		}
	case 8:
		a.pass(time.Duration(x) * 10 * time.Millisecond)
	case 9:
		a.CloseStream(a.now, uint16(y%8))
	case 10:
		a.Flush(a.now)
	case 11:
		a.receive(dataChunk(a.rx.high+uint32(x)*uint32(y)*3, 1, ppidText, "far"))
	}
}

// checkInvariants checks the rules that hold whatever the peer does, for the state and for each
// packet that is sent.
func checkInvariants(t *testing.T, a *testAssoc) {
	t.Helper()
	for b := a.next(); len(b) > 0; b = a.next() {
		if r := checkPacket(b); r != dropNone {
			t.Fatalf("a bad packet is sent: %s", r)
		}
		for c := range chunks(b) {
			switch {
			case c.kind == chunkSack && seq.Less(a.rx.high, binary.BigEndian.Uint32(c.value)):
				t.Fatal("a SACK is beyond the highest TSN received")
			case c.kind == chunkForwardTSN && !seq.Less(binary.BigEndian.Uint32(c.value), a.nextTSN):
				t.Fatal("a FORWARD-TSN is beyond the last TSN sent")
			case c.kind == chunkReconfig:
				for p := range params(c.value) {
					if p.kind == paramOutgoingReset && len(p.value) == outgoingResetLen {
						t.Fatal("a request to reset all streams is sent")
					}
				}
			}
		}
	}
	if a.state == stateClosed {
		return
	}
	if n := a.rx.high - a.rx.base; n > maxAhead || seq.Less(a.rx.cum, a.rx.base) || seq.Less(a.rx.high, a.rx.cum) {
		t.Fatalf("the tracker breaks its bounds: base %d, cum %d, high %d", a.rx.base, a.rx.cum, a.rx.high)
	}
	buffered := 0
	var runsOf streamCounts
	for _, rs := range []*runs{&a.loose, &a.kept} {
		for i, r := range *rs {
			runsOf.added(r.stream)
			// A piece that was a run of its own costs what a run costs.
			p, size, least, most := r.parts, 0, bufferOverhead-pieceOverhead, 0
			for q := p.head; q != nil; q = q.next {
				size += len(q.payload)
				least, most = least+cap(q.payload)+pieceOverhead, most+cap(q.payload)+bufferOverhead
			}
			if size != p.size || size > a.config.MaxMessage || r.flags&flagWhole == flagWhole {
				t.Fatalf("a run with the flags %#x has %d bytes, counted as %d", r.flags, size, p.size)
			}
			if p.cost < least || p.cost > most {
				t.Fatalf("the cost of a run is %d, want %d to %d", p.cost, least, most)
			}
			if i > 0 && !seq.Less((*rs)[i-1].last, r.first) {
				t.Fatal("runs are not in the order of their TSNs")
			}
			if a.reliable(r.stream) != (rs == &a.kept) {
				t.Fatalf("a run is in the wrong list: reliable %v", a.reliable(r.stream))
			}
			buffered += p.cost
		}
	}
	if c := a.counts; c == nil && len(runsOf.all) > 0 || c != nil && !slices.Equal(runsOf.all, c.all) {
		t.Fatalf("the streams have runs %v, counted as %v", runsOf, c)
	}
	for _, ch := range a.channels {
		for i := range ch.held {
			buffered += ch.held[i].cost()
			if i > 0 && !seq.Less(ch.held[i-1].ssn, ch.held[i].ssn) {
				t.Fatal("messages that wait are not in the order of their numbers")
			}
		}
	}
	if limit := a.mostBuffered(); buffered != a.buffered || buffered > limit {
		t.Fatalf("%d bytes are buffered, counted as %d, limit %d", buffered, a.buffered, limit)
	}
	honest := 0
	for i := range a.channels {
		if a.channels[i].honest {
			honest++
		}
	}
	if honest != int(a.ack.honest) || len(a.channels) > 3*a.config.MaxChannels || len(a.control) > maxControl {
		t.Fatalf("%d channels need honest acknowledgement, counted as %d; %d channels and %d answers are stored", honest, a.ack.honest, len(a.channels), len(a.control))
	}
	if a.marks.n > maxMarks || seq.Less(a.nextTSN-1, a.acked) {
		t.Fatalf("%d marks are stored; TSN %d is acknowledged, %d was sent last", a.marks.n, a.acked, a.nextTSN-1)
	}
}
