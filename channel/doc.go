// Package channel sends messages with promises over a link that loses, reorders,
// duplicates and delays datagrams: a message arrives once, in order, or at least never
// after a newer one. docs/PROTOCOL.md describes every byte on the wire.
//
// A [Mux] is one end of a link. It does no I/O, reads no clock and uses no randomness.
// Give it datagrams with [Mux.Receive] and messages with [Mux.Send]. Then take packets
// with [Mux.Append] until it returns none, and take events with [Mux.Events]. Call
// [Mux.Advance] when [Mux.Deadline] has come. The same calls give the same bytes. A Mux
// is not safe for concurrent use: its caller has a lock.
//
// A Mux does not encrypt, authenticate or find its peer, and knows nothing of WebRTC.
// The link below must bring only datagrams of one peer, without changes. Package godwit
// builds sessions, requests and groups above, on the [Control] channel.
//
// # Promises
//
// [Channels] is the table that both ends share. An [Unreliable] message arrives at most
// once. A [Sequenced] message arrives at most once, and never after a newer message of
// its channel. A [ReliableUnordered] message arrives exactly once. A [ReliableOrdered]
// message arrives exactly once and in the order of its channel. There is no order between
// messages of different channels. The promises of the reliable modes still hold when the
// link is replaced with [Mux.Relink].
//
// # Memory
//
// Send copies the message. [Mux.SendShared] does not copy it, and calls Shared.Done when
// the Mux does not need the bytes any more. A message that arrives whole and in turn is a
// view of the datagram. A message that had to wait, or was assembled from fragments, is
// in memory of the Mux, which [Mux.Release] gives back to the Mux. The table limits what
// a peer can make a Mux hold: see [Channels.MaxHeld].
package channel
