// Package relay is one public UDP port before many nodes: servers of this module, of which each has
// a number, and which may be on machines without a public address. cmd/godwit-relay is a program of it.
// docs/relay.md says how a fleet is set up, and has the bytes on the wire.
//
// A [Relay] reads the number of the node in the username fragment of a connectivity check
// (rtcserver.Settings.Node), and gives the check to this node, behind a header with the address of the
// client. When the node answers, the relay remembers the client: from then on it gives all datagrams
// from the client's address to this node, and those of the node to the client. It has no keys, and
// keeps nothing but a table of clients, whose size does not change. A relay that has been restarted
// learns its clients again: from the next datagram that a node sends to each, or from the
// next check of the client.
//
// A relay carries WebRTC. It drops and counts QUIC, so WebTransport needs an address of the node
// itself, as WebSockets do. It does not encrypt what it sends to nodes, which DTLS has encrypted already,
// and it trusts the network between: nobody but the nodes may be able to send from their addresses.
package relay
