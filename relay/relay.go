package relay

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// Sizes of the buffers.
const (
	batchLen = 64
	inLen    = 2048 // more than any client or node sends in one datagram
)

// A Relay is one public UDP port before many nodes. Its methods may be called from any goroutine.
//
// It reads a batch of datagrams from one socket, looks up where they go with the lock held, and writes
// them to the other socket. On Linux one goroutine does so for both directions, because one wake for both
// costs half of two. Elsewhere, and with sockets that move datagrams one by one, each direction has a goroutine.
type Relay struct {
	config  Config
	public  *udpio.Conn // to clients
	inner   *udpio.Conn // to nodes
	poll    *udpio.Poll // of both; nil if each has a goroutine
	begun   time.Time
	running sync.WaitGroup
	done    chan struct{} // closed when the goroutines have ended

	mu      sync.Mutex // guards the fields below; nobody waits with it
	table   *table
	nodes   map[uint32]*node
	byAddr  map[netip.AddrPort]*node
	request icelite.Request
	stats   counters
	err     error // why the relay has ended
}

// Listen opens the UDP addresses public, to which clients send, and inner, from which the relay sends
// to nodes, and starts to relay. Both are as for rtcserver.Listen. Nodes know a client by the
// address of inner, too: with another port than before, clients in play are heard again only after
// their next check. The error says which argument is wrong, or why a port cannot be opened.
func Listen(public, inner string, c Config) (*Relay, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	return begin(c, func(i int, u udpio.Config) (*udpio.Conn, error) {
		opened, err := udpio.Listen([...]string{public, inner}[i], u)
		if err != nil {
			return nil, err
		}
		return opened[0], nil
	})
}

// Serve is Listen for open sockets, which the relay closes. It treats a [net.UDPConn] like a socket that
// Listen has opened. Any other PacketConn must have addresses of an IP and a port, such as a
// [net.UDPAddr]; see rtcserver.Serve.
func Serve(public, inner net.PacketConn, c Config) (*Relay, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	return begin(c, func(i int, u udpio.Config) (*udpio.Conn, error) {
		return udpio.Take([...]net.PacketConn{public, inner}[i], u)
	})
}

// begin starts a relay with the sockets that open returns: 0 is the public one, 1 the inner one. Without the second one begin
// closes the first one.
func begin(c Config, open func(i int, u udpio.Config) (*udpio.Conn, error)) (*Relay, error) {
	var sockets [2]*udpio.Conn
	for i := range sockets {
		var err error
		if sockets[i], err = open(i, c.socket(i > 0)); err != nil {
			if i > 0 {
				sockets[0].Close()
			}
			return nil, fmt.Errorf("relay: %w", err)
		}
	}
	return start(sockets[0], sockets[1], c), nil
}

// start starts a relay with a Config that has its defaults.
func start(public, inner *udpio.Conn, c Config) *Relay {
	r := newRelay(c)
	r.public, r.inner = public, inner
	c.Logger.Info("relay: listening", "public", public.LocalAddr(), "inner", inner.LocalAddr(), "nodes", len(c.Nodes), "batched", public.Stats().Batched)
	ways := []*way{
		{public, inner, r.fromClient, newBatch(batchLen, inLen), newBatch(maxClaims*batchLen, inLen+envelope.MaxLen)},
		{inner, public, r.fromNode, newBatch(batchLen, inLen), make([]udpio.Datagram, batchLen)},
	}
	if poll, err := udpio.NewPoll(public, inner); err == nil {
		r.poll = poll
		r.running.Go(func() { r.runAll(ways) })
	} else {
		for _, w := range ways {
			r.running.Go(func() { r.run(w) })
		}
	}
	go func() {
		r.running.Wait()
		close(r.done)
	}()
	return r
}

// newRelay returns a relay without sockets.
func newRelay(c Config) *Relay {
	r := &Relay{config: c, begun: time.Now(), done: make(chan struct{}), table: newTable(c.MaxClients)}
	r.setNodes(c.Nodes)
	return r
}

// Addr returns the address to which clients send, that of the socket.
func (r *Relay) Addr() netip.AddrPort { return r.public.LocalAddr() }

// InnerAddr returns the address from which the relay sends to nodes, that of the socket.
func (r *Relay) InnerAddr() netip.AddrPort { return r.inner.LocalAddr() }

