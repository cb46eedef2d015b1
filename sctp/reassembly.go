package sctp

import (
	"cmp"
	"slices"
	"sort"
	"time"

	"github.com/godwit-rtc/godwit/internal/seq"
)

// Bytes that are added to what is held, so that a flood of one-byte fragments is
// limited, too: bufferOverhead for each message or part of one, and pieceOverhead for
// each piece that is put before a part. If a piece joins two parts, the bufferOverhead of
// both stays: the memory of both is in use.
const (
	bufferOverhead = 128
	pieceOverhead  = 64
)

// data is a view of a DATA chunk, or a message assembled from several chunks, or a
// message that waits for earlier ones of its stream.
type data struct {
	tsn     uint32 // TSN of the last fragment
	stream  uint16
	ssn     uint16
	ppid    uint32
	flags   byte
	payload []byte
}

func (d *data) cost() int { return cap(d.payload) + bufferOverhead }

// A run is a series of received fragments of one message with consecutive TSNs. It is
// the whole message if the first fragment has flagBegin and the last has flagEnd.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.9
type run struct {
	first, last uint32 // TSNs
	stream      uint16
	flags       byte // flagBegin of the first fragment, flagEnd of the last one, flagUnordered
	at          time.Duration
	parts       *parts
}

// parts are the bytes of a run. A fragment at the end is appended to the last piece. A
// fragment before the beginning becomes a new piece. In both cases the other bytes are
// not moved.
type parts struct {
	first      piece // the piece that arrived first, in the same allocation
	head, tail *piece
	size, cost int
	ppid       uint32
	ssn        uint16
}

type piece struct {
	next    *piece
	payload []byte
}

// takes reports whether d belongs to the message of r.
func (r *run) takes(d *data) bool {
	return r.stream == d.stream && r.parts.ppid == d.ppid && (r.flags^d.flags)&flagUnordered == 0 &&
		(d.flags&flagUnordered != 0 || r.parts.ssn == d.ssn)
}

// runs are in the order of their TSNs. Runs that may be dropped are in another list
// than those that must not be: the first one of the list is dropped first.
//
// https://www.rfc-editor.org/rfc/rfc9260.html#section-6.9
type runs []run

// find returns the index of the first run that does not end before tsn.
func (rs runs) find(tsn uint32) int {
	return sort.Search(len(rs), func(i int) bool { return !seq.Less(rs[i].last, tsn) })
}

// remove removes run i. If i is 0, no run is moved.
func (rs *runs) remove(i int) {
	if i == 0 {
		(*rs)[0] = run{}
		*rs = (*rs)[1:]
	} else {
		*rs = slices.Delete(*rs, i, i+1)
	}
	if len(*rs) == 0 {
		*rs = nil
	}
}

// removeFunc removes the runs for which gone returns true.
func (rs *runs) removeFunc(gone func(run) bool) {
	if *rs = slices.DeleteFunc(*rs, gone); len(*rs) == 0 {
		*rs = nil
	}
}

// streamCounts are how many runs each stream has, in the order of the streams. A packet may
// close many streams; those without a run are found here without a look at all runs.
// A nil one has none.
type streamCounts struct{ all []streamCount }

type streamCount struct {
	stream uint16
	runs   uint32
}

func (c *streamCounts) find(stream uint16) (int, bool) {
	if c == nil {
		return 0, false
	}
	return slices.BinarySearchFunc(c.all, stream, func(e streamCount, stream uint16) int { return cmp.Compare(e.stream, stream) })
}

func (c *streamCounts) added(stream uint16) {
	i, ok := c.find(stream)
	if !ok {
		c.all = slices.Insert(c.all, i, streamCount{stream: stream})
	}
	c.all[i].runs++
}

func (c *streamCounts) removed(stream uint16) {
	i, _ := c.find(stream)
	if c.all[i].runs--; c.all[i].runs == 0 {
		c.remove(i)
	}
}

func (c *streamCounts) remove(i int) {
	if c.all = slices.Delete(c.all, i, i+1); len(c.all) == 0 && cap(c.all) > 8 {
		c.all = nil
	}
}

