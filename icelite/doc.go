// Package icelite implements the server's side of ICE: the lite agent of
// RFC 8445, which answers connectivity checks and never sends one.
//
// An [Agent] is one peer. A [Request] reads one datagram and tells whose it is;
// the agent with that username fragment verifies it, remembers the address it
// came from, selects the address to send to, and writes the response. Every
// address must be proved before it is sent more than three times what came from
// it, and no address is sent anything without a recent check. An Agent does no
// I/O, reads no clock, and is not safe for concurrent use.
//
// The package is not for the side that sends checks: it gathers no candidates,
// forms no pairs, and does not restart. A new session is a new Agent.
package icelite
