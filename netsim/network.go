package netsim

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// ErrAddrInUse is the error of [Network.Listen] and [Conn.Rebind] for an
// address that another Conn has.
var ErrAddrInUse = errors.New("netsim: address already in use")

// errMessageTooLong is the error of a write that UDP itself cannot carry.
var errMessageTooLong = errors.New("netsim: message too long")

// maxPayload is the largest payload of UDP over IPv4.
const maxPayload = 65507

// A Network carries datagrams between the Conns that listen on it.
//
// For a synctest bubble make the Network inside the bubble. It has no goroutine: one timer
// delivers the datagrams that are due. Datagrams that are due at the same time are
// delivered in the order in which they were sent.
type Network struct {
	seed uint64

	tapMu sync.Mutex // held while tap runs, mu is not

	mu     sync.Mutex // guards everything below, and every Conn
	tap    Tap
	record *Recorder
	conns  map[netip.AddrPort]*Conn // by public address
	pairs  pairs
	rules  map[route]Link
	dark   map[route]time.Time // blackouts and their ends
	line   Timeline[flight]
	timer  *time.Timer
	ds     []Delivery // reused by send
	closed bool
}

// route is a direction between two hosts. In a rule a zero Addr is any host.
type route struct{ from, to netip.Addr }

// matches returns the rules that may apply to r. The first one that is set applies.
func (r route) matches() [4]route { return [...]route{r, {from: r.from}, {to: r.to}, {}} }

func (r route) String() string { return r.from.String() + ">" + r.to.String() }

// flight is a datagram under way.
type flight struct {
	from, to netip.AddrPort
	payload  []byte
	pair     *pair
}

// New returns a network whose links deliver everything at once. The same seed and the same
// calls give all datagrams the same fates.
func New(seed uint64) *Network {
	return &Network{
		seed:  seed,
		conns: make(map[netip.AddrPort]*Conn),
		pairs: newPairs(maxPairs),
		rules: make(map[route]Link),
		dark:  make(map[route]time.Time),
	}
}

// Listen returns a Conn that receives the datagrams sent to addr. Port 0 chooses a free
// port. The address must not be a wildcard: each host has one address here.
func (n *Network) Listen(addr netip.AddrPort) (*Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil, net.ErrClosed
	}
	addr, err := n.free(addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{network: n, host: addr, public: addr, limit: defaultReadBuffer}
	c.cond.L = &n.mu
	n.conns[addr] = c
	return c, nil
}

// free returns addr, unmapped and with a port, if no conn has it.
func (n *Network) free(addr netip.AddrPort) (netip.AddrPort, error) {
	addr = unmap(addr)
	if ip := addr.Addr(); !ip.IsValid() || ip.IsUnspecified() {
		return addr, fmt.Errorf("netsim: %v is not the address of a host", addr)
	}
	if addr.Port() != 0 {
		if n.conns[addr] != nil {
			return addr, fmt.Errorf("%w: %v", ErrAddrInUse, addr)
		}
		return addr, nil
	}
	for port := 49152; port < 65536; port++ { // the ports IANA leaves to chance
		a := netip.AddrPortFrom(addr.Addr(), uint16(port))
		if n.conns[a] == nil {
			return a, nil
		}
	}
	return addr, fmt.Errorf("%w: every port of %v", ErrAddrInUse, addr.Addr())
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// SetDefault sets the link for all pairs of hosts without a rule of SetLink.
func (n *Network) SetDefault(l Link) { n.SetLink(netip.Addr{}, netip.Addr{}, l) }

// SetLink sets the link from one host to another, for datagrams sent from now on. A zero
// Addr means every host. A rule for both hosts has precedence over a rule for the sender,
// and a rule for the sender over a rule for the receiver. The address of a host is that of
// Listen, also after Rebind.
func (n *Network) SetLink(from, to netip.Addr, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rules[route{from.Unmap(), to.Unmap()}] = l
	for r, p := range n.pairs.by {
		p.wire.SetLink(n.rule(r))
	}
}

// Link returns the link from one host to another as it is now.
func (n *Network) Link(from, to netip.Addr) Link {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rule(route{from.Unmap(), to.Unmap()})
}

func (n *Network) rule(r route) Link {
	for _, match := range r.matches() {
		if l, ok := n.rules[match]; ok {
			return l
		}
	}
	return Link{}
}

// BlackoutFor drops every datagram that is sent from one host to another in the time d from
// now on. A zero Addr means every host. If d is zero, the blackout with the same two hosts
// ends. The links do not change.
func (n *Network) BlackoutFor(from, to netip.Addr, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := time.Now()
	for r, end := range n.dark { // those that are over
		if !now.Before(end) {
			delete(n.dark, r)
		}
	}
	n.dark[route{from.Unmap(), to.Unmap()}] = now.Add(d)
}

func (n *Network) isDark(now time.Time, r route) bool {
	if len(n.dark) == 0 {
		return false
	}
	for _, match := range r.matches() {
		if now.Before(n.dark[match]) {
			return true
		}
	}
	return false
}

// Stats returns the counters of the direction from one host to another. A zero Addr means
// every host.
//
// The network keeps the counters of the 65,536 pairs of hosts that sent last. The counters
// of older pairs are only in the sum over all hosts. If such a pair sends again, its
// counters start at zero.
func (n *Network) Stats(from, to netip.Addr) (s LinkStats) {
	from, to = from.Unmap(), to.Unmap()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !from.IsValid() && !to.IsValid() {
		s = n.pairs.gone
	}
	for r, p := range n.pairs.by {
		if (!from.IsValid() || r.from == from) && (!to.IsValid() || r.to == to) {
			s.add(p.wire.stats)
		}
	}
	return s
}

// Evicted returns the number of pairs of hosts whose counters were not kept; see Stats.
func (n *Network) Evicted() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.pairs.evicted
}

