// Package peer is one WebRTC peer as a value: an ICE agent, the DTLS record
// layer and an SCTP association, glued so that datagrams go in and datagrams and
// events come out. A server's peer has a lite agent, whose checks come to Check; a
// client's has one that sends checks, whose answers come to Answered. Beyond that
// the two roles are one.
//
// A [Peer] does no I/O, starts no goroutine, takes no lock and reads no clock.
// Its owner hands it datagrams with Check and Receive, takes datagrams with
// Append until there are none, and calls Advance when Deadline has come. The
// DTLS handshake itself is not here, because it needs goroutines: the owner runs
// a dtls.Handshake, feeds it what Split returns and reports what comes out of it
// with Flight, Keys, Done and Fail.
//
// It knows nothing of sockets, signaling or other peers.
package peer
