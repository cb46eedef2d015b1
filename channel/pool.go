package channel

import "math/bits"

// pool keeps the memory of messages for use again: buffers by powers of two, and
// the records of messages on both ways. It holds back maxPooled bytes at most, and
// none once it is shut.
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
)

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
	p.held -= 1 << c
	return b[:n]
}

// put takes a buffer of get back.
func (p *pool) put(b []byte) {
	if cap(b) == 0 || p.shut {
		return
	}
	c := class(cap(b))
	if cap(b) != 1<<c || p.held+1<<c > maxPooled {
		return
	}
	p.held += 1 << c
	p.free[c] = append(p.free[c], b)
}

// message returns an empty record.
func (p *pool) message() *message {
	m := p.messages
	if m == nil {
		return new(message)
	}
	p.messages = m.next
	*m = message{gen: m.gen, pieces: m.pieces[:0]}
	return m
}

// disown lets go of a message's body.
func (p *pool) disown(m *message) {
	if m.shared != nil {
		m.shared.Done()
	} else {
		p.put(m.body)
	}
	m.body, m.shared = nil, nil
}

// drop takes a message back. References to it become stale.
func (p *pool) drop(m *message) {
	p.disown(m)
	m.gen++
	m.prev, m.next = nil, p.messages
	p.messages = m
}

func (p *pool) partial() *partial {
	r := p.partials
	if r == nil {
		return new(partial)
	}
	p.partials = r.next
	*r = partial{}
	return r
}

// recycle takes back a partial whose body has been given away or put.
func (p *pool) recycle(r *partial) {
	r.body, r.next = nil, p.partials
	p.partials = r
}
