package channel

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// The oldest message with lost pieces is sent first, in whatever order they were lost, and
// however many have arrived or were forgotten since.
func TestOldestLossFirst(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		x := newTestMux(t, Config{})
		s := x.m.senders[loot]
		var lost []uint64 // the ids, sorted
		records := map[uint64]*message{}
		take := func(id uint64) {
			i, _ := slices.BinarySearch(lost, id)
			lost = slices.Delete(lost, i, i+1)
		}
		for step, id := 0, uint64(0); step < 150; step++ {
			switch rng.IntN(4) {
			case 0, 1:
				msg := x.m.pool.message()
				msg.ch, msg.id, msg.size = loot, id, 1
				id++
				msg.setPieces()
				x.m.pieceSent(s, msg, 0, 0, 0) // not in the queue, so it stays where it is
				records[msg.id] = msg
			case 2:
				var under []uint64
				for id, msg := range records {
					if msg.pieces[0].state == pieceFlying {
						under = append(under, id)
					}
				}
				if len(under) == 0 {
					continue
				}
				slices.Sort(under)
				id := under[rng.IntN(len(under))]
				x.m.pieceLost(pieceRef{records[id], records[id].gen, 0}, records[id].pieces[0].number)
				i, _ := slices.BinarySearch(lost, id)
				lost = slices.Insert(lost, i, id)
			case 3:
				if len(lost) == 0 {
					continue
				}
				id := lost[rng.IntN(len(lost))]
				msg := records[id]
				take(id)
				if rng.IntN(2) == 0 { // forgotten, and its memory is another's
					s.found(msg.lost)
					x.m.pool.putMessage(msg)
					delete(records, id)
				} else { // sent again
					x.m.pieceSent(s, msg, 0, uint64(step), 0)
				}
			}
			if int(s.lost) != len(lost) {
				t.Fatalf("seed %d, step %d: %d pieces are lost, want %d", seed, step, s.lost, len(lost))
			}
			if s.lost == 0 {
				if len(s.losses.heap) != 0 {
					t.Fatalf("seed %d, step %d: %d messages are in the list, want 0: none is lost", seed, step, len(s.losses.heap))
				}
				continue
			}
			if msg, i := s.nextLost(); msg.id != lost[0] || i != 0 {
				t.Fatalf("seed %d, step %d: message %d is next, want %d", seed, step, msg.id, lost[0])
			}
		}
	}
}

// To find the next lost piece of a large message costs few steps, though the pieces at
// both of its ends are lost again and again.
func TestLostPiecesOfALargeMessageAreFoundSoon(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 30, Ceiling: -1})
	const n = 1000
	x.send(bulk, strings.Repeat("x", 200*pieceSize), Options{})
	for len(x.m.Append(x.now, nil, MaxPacket)) > 0 {
		x.now = x.now.Add(time.Microsecond)
	}
	s := x.m.senders[bulk]
	msg := s.waiting.head
	for k := range n {
		i := []int{199, 0}[k%2]
		x.m.pieceLost(pieceRef{msg, msg.gen, uint32(i)}, msg.pieces[i].number)
		if got, piece := s.nextLost(); got != msg || piece != i {
			t.Fatalf("piece %d of message %d is next, want %d", piece, got.id, i)
		}
		x.m.pieceSent(s, msg, i, x.m.flight.next, 0)
	}
	if s.losses.steps < n || s.losses.steps > 3*n {
		t.Errorf("%d steps to find %d pieces, want %d to %d", s.losses.steps, n, n, 3*n)
	}
	before := s.losses.steps
	for _, i := range []int{0, 199} {
		x.m.pieceLost(pieceRef{msg, msg.gen, uint32(i)}, msg.pieces[i].number)
	}
	x.m.pieceSent(s, msg, 0, x.m.flight.next, 0)
	if s.nextLost(); s.losses.steps-before != 200 {
		t.Errorf("%d steps past 199 pieces, want 200", s.losses.steps-before)
	}
}

