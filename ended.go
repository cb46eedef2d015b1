package godwit

// ended remembers by which tokens sessions could have been resumed that are over, so
// that a client is told so. What it does not know may be a session of another server,
// or of the process before this one.
//
// It holds the newest maxEnded tokens, by 16 bytes of their hash: 0.6 MB at most.
type ended struct {
	known  map[mark]struct{}
	order  []mark // a ring once it is full
	oldest int
}

type mark [16]byte

// maxEnded is two tokens each of as many sessions as a server has by default.
const maxEnded = 8192

func markOf(token hash) mark { return mark(token[:len(mark{})]) }

func (e *ended) add(token hash) {
	m := markOf(token)
	if _, ok := e.known[m]; ok {
		return
	}
	if e.known == nil {
		e.known = make(map[mark]struct{})
	}
	if len(e.order) < maxEnded {
		e.order = append(e.order, m)
	} else {
		delete(e.known, e.order[e.oldest])
		e.order[e.oldest] = m
		e.oldest = (e.oldest + 1) % maxEnded
	}
	e.known[m] = struct{}{}
}

func (e *ended) has(token hash) bool {
	_, ok := e.known[markOf(token)]
	return ok
}
