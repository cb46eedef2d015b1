// Package icectl implements the client's side of ICE towards a lite server: the
// controlling agent of RFC 8445, which sends the connectivity checks.
//
// An [Agent] is one client. It checks the server's candidates in turn until one
// answers, nominates that one, and goes on checking it: that keeps NAT bindings
// and the server's consent alive, and tells when the server is gone. It believes
// nothing but answers to its own checks, made with the server's password. An
// Agent does no I/O, reads no clock, draws no randomness, and is not safe for
// concurrent use.
//
// The package is not for full agents at the other end: it gathers no candidates,
// forms no pairs and answers no checks, which a lite server never sends.
package icectl
