// Package load puts load on a server: many clients in one process, and what they
// see of it. Command godwit-bench is its front end.
//
// A [Transport] makes clients of one kind of server: [Godwit] shakes hands and
// speaks as a web page does, with or without channels, [UDP] sends bare datagrams, as
// the floor to compare with. [Run] connects them, makes one of the modes of load, and
// returns a [Report]. Every message carries the time at which it was sent, so the
// server has to return or spread messages as they are, except for [Play], in which it
// sends what it likes.
//
// Times are of this process's clock, from the call that sends a message to the
// handler that gets it. Messages that are sent at a rate are spread evenly over time
// and clients, except those of one tick, which go out together: how many datagrams
// a server finds when it wakes is what its CPU time depends on most.
package load
