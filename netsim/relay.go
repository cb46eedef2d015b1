package netsim

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// RelayConfig configures a [Relay]. Target is required.
type RelayConfig struct {
	// Listen is the address to which clients send. It should not be a wildcard, because
	// answers come from this address. The zero value means 127.0.0.1 and a free port.
	// Firefox does not use loopback addresses: for it, Listen and Target must be other
	// addresses.
	Listen netip.AddrPort

	// Target is the address of the server. The relay sends to it from a different port for
	// each client.
	Target netip.AddrPort

	// Source is the address of these ports. The zero value means that the system chooses
	// it by its routes.
	Source netip.Addr

	// Up is the link from each client to the target, Down the link back. Each client has
	// its own rate and queue, except that a Bottleneck is shared by all.
	Up, Down Link

	// Seed decides the fates of the datagrams, together with the order in which clients
	// first appear.
	Seed uint64

	// MaxClients limits the clients that the relay knows. Zero means 64. For one more, the
	// client that has sent and received nothing for the longest time is removed.
	MaxClients int

	// Tap, if not nil, gets every datagram. From and To are the client and Target; the
	// relay ignores changes of them.
	Tap Tap

	// Record, if not nil, gets the fates of all datagrams; see [Fate] for the names of the
	// paths.
	Record *Recorder
}

const defaultMaxClients = 64

// socketBuffer is the size that is requested for the buffers of every socket, so that
// bursts wait in the Link's queue and not in that of the system.
const socketBuffer = 1 << 20

// RelayStats counts what a [Relay] did with the datagrams of all clients.
type RelayStats struct {
	Up, Down LinkStats

	UpBacklog, DownBacklog int // bytes that wait for a rate now
	UnderWay               int // datagrams in flight now, including those that wait for a rate

	Clients    int    // clients that the relay knows now
	Evicted    uint64 // clients that were removed because of MaxClients
	Failed     uint64 // datagrams lost because a socket could not be opened or written to
	ReadErrors uint64 // errors of reads from sockets
}

// A Relay passes datagrams between real UDP sockets over bad links. Clients send to the
// relay as if it was the server. The server sees each client at a different port of the
// relay.
//
// One goroutine delivers the datagrams that are due, on an idle machine a fraction of a
// millisecond late. Each socket has a goroutine that reads.
type Relay struct {
	front      *net.UDPConn
	target     netip.AddrPort
	source     netip.Addr
	maxClients int
	seed       uint64

	done    chan struct{}
	running sync.WaitGroup

	tapMu sync.Mutex // held while tap runs, mu is not

	mu       sync.Mutex // guards everything below
	air      dispatcher[relayed]
	tap      Tap
	record   *Recorder
	up, down Link
	clients  map[netip.AddrPort]*client
	joined   uint64     // clients ever
	gone     RelayStats // counters of clients that were removed, and of sockets
	err      error      // why the relay does not work any more
	closed   bool
}

// relayed is a datagram in flight.
type relayed struct {
	client  *client
	up      bool
	payload []byte
}

// ListenRelay starts a relay. Call Close to stop it.
func ListenRelay(c RelayConfig) (*Relay, error) {
	if !c.Target.IsValid() || c.Target.Port() == 0 {
		return nil, fmt.Errorf("netsim: RelayConfig.Target %v is not an address and a port", c.Target)
	}
	if !c.Listen.IsValid() {
		c.Listen = netip.MustParseAddrPort("127.0.0.1:0")
	}
	if c.MaxClients <= 0 {
		c.MaxClients = defaultMaxClients
	}
	front, err := listenUDP(c.Listen)
	if err != nil {
		return nil, err
	}
	r := &Relay{
		front:      front,
		target:     unmap(c.Target),
		source:     c.Source,
		maxClients: c.MaxClients,
		seed:       c.Seed,
		done:       make(chan struct{}),
		tap:        c.Tap,
		record:     c.Record,
		up:         c.Up,
		down:       c.Down,
		clients:    make(map[netip.AddrPort]*client),
	}
	r.air = newDispatcher[relayed](&r.mu)
	r.running.Go(r.readFront)
	r.running.Go(func() { r.air.run(r.done, r.deliver) })
	return r, nil
}

func listenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("netsim: %w", err)
	}
	// The relay works with any size that the system gives.
	u.SetReadBuffer(socketBuffer)
	u.SetWriteBuffer(socketBuffer)
	return u, nil
}

// Addr returns the address to which clients send.
func (r *Relay) Addr() netip.AddrPort {
	return unmap(r.front.LocalAddr().(*net.UDPAddr).AddrPort())
}

// SetUp sets the link from the clients to the target, for datagrams that arrive at the
// relay from now on.
func (r *Relay) SetUp(l Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = l
	for _, c := range r.clients {
		c.up.SetLink(l)
	}
}

// SetDown sets the link from the target to the clients, for datagrams that arrive at the
// relay from now on.
func (r *Relay) SetDown(l Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = l
	for _, c := range r.clients {
		c.down.SetLink(l)
	}
}

// SetTap sets the Tap that gets the datagrams from now on; nil means none.
func (r *Relay) SetTap(t Tap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tap = t
}

// BlackoutFor drops every datagram that arrives in the time d from now on, in both
// directions. Zero ends such a blackout. The links do not change.
func (r *Relay) BlackoutFor(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.air.dark = time.Now().Add(d)
}

// Rebind gives every client a new port towards the target, as a NAT does when it has forgotten
// the old ports. Datagrams that arrive at the old ports are lost. Datagrams in flight to
// the target leave from the new ports.
func (r *Relay) Rebind() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return net.ErrClosed
	}
	for _, c := range r.clients {
		back, err := r.dial()
		if err != nil {
			return err
		}
		c.back.Close()
		c.back = back
		r.running.Go(func() { r.readBack(c, back) })
	}
	return nil
}

// Stats returns the counters as they are now.
func (r *Relay) Stats() RelayStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.gone
	s.Clients = len(r.clients)
	s.UnderWay = r.air.line.Len()
	now := time.Now()
	for _, c := range r.clients {
		s.Up.add(c.up.stats)
		s.Down.add(c.down.stats)
		s.UpBacklog += c.up.queue.backlog(now, c.up.link.Rate)
		s.DownBacklog += c.down.queue.backlog(now, c.down.link.Rate)
	}
	if b := r.up.Through; b != nil {
		s.UpBacklog = b.Backlog(now)
	}
	if b := r.down.Through; b != nil {
		s.DownBacklog = b.Backlog(now)
	}
	return s
}

// Err returns why the relay does not work any more, or nil. The relay stops when a hundred
// reads in a row from the socket of Listen have failed.
func (r *Relay) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close closes the sockets, drops the datagrams in flight and waits for the relay's
// goroutines.
func (r *Relay) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return net.ErrClosed
	}
	r.closed = true
	r.front.Close()
	for _, c := range r.clients {
		c.back.Close()
	}
	close(r.done)
	r.mu.Unlock()
	r.running.Wait()
	return nil
}

func (r *Relay) deliver(f relayed) {
	var err error
	if f.up {
		r.mu.Lock()
		back := f.client.back
		r.mu.Unlock()
		_, err = back.WriteToUDPAddrPort(f.payload, r.target)
	} else {
		_, err = r.front.WriteToUDPAddrPort(f.payload, f.client.addr)
	}
	if err == nil {
		return
	}
	r.mu.Lock()
	r.gone.Failed++
	r.mu.Unlock()
}
