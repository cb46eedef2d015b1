package channel

import "math/bits"

// pool keeps the memory of messages for use again: buffers whose sizes are powers of two,
// and the records of messages of both directions. It keeps at most maxPooled bytes,
// records included, and nothing once it is shut.
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

	// Sizes in bytes that count towards maxPooled: the entry of a buffer in its list, a
	// message without its pieces, a partial, a piece, and an entry of apart.
	bufferCost  = 24
	recordCost  = 176
	partialCost = 128
	pieceCost   = 24
	apartCost   = 32
)

// keeps reports whether the pool may keep n more bytes. If so it counts them.
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

// put takes back a buffer of get.
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

// putMessage takes back a message. References with its old gen are not valid any more.
func (p *pool) putMessage(m *message) {
	p.disown(m)
	m.gen++
	if p.keeps(m.record()) {
		m.next, p.messages = p.messages, m
	}
}

// record returns the size of a message in bytes, without its body.
func (m *message) record() int { return recordCost + pieceCost*cap(m.pieces) }

// record returns the size of a partial in bytes, without the bodies.
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

// recycle takes back a partial whose body was delivered or put.
func (p *pool) recycle(r *partial) {
	r.body, r.have, r.next = nil, nil, nil
	if p.keeps(r.record()) {
		r.next, p.partials = p.partials, r
	}
}
