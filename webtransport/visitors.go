package webtransport

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
)

// visitorTime limits the time from the end of the handshake to a good ticket.
const visitorTime = 5 * time.Second

// visitors are the connections without a ticket so far: anyone can make one, so their number is
// limited, in all and for each address. While there are many, and for an address that has
// several, a client must first prove its address (Retry). So nobody can take the places of an
// address that is not his.
type visitors struct {
	mu      sync.Mutex // guards the fields below
	most    int
	n       int
	bySite  map[netip.Addr]int
	retried uint64
	refused uint64
}

// A visitor is one of them.
type visitor struct {
	visitors *visitors
	site     netip.Addr
	admitted atomic.Bool
	once     sync.Once
}

type visitorKey struct{}

var errVisitors = errors.New("webtransport: too many connections without a ticket")

// perSite limits the visitors of one address.
func (v *visitors) perSite() int { return max(2, v.most/8) }

// unproved reports whether a client at an address must prove it before anything is made.
func (v *visitors) unproved(a net.Addr) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.n < v.most/4 && v.bySite[siteOf(a)] < v.perSite()/2 {
		return false
	}
	v.retried++
	return true
}

// enter counts a connection that begins. The connection leaves when its context is done, or
// with a ticket.
func (v *visitors) enter(ctx context.Context, info *quic.ClientInfo) (context.Context, error) {
	x := &visitor{visitors: v, site: siteOf(info.RemoteAddr)}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.n >= v.most || v.bySite[x.site] >= v.perSite() {
		v.refused++
		return nil, errVisitors
	}
	v.n++
	v.bySite[x.site]++
	context.AfterFunc(ctx, x.leave)
	return context.WithValue(ctx, visitorKey{}, x), nil
}

// leave ends the visit. A second call does nothing.
func (x *visitor) leave() {
	x.once.Do(func() {
		v := x.visitors
		v.mu.Lock()
		defer v.mu.Unlock()
		v.n--
		if v.bySite[x.site]--; v.bySite[x.site] == 0 {
			delete(v.bySite, x.site)
		}
	})
}

// siteOf returns the address that limits count a for, which is an address of a QUICConn: an IPv4
// address, or the first address of the IPv6 /64.
func siteOf(a net.Addr) netip.Addr {
	ip := a.(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip
	}
	p, _ := ip.Prefix(64)
	return p.Addr()
}
