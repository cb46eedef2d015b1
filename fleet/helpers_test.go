package fleet

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

const (
	chat godwit.ChannelID = 1 + iota
	move
)

var table = godwit.Channels{
	{Name: "chat", Mode: godwit.ReliableOrdered, QueueLimit: 8 << 20},
	{Name: "move", Mode: godwit.Sequenced},
}

// natsProcess is the variable of the environment that makes this program a NATS server, with the directory that the
// variable names, until its standard input ends.
const natsProcess = "GODWIT_FLEET_NATS"

// TestMain fails if a goroutine of a fleet, of nats.go or of a server is left behind.
func TestMain(m *testing.M) {
	if options := os.Getenv(nodeVariable); options != "" {
		if err := serveNode(options); err != nil {
			panic(err)
		}
		return
	}
	if dir := os.Getenv(natsProcess); dir != "" {
		e, err := startEmbedded(&Config{Name: "nats", Listen: "127.0.0.1:0", Dir: dir})
		if err != nil {
			panic(err)
		}
		fmt.Println(e.server.ClientURL())
		io.Copy(io.Discard, os.Stdin)
		e.close()
		return
	}
	testkit.Main(m, "/fleet.", "/nats%2ego.", "/godwit.")
}

// wait waits until something is so. It asserts no time.
func wait(t testing.TB, what string, so func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); !so(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// A natsServer is a NATS server outside of the nodes, which can be stopped and started, at another address.
type natsServer struct {
	t      testing.TB
	o      server.Options
	server *server.Server
}

func newNATS(t testing.TB) *natsServer {
	n := &natsServer{t: t, o: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(), JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: 64 << 20,
	}}
	n.start()
	t.Cleanup(n.stop)
	return n
}

