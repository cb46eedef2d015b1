package netsim

import "net/netip"

// A Packet is a datagram that a [Tap] gets, before the link does.
type Packet struct {
	From, To netip.AddrPort
	Payload  []byte // valid during the call
}

// A Tap is called for each datagram that is sent, and may change the Packet. It returns
// false to drop the datagram. The calls are made one at a time.
type Tap func(p *Packet) bool
