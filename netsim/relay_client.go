package netsim

import (
	"errors"
	"net"
	"net/netip"
	"time"
)

// client is one client of a Relay, guarded by its mu.
type client struct {
	addr     netip.AddrPort
	back     *net.UDPConn // to the target
	up, down *wire
	active   time.Time // a datagram came or went
}

// readFront takes what clients send.
func (r *Relay) readFront() {
	r.read(r.front, func(from netip.AddrPort, b []byte) {
		if c := r.client(from); c != nil {
			r.pass(c, true, b)
		}
	})
}

// readBack takes what the target sends to one client. Nobody else may: a NAT
// that lets others in would be another test.
func (r *Relay) readBack(c *client, back *net.UDPConn) {
	r.read(back, func(from netip.AddrPort, b []byte) {
		if from == r.target {
			r.pass(c, false, b)
		}
	})
}

// read hands on what comes to u until u is closed. Other errors are about a
// datagram sent earlier.
func (r *Relay) read(u *net.UDPConn, each func(from netip.AddrPort, b []byte)) {
	b := make([]byte, 1<<16)
	for {
		n, from, err := u.ReadFromUDPAddrPort(b)
		switch {
		case err == nil:
			each(unmap(from), b[:n])
		case errors.Is(err, net.ErrClosed):
			return
		}
	}
}

// client returns the client at addr, a new one if need be, or nil if it could
// not get a socket.
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

// evict forgets the client that has been idle longest.
func (r *Relay) evict() {
	var idle *client
	for _, c := range r.clients {
		if idle == nil || c.active.Before(idle.active) {
			idle = c
		}
	}
	idle.back.Close()
	delete(r.clients, idle.addr)
	r.gone.Evicted++
	r.gone.Up.add(idle.up.stats)
	r.gone.Down.add(idle.down.stats)
}

// pass sends a datagram on its way.
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
		return // evicted meanwhile
	}
	now := time.Now()
	c.active = now
	w := c.down
	if up {
		w = c.up
	}
	if refused := w.refuse(len(p.Payload), !passed, r.blackout, r.line.full()); refused {
		return
	}
	first, some := r.line.next()
	r.ds = w.offer(now, len(p.Payload), r.ds[:0])
	for _, d := range r.ds {
		r.line.push(d.at, relayed{c, up, d.damage(p.Payload)})
	}
	if at, ok := r.line.next(); ok && (!some || at.Before(first)) {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

func (r *Relay) runTap(tap Tap, p *Packet) bool {
	r.tapMu.Lock()
	defer r.tapMu.Unlock()
	return tap(p)
}
