package netsim

import "net/netip"

// Packet is a datagram as a [Tap] sees it, before the link does.
type Packet struct {
	From, To netip.AddrPort
	Payload  []byte // valid during the call
}

// Tap looks at each datagram that is sent, and may change it. It returns false
// to drop it. Calls are made one at a time.
type Tap func(p *Packet) bool
