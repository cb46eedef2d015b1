package relay

import (
	"cmp"
	"slices"

	"github.com/godwit-rtc/godwit/internal/enum"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A DropReason says why a datagram was dropped. Dropped datagrams are counted, but not logged, because
// anyone can send them.
type DropReason uint8

const (
	DropNotOurs       DropReason = iota // from a client, neither STUN nor DTLS nor QUIC; or from a link-local address
	DropQUIC                            // of QUIC: WebTransport does not go through a relay
	DropBadCheck                        // a connectivity check that is malformed, or not for a server of this module
	DropUnknownNode                     // for a node that is not in the list
	DropUnknownClient                   // DTLS of a client that the relay does not know, or of a node for such a client
	DropFull                            // of a node for a new client when there are MaxClients
	DropTaken                           // of a node for a client from whose address two other nodes were reached
	DropForeign                         // to the inner port, from an address that is no node's
	DropBadHeader                       // of a node, with a malformed header
	dropReasons
)

var dropNames = [dropReasons]string{
	"not-ours", "quic", "bad-check", "unknown-node", "unknown-client", "full", "taken", "foreign", "bad-header",
}

// String returns the reason in one word.
func (d DropReason) String() string { return enum.Name(d, dropNames[:]) }

// Traffic counts the datagrams of one direction that were passed on, and the bytes of their payload as a
// client sends or receives it.
type Traffic struct{ Datagrams, Bytes uint64 }

func (t *Traffic) count(n int) {
	t.Datagrams++
	t.Bytes += uint64(n)
}

// Stats are the counters of a relay since it was made.
type Stats struct {
	Clients int // clients that the relay knows
	Proved  int // those of them whose addresses their nodes have proved

	Up, Down Traffic             // from clients to nodes, from nodes to clients
	Nodes    []NodeStats         // those of the list, in the order of their numbers
	Drops    [dropReasons]uint64 // datagrams dropped, by DropReason

	Public, Inner SocketStats
}

// NodeStats are the counters of a node since it is in the list.
type NodeStats struct {
	Node
	Up, Down uint64 // datagrams to the node, from the node
}

// SocketStats are the counters of one of the sockets.
type SocketStats struct {
	Lost     uint64 // received datagrams that the kernel dropped because its buffer was full (Linux)
	Cut      uint64 // received datagrams that were too large
	NoRoom   uint64 // not sent because the send buffer was full
	TooLarge uint64 // not sent because larger than the MTU of the path: see docs/relay.md
	Unsent   uint64 // not sent for another reason, such as a firewall, or a node that is down
	Batched  bool   // one system call moves many datagrams
}

// counters are guarded by the lock of the relay.
type counters struct {
	up, down Traffic
	drops    [dropReasons]uint64
}

func (c *counters) drop(why DropReason) { c.drops[why]++ }

// Stats returns the counters as they are now.
func (r *Relay) Stats() Stats {
	s := r.ownStats()
	s.Public, s.Inner = socketStats(r.public.Stats()), socketStats(r.inner.Stats())
	return s
}

// ownStats are the Stats without those of the sockets.
func (r *Relay) ownStats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := Stats{
		Clients: r.table.used, Proved: r.table.proved,
		Up: r.stats.up, Down: r.stats.down, Drops: r.stats.drops,
		Nodes: make([]NodeStats, 0, len(r.nodes)),
	}
	for _, n := range r.nodes {
		s.Nodes = append(s.Nodes, NodeStats{Node{n.number, n.addr}, n.up, n.down})
	}
	slices.SortFunc(s.Nodes, func(a, b NodeStats) int { return cmp.Compare(a.Number, b.Number) })
	return s
}

func socketStats(u udpio.Stats) SocketStats {
	return SocketStats{
		Lost: u.KernelDrops, Cut: u.Truncated, NoRoom: u.SendFull, TooLarge: u.SendTooLarge,
		Unsent: u.SendUnreachable + u.SendDenied + u.SendFailed, Batched: u.Batched,
	}
}
