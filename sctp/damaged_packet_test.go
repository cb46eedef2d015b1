package sctp

import (
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// A replayer plays the page of a capture, whose packets may be damaged. It sends the packets of
// the browser, and does what a browser does without the right answer: it answers INIT and
// COOKIE ECHO each time, repeats a reset request that is in progress, sends its OPENs again,
// and gives up other messages.
type replayer struct {
	*testAssoc
	capture  capture
	again    []byte // the reset request that is to be repeated
	happened []string
}

// has reports whether a packet has a chunk of this kind; for DATA, one with a DCEP message.
func has(packet []byte, kind byte) bool {
	for c := range chunks(packet) {
		if c.kind == kind && (kind != chunkData || binary.BigEndian.Uint32(c.value[8:]) == ppidDCEP) {
			return true
		}
	}
	return false
}

// play gives the association a packet of the page.
func (r *replayer) play(b []byte) {
	if has(b, chunkCookieAck) || !has(b, chunkInit) && !has(b, chunkInitAck) && !has(b, chunkCookieEcho) {
		r.finishHandshake() // before the handshake ends a page sends only its chunks
	}
	again := r.again
	r.again = nil
	for _, b := range [][]byte{b, again} {
		r.happened = append(r.happened, r.echo(b)...)
		r.answer()
	}
}

// answer sends the browser's answer to each INIT and COOKIE ECHO, and notes a reset that is in
// progress.
func (r *replayer) answer() {
	for b := r.next(); len(b) > 0; b = r.next() {
		for c := range chunks(b) {
			switch c.kind {
			case chunkInit:
				r.happened = append(r.happened, r.echo(r.packetWith(chunkInitAck))...)
			case chunkCookieEcho:
				r.happened = append(r.happened, r.echo(r.packetWith(chunkCookieAck))...)
			case chunkReconfig:
				for p := range params(c.value) {
					if p.kind == paramResetResponse && binary.BigEndian.Uint32(p.value[4:]) == resultInProgress {
						r.again = r.packetWith(chunkReconfig)
					}
				}
			}
		}
	}
}

// packetWith returns the first packet of the page with a chunk of that kind.
func (r *replayer) packetWith(kind byte) []byte {
	return r.capture.page[slices.IndexFunc(r.capture.page, func(b []byte) bool { return has(b, kind) })]
}

// finishHandshake lets time pass until the association is established.
func (r *replayer) finishHandshake() {
	for range 10 {
		if r.state >= stateEstablished {
			return
		}
		r.pass(200 * time.Millisecond)
		r.answer()
	}
	r.t.Error("the association is not established after 2 s")
}

// harms are the ways in which the ith packet of a page is damaged: each returns the packets as
// they arrive.
var harms = map[string]func(all [][]byte, i int) [][]byte{
	"dropped": func(all [][]byte, i int) [][]byte {
		lost := all[i]
		all = slices.Delete(all, i, i+1)
		for c := range chunks(lost) {
			switch {
			case has(lost, chunkData), c.kind == chunkReconfig, c.kind == chunkForwardTSN: // the browser sends it again
				return slices.Insert(all, min(i+2, len(all)), lost)
			case c.kind == chunkData: // the browser gives it up
				given := packet(binary.BigEndian.Uint32(lost[offsetTag:]), rawChunk(chunkForwardTSN, 0, c.value[:4]))
				return slices.Insert(all, min(i+2, len(all)), given)
			}
		}
		return all
	},
	"doubled":       func(all [][]byte, i int) [][]byte { return slices.Insert(all, i, all[i]) },
	"doubled later": func(all [][]byte, i int) [][]byte { return slices.Insert(all, min(i+5, len(all)), all[i]) },
	"swapped": func(all [][]byte, i int) [][]byte {
		if i+1 < len(all) {
			all[i], all[i+1] = all[i+1], all[i]
		}
		return all
	},
	"late": func(all [][]byte, i int) [][]byte {
		b := all[i]
		return slices.Insert(slices.Delete(all, i, i+1), min(i+3, len(all)-1), b)
	},
}

// Each packet of a browser in turn is dropped, doubled, swapped with the next one, or comes
// late. The association is established, both channels open, the second one closes, and each
// message arrives once, except those in the dropped packet.
func TestConversationsOfBrowsersWithAnyOnePacketDamaged(t *testing.T) {
	for name, c := range captures(t) {
		all, abort := c.page[:len(c.page)-1], c.page[len(c.page)-1]
		for harm, damage := range harms {
			t.Run(name+"/"+harm, func(t *testing.T) {
				for i := range all {
					r := &replayer{testAssoc: c.again(t), capture: c}
					for _, b := range append(damage(slices.Clone(all), i), abort) {
						r.play(b)
					}
					lost := 0
					for c := range chunks(all[i]) {
						if harm == "dropped" && c.kind == chunkData {
							lost++
						}
					}
					r.wantReplay(i, lost)
				}
			})
		}
	}
}

// wantReplay checks that all events of the capture happened, except as many messages as were
// lost.
func (r *replayer) wantReplay(i, lost int) {
	r.t.Helper()
	left := make(map[string]int)
	for _, s := range replayed {
		left[s]++
	}
	for _, s := range r.happened {
		// A message that overtakes the opening of its channel opens one without a name.
		unnamed := strings.Contains(s, ` "" "" negotiated=true`)
		end := s == "channel closed stream=1" || strings.HasPrefix(s, "closed: ")
		if left[s]--; left[s] < 0 && !unnamed && !end {
			r.t.Errorf("packet %d is damaged: %q happened once too often", i, s)
		}
	}
	for _, s := range slices.Sorted(maps.Keys(left)) {
		for ; left[s] > 0; left[s]-- {
			if !strings.HasPrefix(s, "message ") {
				r.t.Errorf("packet %d is damaged: %q did not happen", i, s)
			} else if lost--; lost < 0 {
				r.t.Errorf("packet %d is damaged: %q was lost", i, s)
			}
		}
	}
}
