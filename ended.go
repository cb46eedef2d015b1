package godwit

import "crypto/sha256"

// hash is the hash of a resume token. A server keeps the hash and not the token.
type hash = [sha256.Size]byte

// ended remembers the resume tokens of sessions that are over, so that the server can
// tell a client that its session is over. A token that ended does not know may be of a
// session of another server, or of an earlier process.
//
// It holds the marks of the newest maxEnded tokens: 0.6 MiB at most.
type ended struct {
	known  map[mark]struct{}
	order  []mark // a ring once it is full
	oldest int
}

// A mark is the first half of a hash. The directory's tables have marks for keys: nobody can
// make a token or a ticket for a mark, for a mark has as many bits as those.
type mark [16]byte

// maxEnded is twice the default of Config.MaxConns: a session has up to two tokens.
const maxEnded = 8192

func markOf(token hash) mark { return mark(token[:len(mark{})]) }

func (e *ended) add(m mark) {
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

func (e *ended) has(m mark) bool {
	_, ok := e.known[m]
	return ok
}
