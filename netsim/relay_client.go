package netsim

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

// client is one client of a Relay, guarded by its mu.
type client struct {
	addr     netip.AddrPort
	back     *net.UDPConn // to the target
	up, down *Wire
	active   time.Time // when the last datagram arrived from or for the client
}

// client returns the client at addr. If there is none it makes one; it returns nil if the
// socket for it cannot be opened or the relay is closed.
func (r *Relay) client(addr netip.AddrPort) *client {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.clients[addr]; c != nil {
		return c
	}
	if r.closed {
		return nil
	}
	if len(r.clients) >= r.maxClients {
		r.evict()
	}
	back, err := r.dial()
	if err != nil {
		r.gone.Failed++
		return nil
	}
	c := &client{
		addr: addr,
		back: back,
		up:   newWire(r.up, r.seed, 2*r.joined),
		down: newWire(r.down, r.seed, 2*r.joined+1),
	}
	r.joined++
	if r.record != nil {
		name := strconv.FormatUint(r.joined, 10)
		c.up.Record(r.record, "up-"+name)
		c.down.Record(r.record, "down-"+name)
	}
	r.clients[addr] = c
	r.running.Go(func() { r.readBack(c, back) })
	return c
}

// dial opens a socket towards the target. It is not connected: a connected one
// would fail while the target is down.
func (r *Relay) dial() (*net.UDPConn, error) {
	source := r.source
	if !source.IsValid() {
		source = netip.IPv4Unspecified()
		if r.target.Addr().Is6() {
			source = netip.IPv6Unspecified()
		}
	}
	return listenUDP(netip.AddrPortFrom(source, 0))
}

// evict removes the client that has been idle for the longest time.
func (r *Relay) evict() {
	var idle *client
	for _, c := range r.clients {
		if idle == nil || c.active.Before(idle.active) {
			idle = c
		}
	}
	r.gone.Evicted++
	r.forget(idle)
}

func (r *Relay) forget(c *client) {
	c.back.Close()
	delete(r.clients, c.addr)
	r.gone.Up.add(c.up.stats)
	r.gone.Down.add(c.down.stats)
}

// pass gives a datagram to the tap and the link.
func (r *Relay) pass(c *client, up bool, b []byte) {
	p := Packet{From: c.addr, To: r.target, Payload: append([]byte(nil), b...)}
	if !up {
		p.From, p.To = p.To, p.From
	}
	r.mu.Lock()
	tap := r.tap
	r.mu.Unlock()
	passed := tap == nil || r.runTap(tap, &p)

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.clients[c.addr] != c {
		return // the client was removed
	}
	now := time.Now()
	c.active = now
	w := c.down
	if up {
		w = c.up
	}
	if !passed {
		w.refuse(now, len(p.Payload), dropTap)
		return
	}
	r.air.send(w, p.Payload, func(b []byte) relayed { return relayed{c, up, b} })
}

func (r *Relay) runTap(tap Tap, p *Packet) bool {
	r.tapMu.Lock()
	defer r.tapMu.Unlock()
	return tap(p)
}
