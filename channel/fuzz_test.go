package channel

import (
	"bytes"
	"encoding/hex"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// FuzzPacket parses any bytes. A packet that parses is written again, frame by frame, and must
// have the same bytes: each packet has one encoding.
func FuzzPacket(f *testing.F) {
	var v struct {
		Valid   []vectorPacket
		Invalid []vectorInvalid
	}
	loadVectors(f, "packets.json", &v)
	for _, p := range v.Valid {
		b, _ := hex.DecodeString(p.Hex)
		f.Add(b)
	}
	for _, p := range v.Invalid {
		b, _ := hex.DecodeString(p.Hex)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p packet
		if !p.parse(b) {
			return
		}
		if ok, _ := wellFormed(p.frames); !ok {
			return
		}
		out := []byte{wireVersion<<versionShift | byte(p.numberLen-1)}
		for i := p.numberLen - 1; i >= 0; i-- {
			out = append(out, byte(p.number>>(8*i)))
		}
		if p.hasAck {
			var flags byte
			out, flags = p.ack.append(out, 1<<20)
			out[0] |= flags
		}
		for b := p.frames; len(b) > 0; {
			var f frame
			n := f.parse(b)
			out = f.appendTo(out)
			b = b[n:]
		}
		if !bytes.Equal(out, b) {
			t.Fatalf("read\n%x\nwrote\n%x", b, out)
		}
	})
}

// appendTo writes a parsed frame.
func (f *frame) appendTo(b []byte) []byte {
	b = append(b, f.kind|f.channel)
	switch f.kind {
	case frameControl:
		if f.channel < controlClose {
			return b
		}
		if f.channel == controlClose {
			b = appendVarint(b, f.code)
		}
	case frameMessage:
		b = appendVarint(b, f.id)
	case frameFragment:
		b = appendVarint(appendVarint(appendVarint(b, f.id), uint64(f.index)), uint64(f.total))
		return append(b, f.payload...)
	}
	return append(appendVarint(b, uint64(len(f.payload))), f.payload...)
}

