// Package udpio reads and writes UDP datagrams in batches.
//
// A [Conn] made by [Listen], or by [Take] of a [net.UDPConn], is one UDP socket.
// On Linux it moves up to 64 datagrams with one system call, answers from the
// address that was asked and counts what the kernel had to drop; elsewhere, and
// in a sandbox that refuses these calls, it moves them one by one. A Conn made by
// [New] moves them one by one over anything that looks like a [net.UDPConn],
// such as a connection of an in-memory network. No call allocates.
//
// One goroutine at a time may be in ReadBatch and one in WriteBatch; the two
// may overlap. SetReadDeadline, Stats, LocalAddr and Close may be called at any
// time from any goroutine.
//
// The package does not retry, fragment, pace or coalesce, and an error means
// that the socket is gone, or a deadline: a datagram that cannot be sent or
// does not fit its buffer is dropped and counted. It is the only package of
// this module that uses unsafe.
package udpio
