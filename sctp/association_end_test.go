package sctp

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"time"
)

// Each function that appends keeps the caller's bytes first, also if it appends nothing.
func TestNothingToSayLeavesTheBufferAlone(t *testing.T) {
	const kept = "kept"
	same := func(why string, b []byte) {
		t.Helper()
		if string(b) != kept {
			t.Errorf("%s: the buffer is %q, want %q", why, b, kept)
		}
	}
	idle, a := newIdleAssoc(t), newTestAssoc(t, rtt50)
	same("before the handshake", idle.Append(idle.now, []byte(kept)))
	same("no probe before it", idle.AppendProbe(idle.now, []byte(kept), nil))
	same("nobody to abort", idle.Abort(idle.now, "", []byte(kept)))
	same("nothing to say", a.Append(a.now, []byte(kept)))
	same("a probe that is too long", a.AppendProbe(a.now, []byte(kept), make([]byte, maxProbe+1)))

	// A FORWARD-TSN is due by its timer. Then a SACK acknowledges all of its messages except
	// one that is not old enough.
	a.send(0, Text, "lost")
	a.pass(40 * time.Millisecond)
	a.send(0, Text, "arrives")
	a.pass(20 * time.Millisecond)
	a.send(0, Text, "under way")
	a.send(0, Text, "arrives")
	a.pend |= pendForward
	a.write(sack(1001, 1003, 1003))
	same("nothing is old enough", a.Append(a.now, []byte(kept)))

	a.Abort(a.now, "", nil)
	same("it is over", a.Abort(a.now, "", []byte(kept)))
	same("for good", a.Append(a.now, []byte(kept)))
	same("and without probes", a.AppendProbe(a.now, []byte(kept), nil))
}

// Each kind of packet is appended after the bytes of the caller.
func TestEveryPacketIsAppended(t *testing.T) {
	behind := func(why, want string, b []byte) {
		t.Helper()
		if string(b[:4]) != "kept" || debugPacket(b[4:]) != want {
			t.Errorf("%s: %q first, then %s; want kept, then %s", why, b[:4], debugPacket(b[4:]), want)
		}
	}
	kept := func() []byte { return []byte("kept") }
	a, b := newIdleAssoc(t), newIdleAssoc(t)
	a.Connect(a.now)
	behind("INIT", "INIT", a.Append(a.now, kept()))
	b.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	behind("INIT ACK", "INIT-ACK", b.Append(b.now, kept()))
	a.write(initAck("c"))
	behind("COOKIE ECHO", "COOKIE-ECHO", a.Append(a.now, kept()))
	a.write(rawChunk(chunkCookieAck, 0, nil))
	behind("a probe", "HEARTBEAT", a.AppendProbe(a.now, kept(), nil))
	behind("an ABORT", "ABORT", a.Abort(a.now, "", kept()))

	// SACK, FORWARD-TSN, RE-CONFIG, HEARTBEAT ACK, HEARTBEAT, ERROR and DATA together.
	a = newTestAssoc(t, rtt50, func(c *Config) { c.Heartbeat = time.Second })
	a.write(unreliableOpen(1, 1, "c"))
	a.drain()
	a.ackAll()
	a.pass(time.Second) // and a HEARTBEAT is due
	a.send(1, Text, "lost")
	a.pass(100 * time.Millisecond)
	a.send(1, Text, "arrives")
	a.CloseStream(a.now, 1)
	a.write(rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, []byte("x"))), rawChunk(0xfe, 0, nil), unreliableOpen(3, 3, "d"), sack(1000, 1002, 1002))
	behind("all at once", `SACK(cum=1 gap=3-3) FORWARD-TSN(1001) RESET(1000 last=1002 stream=1) HEARTBEAT-ACK HEARTBEAT ERROR DATA(tsn=1003 stream=3 ssn=0 ppid=50 flags=3 "\x02")`,
		a.Append(a.now, kept()))
	a.wantIdle("once")
}

// The cause of an ABORT is a parameter of at most 128 bytes (RFC 9260, 3.3.10.12).
func TestCauseOfAnAbort(t *testing.T) {
	for _, n := range []int{0, 1, 128, 129, 2000} {
		a := newTestAssoc(t)
		b := a.Abort(a.now, strings.Repeat("why", n)[:n], nil)
		want := tlv(causeUserAbort, strings.Repeat("why", n)[:min(n, 128)])
		if c := only(t, b); c.kind != chunkAbort || !bytes.Equal(c.value, want) || tagOf(b) != peerTag {
			t.Errorf("a cause of %d bytes: %q", n, b)
		}
	}
}

