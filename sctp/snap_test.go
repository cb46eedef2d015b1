package sctp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// newSnapAssoc returns an association that is established with the peer's INIT from outside.
func newSnapAssoc(t *testing.T, set ...func(*Config)) *testAssoc {
	t.Helper()
	a := newIdleAssoc(t, set...)
	a.told(peerTag, peerTSN)
	a.wantEvent("it is open", Event{Type: Established})
	return a
}

// told tells a that the peer with these numbers is there.
func (a *testAssoc) told(tag, tsn uint32) {
	a.t.Helper()
	i, ok := ParseInit(initChunk(chunkInit, tag, tsn))
	if !ok {
		a.t.Fatal("ParseInit refuses Chromium's INIT")
	}
	a.keep(a.Establish(a.now, i, append(make([]Event, 0, 3), before)))
}

// The INIT chunk of this end is the one of its handshake. docs/SESSION.md has the same bytes.
func TestInitForTheOtherEnd(t *testing.T) {
	for _, tt := range []struct {
		tag, tsn uint32
		want     string
	}{
		{0x01020304, 0x05060708, "0100001e" + "01020304" + "00080000" + "ffffffff" + "05060708" + "c0000004" + "80080006" + "c0820000"},
		{0, 0, "0100001e" + "00000001" + "00080000" + "ffffffff" + "00000000" + "c0000004" + "80080006" + "c0820000"},
	} {
		got := AppendInit([]byte("kept"), tt.tag, tt.tsn)
		if s := hex.EncodeToString(got[4:]); s != tt.want || string(got[:4]) != "kept" {
			t.Errorf("INIT of tag %d, TSN %d: %q and\n%s, want\n%s", tt.tag, tt.tsn, got[:4], s, tt.want)
		}
		a := New(Config{LocalTag: tt.tag, InitialTSN: tt.tsn})
		a.Connect(time.Unix(1, 0))
		if b := a.Append(time.Unix(1, 0), nil); !bytes.Equal(b[headerLen:], got[4:]) {
			t.Errorf("the INIT of the handshake is %x, want %x", b[headerLen:], got[4:])
		}
		if i, ok := ParseInit(got[4:]); !ok || i.peer != (endpoint{max(tt.tag, 1), tt.tsn, localStreams}) {
			t.Errorf("parsed back: %+v, %v", i, ok)
		}
	}
}

// An INIT from outside is one whole chunk of a bounded size, and must be good in a packet, too.
func TestInitsThatCannotBeUsed(t *testing.T) {
	good := AppendInit(nil, peerTag, peerTSN) // ends with padding
	long := initChunk(chunkInit, peerTag, peerTSN, rawParam(0x80ff, make([]byte, maxInit-len(good)-paramHeaderLen)))
	for name, b := range map[string][]byte{
		"of ours":                 good,
		"of Chromium":             initChunk(chunkInit, peerTag, peerTSN),
		"without its padding":     good[:good[3]],
		"of the largest size":     long,
		"with an unknown flag":    append([]byte{chunkInit, 1}, good[2:]...),
		"with unknown parameters": initChunk(chunkInit, peerTag, peerTSN, rawParam(0xc0ff, []byte("what"))),
	} {
		if i, ok := ParseInit(b); !ok || i.peer.tag != peerTag || i.peer.tsn != peerTSN || i.peer.in != 0xffff {
			t.Errorf("an INIT %s: %+v, %v", name, i, ok)
		}
	}
	bad := map[string][]byte{
		"nothing":               nil,
		"a header":              {chunkInit, 0, 0, 4},
		"a header of 3 bytes":   {chunkInit, 0, 0, 3},
		"a packet":              packet(0, good),
		"two chunks":            append(bytes.Clone(good), rawChunk(chunkCookieAck, 0, nil)...),
		"a byte more":           append(bytes.Clone(good), 0),
		"four bytes more":       append(bytes.Clone(good), 0, 0, 0, 0),
		"a byte too long":       append(long[:len(long):len(long)], 0),
		"a word too long":       initChunk(chunkInit, peerTag, peerTSN, rawParam(0x80ff, make([]byte, maxInit-len(good)))),
		"an INIT ACK":           initChunk(chunkInitAck, peerTag, peerTSN, rawParam(paramCookie, []byte("c"))),
		"DATA":                  text(1, "x"),
		"tag zero":              initChunk(chunkInit, 0, peerTSN),
		"no inbound streams":    rawChunk(chunkInit, 0, append(u32s(peerTag, 1, 0xffff_0000, 1), rawParam(paramForwardTSN, nil)...)),
		"no outbound streams":   rawChunk(chunkInit, 0, append(u32s(peerTag, 1, 0x0000_ffff, 1), rawParam(paramForwardTSN, nil)...)),
		"no FORWARD-TSN":        rawChunk(chunkInit, 0, u32s(peerTag, 1, 0xffff_ffff, 1)),
		"a malformed parameter": initChunk(chunkInit, peerTag, peerTSN, []byte{0, 5, 0, 3}),
	}
	for n := range int(good[3]) {
		bad[fmt.Sprintf("%d bytes of it", n)] = good[:n]
	}
	for name, b := range bad {
		if i, ok := ParseInit(b); ok || i != (Init{}) {
			t.Errorf("%s: %+v is accepted", name, i)
		}
	}
}

