// Package icectl implements the client's side of ICE towards a lite server: the
// controlling agent of RFC 8445, which sends the connectivity checks.
//
// An [Agent] is for one client. It sends checks to the server's candidates, one after
// the other, until one answers. It nominates this candidate and continues to send
// checks to it: they keep NAT bindings and the server's consent, and show whether the
// server still answers. The Agent accepts only answers to its own checks that were made
// with the server's password. It does no I/O, reads no clock, uses no randomness, and
// is not safe for concurrent use.
//
// The package is not for a full agent at the other end: it gathers no candidates, forms
// no pairs and answers no checks, which a lite server never sends.
package icectl
