// Package icelite implements the server's side of ICE: the lite agent of
// RFC 8445, which answers connectivity checks and never sends one.
//
// An [Agent] is for one peer. A [Request] reads one datagram; its username fragment says
// which agent it is for. The agent verifies the request, remembers the address it came
// from, selects the address to send to, and writes the response. Before an address is
// proved, at most three times as many bytes may be sent to it as have arrived from it. No
// datagram may be sent to an address without a recent valid check or answer to a challenge.
// An Agent does no I/O, reads no clock, and is not safe for concurrent use.
//
// The package is not for the end that sends checks: it gathers no candidates, forms no
// pairs, and does not restart. A new session needs a new Agent.
//
// The program examples/parts is a whole server made of sdp, icelite, dtls and sctp.
package icelite