// A place is the place of a fragment among the runs: a new run at i, or a part of the
// run before i, of the run at i, or of both.
type place struct {
	rs          *runs
	i           int
	left, right bool
	size        int // size of the run with the fragment
	cost        int // bytes that it adds to what is held
}

// runsOf returns the list with the runs of a stream.
func (a *Assoc) runsOf(stream uint16) *runs {
	if a.reliable(stream) {
		return &a.kept
	}
	return &a.loose
}

// place returns the place of d; ok is false if its TSN has arrived before.
func (a *Assoc) place(d *data) (p place, ok bool) {
	p.rs = a.runsOf(d.stream)
	rs := *p.rs
	p.i = rs.find(d.tsn)
	p.size, p.cost = len(d.payload), len(d.payload)+bufferOverhead
	if p.i < len(rs) {
		r := &rs[p.i]
		if seq.LessEq(r.first, d.tsn) {
			return place{}, false
		}
		if p.right = r.first == d.tsn+1 && (r.flags&flagBegin|d.flags&flagEnd) == 0 && r.takes(d); p.right {
			p.size += r.parts.size
			p.cost = len(d.payload) + pieceOverhead
		}
	}
	if p.i > 0 {
		r := &rs[p.i-1]
		if p.left = r.last+1 == d.tsn && (r.flags&flagEnd|d.flags&flagBegin) == 0 && r.takes(d); p.left {
			p.size += r.parts.size
			p.cost = r.parts.room(len(d.payload), a.config.MaxMessage) - cap(r.parts.tail.payload)
		}
	}
	return p, true
}

// room returns the new capacity of the last piece for n more bytes: it doubles, up to
// the largest message.
func (p *parts) room(n, most int) int {
	size, room := len(p.tail.payload), cap(p.tail.payload)
	if size+n <= room {
		return room
	}
	return max(min(2*room, most-(p.size-size)), size+n)
}

// insert adds d at its place, and returns the index of its run.
func (a *Assoc) insert(t time.Duration, d *data, p place) int {
	rs := *p.rs
	a.buffered += p.cost
	if p.left {
		l := &rs[p.i-1]
		q := l.parts
		if room := q.room(len(d.payload), a.config.MaxMessage); room > cap(q.tail.payload) {
			q.tail.payload = append(make([]byte, 0, room), q.tail.payload...)
		}
		q.tail.payload = append(q.tail.payload, d.payload...)
		q.size += len(d.payload)
		q.cost += p.cost
		l.last, l.flags = d.tsn, l.flags|d.flags&flagEnd
		if p.right {
			r := &rs[p.i]
			q.tail.next, q.tail = r.parts.head, r.parts.tail
			q.size += r.parts.size
			q.cost += r.parts.cost
			l.last, l.flags, l.at = r.last, l.flags|r.flags, min(l.at, r.at)
			p.rs.remove(p.i)
			a.counts.removed(d.stream)
		}
		return p.i - 1
	}
	if p.right {
		r := &rs[p.i]
		r.parts.head = &piece{r.parts.head, clone(d.payload)}
		r.parts.size += len(d.payload)
		r.parts.cost += p.cost
		r.first, r.flags = d.tsn, r.flags|d.flags&flagBegin
		return p.i
	}
	q := &parts{first: piece{nil, clone(d.payload)}, size: len(d.payload), cost: p.cost, ppid: d.ppid, ssn: d.ssn}
	q.head, q.tail = &q.first, &q.first
	if a.counts == nil {
		a.counts = new(streamCounts)
	}
	a.counts.added(d.stream)
	*p.rs = slices.Insert(rs, p.i, run{
		first: d.tsn, last: d.tsn, stream: d.stream, flags: d.flags & (flagWhole | flagUnordered), at: t, parts: q,
	})
	return p.i
}

// clone returns a copy of b with exactly its length as capacity.
func clone(b []byte) []byte {
	c := make([]byte, len(b))
	copy(c, b)
	return c
}

