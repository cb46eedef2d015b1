package conform

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/rtcserver"
)

// Modes of channels, as the table's text has them.
const (
	unreliable = "unreliable"
	sequenced  = "sequenced"
	unordered  = "reliable-unordered"
	ordered    = "reliable-ordered"
)

// Channels of the table.
const (
	control = iota
	chUnreliable
	chSequenced
	chUnordered
	chOrdered
	chLate // opened at run time
)

// table is the table of channels of every case.
const table = "1 unreliable unreliable both 16384 65536\n" +
	"2 sequenced sequenced both 16384 65536\n" +
	"3 unordered reliable-unordered both 262144 1048576\n" +
	"4 ordered reliable-ordered both 262144 1048576\n"

var baseModes = []string{unreliable, sequenced, unordered, ordered}

// A failure is the end of a case that the client has failed.
type failure struct{ clause, text string }

func (f failure) String() string {
	if f.clause == "" {
		return f.text
	}
	return f.clause + ": " + f.text
}

// A skipped is the end of a case that does not apply to the client.
type skipped string

// An answerer answers a client's POST itself, and reports whether it did.
type answerer func(w http.ResponseWriter, r *http.Request) bool

// An exam is one case while it runs, against one client.
type exam struct {
	slack time.Duration // what the machine and the network may add to what a clause allows
	links chan *link
	posts chan post
	done  chan struct{} // closed when the case is over

	mu     sync.Mutex
	answer answerer // nil means that offers are answered
	open   []*link  // all that there were

	// The case's own.
	extra []string // modes of channels that were opened at run time
	ids   map[[2]uint64]string
	next  map[int]uint64 // id of our next message, by channel
	token [16]byte
	hello message
}

// A post is a request of the client.
type post struct {
	at     time.Time
	method string
	query  map[string][]string
	header http.Header
	body   string
}

func newExam(slack time.Duration) *exam {
	return &exam{slack: slack, links: make(chan *link, 16), posts: make(chan post, 64), done: make(chan struct{}),
		ids: map[[2]uint64]string{}, next: map[int]uint64{}}
}

// fail ends the case.
func (x *exam) fail(clause, format string, args ...any) {
	panic(failure{clause, fmt.Sprintf(format, args...)})
}

func (x *exam) modes() []string { return append(baseModes[:len(baseModes):len(baseModes)], x.extra...) }

func (x *exam) mode(channel int) string {
	if channel == control {
		return ordered
	}
	return x.modes()[channel-1]
}

// answering makes a POST be answered by f first.
func (x *exam) answering(f answerer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answer = f
}

// post waits for the client's next request.
func (x *exam) post(clause string) post {
	select {
	case p := <-x.posts:
		return p
	case <-time.After(3 * x.patience()):
		x.fail(clause, "no POST came within %v", 3*x.patience())
	}
	panic("unreachable")
}

// noPost fails if the client makes a request like this within d.
func (x *exam) noPost(d time.Duration, clause, because string, like func(post) bool) {
	for end := time.After(d); ; {
		select {
		case p := <-x.posts:
			if like(p) {
				x.fail(clause, "the client made one more request, %s", because)
			}
		case <-end:
			return
		}
	}
}

// link waits for the client's next connection.
func (x *exam) link(clause string) *link {
	select {
	case l := <-x.links:
		return l
	case <-time.After(3 * x.patience()):
		x.fail(clause, "no connection was open within %v", 3*x.patience())
	}
	panic("unreachable")
}

// begin waits for the client's first link and its HELLO. What is sent next comes before
// WELCOME.
func (x *exam) begin() *link {
	l := x.link("SESSION 1")
	p, ok := l.next(x.patience())
	switch {
	case !ok:
		x.fail("SESSION 2", "the client sent nothing within %v; HELLO is in its first packet", x.patience())
	case p.truncated != 0:
		x.fail("PROTOCOL 3", "the client's first packet has number %d, want 0", p.truncated)
	}
	m, ok := l.find(control)
	if !ok || m.id != 0 || len(m.data) == 0 || m.data[0] != typeHello {
		x.fail("SESSION 2, 3", "the client's first packet has no HELLO as message 0 of channel 0: %v", p.frames)
	}
	x.hello = m
	if n := len(m.data); n < 3 || n < 3+int(binary.BigEndian.Uint16(m.data[1:])) {
		x.fail("SESSION 3", "HELLO is too short: %x", m.data)
	}
	return l
}

// welcome sends WELCOME with a new resume token.
func (x *exam) welcome(l *link) {
	x.token[0]++
	b := []byte{typeWelcome}
	b = binary.BigEndian.AppendUint64(b, 0x0102030405060708)
	b = append(b, x.token[:]...)
	b = binary.BigEndian.AppendUint32(b, 20_000) // grace
	b = binary.BigEndian.AppendUint32(b, 10_000) // silence
	x.say(l, control, string(append(b, 0)))      // the client may open no channels
}

// start is begin and welcome.
func (x *exam) start() *link {
	l := x.begin()
	x.welcome(l)
	return l
}

// whole is the next message of a channel, as a frame.
func (x *exam) whole(channel int, data string) frame {
	if x.mode(channel) == unreliable {
		return frame{kind: kindBare, channel: channel, data: []byte(data)}
	}
	id := x.next[channel]
	x.next[channel]++
	return frame{kind: kindMessage, channel: channel, id: id, data: []byte(data)}
}

// say sends one message in a packet of its own.
func (x *exam) say(l *link, channel int, data string) uint64 { return l.send(x.whole(channel, data)) }

// fragments cuts a message in fragments.
func (x *exam) fragments(channel int, data string) (list []frame) {
	id := x.next[channel]
	x.next[channel]++
	for i := 0; i*pieceLen < len(data); i++ {
		piece := data[i*pieceLen : min(len(data), (i+1)*pieceLen)]
		list = append(list, frame{kind: kindFragment, channel: channel, id: id, index: uint64(i), total: uint64(len(data)), data: []byte(piece)})
	}
	return list
}

func ping() frame { return frame{kind: kindControl, channel: controlPing} }

// resumeToken returns the credentials of a request that resumes the session.
func (x *exam) resumeToken() string {
	return "Godwit-Resume " + base64.RawURLEncoding.EncodeToString(x.token[:])
}

// resumes reports whether a request shows a resume token.
func (p post) resumes() bool { return strings.HasPrefix(p.credentials(), "Godwit-Resume ") }

// credentials are those of the session: docs/SESSION.md, section 1.
func (p post) credentials() string {
	if s := p.header.Get("Godwit-Authorization"); s != "" {
		return s
	}
	return p.header.Get("Authorization")
}

// finish ends the session and its links.
func (x *exam) finish() {
	close(x.done)
	x.mu.Lock()
	links := x.open
	x.mu.Unlock()
	for _, l := range links {
		bye := frame{kind: kindControl, channel: controlClose, data: []byte("the case is over")}
		if l.conn.Send(0, rtcserver.Binary, bye.append(l.header(l.number(), false))) == nil {
			time.Sleep(50 * time.Millisecond)
			l.conn.Close("the case is over")
		}
	}
}
