package peer

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A hostile is a client that has shaken hands like any other, and then seals
// whatever it likes.
type hostile struct {
	*world
	now time.Time
	tsn uint32 // the next in order

	check []byte // that of checkFrom
}

// keysOf are keys as a handshake would have given.
func keysOf(t testing.TB) *dtls.Keys {
	k, err := dtls.DeriveKeys(dtls.ECDSAWithAES128GCM, make([]byte, 48), make([]byte, 32), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newHostile makes a world whose two sides have met, without a handshake of their
// own. Its time is its own.
func newHostile(t testing.TB, edit func(*Config)) *hostile {
	t.Helper()
	h := newChecked(t, edit)
	for _, s := range []*side{h.server, h.client} {
		s.shakeHands(h.now, s.other.addr)
	}
	for range 10 {
		h.server.pump(h.now)
		h.client.pump(h.now)
	}
	if !h.server.opened {
		t.Fatal("no association")
	}
	return h
}

// newChecked makes a world in which one check was answered.
func newChecked(t testing.TB, edit func(*Config)) *hostile {
	t.Helper()
	h := &hostile{world: newWorldWith(t, false, edit), now: time.Now(), tsn: 200}
	check, _ := h.client.Append(h.now, nil)
	if h.server.request.Parse(check) != 0 {
		t.Fatal("a bad check")
	}
	answer, granted := h.server.Check(h.now, h.client.addr, h.server.addr.Addr(), &h.server.request, nil)
	if !granted || !h.client.Answered(h.now, h.server.addr, answer) {
		t.Fatal("no selection")
	}
	return h
}

// shakeHands gives s its keys, as a handshake with these addresses would have done.
func (s *side) shakeHands(now time.Time, with ...netip.AddrPort) {
	s.Begin()
	for _, a := range with {
		s.shake.meet(a)
	}
	s.Keys(now, keysOf(s.world.t))
	s.events = s.Done(now, s.events[:0])
}

// packet gives the server an SCTP packet with these chunks.
func (h *hostile) packet(chunks ...[]byte) []Event {
	b := h.client.records.Reserve(nil)
	start := len(b)
	b = append(b, 0x13, 0x88, 0x13, 0x88, 0, 0, 0, 1, 0, 0, 0, 0) // ports 5000, tag 1
	for _, c := range chunks {
		b = append(b, c...)
	}
	sum := crc32.Checksum(b[start:], crc32.MakeTable(crc32.Castagnoli))
	binary.LittleEndian.PutUint32(b[start+8:], sum)
	return h.sealed(b, dtls.TypeApplicationData)
}

// sealed gives the server a record of the hostile's own.
func (h *hostile) sealed(b []byte, t dtls.ContentType) []Event {
	b, err := h.client.records.Seal(b, 0, t)
	if err != nil {
		h.t.Fatal(err)
	}
	h.server.events, _ = h.server.Receive(h.now, h.client.addr, b, h.server.events[:0])
	return h.server.events
}

// chunk is an SCTP chunk, padded.
func chunk(kind, flags byte, value []byte) []byte {
	b := []byte{kind, flags, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(4+len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// data is a DATA chunk.
func data(flags byte, tsn uint32, stream, ssn uint16, ppid uint32, payload []byte) []byte {
	v := binary.BigEndian.AppendUint32(nil, tsn)
	v = binary.BigEndian.AppendUint16(v, stream)
	v = binary.BigEndian.AppendUint16(v, ssn)
	v = binary.BigEndian.AppendUint32(v, ppid)
	return chunk(0, flags, append(v, payload...))
}

// answers takes what the server has to say, and fails if that does not end.
func (h *hostile) answers() (datagrams int) {
	h.server.Flush(h.now)
	for {
		b, _ := h.server.Append(h.now, h.room[:0])
		if len(b) == 0 {
			return datagrams
		}
		if len(b) > 1225 {
			h.t.Fatalf("a datagram of %d bytes", len(b))
		}
		if datagrams++; datagrams > 40 {
			h.t.Fatal("the server does not stop talking")
		}
	}
}

// pass lets time go by.
func (h *hostile) pass(d time.Duration) {
	end := h.now.Add(d)
	for i := 0; ; i++ {
		due := h.server.Deadline()
		if due.IsZero() || due.After(end) {
			break
		}
		if i == 1000 {
			h.t.Fatal("the server does not come to rest")
		}
		h.now = latest(h.now, due)
		h.server.events = h.server.Advance(h.now, h.server.events[:0])
		h.answers()
	}
	h.now = end
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// FuzzHostilePeer plays a script of a peer that is authenticated and hostile:
// chunks of all kinds with numbers near those in use, alerts, other records, time.
func FuzzHostilePeer(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte("\x00\x01\x03\x10\x01\x02\x04\x20\x02\x01\x01\x01\x03\x08\x00\x40\x07\x01\x00\x00"))
	f.Add(slices.Repeat([]byte{1, 3, 1, 90, 2, 9, 0, 200, 6, 250, 0, 0}, 30))
	f.Add(slices.Repeat([]byte{4, 1, 5, 7, 5, 200, 1, 3, 3, 2, 2, 2, 8, 0, 0, 30}, 20))
	f.Fuzz(func(t *testing.T, script []byte) {
		h := newHostile(t, nil)
		script = script[:min(len(script), 400)]
		for len(script) >= 4 && h.server.State() == Secure {
			h.step(script[0], script[1], script[2], script[3])
			script = script[4:]
			h.answers()
			if st, _ := h.server.Stats(); st.Buffered > 64<<10+3*(16<<10) || st.Channels > 48 {
				t.Fatalf("%+v", st)
			}
		}
		h.pass(time.Minute)
		if h.server.State() == Waiting {
			t.Fatal("it waits again")
		}
	})
}

// step is one thing that a hostile peer does.
func (h *hostile) step(op, x, y, z byte) {
	near := h.tsn + uint32(int8(x))
	long := make([]byte, int(z)*4)
	switch op % 12 {
	case 0:
		h.packet(data(3, h.tsn, uint16(y%8), 0, 51, []byte("x")))
		h.tsn++
	case 1:
		h.packet(data(op>>4, near, uint16(y%8), uint16(y/8), 53, append(long, 1)))
	case 2:
		v := binary.BigEndian.AppendUint32(nil, 99+uint32(int8(x)))
		v = append(v, 0, 1, 0, 0, 0, y, 0, z)
		for range y {
			v = append(v, x, y, 0xff, z)
		}
		h.packet(chunk(3, 0, v))
	case 3:
		v := binary.BigEndian.AppendUint32(nil, near)
		h.packet(chunk(0xc0, 0, append(v, make([]byte, int(y)*4)...)))
	case 4:
		open := append([]byte{3, x & 0x83, 1, 0, 0, 0, 0, y, 0, 4, 0, 0}, "chat"...)
		h.packet(data(3, h.tsn, uint16(z), 0, 50, open))
		h.tsn++
	case 5:
		v := []byte{0, 13, 0, 16 + 2*(y%4)}
		v = binary.BigEndian.AppendUint32(v, 200+uint32(x))
		v = binary.BigEndian.AppendUint32(v, 99)
		v = binary.BigEndian.AppendUint32(v, near)
		h.packet(chunk(0x82, 0, append(v, 0, z, 0, 1, 0, 2)[:16+2*(y%4)]))
	case 6:
		h.pass(time.Duration(x) * 10 * time.Millisecond)
	case 7:
		h.packet(chunk(1, 0, append([]byte{0, 0, 0, x, 0, 1, 0, 0, 0, y, 0, z, 0, 0, 0, 9}, long...)))
	case 8:
		h.packet(chunk(x, y, long))
	case 9:
		h.packet(chunk(x, y, long), data(3, near, 1, 0, 53, long), chunk(z, 0, nil))
	case 10:
		b := append(h.client.records.Reserve(nil), long...)
		h.sealed(append(b, x, y), dtls.ContentType(21+z%3))
	case 11:
		h.server.Send(h.now, nil, uint16(x), Kind(y&1), long)
	}
}

// A peer whose other side has filled everything that it may fill holds at most 128 KiB.
func TestLivePeerIsBounded(t *testing.T) {
	const peers = 50
	hs := make([]*hostile, peers)
	for i := range hs {
		hs[i] = newHostile(t, func(c *Config) { c.SCTP.AllowReliable = true })
	}
	before := testkit.HeapNow()
	for _, h := range hs {
		h.checkFromManyAddresses(h.now)
		h.fill()
	}
	each := (testkit.HeapNow() - before) / peers
	st, _ := hs[0].server.Stats()
	t.Logf("%d bytes of heap for each filled peer; %d buffered, %d channels", each, st.Buffered, st.Channels)
	if each > 128<<10 {
		t.Errorf("%d bytes", each)
	}
	if st.Buffered < 32<<10 || st.Channels < 16 {
		t.Errorf("it was not filled: %+v", st)
	}
	runtime.KeepAlive(hs)
}

// fill sends everything that a peer keeps: channels with the longest names,
// halves of messages, messages that wait for their order, gaps, numbers twice,
// errors to be reported, heartbeats; and has the server send without an answer, at many
// times.
func (h *hostile) fill() {
	name := make([]byte, 256)
	for i := range name {
		name[i] = 'a' + byte(i%26)
	}
	for i := range 40 {
		open := append([]byte{3, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0}, name...)
		h.packet(data(3, h.tsn, uint16(1+2*i), 0, 50, append(open, name...)))
		h.tsn++
	}
	for i := range 4000 { // a gap before each; beginnings only, and ordered ones
		h.packet(data(2, h.tsn+2*uint32(i)+1, 1, uint16(i+1), 53, make([]byte, 1100)))
		h.packet(data(3, h.tsn+2*uint32(i)+1, 3, uint16(i+5), 53, make([]byte, 30)))
	}
	for i := range 200 {
		h.packet(chunk(0xff, 0, make([]byte, 100)), chunk(4, 0, append([]byte{0, 1, 4, 4}, make([]byte, 1024)...)))
		h.server.Send(h.now, nil, uint16(i), 1, make([]byte, 1000))
	}
	for range 3000 { // more moments than are remembered
		h.now = h.now.Add(10 * time.Microsecond)
		h.server.Send(h.now, nil, 0, 1, []byte{1})
	}
}

// checkFromManyAddresses gives the server a check from more addresses than it
// remembers.
func (w *world) checkFromManyAddresses(now time.Time) {
	check, _ := w.client.Append(now.Add(3*time.Second), nil) // its next
	for i := range uint16(2*MaxPaths + 1) {
		from := netip.AddrPortFrom(w.client.addr.Addr(), 1000+i)
		if i == 2*MaxPaths {
			from = w.client.addr
		}
		w.server.request.Parse(check)
		if _, granted := w.server.Check(now, from, w.server.addr.Addr(), &w.server.request, nil); !granted {
			w.t.Fatal("a bad check")
		}
	}
	if n := len(slices.Collect(w.server.ice.lite.Paths())); n != MaxPaths {
		w.t.Fatalf("%d addresses are remembered", n)
	}
}

// The same in the handshake, whose datagrams the sieve keeps, with as many addresses
// as are remembered: 64 KiB with the stacks of its goroutines, whether the handshake may
// compute or others do and what comes has to wait. The race detector makes everything
// larger, so the stacks are only told of.
func TestShakingPeerIsBounded(t *testing.T) {
	for name, waits := range map[string]bool{"at work": false, "while others compute": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { shakingPeer(t, waits) })
		})
	}
}

func shakingPeer(t *testing.T, waits bool) {
	const peers = 50
	ws := make([]*world, peers)
	gate := dtls.NewGate(peers)
	for i := range ws {
		ws[i] = newWorld(t, i%2 == 0)
		check, _ := ws[i].client.Append(time.Now(), nil)
		ws[i].server.request.Parse(check)
		ws[i].server.Check(time.Now(), ws[i].client.addr, ws[i].server.addr.Addr(), &ws[i].server.request, nil)
	}
	before, stacksBefore := testkit.MemoryNow()
	for _, w := range ws {
		w.checkFromManyAddresses(time.Now())
		w.server.beginThrough(gate)
		synctest.Wait()
		w.server.pieces()
		for i := range 40 { // the first four fill the bytes
			for _, kind := range []byte{21, 22, 23} {
				b := []byte{kind, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, byte(i), 0x03, 0xf3}
				w.server.Receive(time.Now(), w.client.addr, append(b, make([]byte, 0x3f3)...), nil)
			}
		}
		synctest.Wait()
	}
	if waits {
		for range peers {
			gate <- struct{}{}
		}
		for _, w := range ws {
			w.server.pieces()
		}
		for range 40 {
			time.Sleep(50 * time.Millisecond) // no more than 8 go again in that time
			for _, w := range ws {
				w.server.repeats()
			}
		}
	}
	each, stacks := testkit.MemoryNow()
	each, stacks = (each-before)/peers, (stacks-stacksBefore)/peers
	t.Logf("%d bytes of heap for each handshake, and %d of stacks", each, stacks)
	most := 48 << 10
	if waits {
		most = 51 << 10 // the stacks are smaller
	}
	if each > most {
		t.Errorf("%d bytes, want at most %d", each, most)
	}
	for _, w := range ws {
		w.server.handshake.Stop()
	}
	synctest.Wait()
}

// beginThrough is begin with a gate that handshakes compute behind.
func (s *side) beginThrough(gate dtls.Gate) {
	s.Begin()
	s.handshake = dtls.StartHandshake(dtls.HandshakeConfig{
		Certificate: s.certificate,
		Client:      s.Peer.client,
		Peer:        []dtls.Fingerprint{s.other.certificate.Fingerprint()},
		SRTP:        true,
		Gate:        gate,
		Emit:        func(ev dtls.HandshakeEvent) { s.world.outbox <- outboxed{s, ev} },
	})
}

// piece is a piece of a message of a handshake.
func piece(i int) []byte {
	const n, body = 127, 12 + 127
	seq, off := byte(i%16), i/16*(n+1)
	f := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, byte(i), 0, body, 2, 0, 2, 0, 0, seq, 0, byte(off >> 8), byte(off), 0, 0, n}
	return append(f, make([]byte, n)...)
}

// pieces takes as many pieces as may be, as long as they may be together: with holes
// between them, of all messages there may be.
func (s *side) pieces() {
	for i := range 80 {
		_, part := s.Receive(time.Now(), s.other.addr, piece(i), nil)
		s.handshake.Receive(part)
		synctest.Wait() // the queue to pion is empty, or it would drop the next
	}
}

// repeats takes pieces again, in a datagram as long as it may be.
func (s *side) repeats() {
	var b []byte
	for i := range 13 {
		b = append(b, piece(i)...)
	}
	_, part := s.Receive(time.Now(), s.other.addr, b, nil)
	s.handshake.Receive(part)
	synctest.Wait()
}
