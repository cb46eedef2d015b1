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

// A hostile is a client that completes the handshake like any other, and then seals any bytes.
type hostile struct {
	*pair
	now time.Time
	tsn uint32 // the client's next one

	check []byte // the check of checkFrom
}

// keysOf returns keys as a handshake gives them; always the same.
func keysOf(t testing.TB) *dtls.Keys {
	k, err := dtls.DeriveKeys(dtls.ECDSAWithAES128GCM, make([]byte, 48), make([]byte, 32), make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// newHostile makes a pair whose association is established. Its keys come from keysOf instead
// of a handshake, and it has its own time.
func newHostile(t testing.TB, edit func(*Config)) *hostile {
	t.Helper()
	h := newChecked(t, edit)
	for _, s := range []*side{h.server, h.client} {
		s.setKeys(h.now, s.other.addr)
	}
	for range 10 {
		h.server.pump(h.now)
		h.client.pump(h.now)
	}
	if !h.server.opened {
		t.Fatal("the association is not established after 10 rounds")
	}
	return h
}

// newChecked makes a pair in which one check was answered.
func newChecked(t testing.TB, edit func(*Config)) *hostile {
	t.Helper()
	h := &hostile{pair: newPairWith(t, false, edit), now: time.Now(), tsn: 200}
	check, _ := h.client.Append(h.now, nil)
	if h.server.request.Parse(check) != 0 {
		t.Fatal("the client's check is not a valid STUN request")
	}
	answer, granted := h.server.Check(h.now, h.client.addr, h.server.addr.Addr(), &h.server.request, nil)
	if !granted || !h.client.Answered(h.now, h.server.addr, answer) {
		t.Fatal("the check or its answer is not valid")
	}
	return h
}

// setKeys gives s the keys of keysOf, as if a handshake with these addresses had ended.
func (s *side) setKeys(now time.Time, with ...netip.AddrPort) {
	s.Begin()
	for _, a := range with {
		s.handshake.noteAddress(a)
	}
	s.Keys(now, keysOf(s.pair.t))
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

// sealed seals b as a record of the client and gives it to the server. b begins with reserved
// space.
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

// answers takes the datagrams of the server that are due and returns their number. It fails if
// there are more than 40.
func (h *hostile) answers() (datagrams int) {
	h.server.Flush(h.now)
	for {
		b, _ := h.server.Append(h.now, h.room[:0])
		if len(b) == 0 {
			return datagrams
		}
		if len(b) > 1225 {
			h.t.Fatalf("a datagram of %d bytes, want at most 1225", len(b))
		}
		if datagrams++; datagrams > 40 {
			h.t.Fatal("more than 40 datagrams are due at once")
		}
	}
}

// pass advances the time by d, and calls Advance at each deadline of the server.
func (h *hostile) pass(d time.Duration) {
	end := h.now.Add(d)
	for i := 0; ; i++ {
		due := h.server.Deadline()
		if due.IsZero() || due.After(end) {
			break
		}
		if i == 1000 {
			h.t.Fatalf("more than 1000 deadlines in %v", d)
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

// FuzzHostilePeer plays a script of a hostile peer that has the keys: chunks of all types with
// numbers near those in use, alerts, other records, and time that passes.
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
				t.Fatalf("the bounds of the association are exceeded: %+v", st)
			}
		}
		h.pass(time.Minute)
		if h.server.State() == Waiting {
			t.Fatal("the state is Waiting after the handshake")
		}
	})
}

// step does one thing that a hostile peer can do.
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

// A peer whose other end has filled every table and queue that it can fill uses at most 128 KiB
// of heap.
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
		t.Errorf("%d bytes of heap for each peer, want at most %d", each, 128<<10)
	}
	if st.Buffered < 32<<10 || st.Channels < 16 {
		t.Errorf("the tables were not filled, want 32 KiB buffered and 16 channels at least: %+v", st)
	}
	runtime.KeepAlive(hs)
}

