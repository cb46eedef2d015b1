package relay

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/netip"
	"os"

	"github.com/godwit-rtc/godwit/internal/udpio"
	"github.com/godwit-rtc/godwit/internal/ufrag"
)

// A Node is a server behind a relay.
type Node struct {
	Number uint32         // rtcserver.Settings.Node of the server; at most 1<<24 - 1
	Addr   netip.AddrPort // of the server's UDP port, as the relay reaches it
}

// Config configures a relay. Every field may be zero.
type Config struct {
	// Nodes are the nodes at the beginning. SetNodes changes them later.
	Nodes []Node

	// MaxClients limits the clients that the relay remembers, of all nodes together; each needs
	// about 150 bytes, which Listen and Serve allocate. If there are MaxClients, a new client takes the place of the
	// one that its node knows least about, but never of one that has been heard in the last 15 s and
	// whose address its node has proved; then its datagrams are dropped and counted (DropFull). Zero
	// means 65,536; the limit is 1<<24.
	MaxClients int

	// ReadBuffer and WriteBuffer are the sizes in bytes that the relay requests for the buffers of
	// both sockets; the system may give less. Zero means 4 MiB.
	ReadBuffer, WriteBuffer int

	// NoSegments makes the relay give the kernel each datagram for a node as a message of its own, and take
	// each datagram of a node as one from it. Without it, those that follow each other, between the relay and the same node, and
	// have the same length are one message, which the kernel or the network card divides (UDP_SEGMENT and UDP_GRO,
	// Linux); the other end receives the same datagrams. Set it if a driver or a tunnel between relay and nodes loses
	// them, and rtcserver.Settings.NoSegments at the nodes.
	NoSegments bool

	// Logger gets a line at level info when the relay begins and when its nodes change, and at level
	// error when a socket has failed. Nil means that only errors go to standard error.
	Logger *slog.Logger
}

const (
	defaultClients = 1 << 16
	maxClients     = 1 << 24
	maxNodes       = 1 << 16
)

func (c *Config) setDefaults() error {
	c.MaxClients = cmp.Or(c.MaxClients, defaultClients)
	c.ReadBuffer = cmp.Or(c.ReadBuffer, 4<<20)
	c.WriteBuffer = cmp.Or(c.WriteBuffer, 4<<20)
	if c.MaxClients < 1 || c.MaxClients > maxClients {
		return fmt.Errorf("relay: Config.MaxClients is %d, but must be 1 to %d", c.MaxClients, maxClients)
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	}
	return checkNodes(c.Nodes)
}

// socket returns the properties of a socket. Many datagrams for one node follow each other on the inner one.
func (c *Config) socket(inner bool) udpio.Config {
	return udpio.Config{ReadBuffer: c.ReadBuffer, WriteBuffer: c.WriteBuffer, Segments: inner && !c.NoSegments}
}

// checkNodes returns an error if a relay could not have these nodes.
func checkNodes(nodes []Node) error {
	if len(nodes) > maxNodes {
		return fmt.Errorf("relay: %d nodes, but a relay has at most %d", len(nodes), maxNodes)
	}
	byNumber, byAddr := make(map[uint32]bool), make(map[netip.AddrPort]bool)
	for _, n := range nodes {
		addr := unmapped(n.Addr)
		switch {
		case n.Number > ufrag.MaxNode:
			return fmt.Errorf("relay: node %d: the number must be at most %d", n.Number, ufrag.MaxNode)
		case byNumber[n.Number]:
			return fmt.Errorf("relay: node %d has two addresses", n.Number)
		case !addr.IsValid() || addr.Port() == 0 || addr.Addr().IsUnspecified() || addr.Addr().IsMulticast():
			return fmt.Errorf("relay: node %d: nobody can send to its address %v", n.Number, n.Addr)
		case byAddr[addr]:
			return fmt.Errorf("relay: node %d: another node has its address %v", n.Number, n.Addr)
		}
		byNumber[n.Number], byAddr[addr] = true, true
	}
	return nil
}

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