// whole returns the bytes of a run.
func (p *parts) whole() []byte {
	if p.head == p.tail {
		return p.head.payload
	}
	b := make([]byte, 0, p.size)
	for q := p.head; q != nil; q = q.next {
		b = append(b, q.payload...)
	}
	return b
}

// admit reports whether there is room for d. It refuses only chunks that the sender
// would send again. For other chunks, older ones are dropped, or the chunk itself.
func (a *Assoc) admit(d *data) bool {
	if !a.reliable(d.stream) {
		return true
	}
	cost := len(d.payload) + bufferOverhead
	if d.flags&flagWhole != flagWhole {
		p, _ := a.place(d)
		cost = p.cost
	} else if !a.mayWait(d) {
		return true // delivered at once
	}
	if a.buffered+cost <= a.config.MaxBuffered {
		return true
	}
	// The missing chunk frees the buffer, so it may exceed the limit by one message. Only a
	// malicious peer fills that, too.
	return d.tsn == a.rx.cum+1 && a.buffered+cost <= a.mostBuffered()
}

// mostBuffered returns the largest number of bytes that may be held.
func (a *Assoc) mostBuffered() int {
	return a.config.MaxBuffered + a.config.MaxMessage + 2*bufferOverhead
}

// receiveFragment stores a fragment, and delivers its message if the message is complete.
func (a *Assoc) receiveFragment(t time.Duration, d *data, events []Event) []Event {
	if seq.LessEq(d.tsn, a.forwarded) {
		a.drop(dropForwarded)
		return events
	}
	if a.skipping && d.tsn == a.oversize && d.flags&flagBegin == 0 {
		a.oversize++
		a.skipping = d.flags&flagEnd == 0
		a.drop(dropTooLarge)
		return events
	}
	p, ok := a.makeRoom(d)
	if !ok {
		a.drop(dropEvicted)
		return events
	}
	if p.size > a.config.MaxMessage {
		return a.dropOversize(d, p, events)
	}
	i := a.insert(t, d, p)
	r := (*p.rs)[i]
	if r.flags&flagWhole != flagWhole {
		a.watch(&r)
		return events
	}
	m := data{tsn: r.last, stream: d.stream, ssn: d.ssn, ppid: d.ppid, flags: d.flags | flagWhole, payload: r.parts.whole()}
	a.removeRun(p.rs, i)
	return a.receiveMessage(t, &m, true, events)
}

// makeRoom drops the oldest incomplete messages of unreliable channels until there is
// room for d, and returns the place of d. It returns false if there is no room; admit
// has accepted chunks of reliable streams before.
func (a *Assoc) makeRoom(d *data) (place, bool) {
	for {
		p, ok := a.place(d)
		switch {
		case !ok:
			return place{}, false
		case a.buffered+p.cost <= a.config.MaxBuffered:
			return p, true
		case len(a.loose) == 0:
			return p, a.reliable(d.stream)
		}
		a.drop(dropEvicted)
		a.removeRun(&a.loose, 0)
	}
}

// removeRun removes run i of rs, and its bytes.
func (a *Assoc) removeRun(rs *runs, i int) {
	a.buffered -= (*rs)[i].parts.cost
	a.counts.removed((*rs)[i].stream)
	rs.remove(i)
	a.stopAgeTimer()
}

// watch sets the timer for a run that may become too old; see expireFragments.
func (a *Assoc) watch(r *run) {
	if a.reliable(r.stream) || a.ordered(r.stream) {
		return
	}
	expiry := r.at + a.config.reassemblyAge
	if at := a.timers[timerFragments]; at == 0 || expiry < at {
		a.timers[timerFragments] = expiry
	}
}

// stopAgeTimer stops the timer if no run can become too old.
func (a *Assoc) stopAgeTimer() {
	if len(a.loose) == 0 {
		a.timers[timerFragments] = 0
	}
}