func (n *natsServer) start() {
	n.t.Helper()
	o := n.o // the server writes into its options
	s, err := server.NewServer(&o)
	if err != nil {
		n.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(time.Minute) {
		n.t.Fatal("the NATS server does not start")
	}
	n.server = s
}

func (n *natsServer) stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

func (n *natsServer) address() string { return n.server.ClientURL() }

// A node is a Fleet with its server, and what its Logger got.
type node struct {
	*Fleet
	t    testing.TB
	srv  *godwit.Server
	logs chan string // lines that the test waits for
	raw  *nats.Conn  // another connection to the same NATS server, of the last sync
}

// joinNode starts a node without a server. Lines of its log that begin with one of logged are in logs.
func joinNode(t testing.TB, c Config, logged ...string) *node {
	t.Helper()
	n := &node{t: t, logs: make(chan string, 1024)}
	// No test depends on how fast the machine is.
	c.RequestTimeout = cmp.Or(c.RequestTimeout, time.Minute)
	c.MaxDelay = cmp.Or(c.MaxDelay, time.Minute)
	c.ping = cmp.Or(c.ping, 20*time.Second)
	c.Logger = slog.New(&lines{n.logs, logged})
	f, err := Join(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	n.Fleet = f
	t.Cleanup(func() { f.Close() })
	return n
}

// passTime makes a node think that some seconds have passed since NATS was away, or since the bucket of rooms was new.
func (n *node) passTime() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes.back = time.Time{}
}

// newNode starts a node with a server. The bucket of rooms is not new for it.
func newNode(t testing.TB, c Config, gc godwit.Config, logged ...string) *node {
	t.Helper()
	n := joinNode(t, c, logged...)
	if gc.Channels == nil {
		gc.Channels = table
	}
	srv, err := n.NewServer(gc, godwit.New)
	if err != nil {
		t.Fatal(err)
	}
	n.srv = srv
	t.Cleanup(func() { srv.Close() })
	n.passTime()
	return n
}

// sync waits until NATS has processed everything that the node has queued so far.
func (n *node) sync() {
	n.t.Helper()
	var options []nats.Option
	address := n.config.NATS
	if address == "" {
		options = append(options, nats.InProcessServer(n.embedded.server))
	}
	raw, err := nats.Connect(address, options...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(raw.Close)
	n.raw = raw
	subject := "test." + newInstance().String()
	sub, err := n.raw.SubscribeSync(subject)
	if err != nil {
		n.t.Fatal(err)
	}
	defer sub.Unsubscribe()
	if err := n.raw.Flush(); err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	err = n.publish(subject, "", []byte("x"))
	n.mu.Unlock()
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := sub.NextMsg(time.Minute); err != nil {
		n.t.Fatal(err)
	}
}

// lines is a slog.Handler that puts the messages with certain beginnings into a channel.
type lines struct {
	to     chan string
	logged []string
}

func (l *lines) Enabled(context.Context, slog.Level) bool { return true }
func (l *lines) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *lines) WithGroup(string) slog.Handler            { return l }
func (l *lines) Handle(_ context.Context, r slog.Record) error {
	for _, beginning := range l.logged {
		if strings.HasPrefix(r.Message, "fleet: "+beginning) {
			select {
			case l.to <- strings.TrimPrefix(r.Message, "fleet: "):
			default:
			}
		}
	}
	return nil
}

// A client is a player in this process: both ends of the session, and what the client's end got.
type client struct {
	*godwit.Conn
	server *godwit.Conn
	events chan string
	kept   []*godwit.Request // without an answer; the handlers own it
}

// join connects a client to a node, and waits until its session is open.
func (n *node) join(name string) *client {
	n.t.Helper()
	p := &client{events: make(chan string, 1<<16)}
	opened := make(chan struct{})
	var err error
	p.Conn, err = n.srv.Local(godwit.LocalConfig{Identity: godwit.Identity{Name: name}, Handler: godwit.Handler{
		Open:    func(*godwit.Conn) { close(opened) },
		Message: func(_ *godwit.Conn, ch godwit.ChannelID, b []byte) { p.events <- table.Name(ch) + " " + string(b) },
		Request: func(_ *godwit.Conn, r *godwit.Request) {
			switch r.Name {
			case "echo":
				r.Reply(r.Data)
			case "ack":
				r.Ack()
			case "wait":
				r.Keep()
				p.kept = append(p.kept, r) // else the garbage collector rejects it
				p.events <- "asked"
			default:
				r.Reject("no " + r.Name)
			}
		},
		Close: func(_ *godwit.Conn, why godwit.CloseReason) { p.events <- why.Code.String() },
	}})
	if err != nil {
		n.t.Fatal(err)
	}
	testkit.Next(n.t, "the session opens", opened)
	wait(n.t, "the server's end is there, and the node knows of it", func() bool {
		p.server, _ = n.srv.Conn(p.ID())
		n.mu.Lock()
		defer n.mu.Unlock()
		known := n.players[name] != nil || name == "" || n.closed || !n.serving.Load()
		return p.State() == session.StateClosed || p.server != nil && known
	})
	return p
}

// want waits for the next event of a client.
func (c *client) want(t testing.TB, what, event string) {
	t.Helper()
	testkit.Want(t, what, c.events, event)
}

// none fails the test if the client has got something that it did not take.
func (c *client) none(t testing.TB, what string) {
	t.Helper()
	testkit.WantNone(t, what, c.events)
}

// A proxy carries one address to another over TCP, until it stalls: then nothing passes, and no connection ends. If it swallows, it
// goes on reading, and what it reads is gone.
type proxy struct {
	listener net.Listener
	mu       sync.Mutex
	to       string
	going    chan struct{} // closed while bytes pass
	swallows bool
	saw      []byte // what has passed on the way to the other address; nil if no test wants it
	conns    []net.Conn
	running  sync.WaitGroup
}

func newProxy(t testing.TB, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, to: strings.TrimPrefix(to, "nats://"), going: make(chan struct{})}
	close(p.going)
	p.running.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.resume()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

func (p *proxy) address() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		a, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to := p.to
		p.mu.Unlock()
		b, err := net.Dial("tcp", to)
		if err != nil {
			a.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, a, b)
		p.mu.Unlock()
		p.running.Go(func() { p.carry(a, b, true) })
		p.running.Go(func() { p.carry(b, a, false) })
	}
}

func (p *proxy) carry(from, to net.Conn, there bool) {
	defer from.Close()
	defer to.Close()
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		p.mu.Lock()
		going, swallows := p.going, p.swallows
		if there && !swallows && p.saw != nil {
			p.saw = append(p.saw, b[:n]...)
		}
		p.mu.Unlock()
		<-going
		if n > 0 && !swallows {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.going = make(chan struct{})
}

func (p *proxy) swallow() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallows = true
}

// pass ends swallow, and the connections of which bytes are gone.
func (p *proxy) pass() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallows = false
	for _, c := range p.conns {
		c.Close()
	}
}

// lead makes new connections go to another address.
func (p *proxy) lead(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = strings.TrimPrefix(to, "nats://")
}

// drop ends the connections to the other address. The other ends do not notice while the proxy stalls.
func (p *proxy) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := 1; i < len(p.conns); i += 2 {
		p.conns[i].Close()
	}
}

func (p *proxy) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.going:
	default:
		close(p.going)
	}
}
