package fleet

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A lone is a node with a server and without NATS and goroutines of its own. A test takes what it publishes, and answers its questions.
type lone struct {
	*node
	opens chan *godwit.Conn // whose Open handler has run
}

func newLone(t *testing.T, c Config, gc godwit.Config) *lone {
	t.Helper()
	c.Prefix, c.Name, c.RequestTimeout, c.MaxPending, c.MaxPendingBytes = "lone", "lone", time.Minute, 1<<20, 1<<30
	n := &node{t: t, logs: make(chan string, 1024)}
	c.Logger = slog.New(&lines{n.logs, []string{""}})
	n.Fleet = testkit.Must(unconnected(c))
	n.maxPayload = maxMessage - envelope
	l := &lone{n, make(chan *godwit.Conn, 16)}
	gc.Channels, gc.Handler.Open = table, func(c *godwit.Conn) { l.opens <- c }
	n.duplicates = gc.Duplicates
	n.srv = testkit.Must(godwit.New(n.inFront(gc)))
	t.Cleanup(func() { n.srv.Close() })
	n.server.Store(n.srv)
	n.nodes.self.MaxSessions = 4096
	return l
}

// join is that of a node. It waits until the node has noted the session.
func (l *lone) join(name string) *client {
	l.t.Helper()
	c := l.node.join(name)
	if o := testkit.Next(l.t, "the Open handler has run", l.opens); o != c.server {
		l.t.Fatalf("the session %v has opened, want %v", o.ID(), c.ID())
	}
	return c
}

// meets makes the node know another one, which was heard now.
func (l *lone) meets(n Node) *peer {
	p := &peer{Node: n, heard: time.Now()}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nodes.peers[n.ID] = p
	return p
}

// sent returns what the node has published since the last call, of certain kinds. The subject and the reply are those of NATS.
func (l *lone) sent(kinds ...kind) (all []message) {
	l.t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, o := range append(l.out.ops, l.out.beat) {
		m := message{subject: o.subject, reply: o.reply, body: o.data}
		if o.data == nil {
			continue
		}
		if !m.parseHeader() || m.from != l.me {
			l.t.Errorf("the node publishes %q", o.data)
		}
		if slices.Contains(kinds, m.kind) {
			all = append(all, m)
		}
	}
	l.out.ops, l.out.beat, l.out.msgs, l.out.bytes = nil, op{}, 0, 0
	return all
}

// sentOne is sent for one message.
func (l *lone) sentOne(what string, k kind) message {
	l.t.Helper()
	all := l.sent(k)
	if len(all) != 1 {
		l.t.Fatalf("%s: %d messages are published, want 1", what, len(all))
	}
	return all[0]
}

// replies answers a question of the node.
func (l *lone) replies(to message, code byte, body string) {
	l.t.Helper()
	if !l.answered(message{subject: to.reply, body: append([]byte{code}, body...)}) {
		l.t.Errorf("the answer %d is malformed", code)
	}
}
