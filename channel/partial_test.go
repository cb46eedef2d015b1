package channel

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The first pieces of a large message do not allocate memory for the whole message: an
// incomplete message takes at most four times the bytes that have arrived.
func TestPiecesBuyNoMoreThanFourTimesTheirSize(t *testing.T) {
	table := Channels{
		{Name: "sequenced", Mode: Sequenced, MaxMessage: 1 << 20, QueueLimit: 4 << 20},
		{Name: "unordered", Mode: ReliableUnordered, MaxMessage: 1 << 20, QueueLimit: 4 << 20},
		{Name: "ordered", Mode: ReliableOrdered, MaxMessage: 1 << 20, QueueLimit: 4 << 20},
	}
	now := time.Unix(1000, 0)
	for _, last := range []bool{false, true} {
		m, err := New(now, Config{Channels: table, Server: true})
		if err != nil {
			t.Fatal(err)
		}
		const each, total = 3, 1 << 20
		index := 0
		if last {
			index = pieces(total) - 1
		}
		before, sent := testkit.HeapNow(), 0
		for ch := range ID(3) {
			for id := range uint64(each) {
				f := frame{kind: frameFragment, channel: byte(ch + 1), id: id, index: index, total: total, payload: make([]byte, pieceSize)}
				m.receiveContent(m.at(now), 0, &f)
				sent += pieceSize
			}
		}
		held, grown := 0, testkit.HeapNow()-before
		for _, r := range m.receivers {
			held += r.held
		}
		t.Logf("%d bytes in pieces at %d: %d bytes of heap, %d count", sent, index, grown, held)
		if held != 3*each*(total+messageCost) {
			t.Errorf("%d bytes count as held", held) // as the sender counts them
		}
		if limit := 4*sent + 16<<10; grown > limit {
			t.Errorf("%d bytes of heap for %d that came, want at most %d", grown, sent, limit)
		}
		runtime.KeepAlive(m)
	}
}

// Pieces that come in any order, some of them twice, make the message that was sent,
// of every length around where memory is taken for all of it.
func TestPiecesInAnyOrderMakeTheMessage(t *testing.T) {
	now, random := time.Unix(1000, 0), rand.New(rand.NewPCG(1, 2))
	m, err := New(now, Config{Channels: Channels{{Name: "x", Mode: ReliableUnordered, MaxMessage: 200_000}}, Server: true})
	if err != nil {
		t.Fatal(err)
	}
	var evs []Event
	id := uint64(0)
	for _, total := range []int{1025, 2048, 3072, 4096, 4097, 8192, 8193, 16384, 65_537, 150_000, 1025} {
		want := make([]byte, total)
		for i := range want {
			want[i] = byte(random.Uint32())
		}
		order := append(random.Perm(pieces(total)), random.Perm(pieces(total))[:1]...)
		for _, i := range order {
			f := frame{kind: frameFragment, channel: 1, id: id, index: i, total: total, payload: want[i*pieceSize : min(total, (i+1)*pieceSize)]}
			if !m.receiveContent(m.at(now), 0, &f) {
				t.Fatalf("piece %d of a message of %d bytes is refused", i, total)
			}
		}
		evs = m.Events(evs)
		if len(evs) != 1 || !bytes.Equal(evs[0].Payload, want) {
			t.Errorf("a message of %d bytes: %d events, want 1 with its bytes", total, len(evs))
		}
		m.Release(evs)
		evs = evs[:0]
		id++
	}
	if s := m.ChannelStats(1); s.Held != 0 || s.Duplicates != id {
		t.Errorf("%d bytes are held, want 0; %d pieces came twice, want %d", s.Held, s.Duplicates, id)
	}
}
