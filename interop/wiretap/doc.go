// Package wiretap keeps the datagrams that pass a relay and opens them.
//
// A [Tap] is hung into a netsim.Relay and given to the server as its key log.
// What it has heard can be told line by line with [Tap.WriteTo], to see where a
// connection loses time, or taken apart with [Open], to keep what browsers send
// as test data.
//
// It is a tool of the tests: it keeps everything and bounds nothing.
package wiretap
