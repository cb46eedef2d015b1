package sctp

import (
	"bytes"
	"slices"
	"sort"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// bufferOverhead is what a fragment or a held message counts beyond its bytes, so
// that a flood of one-byte fragments is bounded too.
const bufferOverhead = 64

// data is a view of a DATA chunk, or of a message put together from several.
type data struct {
	tsn     uint32 // of the last fragment
	stream  uint16
	ssn     uint16
	ppid    uint32
	flags   byte
	payload []byte
}

// A fragment is part of a message that is not complete. The fragments of one
// message have TSNs in a row, from one with flagBegin to one with flagEnd.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.9
type fragment struct {
	tsn     uint32
	ppid    uint32
	stream  uint16
	ssn     uint16
	flags   byte
	payload []byte
	at      time.Duration
}

// A heldMessage waits for earlier ones of its stream.
type heldMessage struct {
	stream, ssn uint16
	tsn         uint32
	ppid        uint32
	payload     []byte
}

func (f *fragment) cost() int    { return len(f.payload) + bufferOverhead }
func (h *heldMessage) cost() int { return len(h.payload) + bufferOverhead }

// admit reports whether there is room for d. Only a chunk that its sender would
// send again is refused; others make room for themselves or are given up.
func (a *Assoc) admit(d *data) bool {
	if !a.reliable(d.stream) {
		return true
	}
	cost := len(d.payload) + bufferOverhead
	if a.buffered+cost <= a.config.MaxBuffered {
		return true
	}
	if d.flags&flagWhole == flagWhole && !a.ordered(d.stream) {
		return true // delivered at once
	}
	// What is missing is what frees the buffer, so it may exceed the limit by one
	// message. A peer that fills that too skips sequence numbers on purpose.
	return d.tsn == a.rx.cum+1 && a.buffered+cost <= a.config.MaxBuffered+2*a.config.MaxMessage
}

// receiveFragment keeps a fragment, and delivers its message if that is complete.
func (a *Assoc) receiveFragment(t time.Duration, d *data, events []Event) []Event {
	if seq.LessEq(d.tsn, a.forwarded) {
		a.drop(DropForwarded)
		return events
	}
	if a.skipping && d.tsn == a.oversize && d.flags&flagBegin == 0 {
		a.oversize++
		a.skipping = d.flags&flagEnd == 0
		a.drop(DropTooLarge)
		return events
	}
	a.current(d.stream) // or this would be forgotten with the old channel
	if !a.makeRoom(len(d.payload)+bufferOverhead, d.stream) {
		a.drop(DropEvicted)
		return events
	}
	i := a.findFragment(d.tsn)
	a.fragments = slices.Insert(a.fragments, i, fragment{
		d.tsn, d.ppid, d.stream, d.ssn, d.flags, bytes.Clone(d.payload), t,
	})
	a.buffered += a.fragments[i].cost()
	first, last, size := a.run(i)
	if size > a.config.MaxMessage {
		return a.dropOversize(t, first, last, events)
	}
	if a.fragments[first].flags&flagBegin == 0 || a.fragments[last].flags&flagEnd == 0 {
		if a.timers[timerFragments] == 0 {
			a.timers[timerFragments] = t + a.config.ReassemblyAge
		}
		return events
	}
	m := data{stream: d.stream, ssn: d.ssn, ppid: d.ppid, flags: d.flags | flagWhole}
	m.tsn = a.fragments[last].tsn
	m.payload = make([]byte, 0, size)
	for _, f := range a.fragments[first : last+1] {
		m.payload = append(m.payload, f.payload...)
	}
	a.removeFragments(first, last)
	return a.receiveMessage(t, &m, true, events)
}

// findFragment returns the place of tsn among the fragments.
func (a *Assoc) findFragment(tsn uint32) int {
	return sort.Search(len(a.fragments), func(i int) bool {
		return !seq.Less(a.fragments[i].tsn, tsn)
	})
}

// run returns the bounds of the part of a message that fragment i belongs to, and
// its size so far.
func (a *Assoc) run(i int) (first, last, size int) {
	fs := a.fragments
	first, last, size = i, i, len(fs[i].payload)
	for first > 0 && fs[first].flags&flagBegin == 0 && fs[first-1].precedes(&fs[first]) {
		first--
		size += len(fs[first].payload)
	}
	for last+1 < len(fs) && fs[last+1].flags&flagBegin == 0 && fs[last].precedes(&fs[last+1]) {
		last++
		size += len(fs[last].payload)
	}
	return first, last, size
}

// precedes reports whether g continues the message of f.
func (f *fragment) precedes(g *fragment) bool {
	return f.flags&flagEnd == 0 && f.tsn+1 == g.tsn && f.stream == g.stream && f.ppid == g.ppid &&
		(f.flags^g.flags)&flagUnordered == 0 && (f.flags&flagUnordered != 0 || f.ssn == g.ssn)
}

// removeFragments forgets fragments first to last.
func (a *Assoc) removeFragments(first, last int) {
	for i := first; i <= last; i++ {
		a.buffered -= a.fragments[i].cost()
	}
	a.fragments = slices.Delete(a.fragments, first, last+1)
	if len(a.fragments) == 0 {
		a.fragments = nil
		a.timers[timerFragments] = 0
	}
}

// dropOversize gives up a message that is too large, with what is still to come.
// On a reliable channel that is the end of the channel.
func (a *Assoc) dropOversize(t time.Duration, first, last int, events []Event) []Event {
	f := a.fragments[last]
	a.drop(DropTooLarge)
	a.removeFragments(first, last)
	if f.flags&flagEnd == 0 {
		a.oversize, a.skipping = f.tsn+1, true
	}
	if a.reliable(f.stream) {
		a.closeChannel(f.stream)
	}
	return events
}

// makeRoom gives up the oldest incomplete messages of unreliable channels until
// there is room for n bytes, and reports whether there is. What a reliable stream
// brings has been admitted already.
func (a *Assoc) makeRoom(n int, stream uint16) bool {
	for i := 0; a.buffered+n > a.config.MaxBuffered; {
		if i >= len(a.fragments) {
			return a.reliable(stream)
		}
		first, last, _ := a.run(i)
		if a.reliable(a.fragments[i].stream) {
			i = last + 1
			continue
		}
		a.drop(DropEvicted)
		a.removeFragments(first, last)
	}
	return true
}

// expireFragments gives up messages that are incomplete for too long. Those of
// reliable and of ordered channels stay: their sender says so if it gives one up, and
// a message missing in an ordered one holds up all after it.
func (a *Assoc) expireFragments(t time.Duration) {
	var next time.Duration
	for i := 0; i < len(a.fragments); {
		first, last, _ := a.run(i)
		oldest := a.fragments[first].at
		for _, f := range a.fragments[first : last+1] {
			oldest = min(oldest, f.at)
		}
		switch expiry := oldest + a.config.ReassemblyAge; {
		case a.reliable(a.fragments[i].stream) || a.ordered(a.fragments[i].stream):
			i = last + 1
		case expiry <= t:
			a.drop(DropExpired)
			a.removeFragments(first, last)
		default:
			if next == 0 || expiry < next {
				next = expiry
			}
			i = last + 1
		}
	}
	a.timers[timerFragments] = next
}

// forwardFragments gives up messages that the peer gave up: those with a fragment
// up to a.forwarded.
func (a *Assoc) forwardFragments() {
	for len(a.fragments) > 0 && seq.LessEq(a.fragments[0].tsn, a.forwarded) {
		_, last, _ := a.run(0)
		a.drop(DropForwarded)
		a.removeFragments(0, last)
	}
}

// forgetStream frees what is buffered for a stream.
func (a *Assoc) forgetStream(stream uint16) {
	for i := len(a.fragments) - 1; i >= 0; i-- {
		if a.fragments[i].stream == stream {
			a.removeFragments(i, i)
		}
	}
	a.held = slices.DeleteFunc(a.held, func(h heldMessage) bool {
		if h.stream == stream {
			a.buffered -= h.cost()
		}
		return h.stream == stream
	})
	if len(a.held) == 0 {
		a.held = nil
	}
}

// hold keeps an ordered message that came too early.
func (a *Assoc) hold(d *data, owned bool) {
	h := heldMessage{d.stream, d.ssn, d.tsn, d.ppid, d.payload}
	if !owned {
		h.payload = bytes.Clone(d.payload)
	}
	a.held = append(a.held, h)
	a.buffered += h.cost()
}

// firstHeld returns the lowest sequence number held for a stream, from one on.
func (a *Assoc) firstHeld(stream, from uint16) (ssn uint16, ok bool) {
	for i := range a.held {
		h := &a.held[i]
		if h.stream == stream && (!ok || h.ssn-from < ssn-from) {
			ssn, ok = h.ssn, true
		}
	}
	return ssn, ok
}

// unhold removes the held message with a sequence number, if there is one.
func (a *Assoc) unhold(stream, ssn uint16) (d data, ok bool) {
	for i := range a.held {
		h := &a.held[i]
		if h.stream != stream || h.ssn != ssn {
			continue
		}
		d = data{tsn: h.tsn, stream: stream, ssn: ssn, ppid: h.ppid, payload: h.payload}
		a.buffered -= h.cost()
		a.held = slices.Delete(a.held, i, i+1)
		if len(a.held) == 0 {
			a.held = nil
		}
		return d, true
	}
	return d, false
}