// The event has the first cause of the peer's ABORT.
func TestFirstCauseOfThePeersAbort(t *testing.T) {
	a := newTestAssoc(t)
	a.write(rawChunk(chunkAbort, 0, append(rawParam(causeUserAbort, []byte("bye!")), rawParam(causeProtocolViolation, []byte("not this"))...)), text(1, "x"))
	a.wantEvent("why", Event{Type: Closed, Reason: PeerAbort, Cause: causeUserAbort, Payload: []byte("bye!")})
	a.wantNoEvent("nothing behind it is read")
}

// An association that is over holds no memory, sends nothing and has no deadline, whatever it
// was doing and however it ended.
func TestEndFreesEverything(t *testing.T) {
	for name, end := range map[string]func(*testAssoc){
		"aborted":           func(a *testAssoc) { a.Abort(a.now, "", nil) },
		"aborted by peer":   func(a *testAssoc) { a.write(rawChunk(chunkAbort, 0, nil)) },
		"shut down by peer": func(a *testAssoc) { a.write(rawChunk(chunkShutdown, 0, u32s(999))); a.next() },
	} {
		a := newTestAssoc(t, allowReliable, honest, func(c *Config) { c.Heartbeat = time.Second })
		a.write(openChunk(1, 1, channelReliable, 0, "c"), unreliableOpen(2, 3, "d"))
		a.write(rawData(flagWhole, 9, 1, 5, ppidText, "waits"), rawData(flagBegin, 5, 1, 2, ppidText, "half"))
		a.write(rawData(flagBegin|unordered, 7, 3, 0, ppidText, "half"))
		a.send(1, Text, "under way")
		a.write(text(9, "twice"))
		a.write(resetRequest(peerTSN, 2, 3), rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, []byte("x"))), rawChunk(0xfe, 0, nil))
		a.endStream(3, 8)
		a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
		a.pass(5 * time.Millisecond)
		if a.buffered == 0 || a.loose == nil && a.kept == nil || a.rx.bits == nil || len(a.ack.duplicates) == 0 || a.marks.n == 0 ||
			a.control == nil || a.reset.ends == nil || a.heartbeat == nil || a.report == nil || a.initReply == nil {
			t.Fatalf("%s: before the end the association does not hold something of every kind", name)
		}
		end(a)
		if a.loose != nil || a.kept != nil || a.rx.bits != nil || a.ack.duplicates != nil || a.marks.ring != nil || a.control != nil ||
			a.channels != nil || a.reset.ends != nil || a.heartbeat != nil || a.report != nil || a.initReply != nil {
			t.Errorf("%s: memory is not freed", name)
		}
		a.Flush(a.now)
		a.wantIdle(name)
		if s := a.Stats(); s.Buffered != 0 || s.Channels != 0 || !a.Deadline().IsZero() || a.Established() {
			t.Errorf("%s: %+v, deadline %v; want nothing buffered, no channel, no deadline, not established", name, s, a.Deadline())
		}
		if a.CloseStream(a.now, 1) {
			t.Errorf("%s: CloseStream has found a channel after the end", name)
		}
	}
	a := newIdleAssoc(t)
	a.invite()
	a.write(initAck("c"))
	a.write(rawChunk(chunkAbort, 0, nil))
	if a.wantIdle("the cookie does not go back"); a.cookie != nil {
		t.Error("the peer's cookie is not freed")
	}
}

// The T bit of an ABORT says that its tag is the sender's peer's tag, as far as the sender
// knows. Before there is a peer, this end has no such tag, so the ABORT is dropped (RFC 9260,
// 8.5.1).
func TestReflectedTagsWithoutAPeer(t *testing.T) {
	for _, kind := range []byte{chunkAbort, chunkShutdownComplete} {
		a := newIdleAssoc(t)
		a.writePacket(packet(0, rawChunk(kind, flagReflected, nil)))
		a.wantNoEvent("a stranger ends nothing")
		a.wantDrops("the tag is nobody's", dropTag, 1)
	}
	a := newTestAssoc(t)
	a.writePacket(packet(peerTag, rawChunk(chunkShutdownComplete, flagReflected, nil)))
	a.wantDrops("a SHUTDOWN COMPLETE may be reflected too", dropTag, 0)
	a.wantDrops("though none is expected", dropState, 1)
	a.writePacket(packet(peerTag, rawChunk(chunkShutdownComplete, 0, nil)))
	a.wantDrops("or have our tag", dropTag, 1)
}

