// Package wiretap keeps the datagrams that pass a relay and opens them.
//
// A [Tap] belongs to a netsim.Relay, and is the key log of the server. [Tap.WriteTo]
// writes one line for each datagram, to show where a connection loses time. [Open]
// decrypts the datagrams, to keep the packets of browsers as test data.
//
// It is a tool for tests: it keeps all datagrams and has no limits.
package wiretap
