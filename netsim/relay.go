package netsim

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// RelayConfig says what a [Relay] connects and how bad the way is. Target is
// required.
type RelayConfig struct {
	// Listen is where clients send to. It should be a specific address, since
	// that is the one that answers come from. The zero value means 127.0.0.1
	// and a free port. Firefox uses no loopback address: for it, this and
	// Target must be others.
	Listen netip.AddrPort

	// Target is the server. Each client reaches it from a port of its own.
	Target netip.AddrPort

	// Source is the address of these ports. The zero value leaves it to the
	// system's routes.
	Source netip.Addr

	// Up is the link from each client to the target, Down the way back. The
	// clients do not share them, each has a rate and a queue of its own, but
	// for a Bottleneck, which all go through.
	Up, Down Link

	// Seed decides the fate of the datagrams, together with the order in
	// which clients first appear.
	Seed uint64

	// MaxClients bounds the clients known at a time. Zero means 64. A new one
	// beyond it takes the place of the one heard from or sent to the longest
	// time ago.
	MaxClients int

	// Tap sees every datagram. nil lets all pass. From and To are the client
	// and Target; changes of them are ignored.
	Tap Tap

	// Record gets the fates of all datagrams; see [Fate] for the names of the
	// paths. nil records nothing.
	Record *Recorder
}

const defaultMaxClients = 64

// socketBuffer is asked for on every socket, so that bursts meet the Link's
// queue and not the system's.
const socketBuffer = 1 << 20

// RelayStats counts what a [Relay] did with the datagrams of all clients.
type RelayStats struct {
	Up, Down LinkStats

	UpBacklog, DownBacklog int // bytes that wait for a rate now
	UnderWay               int // datagrams under way now, the waiting ones included

	Clients    int    // known now
	Evicted    uint64 // clients that had to make room
	Failed     uint64 // datagrams lost because a socket could not be opened or written to
	ReadErrors uint64 // of sockets, each about a datagram or a broken socket
}

// A Relay passes datagrams between real UDP sockets over bad links. Clients
// send to it as if it was the server, and the server sees each client at a port
// of the relay's.
//
// One goroutine delivers what is due, a fraction of a millisecond late on an
// idle machine, and each socket has one that reads.
type Relay struct {
	front      *net.UDPConn
	target     netip.AddrPort
	source     netip.Addr
	maxClients int
	seed       uint64

	wake    chan struct{} // the first delivery has changed; room for one
	done    chan struct{}
	running sync.WaitGroup

	tapMu sync.Mutex // held while tap runs, mu is not

	mu       sync.Mutex // guards everything below
	tap      Tap
	record   *Recorder
	up, down Link
	blackout bool
	dark     time.Time // the end of a blackout of known length
	clients  map[netip.AddrPort]*client
	joined   uint64 // clients ever
	line     Timeline[relayed]
	ds       []Delivery // reused by pass
	gone     RelayStats // of clients that left
	err      error      // why it no longer works
	closed   bool
}

// relayed is a datagram under way.
type relayed struct {
	client  *client
	up      bool
	payload []byte
}

// ListenRelay starts a relay.
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
		wake:       make(chan struct{}, 1),
		done:       make(chan struct{}),
		tap:        c.Tap,
		record:     c.Record,
		up:         c.Up,
		down:       c.Down,
		clients:    make(map[netip.AddrPort]*client),
	}
	r.running.Go(r.readFront)
	r.running.Go(r.run)
	return r, nil
}

func listenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	u, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return nil, fmt.Errorf("netsim: %w", err)
	}
	// The relay works with whatever the system grants.
	u.SetReadBuffer(socketBuffer)
	u.SetWriteBuffer(socketBuffer)
	return u, nil
}

// Addr is where clients send to.
func (r *Relay) Addr() netip.AddrPort {
	return unmap(r.front.LocalAddr().(*net.UDPAddr).AddrPort())
}

// SetUp sets the link from the clients to the target, for datagrams that come
// from now on.
func (r *Relay) SetUp(l Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up = l
	for _, c := range r.clients {
		c.up.SetLink(l)
	}
}

// SetDown sets the link from the target to the clients, for datagrams that come
// from now on.
func (r *Relay) SetDown(l Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = l
	for _, c := range r.clients {
		c.down.SetLink(l)
	}
}

// SetTap replaces the tap.
func (r *Relay) SetTap(t Tap) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tap = t
}

// Blackout begins or ends a time in which every datagram that comes, in both
// directions, is lost. The links stay as they are.
func (r *Relay) Blackout(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.blackout = on
}

// BlackoutFor loses every datagram that comes during d from now on, in both
// directions. Zero ends that.
func (r *Relay) BlackoutFor(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dark = time.Now().Add(d)
}

// Rebind gives every client a new port towards the target, as a NAT does that
// has forgotten the old ones: what still comes to these is lost, and what is
// under way to the target leaves from the new port.
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
	s.UnderWay = r.line.Len()
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

// Err returns why the relay no longer works, or nil. It gives up when the
// socket that clients send to fails to read a hundred times in a row.
func (r *Relay) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Close closes the sockets, forgets what is under way and waits for the relay's
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

// run delivers what is due.
func (r *Relay) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		r.mu.Lock()
		now := time.Now()
		f, due := r.line.Pop(now)
		var to *net.UDPConn
		if due {
			to = f.client.back
		}
		at, more := r.line.Next()
		r.mu.Unlock()
		if due {
			r.deliver(f, to)
			continue
		}
		wait := time.Hour
		if more {
			wait = at.Sub(now)
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-r.wake:
		case <-r.done:
			return
		}
	}
}

func (r *Relay) deliver(f relayed, back *net.UDPConn) {
	var err error
	if f.up {
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
