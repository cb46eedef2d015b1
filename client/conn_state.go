package client

// A connState is the state of a Conn. The endpoint's lock guards it. It changes only in
// setState, along these edges:
//
//	        SCTP is up         over            nothing more is sent
//	opening ──────────► open ──────► closing ──────────────────────► gone
//	   │     it has failed              ▲
//	   └────────────────────────────────┘
//
// A connection is over because of the server, of a time limit, of Close, or because its
// session moves to another link.
type connState uint8

const (
	connOpening connState = iota // checks, the DTLS handshake and the association
	connOpen                     // messages can be sent
	connClosing                  // the end is told; the server may be told again
	connGone                     // in no table of the endpoint

	connStates = int(connGone) + 1
)

var connStateNames = [connStates]string{"opening", "open", "closing", "gone"}

func (s connState) String() string { return connStateNames[s] }

// nextConnStates are the states that may follow each state, a bit for each.
var nextConnStates = [connStates]uint8{
	connOpening: 1<<connOpen | 1<<connClosing,
	connOpen:    1 << connClosing,
	connClosing: 1 << connGone,
}

// setState changes the state of c. If there is no such edge it returns false and changes
// nothing: a second end has no effect. When a connection is not being opened any more, wait
// goes on.
func (c *Conn) setState(to connState) bool {
	if nextConnStates[c.state]&(1<<to) == 0 {
		return false
	}
	if c.state == connOpening {
		close(c.opened)
	}
	c.state = to
	return true
}
