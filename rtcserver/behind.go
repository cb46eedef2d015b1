package rtcserver

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/godwit-rtc/godwit/internal/envelope"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A client behind a relay (package relay) has an address of its own and a way to it, which is a relay.
// Both are in one netip.AddrPort: the address of the client in its IPv6 form, with a zone that names
// the relay. So everything that knows a client by its address, such as the paths of ICE, the claimants
// of an address and the registry, distinguishes a client that is heard over two ways, and answers each
// on its own. A shard makes this address from the header of a datagram before anything else looks at it,
// and replaces it by the header when the datagram leaves.

// maxRelays limits the sockets of relays that a server knows at a time.
const maxRelays = 64

// relayIdle is the time after its last valid check after which another relay may get the place of
// one. No connection lives so long without a valid check.
const relayIdle = 60 * time.Second

// relayNew is the time for which a relay keeps its place without a valid check.
const relayNew = time.Second

// relayZones are the zones of the relays, by index. No interface of a machine can have such a name.
var relayZones = func() (zones [maxRelays]string) {
	for i := range zones {
		zones[i] = ":" + string(rune('0'+i))
	}
	return zones
}()

// relays are the sockets of relays that have sent something to a server. Shards use it at the same time.
type relays struct {
	trusted []netip.Prefix
	slots   [maxRelays]atomic.Pointer[relaySlot] // the used ones first
}

// A relaySlot is a socket of a relay. Only checked changes.
type relaySlot struct {
	addr    netip.AddrPort
	since   time.Time
	checked atomic.Int64 // when a valid check of a client has come this way, in seconds after since; -1 if none has
}

// newRelays returns nil if no relay is trusted.
func newRelays(trusted []netip.Prefix) *relays {
	if len(trusted) == 0 {
		return nil
	}
	return &relays{trusted: trusted}
}

// index returns the index of the relay with an address, which it gets if it has none. It returns -1 if
// the relay is not trusted, or there is no place for it.
func (r *relays) index(now time.Time, addr netip.AddrPort) int {
	if !slices.ContainsFunc(r.trusted, func(p netip.Prefix) bool { return p.Contains(addr.Addr()) }) {
		return -1
	}
	for i := range r.slots {
		if r.slots[i].Load() == nil {
			r.slots[i].CompareAndSwap(nil, newRelaySlot(now, addr)) // unless another shard is faster
		}
		if r.slots[i].Load().addr == addr {
			return i
		}
	}
	for i := range r.slots {
		if s := r.slots[i].Load(); s.idle(now) {
			r.slots[i].CompareAndSwap(s, newRelaySlot(now, addr)) // as above
			if r.slots[i].Load().addr == addr {
				return i
			}
		}
	}
	return -1
}

func newRelaySlot(now time.Time, addr netip.AddrPort) *relaySlot {
	s := &relaySlot{addr: addr, since: now}
	s.checked.Store(-1)
	return s
}

// idle reports whether the place of the relay may be given away.
func (s *relaySlot) idle(now time.Time) bool {
	age := now.Sub(s.since)
	if at := s.checked.Load(); at >= 0 {
		return age-time.Duration(at)*time.Second > relayIdle
	}
	return age > relayNew
}

// noteCheck notes a valid check from an address.
func (r *relays) noteCheck(now time.Time, a netip.AddrPort) {
	if r == nil {
		return
	}
	if i := behind(a); i >= 0 {
		s := r.slots[i].Load()
		if at := int64(now.Sub(s.since) / time.Second); at != s.checked.Load() {
			s.checked.Store(at)
		}
	}
}

// tagged returns the address of a client behind the relay with an index.
func tagged(client netip.AddrPort, relay int) netip.AddrPort {
	a := netip.AddrFrom16(client.Addr().As16()).WithZone(relayZones[relay])
	return netip.AddrPortFrom(a, client.Port())
}

// behind returns the index of the relay that the client at an address is behind, or -1.
func behind(a netip.AddrPort) int {
	z := a.Addr().Zone()
	if len(z) != 2 || z[0] != ':' {
		return -1
	}
	return int(z[1] - '0')
}

// clientAddr returns the address of a client without the way to it.
func clientAddr(a netip.AddrPort) netip.AddrPort {
	if behind(a) < 0 {
		return a
	}
	return netip.AddrPortFrom(a.Addr().WithZone("").Unmap(), a.Port())
}

// unwrap replaces the header of a relay, if d has one, by the address of its client. What it leaves as
// it is begins with a byte that no client of a relay sends, and is dropped.
func (s *shard) unwrap(now time.Time, d *udpio.Datagram) {
	client, _, inner, ok := envelope.Parse(d.B)
	if !ok {
		return
	}
	if c := peer.Classify(inner); c != peer.STUN && c != peer.DTLS {
		return
	}
	if i := s.server.relays.index(now, d.Remote); i >= 0 {
		d.Remote, d.B = tagged(client, i), d.B[:copy(d.B, inner)] // the buffer keeps its capacity
	}
}

// push adds b, which was appended to the loop's Slot, to the batch: in the header of a relay if the
// client is behind one. proved says that the client has shown that it is at the address.
func (s *shard) push(b []byte, remote netip.AddrPort, local netip.Addr, proved bool) {
	if s.server.relays != nil && len(b) > 0 {
		if i := behind(remote); i >= 0 {
			b, remote = envelope.Wrap(b, clientAddr(remote), proved), s.server.relays.slots[i].Load().addr
		}
	}
	s.loop.Push(b, remote, local)
}
