package dtls

// replayWords of 64 bits make the ring of the replay window. Browsers need only
// the 64 numbers of https://www.rfc-editor.org/rfc/rfc6347.html#section-4.1.2.6,
// but a relay with 80 ms of jitter reorders more than that of a busy peer.
const (
	replayWords  = 8
	replayWindow = (replayWords - 1) * 64 // numbers this far back are still told apart
)

// A replay remembers which of the last replayWindow record numbers have come.
// The zero value has seen none. Word n/64 of the number line lives at ring slot
// n/64 mod replayWords; words between the old and the new newest are cleared
// when the newest moves, so no slot ever holds two words' bits.
type replay struct {
	ring [replayWords]uint64
	next uint64 // highest number marked, plus one
}

// seen reports whether n has come before or is too old to tell.
func (w *replay) seen(n uint64) bool {
	if n >= w.next {
		return false
	}
	return n+replayWindow < w.next || w.ring[n/64%replayWords]&(1<<(n%64)) != 0
}

// mark records that n has come. Call it only for an authentic record: a forged
// number would close the window on real ones.
func (w *replay) mark(n uint64) {
	if n >= w.next {
		w.advance(n)
	}
	w.ring[n/64%replayWords] |= 1 << (n % 64)
}

func (w *replay) advance(n uint64) {
	first, last := (w.next+63)/64, n/64 // the words behind the newest number, up to the new one's
	for i := range min(last+1-first, replayWords) {
		w.ring[(first+i)%replayWords] = 0
	}
	w.next = n + 1
}
