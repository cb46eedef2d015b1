package sctp

import (
	"encoding/binary"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// When a SACK is sent. RFC 9260 allows a delay of 500 ms, but a far shorter delay slows
// down the congestion control of browsers.
//
// It recommends a SACK for at least every second packet, within 200 ms.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.2
const (
	sackDelay     = 20 * time.Millisecond
	slowSackDelay = 200 * time.Millisecond // with Config.SlowAck
	sackEvery     = 2                      // packets with DATA
	maxDuplicates = 20

	// maxGapBlocks fits one packet. TSNs after the last block look lost to the peer. With 20
	// blocks, Firefox, whose first FORWARD-TSN was lost in a burst with more gaps, continued
	// with one packet per timeout and never sent FORWARD-TSN again.
	maxGapBlocks = 200

	// minReports is the number of gaps that every SACK may report: the first and the newest.
	minReports = 2

	// maxCredit is the largest SACK, in a packet of its own.
	maxCredit = headerLen + sackLen + 4*(maxGapBlocks+maxDuplicates)
)

// farBehind is the largest distance between a stored TSN that does not change and the
// present ones. At half of the number space their order would be reversed.
const farBehind = 1 << 30

// settleTime is how long acknowledgement stays honest after the first data have arrived
// and after each opening of a channel. Pages open several channels together, so it is
// likely that another opening arrives if one is lost.
const settleTime = 100 * time.Millisecond

// settleMost is how much longer acknowledgement may stay honest because an opening may
// be missing. If a page sends many messages at once and some are lost, its congestion
// control slows down so much (in Firefox) that the gaps would not close in a minute. In
// 3 s an opening is sent several times.
const settleMost = 3 * time.Second

// Values of the safety valve; see the package documentation.
const (
	valveWindow  = 500 * time.Millisecond
	valvePackets = 16
	valveOpen    = 40 // % of loss above which a window counts for honest acknowledgement
	valveClose   = 30 // % of loss up to which a window counts for eager acknowledgement
	valveWindows = 4
)

// An acker decides what is acknowledged and when.
type acker struct {
	eager   bool
	due     bool  // a SACK should be sent at the end of the batch
	packets uint8 // packets with DATA since the last SACK; at most sackEvery
	blocks  uint8 // gap blocks of the next SACK; see sackParts

	// credit is the number of bytes of packets received, less the bytes of SACKs sent: SACKs
	// together are not larger than what was received, except for minReports each. Otherwise
	// a packet of 20 bytes with a forged source address would cause a SACK of 828 bytes.
	credit uint16

	honest      uint16        // number of open channels with channel.honest
	settleUntil time.Duration // until when openings may be missing; 0 before the first packet
	honestBelow uint32        // TSN up to which openings may be missing

	duplicates []uint32 // duplicate TSNs to report

	// The safety valve. A window begins at TSN windowTSN.
	valve       bool // acknowledgement is honest because of loss
	votes       uint8
	windowStart time.Duration
	windowTSN   uint32
	windowGot   uint32
}

func (k *acker) init(t time.Duration, c *Config, high uint32) {
	k.eager = c.Ack == AckEager
	k.windowStart, k.windowTSN = t, high
}

// noteOpen notes that a channel was opened at tsn.
func (k *acker) noteOpen(t time.Duration, tsn uint32) {
	k.settleUntil, k.honestBelow = t+settleTime, tsn
}

// acknowledge notes a packet with DATA, or a FORWARD-TSN. It decides whether
// acknowledgement is eager, and when the SACK is due.
func (a *Assoc) acknowledge(t time.Duration, urgent bool) {
	k := &a.ack
	a.forwarded = seq.Max(a.forwarded, a.rx.cum-farBehind)
	if k.measure(t, a.rx.high) && k.valve {
		a.stats.valveOpenings++
	}
	if k.settleUntil == 0 { // the first packet, however long after the association has begun
		k.noteOpen(t, a.rx.high)
	}
	if t < k.settleUntil {
		k.honestBelow = seq.Max(k.honestBelow, a.rx.high)
	}
	was := k.eager
	switch {
	case a.config.Ack == AckHonest || k.honest > 0 || k.valve:
		k.eager = false
	case a.config.Ack == AckEager:
		k.eager = true
	default:
		k.eager = t >= k.settleUntil && (seq.LessEq(k.honestBelow, a.rx.cum) || t >= k.settleUntil+settleMost)
	}
	if k.eager != was {
		a.stats.ackSwitches++
	}
	if k.eager {
		a.rx.skipAll()
	}
	k.packets = min(k.packets+1, sackEvery)
	if urgent || k.packets == sackEvery || a.rx.cum != a.rx.high || a.stats.SacksOut == 0 {
		k.due = true
	}
	if a.timers[timerSack] == 0 {
		a.timers[timerSack] = t + sackDelay
		if a.config.SlowAck {
			a.timers[timerSack] = t + slowSackDelay
		}
	}
}

// measure sets the valve by the loss of the last window, which it computes from the
// number of TSNs and the number of those that arrived. It reports whether the valve has
// changed.
func (k *acker) measure(t time.Duration, high uint32) bool {
	passed := high - k.windowTSN
	if t-k.windowStart < valveWindow || passed < valvePackets {
		return false
	}
	lost := uint64(passed - min(k.windowGot, passed))
	k.windowStart, k.windowTSN, k.windowGot = t, high, 0
	against := lost*100 > valveOpen*uint64(passed)
	if k.valve {
		against = lost*100 <= valveClose*uint64(passed)
	}
	if !against {
		k.votes = 0
		return false
	}
	if k.votes++; k.votes < valveWindows {
		return false
	}
	k.valve, k.votes = !k.valve, 0
	return true
}

// duplicate notes a TSN that has arrived twice.
func (k *acker) duplicate(tsn uint32) {
	if len(k.duplicates) < maxDuplicates {
		k.duplicates = append(k.duplicates, tsn)
	}
}

// SACK.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-3.3.4
//
//	cumulative TSN ack (32)
//	advertised receiver window credit (32)
//	number of gap ack blocks (16) | number of duplicate TSNs (16)
//	gap ack blocks: start (16) | end (16), offsets from the cumulative TSN
//	duplicate TSNs (32)

// appendSack appends a SACK if it is pending and fits.
func (a *Assoc) appendSack(b []byte, limit int) []byte {
	if a.pend&pendSack == 0 {
		return b
	}
	return a.appendSackNow(b, limit)
}

// appendSackNow appends a SACK if there is anything to acknowledge and it fits.
func (a *Assoc) appendSackNow(b []byte, limit int) []byte {
	if !a.sackWaits() {
		return b
	}
	gaps, duplicates := a.sackParts()
	size := sackLen + 4*(gaps+duplicates)
	if size > limit-len(b) {
		return b
	}
	start := len(b)
	b = appendChunk(b, chunkSack, 0)
	b = binary.BigEndian.AppendUint32(b, a.rx.cum)
	b = binary.BigEndian.AppendUint32(b, uint32(max(localWindow-a.buffered, 0)))
	b = binary.BigEndian.AppendUint16(b, uint16(gaps))
	b = binary.BigEndian.AppendUint16(b, uint16(duplicates))
	for first, last := range a.gapBlocks {
		b = binary.BigEndian.AppendUint16(b, uint16(first-a.rx.cum))
		b = binary.BigEndian.AppendUint16(b, uint16(last-a.rx.cum))
	}
	for _, tsn := range a.ack.duplicates[:duplicates] {
		b = binary.BigEndian.AppendUint32(b, tsn)
	}

	a.stats.SacksOut++
	a.ack.credit = uint16(max(int(a.ack.credit)-headerLen-size, 0))
	if gaps > 0 {
		a.stats.GapSacksOut++
	}
	a.ack.due, a.ack.packets = false, 0
	a.ack.duplicates = a.ack.duplicates[:0]
	a.pend &^= pendSack
	a.timers[timerSack] = 0
	return finishTLV(b, start)
}

// sackWaits reports whether there is something to acknowledge.
func (a *Assoc) sackWaits() bool {
	return a.ack.packets > 0
}

// sackParts returns the numbers of gaps and duplicates that a SACK would report now.
func (a *Assoc) sackParts() (gaps, duplicates int) {
	if a.rx.cum == a.rx.high && len(a.ack.duplicates) == 0 {
		return 0, 0
	}
	room := max((int(a.ack.credit)-headerLen-sackLen)/4, minReports)
	a.ack.blocks = uint8(min(room, maxGapBlocks))
	for range a.gapBlocks {
		gaps++
	}
	return gaps, min(room-gaps, len(a.ack.duplicates))
}

// gapBlocks yields a.ack.blocks runs of TSNs received beyond the cumulative one: the
// first ones, and as the last one the newest. Without the newest the sender would not
// know that its packets arrive.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.7
func (a *Assoc) gapBlocks(yield func(first, last uint32) bool) {
	last := a.rx.cum
	for n := range a.ack.blocks {
		var first uint32
		var ok bool
		if first, last, ok = a.rx.gap(last); !ok {
			return
		}
		if n == a.ack.blocks-1 {
			first, last = a.rx.newest()
		}
		if !yield(first, last) {
			return
		}
	}
}

// receiveSack processes a SACK of the peer. It checks the whole SACK before it changes
// anything.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.2.1
func (a *Assoc) receiveSack(t time.Duration, c chunk) {
	if len(c.value) < sackFieldsLen {
		a.drop(dropChunk)
		return
	}
	cum := binary.BigEndian.Uint32(c.value)
	blocks := int(binary.BigEndian.Uint16(c.value[8:]))
	duplicates := int(binary.BigEndian.Uint16(c.value[10:]))
	if len(c.value) != sackFieldsLen+4*(blocks+duplicates) {
		a.drop(dropChunk)
		return
	}
	gaps := c.value[sackFieldsLen:][:4*blocks]
	// "If Cumulative TSN Ack is less than the Cumulative TSN Ack Point, then drop the SACK
	// chunk."
	// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.2.1-5.4.2.1.1
	if seq.Less(cum, a.acked) {
		a.drop(dropStaleSack)
		return
	}
	top, ok := a.checkGaps(cum, gaps)
	if !ok {
		a.drop(dropSack)
		return
	}

	if seq.Less(a.topAcked, top) {
		a.topAcked = top
		if sent, ok := a.marks.sent(top); ok && seq.Less(a.given, top) && !a.resending() {
			a.sampleRTT(microsSince(t, sent))
		}
	}
	a.given = seq.Max(a.given, cum-farBehind)
	progress := cum != a.acked
	a.acked = cum
	a.marks.removeUpTo(cum)
	a.ackControl(cum, gaps)
	a.rearm(t, progress, blocks > 0)
}

// checkGaps returns the highest TSN that a SACK acknowledges; ok is false if one of its
// TSNs was never sent.
func (a *Assoc) checkGaps(cum uint32, gaps []byte) (top uint32, ok bool) {
	last := a.nextTSN - 1
	if cum-a.acked > last-a.acked { // also if cum is so far away that it has no order
		return 0, false
	}
	top = cum
	for ; len(gaps) > 0; gaps = gaps[4:] {
		first, end := uint32(binary.BigEndian.Uint16(gaps)), uint32(binary.BigEndian.Uint16(gaps[2:]))
		if first == 0 || first > end || end > last-cum {
			return 0, false
		}
		top = seq.Max(top, cum+end)
	}
	return top, true
}
