package udpio

import "golang.org/x/sys/unix"

// Sizes of groups.
const (
	groupLen  = 1 << 16 // more than the payload of the largest message
	maxGroups = 16      // messages of one recvmmsg; more of them save almost nothing
)

// groups are messages that carry several datagrams of one sender, all of one length but the last one, which may be
// shorter (UDP_GRO): those that the sender has sent with UDP_SEGMENT, or that the network card or its driver has put
// together. ReadBatch takes them apart.
//
// The goroutine in ReadBatch owns groups.
// https://man7.org/linux/man-pages/man7/udp.7.html
type groups struct {
	in    []Datagram     // the messages that were read last, with their memory
	sizes [maxGroups]int // the length of the datagrams of each; 0 means that it is one datagram

	n    int // number of messages in in
	next int // the first one that has datagrams left
	at   int // where in it they begin
}

// newGroups returns groups, or nil if the kernel does not know them: Linux has UDP_GRO since version 5.0.
func newGroups(fd int) *groups {
	if unix.SetsockoptInt(fd, unix.SOL_UDP, unix.UDP_GRO, 1) != nil {
		return nil
	}
	g := &groups{in: make([]Datagram, maxGroups)}
	memory := make([]byte, maxGroups*groupLen) // the system gives a page of it only when a message needs the page
	for i := range g.in {
		g.in[i].B = memory[i*groupLen : i*groupLen : (i+1)*groupLen]
	}
	return g
}

// pending reports whether there are datagrams that were read, but not given to the caller.
func (g *groups) pending() bool { return g.next < g.n }

// divide copies the next datagrams into ds, and returns how many. It drops those that are larger than their
// buffers. It returns 0 only if nothing is left.
func (g *groups) divide(ds []Datagram, n *counters) int {
	k := 0
	for ; k < len(ds) && g.pending(); g.advance() {
		b := g.datagram()
		d := &ds[k]
		if len(b) > cap(d.B) {
			n.truncated.Add(1)
			continue
		}
		message := &g.in[g.next]
		d.Remote, d.Local, d.B = message.Remote, message.Local, append(d.B[:0], b...)
		k++
	}
	return k
}

// datagram returns the payload of the next datagram.
func (g *groups) datagram() []byte {
	rest := g.in[g.next].B[g.at:]
	if size := g.sizes[g.next]; size > 0 {
		return rest[:min(size, len(rest))]
	}
	return rest
}

// advance passes the next datagram.
func (g *groups) advance() {
	if g.at += len(g.datagram()); g.at == len(g.in[g.next].B) {
		g.next, g.at = g.next+1, 0
	}
}
