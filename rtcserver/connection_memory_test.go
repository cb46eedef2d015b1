package rtcserver

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// A controlledPage is a page that has connected like any other. Then the test uses its keys to
// seal any chunks of SCTP.
type controlledPage struct {
	*page
	w       *world
	offered *offered
	records dtls.Conn
	tag     uint32 // the server's
	tsn     uint32 // the page's next
	acked   uint32 // the last of the server that the page has acknowledged
	reset   uint32 // the page's next request to reset streams
	sent    int    // packets
	inject  func(b []byte)
}

// A wiretap records the secrets that the test needs to take over connections.
type wiretap struct {
	mu      sync.Mutex
	masters map[string][]byte // by client random

	clientRandom, serverRandom []byte // of the connection that was made last
	suite                      dtls.Suite
	sealed                     map[netip.AddrPort][]byte // the last such datagram of each page
	recent                     map[netip.AddrPort][][]byte
}

// Write takes a line of a key log.
func (t *wiretap) Write(line []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := strings.Fields(string(line))
	master, err := hex.DecodeString(f[2])
	t.masters[f[1]] = master
	return len(line), err
}

// see takes a datagram.
func (t *wiretap) see(p *netsim.Packet) bool {
	t.look(p.From, p.To == serverAddr, p.Payload)
	return true
}

func (t *wiretap) look(from netip.AddrPort, toServer bool, datagram []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for r := range dtls.Records(datagram) {
		b := r.Body()
		switch {
		case r.Epoch == 1 && toServer:
			t.sealed[from] = bytes.Clone(datagram)
			if t.recent == nil {
				t.recent = make(map[netip.AddrPort][][]byte)
			}
			t.recent[from] = append(t.recent[from][max(0, len(t.recent[from])-7):], t.sealed[from])
		case r.Epoch != 0 || r.Type != dtls.TypeHandshake || len(b) < 12+2+32+1:
		case b[0] == 1: // ClientHello: a header of 12 bytes, the version, the random
			t.clientRandom = bytes.Clone(b[14:46])
		case b[0] == 2:
			t.serverRandom = bytes.Clone(b[14:46])
			t.suite = dtls.Suite(binary.BigEndian.Uint16(b[47+int(b[46]):]))
		}
	}
}

// control opens a page, whose server is the DTLS client, and takes it over.
func (w *world) control(tap *wiretap) *controlledPage {
	w.t.Helper()
	p, o := w.openKnown("a=setup:actpass")
	p.send("where are we?")
	synctest.Wait()
	h := &controlledPage{page: p, w: w, offered: o}
	h.inject = func(b []byte) { w.network.Inject(p.addr(), serverAddr, b) }
	h.takeOver(tap, p.addr())
	return h
}

// takeOver finds out the keys and numbers of the page at an address, the last that
// connected.
func (h *controlledPage) takeOver(tap *wiretap, page netip.AddrPort) {
	tap.mu.Lock()
	defer tap.mu.Unlock()
	keys, err := dtls.DeriveKeys(tap.suite, tap.masters[fmt.Sprintf("%x", tap.clientRandom)], tap.clientRandom, tap.serverRandom)
	if err != nil {
		panic(err)
	}
	h.records.Init(keys, false, 1<<20) // beyond the page's own
	h.records.Done()
	var server dtls.Conn
	server.Init(keys, true, 0)
	server.Done()
	for _, sealed := range tap.recent[page] {
		plain, _, drop := server.Open(bytes.Clone(sealed))
		if drop != dtls.DropNone || len(plain) < 12 {
			continue
		}
		h.tag = binary.BigEndian.Uint32(plain[4:])
		for b := plain[12:]; len(b) >= 8; b = b[min(len(b), int(binary.BigEndian.Uint16(b[2:])+3)&^3):] {
			switch b[0] {
			case 0: // DATA
				h.tsn = binary.BigEndian.Uint32(b[4:]) + 1
				if h.reset == 0 {
					h.reset = h.tsn - 1 // the first request has the number of the first DATA
				}
			case 3: // SACK
				h.acked = binary.BigEndian.Uint32(b[4:])
			}
		}
	}
	if h.tsn == 0 {
		panic("the page's last packets have no DATA")
	}
}

