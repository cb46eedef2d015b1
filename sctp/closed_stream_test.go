package sctp

import "testing"

// Data on a stream that the peer has closed belong to a new channel. The old channel does not
// admit them: otherwise a piece on each of many streams, which are closed before they are
// opened, would fill the memory.
func TestPiecesOnClosedStreamsAreBounded(t *testing.T) {
	kilo := string(make([]byte, 1024))
	for name, flags := range map[string]byte{"ordered": flagBegin, "unordered": flagBegin | unordered} {
		a := newTestAssoc(t, allowReliable)
		for i := range uint32(300) {
			stream := uint16(2*i + 1)
			a.write(resetRequest(peerTSN+i, 0, stream), rawData(flags, peerTSN+i, stream, 0, ppidBinary, kilo))
			a.drain()
		}
		if limit := a.mostBuffered(); a.buffered > limit {
			t.Errorf("%s: %d bytes are buffered, want at most %d", name, a.buffered, limit)
		}
		if a.Stats().Drops[dropRefused] == 0 {
			t.Errorf("%s: no chunk was refused", name)
		}
	}
}

// The same is true of a whole message that waits for earlier ones: it is admitted only if there
// is room.
func TestMessagesOnClosedStreamsAreAdmitted(t *testing.T) {
	a := newTestAssoc(t, allowReliable, func(c *Config) { c.MaxBuffered, c.MaxMessage = 2*(1+bufferOverhead), 1 })
	a.write(ordered(2, 2, "a"), ordered(3, 3, "b")) // number 1 is missing
	a.wantDrops("two fit", dropRefused, 0)
	a.write(resetRequest(peerTSN, 0, 3), rawData(flagWhole, 4, 3, 5, ppidText, "c"))
	a.wantDrops("a third does not", dropRefused, 1)
	if a.buffered != a.config.MaxBuffered {
		t.Errorf("%d bytes are buffered, want %d", a.buffered, a.config.MaxBuffered)
	}
}
