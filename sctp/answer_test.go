package sctp

import (
	"math/rand/v2"
	"testing"
	"time"
)

// However many gaps there are, the answer to a packet is no larger than the bytes that have
// arrived since the last answer, except the smallest SACK. The same is true for the sum of all
// answers.
func TestSacksAreNoLargerThanWhatCame(t *testing.T) {
	a := newTestAssoc(t, honest)
	const least = headerLen + sackLen + 4*minReports
	in, out := 0, 0
	give := func(chunks ...[]byte) (answer int) {
		p := packet(ourTag, chunks...)
		in += len(p)
		a.writePacket(p)
		for b := a.next(); len(b) > 0; b = a.next() {
			answer += len(b)
		}
		out += answer
		return answer
	}
	for i := range uint32(205) {
		give(text(2+2*i, "x"))
	}
	give(forward(0)) // uses up the credit
	for i := range 1000 {
		if n := give(forward(0)); n > least {
			t.Fatalf("FORWARD-TSN %d, an old one of 20 bytes, causes %d bytes, want at most %d", i, n, least)
		}
	}
	for i := range 1000 {
		if n := give(text(2+2*uint32(i%205), "x")); n > least+12 {
			t.Fatalf("duplicate %d of 32 bytes causes %d bytes, want at most %d", i, n, least+12)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	packets := 0
	for range 20_000 {
		switch rnd.IntN(4) {
		case 0:
			give(forward(a.rx.cum - 1))
		case 1:
			give(text(a.rx.cum+2*rnd.Uint32N(1000), "x"))
		case 2:
			give(text(a.rx.cum+2+2*rnd.Uint32N(1000), "x"), forward(a.rx.cum+rnd.Uint32N(3)))
		case 3:
			give(rawChunk(chunkHeartbeat, 0, rawParam(paramHeartbeatInfo, make([]byte, 1000))), forward(0))
		}
		a.pass(time.Millisecond)
		packets++
	}
	if out > in+20*(packets+2000) {
		t.Errorf("%d bytes cause %d, want at most %d", in, out, in+20*(packets+2000))
	}
}

// A SACK without room for all gaps has the newest gap. Otherwise the peer would take the path
// for dead.
func TestNewestGapIsTold(t *testing.T) {
	a := newTestAssoc(t, honest)
	for i := range uint32(100) {
		a.receive(text(2+4*i, "x"), text(3+4*i, "x"))
	}
	a.Flush(a.now)
	a.next()
	a.ack.credit = 0
	a.write(forward(0))
	a.wantPacket("the first and the last", "SACK(cum=0 gap=2-3 gap=398-399)")
	a.ack.credit = 0
	a.write(forward(2)) // TSNs that are skipped are no gap
	a.wantPacket("the first and the last", "SACK(cum=3 gap=6-7 gap=398-399)")
	a.write(forward(1000))
	a.wantPacket("none is left", "SACK(cum=1000)")
}

func TestNewestAgainstModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(2, 2))
	for range 2000 {
		var r tracker
		r.init(rnd.Uint32())
		base, got := r.high, map[uint32]bool{}
		for range 1 + rnd.IntN(40) {
			tsn := base + 2 + rnd.Uint32N(300)
			if !r.seen(tsn) {
				r.mark(tsn)
				got[tsn] = true
			}
		}
		if rnd.IntN(2) == 0 && r.cum != r.high {
			r.extend(r.high + rnd.Uint32N(200)) // skips TSNs
		}
		var first, last uint32
		for tsn := base; tsn != base+303; tsn++ {
			if got[tsn] && !got[tsn-1] {
				first = tsn
			}
			if got[tsn] {
				last = tsn
			}
		}
		if f, l := r.newest(); f != first || l != last {
			t.Fatalf("%d to %d, want %d to %d", f-base, l-base, first-base, last-base)
		}
	}
}
