package channel

import (
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A linkKind is what is between the two ends of a ledger.
type linkKind int

const (
	datagrams linkKind = iota
	streams            // a connection of TCP, as a WebSocket: a reliable link
	moving             // every second the client changes from datagrams to a new connection of TCP, or back
)

// patience is how long a ledger may take after the last message. A stream over a link that loses
// half of its packets sends hardly anything: its timer goes up to a minute.
func (k linkKind) patience() time.Duration {
	if k == streams {
		return 24 * time.Hour
	}
	return 120 * time.Second
}

// A stream is one direction of a connection of TCP that carries packets, each with its length
// before it.
type stream struct {
	tcp     *tcp
	packets [][]byte
	end     int // of the first packet, in the stream
}

const streamHeader = 2

// newStream returns a stream that gives the packets that arrive to receive.
func newStream(w *world, data, acks *way, receive func(b []byte)) *stream {
	s := &stream{tcp: newTCP(w, data, acks)}
	s.tcp.deliver = func(upTo int) {
		for len(s.packets) > 0 && s.end+streamHeader+len(s.packets[0]) <= upTo {
			b := s.packets[0]
			s.packets, s.end = s.packets[1:], s.end+streamHeader+len(b)
			receive(b)
		}
	}
	return s
}

func (s *stream) send(b []byte) {
	s.packets = append(s.packets, b)
	s.tcp.write(streamHeader + len(b))
}

// receive gives a packet to an end.
func (w *world) receive(e *end, b []byte) {
	e.mux.Receive(w.time(), b)
	w.flush(e)
	w.spare = append(w.spare, b)
}

// link puts a link of a kind between two ends.
func (w *world) link(kind linkKind, client, server *end) {
	switch kind {
	case streams:
		for _, e := range []*end{client, server} {
			s := newStream(w, e.out, e.peer.out, func(b []byte) { w.receive(e.peer, b) })
			e.via = func(b []byte) {
				if e.passed != nil {
					e.passed(b)
				}
				s.send(b)
			}
		}
	case moving:
		m := &mover{w: w, client: client, server: server}
		m.use(client, 0)
		m.use(server, 0)
		w.after(time.Second, m.move)
	}
}

// A mover moves two ends from one link to the next. The client begins to use a new link, and the
// server follows the first packet on it, as sessions do. What arrives on an older link is lost.
type mover struct {
	w              *world
	client, server *end
	on             [2]int // the links that client and server use, counted from 0
}

// move moves the client to the next link, once a second.
func (m *mover) move() {
	m.use(m.client, m.on[0]+1)
	m.client.mux.ping = true // a session says hello; without a packet the server would not follow
	m.w.flush(m.client)
	m.w.after(time.Second, m.move)
}

// use makes an end use a link: one of datagrams if its number is even, otherwise a stream.
func (m *mover) use(e *end, link int) {
	which, to := 0, m.serverGot
	if e == m.server {
		which, to = 1, m.clientGot
	}
	m.on[which] = link
	if link > 0 {
		e.mux.Relink(m.w.time(), link%2 == 1, 0)
	}
	if link%2 == 1 {
		s := newStream(m.w, e.out, e.peer.out, func(b []byte) { to(link, b) })
		e.via = s.send
		return
	}
	e.via = func(b []byte) {
		ds := e.out.Send(m.w.time(), len(b), nil)
		for _, d := range ds {
			m.w.pending.Push(d.At, pending{run: func() { to(link, append(m.w.buffer(), b...)) }})
		}
	}
}

func (m *mover) serverGot(link int, b []byte) {
	if link > m.on[1] {
		m.use(m.server, link)
	}
	if link == m.on[1] {
		m.w.receive(m.server, b)
	}
}

func (m *mover) clientGot(link int, b []byte) {
	if link == m.on[0] {
		m.w.receive(m.client, b)
	}
}

// The promises hold in the same cells over a stream, on which nothing is sent again, and while the
// session changes its link every second. Over a stream every unreliable message of one piece that
// has left arrives; one of several pieces does not if the stream stalls between them for longer
// than a receiver keeps the first.
func TestLedgerOverOtherLinks(t *testing.T) {
	cells := testkit.CoveringCells(60)
	if *matrix {
		cells = testkit.AllCells()
	}
	for name, kind := range map[string]linkKind{"a stream": streams, "a link that changes": moving} {
		t.Run(name, func(t *testing.T) {
			for _, c := range cells {
				if r := runCellOver(t, c, kind); len(r.problems) > 0 {
					t.Errorf("%v\n\t%s", c, strings.Join(r.problems, "\n\t"))
				} else if kind == streams && r.retransmits > 0 {
					t.Errorf("%v: %d pieces were sent again", c, r.retransmits)
				}
			}
		})
	}
}