// With the INITs of both ends no chunk of a handshake is sent, in either direction, and messages
// are sent at once.
func TestEstablishedWithoutAHandshake(t *testing.T) {
	a := newSnapAssoc(t)
	a.wantIdle("there is nothing to say")
	if !a.Deadline().IsZero() {
		t.Errorf("the deadline is %v, want none", a.Deadline())
	}
	b := newIdleAssoc(t, func(c *Config) { c.LocalTag, c.InitialTSN, c.EvenStreams = peerTag, peerTSN, false })
	b.told(ourTag, ourTSN)
	b.wantEvent("so is the other end", Event{Type: Established})
	asks := b.next()
	b.want("the DTLS server asks whether it is heard", asks, "HEARTBEAT")
	b.wantIdle("once")
	a.writePacket(asks)
	answer := a.next()
	a.want("it is", answer, "HEARTBEAT-ACK")
	b.writePacket(answer)
	if !a.Heard() || !b.Heard() {
		t.Errorf("heard: %v and %v, want both", a.Heard(), b.Heard())
	}

	b.writePacket(a.send(1, Text, "ping"))
	b.wantEvent("in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
	b.wantMessage("at the first message", 1, Text, "ping")
	a.writePacket(b.send(1, Text, "pong"))
	a.wantEvent("in use", Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
	a.wantMessage("and its answer", 1, Text, "pong")
	for _, x := range []*testAssoc{a, b} {
		if s := x.Stats(); s.Drops != [dropReasons]uint32{} || s.Retransmits != 0 {
			t.Errorf("drops %v, %d chunks of a handshake repeated; want none", s.Drops, s.Retransmits)
		}
	}
}

// Establish does nothing without an INIT, and if the association has begun already or is over.
func TestEstablishOnce(t *testing.T) {
	idle := newIdleAssoc(t)
	idle.keep(idle.Establish(idle.now, Init{}, []Event{before}))
	idle.wantNoEvent("without an INIT")
	if idle.Established() || idle.Heard() {
		t.Error("an association is established with no peer")
	}
	waits, echoed, open, over := newIdleAssoc(t), newIdleAssoc(t), newTestAssoc(t), newTestAssoc(t)
	waits.invite()
	echoed.invite()
	echoed.write(initAck("c"))
	over.Abort(over.now, "", nil)
	for _, a := range []*testAssoc{waits, echoed, open, over} {
		was, peer := a.state, a.peer
		a.events = nil
		a.told(peerTag+1, peerTSN+1)
		a.wantNoEvent("it has begun")
		if a.state != was || a.peer != peer {
			t.Errorf("state %d, peer %+v; want %d, %+v as before", a.state, a.peer, was, peer)
		}
	}
}

// Any chunk except those of a handshake shows that the association is established at the peer.
func TestWhatShowsThatThePeerIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		packet []byte
		want   bool
	}{
		"nothing":       {nil, false},
		"DATA":          {packet(ourTag, text(1, "x")), true},
		"SACK":          {packet(ourTag, sack(ourTSN-1)), true},
		"HEARTBEAT":     {packet(ourTag, rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, []byte("x")))), true},
		"HEARTBEAT ACK": {packet(ourTag, rawChunk(chunkHeartbeatAck, 0, rawParam(paramHeartbeatInfo, []byte("x")))), true},
		"FORWARD-TSN":   {packet(ourTag, forward(peerTSN)), true},
		"RE-CONFIG":     {packet(ourTag, resetRequest(peerTSN, 0, 1)), true},
		"another tag":   {packet(ourTag+1, text(1, "x")), false},
		"INIT":          {packet(0, initChunk(chunkInit, peerTag, peerTSN)), false},
		"INIT ACK":      {packet(ourTag, initAck("c")), false},
		"COOKIE ACK":    {packet(ourTag, rawChunk(chunkCookieAck, 0, nil)), false},
		"a bad cookie":  {packet(ourTag, cookieEcho(make([]byte, cookieLen))), false},
		"ERROR":         {packet(ourTag, rawChunk(chunkError, 0, nil)), false},
	} {
		a := newSnapAssoc(t)
		if tt.packet != nil {
			a.writePacket(tt.packet)
		}
		if a.Heard() != tt.want || !a.Established() {
			t.Errorf("%s: heard %v, want %v; established %v, want true", name, a.Heard(), tt.want, a.Established())
		}
	}
	if a := newTestAssoc(t); !a.Heard() {
		t.Error("after a handshake the peer is not heard")
	}
}

