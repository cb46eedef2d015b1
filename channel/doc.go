// Package channel gives promises to datagrams that get lost: messages that arrive
// once, in order or at least never older than the last one, over a link that
// loses, reorders, doubles and delays. docs/PROTOCOL.md has every byte of it.
//
// A [Mux] is one end of a link. It does no I/O, reads no clock and draws no
// randomness. Give it datagrams with [Mux.Receive] and messages with [Mux.Send],
// then take packets with [Mux.Append] until it has none, take what happened with
// [Mux.Events], and call [Mux.Advance] when [Mux.Deadline] has come. Same calls,
// same bytes. A Mux is not safe for concurrent use: whoever holds the link's lock
// holds the Mux.
//
// It does not encrypt, authenticate or find its peer, and knows nothing of WebRTC:
// the link below brings datagrams of one peer only, and brings them undamaged.
// Sessions, requests and groups are built above, on the [Control] channel.
//
// # Promises
//
// [Channels] is the table both ends share. An [Unreliable] message arrives at most
// once; a [Sequenced] one also never after a newer one of its channel; a
// [ReliableUnordered] one exactly once; a [ReliableOrdered] one exactly once and in
// the order of its channel. Nothing is promised between channels. The promises of
// the reliable modes outlive the link: after [Mux.Relink] they hold over the next.
//
// # Memory
//
// Send copies; [Mux.SendShared] does not, and says when it is done with the bytes. A
// message that arrived whole is a view of the datagram; one that had to wait or was put
// together from fragments is the Mux's own memory, which [Mux.Release] takes back for
// use again. What a peer can make a Mux hold is bounded by the table:
// [Channels.MaxHeld].
package channel
