// Package dtls is the DTLS 1.2 of a WebRTC data channel: a handshake that
// proves the peer holds the certificate its offer named, and a record layer
// that costs no allocation per datagram.
//
// It has two halves. The record half is pure: [Records] walks a datagram,
// [Sieve] decides what a running handshake may see of it, [Conn] opens and
// seals records in place, [Repeater] repeats a flight. They do no I/O, start
// no goroutine and read no clock; whoever owns one calls it from one goroutine
// at a time. The handshake half, [StartHandshake], runs pion/dtls over a
// connection that exists only in memory. Its goroutines do one thing to the
// world: they call HandshakeConfig.Emit, in order, with datagrams to send, the
// keys, and the end. pion is given only whole messages of the peer, in order, that
// a screen of ours has read before, and nothing of a peer whose certificate, key or
// signature scheme is not one we take. Once it is over nothing of pion is left.
//
// It is not a general DTLS library. There is no DTLS 1.3, no renegotiation, no
// session resumption, no connection ID, no PSK, and no certificate authority:
// a peer is its fingerprint. A record of any epoch but 1 is never delivered.
package dtls