// Packets are counted after the end, too. Each is dropped as a whole.
func TestPacketsAfterTheEnd(t *testing.T) {
	a := newTestAssoc(t)
	n := a.Stats().PacketsIn
	a.write(rawChunk(chunkAbort, 0, nil))
	a.events = nil
	a.write(text(1, "x"))
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	a.wantNoEvent("it is over")
	a.wantIdle("not even an INIT is answered")
	a.wantDrops("they are counted", dropState, 2)
	if got := a.Stats().PacketsIn - n; got != 3 {
		t.Errorf("%d packets are counted, want 3", got)
	}
}

// The zero Config has the defaults that its fields document.
func TestDefaults(t *testing.T) {
	got := Config{}.withDefaults()
	want := Config{
		LocalTag: 1, LocalPort: 5000, RemotePort: 5000,
		MaxMessage: 16 << 10, MaxBuffered: 64 << 10, reassemblyAge: 2 * time.Second, MaxChannels: 16,
	}
	if got != want {
		t.Errorf("defaults %+v, want %+v", got, want)
	}
	set := Config{
		LocalTag: 2, LocalPort: 3, RemotePort: 4, MaxMessage: 5, MaxBuffered: 6, reassemblyAge: 7, MaxChannels: 8,
		RTT: 9, Heartbeat: 10,
	}
	if got := set.withDefaults(); got != set {
		t.Errorf("a Config with all fields set becomes %+v, want %+v", got, set)
	}
}

// If the peer is silent, a HEARTBEAT is sent after each interval.
func TestHeartbeatsOfASilentPeer(t *testing.T) {
	a := newTestAssoc(t, func(c *Config) { c.Heartbeat = 15 * time.Second })
	for range 3 {
		a.pass(15*time.Second - time.Millisecond)
		a.wantIdle("not yet")
		a.pass(time.Millisecond)
		a.wantPacket("now", "HEARTBEAT")
	}
	b := newIdleAssoc(t, func(c *Config) { c.Heartbeat = 15 * time.Second })
	b.invite()
	b.write(rawChunk(chunkHeartbeatAck, 0, nil))
	if d := b.Deadline().Sub(b.now); d > initTimeout {
		t.Errorf("the deadline is in %v, want at most %v: there are no heartbeats before the handshake", d, initTimeout)
	}
	newTestAssoc(t).pass(time.Hour)
}

// The padding of the last parameter or cause of a chunk is the padding of the chunk: the length
// of the chunk does not include it (RFC 9260, 3.2).
func TestPaddingIsNotCounted(t *testing.T) {
	check := func(b []byte, kind byte, fixed int) {
		t.Helper()
		c, end := only(t, b), fixed // end of the last parameter, without its padding
		for at := fixed; at < len(c.value); at = (end + 3) / 4 * 4 {
			end = at + int(binary.BigEndian.Uint16(c.value[at+2:]))
		}
		if c.kind != kind || end != len(c.value) || len(c.raw)%4 == 0 || len(b)%4 != 0 {
			t.Errorf("%s: length or padding is wrong: %x", debugPacket(b), c.raw)
		}
	}
	a := newIdleAssoc(t)
	check(a.invite(), chunkInit, initFixedLen)
	for _, unknown := range [][]byte{nil, rawParam(0xc0ff, []byte("1")), append(rawParam(0xc0fe, []byte("1")), rawParam(0xc0ff, []byte("123"))...)} {
		a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN, unknown)))
		check(a.next(), chunkInitAck, initFixedLen)
	}
	a = openChannel(t)
	check(a.AppendProbe(a.now, nil, []byte("x")), chunkHeartbeat, 0)
	a.CloseStream(a.now, 1)
	check(a.next(), chunkReconfig, 0)
	a.write(resetRequest(peerTSN, 1, 1))
	a.pass(200 * time.Millisecond)
	check(a.next(), chunkReconfig, 0)
	a.write(rawChunk(0xfe, 0, nil), rawChunk(0xfd, 0, []byte("1")))
	check(a.next(), chunkError, 0)
	check(a.Abort(a.now, "x", nil), chunkAbort, 0)
}
