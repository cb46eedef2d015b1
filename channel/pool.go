package channel

import "math/bits"

// pool keeps the memory of messages for use again: buffers by powers of two, and
// the records of messages on both ways. It holds back maxPooled bytes at most, all of
// that counted, and none once it is shut.
type pool struct {
	free     [maxClass + 1][][]byte
	held     int
	shut     bool
	messages *message
	partials *partial
}

const (
	minClass  = 4  // 16 bytes
	maxClass  = 23 // maxMessage
	maxPooled = 256 << 10

	// What each takes besides: a buffer's place in its list, the records without
	// their pieces, and a piece.
	bufferCost  = 24
	recordCost  = 176
	partialCost = 128
	pieceCost   = 24
	apartCost   = 32
)

// keeps reports whether there is room for n bytes more, and counts them.
func (p *pool) keeps(n int) bool {
	if p.shut || p.held+n > maxPooled {
		return false
	}
	p.held += n
	return true
}

func class(n int) int { return max(minClass, bits.Len(uint(max(n, 1)-1))) }

// get returns a buffer of length n.
func (p *pool) get(n int) []byte {
	c := class(n)
	list := p.free[c]
	if len(list) == 0 {
		return make([]byte, n, 1<<c)
	}
	b := list[len(list)-1]
	p.free[c] = list[:len(list)-1]
	p.held -= 1<<c + bufferCost
	return b[:n]
}

// put takes a buffer of get back.
func (p *pool) put(b []byte) {
	if cap(b) == 0 {
		return
	}
	if c := class(cap(b)); cap(b) == 1<<c && p.keeps(1<<c+bufferCost) {
		p.free[c] = append(p.free[c], b)
	}
}

// message returns an empty record.
func (p *pool) message() *message {
	m := p.messages
	if m == nil {
		return new(message)
	}
	p.messages = m.next
	p.held -= m.record()
	*m = message{gen: m.gen, pieces: m.pieces[:0]}
	return m
}

// disown returns a message's body to the pool, or drops a reference to a shared one.
func (p *pool) disown(m *message) {
	switch {
	case m.shared == nil:
		p.put(m.body)
	case m.shared.Done != nil:
		m.shared.Done()
	}
	m.body, m.shared = nil, nil
}

// drop takes a message back. References to it become stale.
func (p *pool) drop(m *message) {
	p.disown(m)
	m.gen++
	if p.keeps(m.record()) {
		m.next, p.messages = p.messages, m
	}
}

// record is what the memory of a message without its body takes.
func (m *message) record() int { return recordCost + pieceCost*cap(m.pieces) }

// record is what the memory of a partial without its pieces takes.
func (p *partial) record() int { return partialCost + apartCost*cap(p.apart) }

func (p *pool) partial() *partial {
	r := p.partials
	if r == nil {
		return new(partial)
	}
	p.partials = r.next
	p.held -= r.record()
	*r = partial{apart: r.apart}
	return r
}

// recycle takes back a partial whose body has been given away or put.
func (p *pool) recycle(r *partial) {
	r.body, r.have, r.next = nil, nil, nil
	if p.keeps(r.record()) {
		r.next, p.partials = p.partials, r
	}
}