// Lost pieces of a message go again from the first on.
func TestLostPiecesInOrder(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 20, Ceiling: -1})
	x.send(chat, strings.Repeat("x", 6*pieceSize), Options{})
	for range 6 {
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(10 * ms)
	}
	x.ack(4, 4, 2, 2)
	for _, i := range []string{"0", "1", "3"} {
		x.wantPacket("in order", "fragment 4/0 "+i+" of 6144")
		x.now = x.now.Add(10 * ms)
	}
	x.wantIdle("the last is not known to be lost")
	if s := x.m.ChannelStats(chat); s.Retransmits != 3 || x.m.Stats().Retransmits != 3 {
		t.Errorf("%d pieces of the channel are sent again, and %d in all; want 3", s.Retransmits, x.m.Stats().Retransmits)
	}
}

// The receipt of an ordered message, and its memory, do not wait for those before it.
func TestReceiptOfAnOrderedMessageThatOvertakes(t *testing.T) {
	x := newTestMux(t, Config{})
	done := 0
	x.send(chat, "0", Options{Receipt: true})
	x.wantPacket("the first", "message 4/0 0")
	x.now = x.now.Add(10 * ms)
	if _, err := x.m.SendShared(x.now, chat, &Shared{B: []byte("1"), Done: func() { done++ }}, Options{Receipt: true}); err != nil {
		t.Fatal(err)
	}
	x.wantPacket("the second", "message 4/1 1")
	x.now = x.now.Add(100 * ms)
	x.ack(1, 1)
	x.wantEvents("the second has arrived", "receipt 2 delivered")
	if done != 1 {
		t.Errorf("the payload is returned %d times, want once", done)
	}
	x.wantQueue("both count until the first has arrived", chat, 0, 2+2*messageCost)
	x.ack(0, 1)
	x.wantEvents("the first too", "receipt 1 delivered")
	x.wantQueue("none counts", chat, 0, 0)
	if done != 1 {
		t.Errorf("the payload is returned %d times, want once", done)
	}
}

// A packet that is lost makes nothing be sent again of which a newer copy is under way.
func TestLostPacketOfAMessageThatWentAgain(t *testing.T) {
	x := newTestMux(t, Config{})
	x.m.loss.share = 0.05
	x.send(chat, "a", Options{})
	x.wantPacket("first", "message 4/0 a")
	x.now = x.now.Add(10 * ms)
	for _, s := range []string{"1", "2"} {
		x.send(effects, s, Options{})
		x.wantPacket("copies", "bare 1 "+s, "message 4/0 a")
		x.now = x.now.Add(10 * ms)
	}
	x.send(effects, "3", Options{})
	x.wantPacket("the third copy", "bare 1 3", "message 4/0 a")
	x.now = x.now.Add(10 * ms)
	x.send(effects, "4", Options{})
	x.wantPacket("three are enough", "bare 1 4")
	x.now = x.now.Add(10 * ms)
	x.m.detect(x.m.at(x.now), 4)
	if s := x.m.Stats(); s.PacketsLost == 0 || s.Retransmits != 0 {
		t.Errorf("%d packets are lost, want some; %d pieces are sent again, want 0", s.PacketsLost, s.Retransmits)
	}
	x.wantIdle("the last copy is not lost")
}

// Receipts of unreliable messages do not keep others back: there is no window.
func TestUnreliableMessagesHaveNoWindow(t *testing.T) {
	x := newTestMux(t, Config{Rate: 1 << 30, Ceiling: -1, Channels: Channels{{Name: "a", QueueLimit: 1 << 20}}})
	const n = sendWindow + 100
	for range n {
		x.send(1, "", Options{Receipt: true})
		x.m.Append(x.now, nil, MaxPacket)
		x.now = x.now.Add(time.Microsecond)
	}
	if s := x.m.ChannelStats(1); s.MessagesOut != n {
		t.Errorf("%d of %d messages are sent", s.MessagesOut, n)
	}
}