// SetNodes replaces the list of nodes. Clients of a node that keeps its number stay with the node, also
// if its address is another one now. Datagrams from and to a node that is not in the list are dropped. If
// the error is not nil, it says which node is wrong, and nothing has changed.
func (r *Relay) SetNodes(nodes []Node) error {
	if err := checkNodes(nodes); err != nil {
		return err
	}
	r.mu.Lock()
	r.setNodes(nodes)
	r.mu.Unlock()
	r.config.Logger.Info("relay: the list of nodes is new", "nodes", len(nodes))
	return nil
}

func (r *Relay) setNodes(nodes []Node) {
	before := r.nodes
	r.nodes, r.byAddr = make(map[uint32]*node, len(nodes)), make(map[netip.AddrPort]*node, len(nodes))
	for _, given := range nodes {
		n := before[given.Number]
		if n == nil {
			n = &node{number: given.Number}
		}
		n.addr = unmapped(given.Addr)
		r.nodes[n.number], r.byAddr[n.addr] = n, n
	}
	for number, n := range before {
		n.gone = r.nodes[number] == nil
	}
}

// Close closes both ports, and returns when the relay has ended. Nodes and clients learn nothing of it:
// another relay with the same addresses continues. Close returns nil.
func (r *Relay) Close() error {
	r.end(nil)
	<-r.done
	return nil
}

// Wait waits until the relay has ended. It returns nil after Close, or why a socket has failed.
func (r *Relay) Wait() error {
	<-r.done
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// end closes the sockets, so that the goroutines end.
func (r *Relay) end(err error) {
	r.mu.Lock()
	if r.err == nil {
		r.err = err
	}
	r.mu.Unlock()
	if r.poll != nil {
		r.poll.Close()
	}
	r.public.Close()
	r.inner.Close()
}

// A router appends to out the datagrams that leave because of one that has arrived.
type router func(now time.Duration, d *udpio.Datagram, out []udpio.Datagram) []udpio.Datagram

// A way moves datagrams from one socket to the other. One goroutine owns it.
type way struct {
	from, to *udpio.Conn
	route    router
	in       []udpio.Datagram
	out      []udpio.Datagram // has room for all that route makes of in
}

// move reads a batch, and sends what leaves.
func (r *Relay) move(w *way) error {
	n, err := w.from.ReadBatch(w.in)
	if err != nil {
		return err
	}
	w.to.WriteBatch(r.routeAll(w.in[:n], w.out[:0], w.route)) // counts what it drops; its only error is that the socket is closed
	return nil
}

// run moves datagrams in one direction.
func (r *Relay) run(w *way) {
	for {
		if err := r.move(w); err != nil {
			r.fail(err)
			return
		}
	}
}

// runAll moves datagrams in all directions, on one goroutine.
func (r *Relay) runAll(ways []*way) {
	for {
		ready, err := r.poll.Wait()
		if err == nil {
			err = r.moveReady(ways, ready)
		}
		if err != nil {
			r.fail(err)
			return
		}
	}
}

// moveReady moves a batch from each socket that is ready: bit i of ready is that of ways[i]. The system may call a socket ready that
// has no datagram, such as one with a wrong checksum.
func (r *Relay) moveReady(ways []*way, ready uint) error {
	for i, w := range ways {
		if ready&(1<<i) == 0 {
			continue
		}
		if err := r.move(w); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return nil
}

// fail ends the relay after an error of a socket.
func (r *Relay) fail(err error) {
	if errors.Is(err, net.ErrClosed) {
		err = nil
	} else {
		r.config.Logger.Error("relay: reading failed: the relay ends", "err", err)
	}
	r.end(err)
}

// routeAll calls route for a batch, with the lock held.
func (r *Relay) routeAll(in, out []udpio.Datagram, route router) []udpio.Datagram {
	now := time.Since(r.begun)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range in {
		out = route(now, &in[i], out)
	}
	return out
}

func newBatch(n, size int) []udpio.Datagram {
	all := make([]byte, n*size)
	ds := make([]udpio.Datagram, n)
	for i := range ds {
		ds[i].B = all[i*size : i*size : (i+1)*size]
	}
	return ds
}