// fill fills everything that a peer stores: channels with the longest names, halves of
// messages, messages that wait for their order, gaps, duplicate TSNs, errors to be reported,
// heartbeats. It also makes the server send at many different times without an acknowledgement.
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
	for i := range 4000 { // a gap before each; first fragments only, and ordered messages
		h.packet(data(2, h.tsn+2*uint32(i)+1, 1, uint16(i+1), 53, make([]byte, 1100)))
		h.packet(data(3, h.tsn+2*uint32(i)+1, 3, uint16(i+5), 53, make([]byte, 30)))
	}
	for i := range 200 {
		h.packet(chunk(0xff, 0, make([]byte, 100)), chunk(4, 0, append([]byte{0, 1, 4, 4}, make([]byte, 1024)...)))
		h.server.Send(h.now, nil, uint16(i), 1, make([]byte, 1000))
	}
	for range 3000 { // more send times than the association stores
		h.now = h.now.Add(10 * time.Microsecond)
		h.server.Send(h.now, nil, 0, 1, []byte{1})
	}
}

// checkFromManyAddresses gives the server a check from more addresses than it stores.
func (w *pair) checkFromManyAddresses(now time.Time) {
	check, _ := w.client.Append(now.Add(3*time.Second), nil) // its next check
	for i := range uint16(2*MaxPaths + 1) {
		from := netip.AddrPortFrom(w.client.addr.Addr(), 1000+i)
		if i == 2*MaxPaths {
			from = w.client.addr
		}
		w.server.request.Parse(check)
		if _, granted := w.server.Check(now, from, w.server.addr.Addr(), &w.server.request, nil); !granted {
			w.t.Fatal("a check is not granted")
		}
	}
	if n := len(slices.Collect(w.server.ice.lite.Paths())); n != MaxPaths {
		w.t.Fatalf("%d addresses are stored, want %d", n, MaxPaths)
	}
}

// A peer in its handshake, with a full sieve and as many addresses as it stores, uses at most
// 48 KiB of heap; 51 KiB if its handshake waits because others compute, and its input queue is
// full. The size of the stacks is only logged, because the race detector makes them larger.
func TestShakingPeerIsBounded(t *testing.T) {
	for name, waits := range map[string]bool{"at work": false, "while others compute": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { shakingPeer(t, waits) })
		})
	}
}

func shakingPeer(t *testing.T, waits bool) {
	const peers = 50
	ws := make([]*pair, peers)
	gate := make(dtls.Gate, peers)
	for i := range ws {
		ws[i] = newPair(t, i%2 == 0)
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
		for i := range 40 { // the first four use up the sieve's bytes for records that wait
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
			time.Sleep(50 * time.Millisecond) // the sieve passes at most 8 pieces again in this time
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
		w.server.dtls.Stop()
	}
	synctest.Wait()
}

// beginThrough is begin with a gate for the computations of the handshake.
func (s *side) beginThrough(gate dtls.Gate) {
	s.Begin()
	s.dtls = dtls.StartHandshake(dtls.HandshakeConfig{
		Certificate: s.certificate,
		Client:      s.Peer.client,
		Peer:        []dtls.Fingerprint{s.other.certificate.Fingerprint()},
		SRTP:        true,
		Gate:        gate,
		Emit:        func(ev dtls.HandshakeEvent) { s.pair.outbox <- sideEvent{s, ev} },
	})
}

// piece returns a record with fragment i of the messages of a handshake.
func piece(i int) []byte {
	const n, body = 127, 12 + 127
	seq, off := byte(i%16), i/16*(n+1)
	f := []byte{22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, byte(i), 0, body, 2, 0, 2, 0, 0, seq, 0, byte(off >> 8), byte(off), 0, 0, n}
	return append(f, make([]byte, n)...)
}

// pieces gives s as many fragments as its sieve and its handshake store, of all messages that a
// handshake has. Each fragment leaves a gap before the next, so they cannot be joined.
func (s *side) pieces() {
	for i := range 80 {
		_, part := s.Receive(time.Now(), s.other.addr, piece(i), nil)
		s.dtls.Receive(part)
		synctest.Wait() // until the queue to pion is empty: a full queue drops the next fragment
	}
}

// repeats gives s fragments that it has received before, in a datagram of the greatest length.
func (s *side) repeats() {
	var b []byte
	for i := range 13 {
		b = append(b, piece(i)...)
	}
	_, part := s.Receive(time.Now(), s.other.addr, b, nil)
	s.dtls.Receive(part)
	synctest.Wait()
}
