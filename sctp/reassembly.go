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

// data is a view of a DATA chunk, or a message put together from several, or one that
// waits for earlier ones of its stream.
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

func (f *fragment) cost() int { return len(f.payload) + bufferOverhead }
func (d *data) cost() int     { return len(d.payload) + bufferOverhead }

// admit reports whether there is room for d. Only a chunk that its sender would
// send again is refused; others make room for themselves or are given up.
func (a *Assoc) admit(d *data) bool {
	if !a.reliable(d.stream) {
		return true
	}
	cost := d.cost()
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
	if !a.makeRoom(d.cost(), d.stream) {
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

// removeFragments forgets fragments first to last. The oldest go first, and nothing is
// moved for them.
func (a *Assoc) removeFragments(first, last int) {
	for i := first; i <= last; i++ {
		a.buffered -= a.fragments[i].cost()
	}
	if first == 0 {
		clear(a.fragments[:last+1])
		a.fragments = a.fragments[last+1:]
	} else {
		a.fragments = slices.Delete(a.fragments, first, last+1)
	}
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
	kept := 0
	for i := 0; i < len(a.fragments); {
		_, last, size := a.run(i) // looks back at i-1 at most, which is in its place
		message := a.fragments[i : last+1]
		oldest := message[0].at
		for _, f := range message {
			oldest = min(oldest, f.at)
		}
		i = last + 1
		switch expiry := oldest + a.config.ReassemblyAge; {
		case a.reliable(message[0].stream) || a.ordered(message[0].stream):
		case expiry <= t:
			a.drop(DropExpired)
			a.buffered -= size + len(message)*bufferOverhead
			continue
		case next == 0 || expiry < next:
			next = expiry
		}
		kept += copy(a.fragments[kept:], message)
	}
	clear(a.fragments[kept:])
	if a.fragments = a.fragments[:kept]; kept == 0 {
		a.fragments = nil
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
	a.fragments = slices.DeleteFunc(a.fragments, func(f fragment) bool {
		if f.stream == stream {
			a.buffered -= f.cost()
		}
		return f.stream == stream
	})
	if len(a.fragments) == 0 {
		a.fragments = nil
		a.timers[timerFragments] = 0
	}
	first := sort.Search(len(a.held), func(i int) bool { return a.held[i].stream >= stream })
	last := sort.Search(len(a.held), func(i int) bool { return a.held[i].stream > stream })
	a.removeHeld(first, last)
}

// hold keeps an ordered message that came too early. All that is held of a stream is
// less than half of the sequence numbers apart, so they have an order.
func (a *Assoc) hold(d *data, owned bool) {
	i := a.findHeld(d.stream, d.ssn)
	if i < len(a.held) && a.held[i].stream == d.stream && a.held[i].ssn == d.ssn {
		a.drop(DropOrder) // the number is taken
		return
	}
	a.held = slices.Insert(a.held, i, *d)
	if !owned {
		a.held[i].payload = bytes.Clone(d.payload)
	}
	a.buffered += d.cost()
}

// findHeld returns the place of a message among those held.
func (a *Assoc) findHeld(stream, ssn uint16) int {
	return sort.Search(len(a.held), func(i int) bool {
		h := &a.held[i]
		return h.stream > stream || h.stream == stream && !seq.Less(h.ssn, ssn)
	})
}

// removeHeld forgets the held messages from first up to last, without it.
func (a *Assoc) removeHeld(first, last int) {
	for i := range a.held[first:last] {
		a.buffered -= a.held[first+i].cost()
	}
	if a.held = slices.Delete(a.held, first, last); len(a.held) == 0 {
		a.held = nil
	}
}