// A peer whose answer has lost the attribute sends an INIT, with its old tag or with another one.
// Whatever the order of Establish, its INITs, its COOKIE ECHOs and a message of this end, also if
// they are doubled, the association is that of the handshake, and opens once.
func TestInitsThatComeAllTheSame(t *testing.T) {
	for _, peer := range []endpoint{{tag: peerTag, tsn: peerTSN}, {tag: 0x33333333, tsn: 0x4444}} {
		orders := 0
		permute([]byte("EIICCM"), func(order string) {
			first := strings.IndexByte(order, 'I')
			if strings.IndexByte(order, 'C') < first {
				return // the cookie is in the answer to an INIT
			}
			orders++
			a := newIdleAssoc(t)
			var cookie []byte
			for _, step := range []byte(order) {
				switch step {
				case 'E':
					a.told(peerTag, peerTSN)
				case 'I':
					a.writePacket(packet(0, initChunk(chunkInit, peer.tag, peer.tsn)))
					b := a.next()
					if tagOf(b) != peer.tag {
						t.Fatalf("%s: the INIT is answered with %x", order, b)
					}
					cookie = cookieOf(t, b)
				case 'C':
					a.write(cookieEcho(cookie))
					a.wantPacket(order, "COOKIE-ACK")
				case 'M':
					a.AppendMessage(a.now, nil, 1, Text, []byte("may be lost"))
				}
			}
			a.wantEvent(order, Event{Type: Established})
			a.write(text(peer.tsn, "x"))
			a.wantEvent(order, Event{Type: ChannelOpen, Stream: 1, Negotiated: true, Reliability: Retransmits})
			a.wantMessage(order, 1, Text, "x")
			a.wantNoEvent(order)
			if b := a.send(1, Text, "y"); tagOf(b) != peer.tag || !a.Heard() {
				t.Errorf("%s: a message has tag %x, want %x; heard: %v", order, tagOf(b), peer.tag, a.Heard())
			}
		})
		if orders != 90 {
			t.Errorf("%d orders, want 90", orders)
		}
	}
}