// SetRecorder records the fates of datagrams sent from now on in r. The name of the path of
// a pair of hosts is like "10.0.0.1>10.0.0.2". Nil ends the recording.
func (n *Network) SetRecorder(r *Recorder) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.record = r
	for route, p := range n.pairs.by {
		p.wire.Record(r, route.String())
	}
}

// SetTap sets the Tap that gets every datagram that a Conn sends from now on; nil means
// none. The Tap may call methods of the Network, but must not write to a Conn: use
// [Network.Inject].
func (n *Network) SetTap(t Tap) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tap = t
}

// Inject delivers a datagram at once, without loss and damage. from may be any address,
// also one without a Conn. No Tap gets the datagram, and Stats do not count it.
func (n *Network) Inject(from, to netip.AddrPort, b []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if c := n.conns[unmap(to)]; c != nil {
		c.receive(unmap(from), slices.Clone(b))
	}
}

// Close closes all Conns of the network and drops the datagrams in flight.
func (n *Network) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for _, c := range n.conns {
		c.close()
	}
	n.line = Timeline[flight]{}
	if n.timer != nil {
		n.timer.Stop()
	}
	return nil
}

// send sends a datagram of c. n owns the payload from now on.
func (n *Network) send(c *Conn, to netip.AddrPort, payload []byte) error {
	n.mu.Lock()
	if err := c.writable(); err != nil {
		n.mu.Unlock()
		return err
	}
	p := Packet{From: c.public, To: unmap(to), Payload: payload}
	tap := n.tap
	n.mu.Unlock()

	passed := tap == nil || n.runTap(tap, &p)

	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return net.ErrClosed
	}
	now := time.Now()
	route := route{c.host.Addr(), n.hostOf(p.To)}
	pair := n.pair(route)
	switch size := len(p.Payload); {
	case !passed:
		pair.wire.refuse(now, size, dropTap)
	case n.isDark(now, route):
		pair.wire.refuse(now, size, DropLost)
	case n.line.full():
		pair.wire.refuse(now, size, dropOverflow)
	default:
		n.ds = pair.wire.Send(now, size, n.ds[:0])
		for _, d := range n.ds {
			n.line.Push(d.At, flight{p.From, p.To, d.Damage(p.Payload), pair})
		}
		n.deliver(now)
	}
	return nil
}

func (n *Network) runTap(tap Tap, p *Packet) bool {
	n.tapMu.Lock()
	defer n.tapMu.Unlock()
	return tap(p)
}

// hostOf returns the host that has a public address.
func (n *Network) hostOf(addr netip.AddrPort) netip.Addr {
	if c := n.conns[addr]; c != nil {
		return c.host.Addr()
	}
	return addr.Addr()
}

// deliver delivers the datagrams that are due, and sets the timer for the next one.
func (n *Network) deliver(now time.Time) {
	for {
		f, ok := n.line.Pop(now)
		if !ok {
			break
		}
		if c := n.conns[f.to]; c != nil {
			c.receive(f.from, f.payload)
		} else {
			n.pairs.stats(f.pair).Unreachable++
		}
	}
	at, ok := n.line.Next()
	switch {
	case !ok && n.timer != nil:
		n.timer.Stop()
	case ok && n.timer == nil:
		n.timer = time.AfterFunc(at.Sub(now), n.fire)
	case ok:
		n.timer.Reset(at.Sub(now))
	}
}

func (n *Network) fire() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.deliver(time.Now())
	}
}
