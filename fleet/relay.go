package fleet

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/godwit-rtc/godwit/relay"
)

// keepUnheard is how long relays keep a node that is not heard and has not left. It may be in play and only cut off from NATS.
const keepUnheard = 24 * time.Hour

// maxNumber is the largest number of a node: see docs/relay.md.
const maxNumber = 1<<24 - 1

// A relayed is a node that relays reach.
type relayed struct {
	id    string
	addr  netip.AddrPort
	heard time.Time
}

// relays are the nodes that relays reach, and what feeds relays. Fleet.mu guards it.
type relays struct {
	nodes map[uint32]relayed // by number
	wakes []chan struct{}    // one for each relay: a token says that nodes has changed
}

// FeedRelay makes the nodes of r those of the fleet which have a number, godwit.Config.RTC.Node, and an address, Config.UDP, until f is
// closed: also nodes that come later, this node if it has a server, and the new address of a node that was started again. A node
// that has left the fleet is removed at once. One that is only not heard any more is kept for a day, or until another node has
// its number or its address: it may be in play and only cut off from NATS, and so its players keep it. While NATS is away, r keeps its
// nodes. What r.SetNodes gets from others is lost at the next change. After Join it takes a second until all nodes were heard.
func (f *Fleet) FeedRelay(r *relay.Relay) {
	wake := make(chan struct{}, 1)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return
	}
	f.relays.wakes = append(f.relays.wakes, wake)
	f.running.Go(func() { f.feed(r, wake) })
	if len(f.relays.nodes) > 0 {
		wake <- struct{}{}
	}
}

// feed is the goroutine of FeedRelay.
func (f *Fleet) feed(r *relay.Relay, wake <-chan struct{}) {
	for {
		select {
		case <-f.stop:
			return
		case <-wake:
		}
		if err := r.SetNodes(f.relayNodes()); err != nil { // there is no known reason: noteNumber is as strict
			f.config.Logger.Warn("fleet: the nodes of a relay stay as they were", "node", f.config.Name, "err", err)
		}
	}
}

// relayNodes returns the nodes that relays reach, by number.
func (f *Fleet) relayNodes() []relay.Node {
	f.mu.Lock()
	defer f.mu.Unlock()
	all := make([]relay.Node, 0, len(f.relays.nodes))
	for number, n := range f.relays.nodes {
		all = append(all, relay.Node{Number: number, Addr: n.addr})
	}
	slices.SortFunc(all, func(a, b relay.Node) int { return cmp.Compare(a.Number, b.Number) })
	return all
}

func (f *Fleet) wakeFeeds() {
	for _, wake := range f.relays.wakes {
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// noteNumber notes the number and the address of a node. If first is true the node was not heard before with them, so it has
// them now, whichever node had them. noteNumber returns false if another node has come later and has one of them. f.mu is held.
func (f *Fleet) noteNumber(n *Node, first bool, now time.Time) bool {
	addr := netip.AddrPortFrom(n.UDP.Addr().Unmap(), n.UDP.Port())
	if n.Number == 0 || n.Number > maxNumber || !addr.IsValid() || addr.Port() == 0 || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast() {
		return true // no relay reaches it
	}
	all := f.relays.nodes
	old, known := all[n.Number]
	if known && old.id == n.ID && old.addr == addr {
		old.heard = now
		all[n.Number] = old
		return true
	}
	for number, o := range all {
		if o.addr == addr || number == n.Number {
			if !first {
				return false
			}
			delete(all, number)
		}
	}
	if len(all) >= maxNodes {
		return true // and no relay reaches it
	}
	all[n.Number] = relayed{n.ID, addr, now}
	f.wakeFeeds()
	return true
}

// forgetNumber removes a node that has left from what relays reach. f.mu is held.
func (f *Fleet) forgetNumber(id string) {
	for number, n := range f.relays.nodes {
		if n.id == id {
			delete(f.relays.nodes, number)
			f.wakeFeeds()
		}
	}
}

// forgetUnheard removes the nodes that were not heard for keepUnheard from what relays reach. f.mu is held.
func (f *Fleet) forgetUnheard(now time.Time) {
	for number, n := range f.relays.nodes {
		switch {
		case f.away.Load() || n.id == f.nodes.self.ID:
			n.heard = now
			f.relays.nodes[number] = n
		case now.Sub(n.heard) > keepUnheard:
			delete(f.relays.nodes, number)
			f.wakeFeeds()
		}
	}
}

// setNumber tells the other nodes how relays reach the server of this node, which listens at listens. f.mu is held.
func (f *Fleet) setNumber(number uint32, listens netip.AddrPort) {
	self, udp := &f.nodes.self, f.config.UDP
	switch {
	case !udp.IsValid():
		udp = listens
	case udp.Port() == 0:
		udp = netip.AddrPortFrom(udp.Addr(), listens.Port())
	}
	if number == 0 || !udp.IsValid() || udp.Addr().IsUnspecified() {
		return
	}
	self.Number, self.UDP = number, udp
	f.noteNumber(self, true, time.Now())
}