// plain returns an SCTP packet with these chunks, and room for a record's header
// before it.
func (h *controlledPage) plain(chunks ...[]byte) []byte {
	b := h.records.Reserve(nil)
	start := len(b)
	b = append(b, 0x13, 0x88, 0x13, 0x88) // ports 5000
	b = append(binary.BigEndian.AppendUint32(b, h.tag), 0, 0, 0, 0)
	for _, c := range chunks {
		b = append(b, c...)
	}
	binary.LittleEndian.PutUint32(b[start+8:], crc32.Checksum(b[start:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// packet sends an SCTP packet with these chunks.
func (h *controlledPage) packet(chunks ...[]byte) {
	h.inject(h.seal(chunks...))
	if h.sent++; h.w != nil && h.sent%50 == 0 {
		synctest.Wait() // or the socket's buffer overflows
	}
}

// chunk is an SCTP chunk, padded.
func chunk(kind, flags byte, value []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{kind, flags}, uint16(4+len(value)))
	b = append(b, value...)
	return append(b, make([]byte, -len(b)&3)...)
}

// data is a DATA chunk.
func data(flags byte, tsn uint32, stream, ssn uint16, ppid uint32, payload []byte) []byte {
	v := binary.BigEndian.AppendUint32(nil, tsn)
	v = binary.BigEndian.AppendUint16(v, stream)
	v = binary.BigEndian.AppendUint16(v, ssn)
	return chunk(0, flags, append(binary.BigEndian.AppendUint32(v, ppid), payload...))
}

// fill does everything that makes the server keep something: checks from more addresses than the
// server remembers, more channels than the limit, with the longest names, pieces of messages and
// messages out of order, each behind a gap, unknown chunks, heartbeats. It acknowledges nothing.
func (h *controlledPage) fill(piece int, contiguous bool) {
	for i := range 200 { // no other connection has any of them
		from := netip.AddrFrom4([4]byte{203, 0, 113, byte(h.offered.conn.id)})
		h.w.network.Inject(netip.AddrPortFrom(from, uint16(1000+i)), serverAddr, h.offered.request("", false))
	}
	open := append([]byte{3, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 0}, bytes.Repeat([]byte("name"), 128)...)
	for i := range 40 {
		h.packet(data(3, h.tsn, uint16(1+2*i), 0, 50, open))
		h.tsn++
	}
	if contiguous {
		h.beginnings(piece)
	} else {
		for i := range uint32(2000) {
			h.packet(data(2, h.tsn+2*i+1, 1, uint16(i+1), 53, make([]byte, piece)),
				data(3, h.tsn+2*i+1, 3, uint16(i+5), 53, make([]byte, min(piece, 30))))
		}
	}
	for range 100 {
		h.packet(chunk(0xff, 0, make([]byte, 100)), chunk(4, 0, append([]byte{0, 1, 4, 4}, make([]byte, 1024)...)))
		h.offered.conn.Send(0, Binary, make([]byte, 1000))
	}
	for range 2200 { // more moments than are remembered
		time.Sleep(10 * time.Microsecond)
		h.offered.conn.Send(0, Binary, []byte{1})
	}
	synctest.Wait()
}

// beginnings sends messages without their last fragments, of fragments in a row: behind a gap as
// many as the server accepts, and then in the gap one message that may exceed the limit.
func (h *controlledPage) beginnings(piece int) {
	most := h.w.server.config.MaxReceive
	each := uint32(most / piece) // of a message
	begin := func(tsn uint32, ssn uint16) {
		for i := range each {
			flags := byte(0)
			if i == 0 {
				flags = 2
			}
			h.packet(data(flags, tsn+i, 1, ssn, 53, make([]byte, piece)))
		}
	}
	for i := range uint32(8) { // a TSN is left out after each, or they would be one message that is too large
		begin(h.tsn+(i+1)*(each+1), uint16(i+2))
	}
	begin(h.tsn, 1)
}

// burst sends many small messages at once, in the gaps that fill has left.
func (h *controlledPage) burst() {
	for i := range uint32(40) {
		var chunks [][]byte
		for j := range uint32(50) {
			chunks = append(chunks, data(7, h.tsn+2*(50*i+j)+2, 1, 0, 53, []byte{1}))
		}
		h.packet(chunks...)
	}
	synctest.Wait()
}

// A live connection needs at most the memory that docs/security.md says, together with its page:
// 144 KiB and five times MaxReceive.
func TestMemoryOfAFilledConnection(t *testing.T) {
	const conns = 5
	messages := 0
	for _, c := range []struct {
		maxReceive, piece int
		contiguous        bool
	}{
		{16 << 10, 1100, false}, {16 << 10, 1, false}, {4 << 10, 100, false}, {64 << 10, 1100, false},
		{16 << 10, 1100, true}, {16 << 10, 70, true}, {4 << 10, 100, true}, {64 << 10, 1100, true}, {64 << 10, 520, true},
	} {
		tap := &wiretap{masters: make(map[string][]byte), sealed: make(map[netip.AddrPort][]byte)}
		config := Config{Settings: Settings{AllowReliable: true, MaxReceive: c.maxReceive, KeyLog: tap}, Handler: Handler{Message: func(*Conn, Message) { messages++ }}}
		inWorld(t, config, func(w *world) {
			w.network.SetTap(tap.see)
			first := w.control(tap) // what grows once
			first.fill(c.piece, c.contiguous)
			first.burst()
			before := testkit.HeapNow()
			hs := make([]*controlledPage, conns)
			for i := range hs {
				hs[i] = w.control(tap)
				hs[i].fill(c.piece, c.contiguous)
			}
			for _, h := range hs {
				h.burst()
			}
			each, limit := (testkit.HeapNow()-before)/conns, 144<<10+5*c.maxReceive
			conn := hs[0].offered.conn
			st, _ := conn.peer.Stats()
			t.Logf("MaxReceive %d, pieces of %d bytes, in a row %v: %d bytes of heap, of %d; %d buffered, %d channels, %d addresses, %d messages",
				c.maxReceive, c.piece, c.contiguous, each, limit, st.Buffered, len(conn.channels), len(conn.addrs), messages)
			if each > limit {
				t.Errorf("%d bytes, want at most %d", each, limit)
			}
			if st.Buffered < 3*c.maxReceive || len(conn.channels) != 16 || len(conn.addrs) < 32 {
				t.Errorf("the tables are not full: %d bytes buffered, %d channels, %d addresses", st.Buffered, len(conn.channels), len(conn.addrs))
			}
			for _, h := range hs {
				if d := h.offered.conn.engine.(*datagrams); max(cap(d.queue), cap(d.pending)) > keptEvents {
					t.Errorf("memory for %d and %d events is kept, want at most %d", cap(d.queue), cap(d.pending), keptEvents)
				}
			}
			runtime.KeepAlive(hs)
		})
	}
	if messages < 2000*conns {
		t.Errorf("only %d messages have arrived: there was no burst", messages)
	}
}