// FuzzTwoEngines lets the fuzzer choose the link, the messages and their times, and checks every
// guarantee.
func FuzzTwoEngines(f *testing.F) {
	f.Add(uint64(1), []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add(uint64(2), bytes.Repeat([]byte{3, 17, 255, 40}, 50))
	f.Add(uint64(3), bytes.Repeat([]byte{200, 100, 13, 7}, 80))
	f.Fuzz(func(t *testing.T, seed uint64, script []byte) {
		playScript(t, seed, script)
	})
}

func playScript(t testing.TB, seed uint64, script []byte) {
	if len(script) > 400 {
		script = script[:400]
	}
	w := newWorld(t, seed)
	up, down := w.both(netsim.Link{Delay: 10 * time.Millisecond})
	client, server := w.connect(Config{Channels: testTable}, up, down)
	ledgers := map[*end]*ledger{}
	for _, e := range []*end{client, server} {
		l := newLedger()
		ledgers[e] = l
		e.passed, e.peer.message, e.receipt = l.pass, l.deliver, func(Event) { l.receipts++ }
	}
	for i := 0; i+1 < len(script); i += 2 {
		op, arg := script[i], int(script[i+1])
		e := client
		if op&1 != 0 {
			e = server
		}
		l := ledgers[e]
		switch op >> 1 % 8 {
		case 0, 1, 2, 3:
			ch := ID(op>>4)%4 + 1
			o := Options{Receipt: arg&1 != 0}
			if arg&6 == 6 && (ch == effects || ch == positions) {
				o.Deadline = w.time().Add(time.Duration(arg) * time.Millisecond)
			}
			if w.send(e, ch, ledgerMessage(w.rng, ch, l.sent[ch], arg*arg/4), o) == nil {
				l.sent[ch]++
				if o.Receipt {
					l.asked++
				}
			}
		case 4:
			w.run(time.Duration(arg)*time.Millisecond, nil)
		case 5:
			e.out.change(func(l *netsim.Link) { l.Loss, l.Duplicate = float64(arg%10)/12, float64(arg%7)/20 })
		case 6:
			e.out.change(func(l *netsim.Link) {
				l.Reorder, l.ReorderDelay = float64(arg%5)/10, time.Duration(arg)*time.Millisecond
				l.Jitter = time.Duration(arg%50) * time.Millisecond
			})
		case 7: // both move to a new link; what is on the old one is gone
			w.pending = netsim.Timeline[pending]{}
			for _, e := range w.ends {
				e.mux.Relink(w.time(), false, 0)
				w.flush(e)
			}
		}
	}
	for _, e := range w.ends {
		e.out.SetLink(netsim.Link{Delay: 10 * time.Millisecond})
	}
	done := func() bool {
		for _, l := range ledgers {
			if l.reliableLeft() != 0 || l.receipts != l.asked {
				return false
			}
		}
		return true
	}
	w.run(120*time.Second, done)
	for e, l := range ledgers {
		if len(l.problems) > 0 || !done() {
			t.Fatalf("%s: %d reliable messages are missing, %d receipts of %d, %q", e.name, l.reliableLeft(), l.receipts, l.asked, l.problems)
		}
		if s := e.mux.Stats(); s.Drops[DropRefused]+s.Drops[DropMalformed]+s.Drops[DropAck] > 0 {
			t.Fatalf("%s: packets of a valid peer are refused: %v", e.name, s.Drops)
		}
		e.mux.check(t)
	}
}

// check looks for broken invariants.
func (m *Mux) check(t testing.TB) {
	t.Helper()
	flying, bytes := 0, 0
	for n := m.flight.base; n < m.flight.next; n++ {
		if p := m.flight.at(n); p.eliciting && p.state == packetFlying {
			flying, bytes = flying+1, bytes+p.size
		}
		p := m.flight.at(n)
		if got, want := m.flight.nextOpen(n, n+1) == n, p.state != packetAcked; got != want {
			t.Fatalf("packet %d: nextOpen finds it: %v, want %v", n, got, want)
		}
		if got, want := m.flight.nextFlying(n, n+1) == n, p.state == packetFlying && p.eliciting; got != want {
			t.Fatalf("packet %d: nextFlying finds it: %v, want %v", n, got, want)
		}
	}
	if flying != m.flight.count || bytes != m.flight.bytes {
		t.Fatalf("%d packets of %d bytes are in flight, counted as %d of %d", flying, bytes, m.flight.count, m.flight.bytes)
	}
	refs := 0
	for _, p := range m.flight.ring {
		refs += cap(p.refs)
	}
	if most := maxRefs + 2*MaxPacket; refs != m.flight.refs || refs > most {
		t.Fatalf("the records have room for %d references, counted as %d, want at most %d", refs, m.flight.refs, most)
	}
	listed := 0
	for _, id := range m.byPriority {
		if m.senders[id].cfg.Name == "" {
			t.Fatalf("channel %d is in the order and not in the table", id)
		}
		listed++
	}
	for i := range m.senders {
		if m.senders[i].cfg.Name != "" {
			listed--
		}
	}
	if listed != 0 {
		t.Fatalf("%d channels too many are in the order", listed)
	}
	for i := range m.senders {
		s := m.senders[i]
		cost, lost := 0, 0
		for _, l := range []*list{&s.queue, &s.waiting} {
			n := 0
			for msg := l.head; msg != nil; msg = msg.next {
				n++
				cost += msg.cost()
				missing := 0
				for i, p := range msg.pieces {
					if p.state == pieceLost {
						missing++
						if !msg.listed || i < int(msg.firstOut) {
							t.Fatalf("channel %d: piece %d of message %d is lost and not in the list", s.id, i, msg.id)
						}
					}
				}
				if missing != msg.lost || msg.list != l {
					t.Fatalf("channel %d, message %d: %d pieces are lost, counted as %d", i, msg.id, missing, msg.lost)
				}
				lost += missing
			}
			if n != l.n {
				t.Fatalf("channel %d: a list has %d messages, counted as %d", i, n, l.n)
			}
		}
		if cost != s.cost || lost != int(s.lost) || cost > s.cfg.QueueLimit {
			t.Fatalf("channel %d: cost %d counted as %d, lost %d counted as %d", i, cost, s.cost, lost, s.lost)
		}
	}
	for i := range m.receivers {
		r := m.receivers[i]
		held, n := 0, 0
		for p := r.partials; p != nil; p = p.next {
			held, n = held+p.cost(), n+1
		}
		for _, s := range r.slots {
			if s.p != nil {
				held += s.p.cost()
			}
		}
		if held != r.held || n != r.count || held > r.cfg.QueueLimit || len(r.slots) > sendWindow {
			t.Fatalf("channel %d: holds %d bytes counted as %d, %d partial messages counted as %d, %d slots", i, held, r.held, n, r.count, len(r.slots))
		}
	}
}

// turnover opens a channel, or ends the one that it has opened before, as the layer above
// does.
func (x *testMux) turnover(t *testing.T, i int) {
	switch id := ID(6); {
	case len(x.m.Channels()) < int(id):
		c := Channel{Name: "again", Mode: Mode(i / 4 % 4), Direction: Both, MaxMessage: 3000, QueueLimit: 10 << 10}
		if err := x.m.Open(id, c, i%8 == 3); err != nil {
			t.Fatal(err)
		}
	default:
		x.m.Known(id)
		x.m.StopSending(id)
		x.m.StopReceiving(id)
		if x.m.Settled(id) {
			x.m.Remove(id)
		}
	}
}

// FuzzHostilePeer feeds an engine that has much to send any bytes, raw and as well-formed
// packets.
func FuzzHostilePeer(f *testing.F) {
	f.Add([]byte{0x11, 0, 0, 1})
	f.Add([]byte{0x15, 0, 0, 0, 5, 0, 5})
	f.Add(bytes.Repeat([]byte{0x84, 9, 1, 0xb4, 0x10, 0x41}, 60))
	f.Fuzz(func(t *testing.T, b []byte) {
		x := &testMux{now: time.Unix(1000, 0)}
		var err error
		if x.m, err = New(x.now, Config{Channels: testTable}); err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(1, uint64(len(b))))
		for i := 0; len(b) > 0; i++ {
			n := min(len(b), 1+int(b[0])*4)
			datagram := b[:n:n]
			b = b[n:]
			if i%2 == 0 { // give it a good beginning
				datagram = append([]byte{wireVersion<<versionShift | 1, 0, byte(i)}, datagram...)
			}
			x.m.Send(x.now, ID(1+rng.IntN(6)), make([]byte, rng.IntN(3000)), Options{Receipt: i%3 == 0})
			x.m.Receive(x.now, datagram)
			for k := 0; k < 50 && len(x.m.Append(x.now, nil, MaxPacket)) > 0; k++ {
			}
			x.m.Events(nil)
			if i%4 == 3 {
				x.turnover(t, i)
			}
			x.now = x.now.Add(time.Duration(rng.IntN(100)) * time.Millisecond)
			x.m.Advance(x.now)
			x.m.check(t)
		}
		if held := x.m.Stats().Held; held > testTable.MaxHeld(false)+10<<10 {
			t.Fatalf("the Mux holds %d bytes, want at most %d", held, testTable.MaxHeld(false)+10<<10)
		}
	})
}
