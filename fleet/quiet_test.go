package fleet

import (
	"cmp"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A quiet is a node without NATS and without goroutines of the fleet: a test takes the steps, and looks at what the node would give
// to NATS. The fleet does not notice the sessions of the server.
type quiet struct {
	*node
	subjects map[*subscription]string
}

func newQuiet(t testing.TB, c Config, logged ...string) *quiet {
	t.Helper()
	q := &quiet{&node{t: t, logs: make(chan string, 1024)}, make(map[*subscription]string)}
	c.Name = cmp.Or(c.Name, "quiet")
	c.Logger = slog.New(&lines{q.logs, logged})
	q.Fleet = testkit.Must(unconnected(c))
	q.maxPayload = maxMessage - envelope
	srv := testkit.Must(godwit.New(godwit.Config{Channels: table}))
	t.Cleanup(func() { srv.Close() })
	q.srv = srv
	q.server.Store(srv)
	return q
}

var kindNames = map[kind]string{
	kindGroup: "group", kindHere: "here", kindGone: "gone", kindWho: "who", kindAnswer: "answer", kindBeat: "beat",
}

// gives checks what the node has queued for NATS since the last call: "sub" and a subject, "end" and the subject of the subscription
// that ends, or the kind of a message with the subject and, if there is one, the reply subject; for a message to a group also the number.
func (q *quiet) gives(what string, want ...string) {
	q.t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	var got []string
	for _, o := range q.out.ops {
		switch {
		case o.data != nil:
			m := message{body: o.data}
			if !m.parseHeader() || m.from != q.me {
				q.t.Errorf("%s: an envelope of %v", what, m.from)
			}
			text := kindNames[m.kind] + " " + o.subject
			if o.reply != "" {
				text += " " + o.reply
			}
			if m.kind == kindGroup {
				var h groupHeader
				h.read(&reader{b: m.body})
				text += fmt.Sprint(" ", h.number)
			}
			got = append(got, text)
			q.out.msgs--
			q.out.bytes -= len(o.data)
		case o.end:
			got = append(got, "end "+q.subjects[o.sub])
		default:
			q.subjects[o.sub] = o.subject
			got = append(got, "sub "+o.subject)
		}
	}
	if o := q.out.beat; o.data != nil { // behind what is queued: TestABeatDoesNotWait
		got = append(got, "beat "+o.subject)
	}
	q.out.ops, q.out.beat = nil, op{}
	if !slices.Equal(got, want) {
		q.t.Errorf("%s: the node gives NATS %q, want %q", what, got, want)
	}
	if q.out.msgs != 0 || q.out.bytes != 0 {
		q.t.Errorf("%s: %d messages with %d bytes are counted that are not there", what, q.out.msgs, q.out.bytes)
	}
}

// hear gives the node a message of another node.
func (q *quiet) hear(subject string, k kind, from instance, body ...byte) {
	q.receive(&nats.Msg{Subject: subject, Data: append(appendHeader(nil, k, from), body...)})
}

// nobody gives the node the report of NATS that nobody has subscribed to the subject of a message with this reply subject.
func (q *quiet) nobody(reply string) {
	q.receive(&nats.Msg{Subject: reply, Header: nats.Header{"Status": {"503"}}})
}

// ticks takes the step of the next second, and drops the beat.
func (q *quiet) ticks() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tick(time.Now())
	q.out.beat = op{}
}

func (q *quiet) state(group string) *groupState {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.groups[token(group)]
}

// needs checks which other nodes have members of a group, as far as the node knows.
func (q *quiet) needs(what, group string, known bool, nodes ...instance) {
	q.t.Helper()
	s := q.state(group)
	got := len(s.needed) == len(nodes) && s.known == known
	for _, n := range nodes {
		if _, ok := s.needed[n]; !ok {
			got = false
		}
	}
	if !got {
		q.t.Errorf("%s: the node knows: %v, that %v have members; want %v, %v", what, s.known, s.needed, known, nodes)
	}
}

// counters returns some of the counters as text.
func counters(s Stats) string {
	return fmt.Sprintf("unneeded %d away %d dropped %d/%d lost %d late %d doubled %d foreign %d malformed %d",
		s.Unneeded, s.Away, s.OutDropped, s.InDropped, s.Lost, s.Late, s.Doubled, s.Foreign, s.Malformed)
}
