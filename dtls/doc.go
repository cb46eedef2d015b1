// Package dtls is the DTLS 1.2 of a WebRTC data channel: a handshake that proves that
// the peer has the certificate of its offer, and a record layer that allocates no
// memory for a datagram.
//
// It has two halves. The record half is pure: [Records] yields the records of a
// datagram, [Sieve] decides which of them the running handshake may get, [Conn]
// decrypts and encrypts records in place, and [Repeater] repeats a flight. These types
// do no I/O, start no goroutine and read no clock. They are not safe for concurrent
// use.
//
// The handshake half, [StartHandshake], runs pion/dtls over a connection in memory. Its
// goroutines only call HandshakeConfig.Emit, in order, with datagrams to send, the
// keys, and the end. pion gets only whole messages of the peer, in order, that this
// package has checked before. It gets nothing of a peer whose certificate, key or
// signature scheme is not accepted. When the handshake is over, nothing of pion remains
// in memory.
//
// It is not a general DTLS library. There is no DTLS 1.3, no renegotiation, no session
// resumption, no connection ID, no PSK, and no certificate authority: the fingerprint
// identifies the peer. Only records of epoch 1 are delivered.
//
// The program examples/parts is a whole server made of sdp, icelite, dtls and sctp.
package dtls