// A handshake after Establish shows that the peer is there. What was sent before is given up soon, however often it was
// given up before; if nothing was sent, there is nothing to wait for.
func TestAHandshakeAfterEstablish(t *testing.T) {
	for _, sent := range []bool{false, true} {
		a := newSnapAssoc(t)
		if sent {
			a.send(1, Text, "is lost")
			for range 5 {
				a.pass(a.Deadline().Sub(a.now))
				a.drain()
			}
			if d := a.Deadline().Sub(a.now); a.idleTries < 3 || d < 4*idleTimeoutMin {
				t.Fatalf("after %d tries the next one is in %v", a.idleTries, d)
			}
		}
		if a.Heard() {
			t.Error("a peer that is silent is heard")
		}
		a.writePacket(packet(0, initChunk(chunkInit, 0x33333333, 0x4444)))
		a.write(cookieEcho(cookieOf(t, a.next())))
		a.wantPacket("the handshake ends", "COOKIE-ACK")
		if !a.Heard() {
			t.Error("the peer is not heard, after a handshake")
		}
		if at := a.Deadline(); !sent && !at.IsZero() || sent && at.Sub(a.now) != a.idleTimeout() || a.idleTries != 0 {
			t.Errorf("sent: %v: the deadline is in %v after %d tries, want %v, or none", sent, at.Sub(a.now), a.idleTries, a.idleTimeout())
		}
	}
}

// permute calls f with every order of the letters, each once.
func permute(letters []byte, f func(string)) {
	slices.Sort(letters)
	var step func(done, left []byte)
	step = func(done, left []byte) {
		if len(left) == 0 {
			f(string(done))
		}
		for i, l := range left {
			if i > 0 && left[i-1] == l {
				continue
			}
			step(append(done[:len(done):len(done)], l), slices.Delete(bytes.Clone(left), i, i+1))
		}
	}
	step(nil, letters)
}

// When the peer was heard, the INIT of a restart does not end the association, as after a
// handshake.
func TestNoRestartOnceThePeerIsHeard(t *testing.T) {
	a := newSnapAssoc(t)
	a.write(text(peerTSN, "x"))
	a.events = nil
	a.drain()
	a.writePacket(packet(0, initChunk(chunkInit, 0x33333333, 7)))
	a.write(cookieEcho(cookieOf(t, a.next())))
	a.wantDrops("another peer", dropRestart, 1)
	a.writePacket(packet(0, initChunk(chunkInit, peerTag, peerTSN)))
	a.write(cookieEcho(cookieOf(t, a.next())))
	a.wantPacket("the same peer", "COOKIE-ACK")
	a.writePacket(packet(0, rawChunk(chunkInit, 0, u32s(peerTag, 1<<20, 0xffff_ffff, peerTSN))))
	a.wantNoEvent("an INIT without FORWARD-TSN changes nothing")
	a.write(text(peerTSN+1, "still here"))
	a.wantMessage("it goes on", 1, Text, "still here")
}

// A peer that does the handshake in place of SNAP, and has no FORWARD-TSN there, cannot be served.
func TestInitWithoutPartialReliabilityAfterSnap(t *testing.T) {
	a := newSnapAssoc(t)
	a.writePacket(packet(0, rawChunk(chunkInit, 0, u32s(peerTag, 1<<20, 0xffff_ffff, peerTSN))))
	a.wantEvent("cannot be served", Event{Type: Closed, Reason: NoPartialReliability})
	a.wantPacket("and is told", "ABORT")
}

// Messages that were sent before the handshake of such a peer are lost. The peer is told so, and
// does not wait for them.
func TestMessagesBeforeTheHandshakeAreGivenUp(t *testing.T) {
	a := newSnapAssoc(t)
	for range 40 { // the timer of T3 expires several times, and its waits grow
		a.send(1, Text, "lost")
		a.pass(100 * time.Millisecond)
		a.drain()
	}
	a.writePacket(packet(0, initChunk(chunkInit, 0x33333333, 7)))
	a.write(cookieEcho(cookieOf(t, a.next())))
	a.wantPacket("the handshake ends", "COOKIE-ACK")
	a.pass(2*defaultRTT + idleMargin)
	a.wantPacket("then the lost messages", fmt.Sprintf("FORWARD-TSN(%d)", ourTSN+39))
	a.write(sack(ourTSN + 39))
	a.pass(time.Minute)
	a.wantIdle("all is said")
}

