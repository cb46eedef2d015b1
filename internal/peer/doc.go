// Package peer is one WebRTC peer as a value: an ICE agent, the DTLS record layer and
// an SCTP association. Datagrams go in; datagrams and events come out. The peer of a
// server has a lite agent; Check answers its checks. The peer of a client has an agent
// that sends checks; Answered processes the answers. There is no other difference
// between the two roles.
//
// A [Peer] does no I/O, starts no goroutine, takes no lock and reads no clock. Its
// owner gives it datagrams with Check or Answered and Receive, takes datagrams with
// Append until it returns none, and calls Advance when Deadline has come. The DTLS
// handshake needs goroutines, so it is not here: the owner runs a dtls.Handshake, gives
// it the datagrams that Receive returns for it, and gives the events of the Handshake
// to ProcessHandshake.
//
// It knows nothing of sockets, signaling or other peers.
package peer
