// Package udpio reads and writes UDP datagrams in batches.
//
// A [Conn] of [Listen], or of [Take] with a [net.UDPConn], is one UDP socket. On Linux
// it moves up to 64 datagrams with one system call, knows the local address of each
// datagram, and counts the datagrams that the kernel drops. On other systems, and in a
// sandbox that refuses these calls, it moves them one by one. A Conn of [New] moves
// datagrams one by one over a [net.UDPConn] or a connection of an in-memory network. No
// call allocates memory.
//
// One goroutine at a time may call ReadBatch, and one WriteBatch, at the same time. The
// other methods may be called at any time from any goroutine.
//
// A [Poll] waits for several sockets at once, on Linux.
//
// The package does not retry, fragment or pace, and it joins datagrams only on the way to the kernel
// (Config.Segments). An error means that the
// socket has failed or is closed, or that a deadline has passed. A datagram that cannot
// be sent, or does not fit its buffer, is dropped and counted.
//
// [TryRead] and [TryWrite] are for a socket of TCP: they are here because the system calls of
// this module are.
package udpio