// Both ends have the INIT of the other, or one of them does a handshake nevertheless, with its old
// tag or with another one. Packets may be late, doubled, lost or out of order: in the end both are
// established with the same numbers, and messages arrive.
func TestSnapInEveryOrder(t *testing.T) {
	for seed := range 1500 {
		for _, kind := range []string{"both", "the same tag", "another tag"} {
			crossSnap(t, seed, kind)
		}
	}
}

func crossSnap(t *testing.T, seed int, kind string) {
	t.Helper()
	a := newIdleAssoc(t, eager)
	tag, tsn := uint32(peerTag), uint32(peerTSN)
	if kind == "another tag" {
		tag, tsn = 0x33333333, 0xffff_fffe
	}
	b := newIdleAssoc(t, eager, func(c *Config) { c.LocalTag, c.InitialTSN, c.EvenStreams = tag, tsn, false })
	w := newDisorder(a, b, seed)
	told := w.draw(20) // when a is told that DTLS is done
	if kind == "both" {
		b.told(ourTag, ourTSN)
	} else {
		b.Connect(b.now)
	}
	for i := range 400 {
		if i == told {
			a.told(peerTag, peerTSN)
		}
		for _, x := range []*testAssoc{a, b} {
			to := a
			if x == a {
				to = b
			}
			if x.Established() && w.draw(16) == 0 {
				w.air = append(w.air, flight{to, x.send(1, Text, "early")})
			}
		}
		w.take()
		w.step()
	}
	for _, x := range []*testAssoc{a, b} {
		n := 0
		for _, e := range x.events {
			if e.Type == Established {
				n++
			}
		}
		if !x.Established() || n != 1 {
			t.Fatalf("seed %d, %s: state %d, %d times established; want once", seed, kind, x.state, n)
		}
		x.events = nil
	}
	if a.peer.tag != tag || b.peer.tag != ourTag || a.peer.tsn != tsn || b.peer.tsn != ourTSN {
		t.Fatalf("seed %d, %s: a knows %+v, b knows %+v", seed, kind, a.peer, b.peer)
	}
	b.writePacket(a.send(1, Text, "to b"))
	a.writePacket(b.send(1, Text, "to a"))
	for x, want := range map[*testAssoc]string{a: "to a", b: "to b"} {
		if !slices.ContainsFunc(x.events, func(e Event) bool { return e.Type == Message && string(e.Payload) == want }) {
			t.Fatalf("seed %d, %s: %q does not arrive: %v", seed, kind, want, x.events)
		}
	}
}

// FuzzParseInit: an INIT of a page never panics, and one that is accepted makes an association that
// sends and receives.
func FuzzParseInit(f *testing.F) {
	f.Add(initChunk(chunkInit, peerTag, peerTSN))
	f.Add(AppendInit(nil, ourTag, ourTSN))
	f.Add(rawChunk(chunkInit, 0, u32s(peerTag, 1<<20, 0xffff_ffff, peerTSN)))
	f.Add(initChunk(chunkInit, peerTag, peerTSN, rawParam(0xc0ff, []byte("what"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		i, ok := ParseInit(b)
		if !ok {
			if i != (Init{}) {
				t.Fatalf("%x is refused, but has %+v", b, i)
			}
			return
		}
		if i.peer.tag == 0 || i.peer.in == 0 || len(b) > maxInit || b[0] != chunkInit {
			t.Fatalf("%x is accepted: %+v", b, i)
		}
		a := newIdleAssoc(t)
		a.Establish(a.now, i, nil)
		if !a.Established() {
			t.Fatal("not established")
		}
		if p := a.send(0, Text, "x"); tagOf(p) != i.peer.tag {
			t.Fatalf("the message has tag %x, want %x", tagOf(p), i.peer.tag)
		}
		a.write(text(i.peer.tsn, "y"))
		checkInvariants(t, a)
	})
}