// dropOversize drops a message that is too large with d, and its later fragments. If
// the channel is reliable, it closes the channel.
func (a *Assoc) dropOversize(d *data, p place, events []Event) []Event {
	a.drop(dropTooLarge)
	last, flags := d.tsn, d.flags
	if p.right {
		last, flags = (*p.rs)[p.i].last, (*p.rs)[p.i].flags
		a.removeRun(p.rs, p.i)
	}
	if p.left {
		a.removeRun(p.rs, p.i-1)
	}
	if flags&flagEnd == 0 {
		a.oversize, a.skipping = last+1, true
	}
	if a.reliable(d.stream) {
		a.closeChannel(d.stream)
	}
	return events
}

// expireFragments drops messages that are incomplete for too long. It keeps those of
// reliable and of ordered channels: their sender reports it if it gives one up, and in
// an ordered channel all later messages wait for a missing one.
func (a *Assoc) expireFragments(t time.Duration) {
	var next time.Duration
	a.loose.removeFunc(func(r run) bool {
		switch expiry := r.at + a.config.reassemblyAge; {
		case a.ordered(r.stream):
		case expiry <= t:
			a.drop(dropExpired)
			a.buffered -= r.parts.cost
			a.counts.removed(r.stream)
			return true
		case next == 0 || expiry < next:
			next = expiry
		}
		return false
	})
	a.timers[timerFragments] = next
}

// forwardFragments drops the incomplete messages that the peer has given up: those with
// a fragment up to a.forwarded.
// https://www.rfc-editor.org/rfc/rfc3758.html#section-3.6
func (a *Assoc) forwardFragments() {
	for _, rs := range [...]*runs{&a.loose, &a.kept} {
		for len(*rs) > 0 && seq.LessEq((*rs)[0].first, a.forwarded) {
			a.drop(dropForwarded)
			a.removeRun(rs, 0)
		}
	}
}

// sortRuns moves the runs of a stream, whose channel has changed, to the right list.
func (a *Assoc) sortRuns(stream uint16) {
	if _, ok := a.counts.find(stream); !ok {
		return
	}
	to := a.runsOf(stream)
	from := &a.kept
	if to == from {
		from = &a.loose
	}
	from.removeFunc(func(r run) bool {
		if r.stream == stream {
			*to = slices.Insert(*to, to.find(r.first), r)
			a.watch(&r)
		}
		return r.stream == stream
	})
	a.stopAgeTimer()
}

// forgetStream frees what is buffered for a stream.
func (a *Assoc) forgetStream(stream uint16) {
	if i, ok := a.counts.find(stream); ok {
		for _, rs := range [...]*runs{&a.loose, &a.kept} {
			rs.removeFunc(func(r run) bool {
				if r.stream == stream {
					a.buffered -= r.parts.cost
				}
				return r.stream == stream
			})
		}
		a.counts.remove(i)
	}
	a.stopAgeTimer()
	if ch := a.channel(stream); ch != nil {
		a.releaseHeld(ch, len(ch.held))
	}
}

// hold keeps an ordered message that has arrived too early. The sequence numbers of all
// held messages of a channel are less than half of the number space apart, so they have
// an order.
func (a *Assoc) hold(ch *channel, d *data, owned bool) {
	i := sort.Search(len(ch.held), func(i int) bool { return !seq.Less(ch.held[i].ssn, d.ssn) })
	if i < len(ch.held) && ch.held[i].ssn == d.ssn {
		a.drop(dropOrder) // another message has this number
		return
	}
	ch.held = slices.Insert(ch.held, i, *d)
	if !owned {
		ch.held[i].payload = clone(d.payload)
	}
	a.buffered += ch.held[i].cost()
}

// releaseHeld removes the first n held messages. The others are moved only when most of
// their array is not used, so a message is moved a few times at most.
func (a *Assoc) releaseHeld(ch *channel, n int) {
	for i := range ch.held[:n] {
		a.buffered -= ch.held[i].cost()
	}
	clear(ch.held[:n])
	ch.held, ch.gone = ch.held[n:], ch.gone+uint32(n)
	switch spare := int(ch.gone) + cap(ch.held) - len(ch.held); {
	case len(ch.held) == 0:
		ch.held, ch.gone = nil, 0
	case spare > 4+3*len(ch.held):
		ch.held, ch.gone = append(make([]data, 0, len(ch.held)), ch.held...), 0
	}
}
