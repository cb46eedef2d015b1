package sctp

import "testing"

// Streams without a run have no count. The list of counts goes to the garbage collector when it is
// empty, if it was longer than those of most pages.
func TestCountsOfStreams(t *testing.T) {
	for streams, kept := range map[uint16]bool{8: true, 9: false} {
		c := new(streamCounts)
		for i := range streams {
			c.added(5 * i)
			c.added(5 * i)
		}
		for i := range streams - 1 {
			c.removed(5 * i)
			c.removed(5 * i)
		}
		if len(c.all) != 1 || c.all[0] != (streamCount{5 * (streams - 1), 2}) {
			t.Errorf("%d streams: the last one's count is %v, want 2", streams, c.all)
		}
		i, ok := c.find(5 * (streams - 1))
		if !ok {
			t.Fatalf("%d streams: the last one is not found", streams)
		}
		if c.remove(i); len(c.all) != 0 || (c.all != nil) != kept {
			t.Errorf("%d streams: %d counts remain, with room for %d; room is kept: %v", streams, len(c.all), cap(c.all), kept)
		}
	}
}

// A stream that is reset has no runs, and so no count.
func TestAResetStreamHasNoCount(t *testing.T) {
	for name, flags := range map[string]byte{"ordered": flagBegin, "unordered": flagBegin | unordered} {
		a := openChannel(t, eager)
		a.write(rawData(flags, 3, 1, 1, ppidText, "piece"), rawData(flags, 5, 3, 1, ppidText, "piece"))
		a.write(resetRequest(peerTSN, 5, 1))
		if len(a.counts.all) != 1 || a.counts.all[0] != (streamCount{3, 1}) {
			t.Errorf("%s: the counts are %v, want 1 of stream 3", name, a.counts.all)
		}
	}
}
