// Package sctp implements the part of SCTP that a browser's data channels need:
// one association over DTLS, whole unordered unreliable messages out, bounded
// reassembly in. It follows RFC 9260 (SCTP), RFC 3758 (partial reliability),
// RFC 6525 (stream reset), and RFC 8831 and RFC 8832 (data channels).
//
// An [Assoc] does no I/O, reads no clock and draws no randomness. Give it packets
// with [Assoc.Receive]; after a batch of them call [Assoc.Flush]; take packets with
// [Assoc.Append] until it has none, or send a message with [Assoc.AppendMessage];
// call [Assoc.Advance] when [Assoc.Deadline] has come. Same calls, same bytes. An
// Assoc is not safe for concurrent use.
//
// It never retransmits a message, never fragments one and has no congestion
// control: a layer above that wants those brings its own. It has one path and
// neither restarts nor multihoming, and it does not take part in zero-checksum or
// message interleaving.
//
// # Acknowledgement
//
// A browser's congestion control takes each gap in a SACK for congestion, even on
// a channel that never retransmits. So where nothing is to be gained from the
// truth, an Assoc acknowledges eagerly: the highest TSN it has seen, and no gaps.
//
//   - With [AckAuto] it is honest for the first 100 ms after the association and
//     after each channel's opening, then until nothing is missing below the last
//     TSN seen in that time, because an opening message that is lost must be sent
//     again, and openings come in groups; but not for more than 3 s longer. After
//     that it is eager.
//   - A stream that carries data and was never opened is a negotiated channel and
//     counts as unreliable and unordered.
//   - An opening that is lost while acknowledgement is eager is not sent again: its
//     channel works as a negotiated one, without a label. Where reliable channels
//     are allowed, a page should open those first.
//   - While a channel is open whose messages the peer may retransmit, it is honest,
//     in every mode. A channel that is ordered and never retransmits is none: nothing
//     that is missing will come, so nothing waits for it. Its messages are delivered
//     as they come, and one that a later one has overtaken is dropped.
//   - A safety valve looks at the loss in windows of at least 500 ms and 16 TSNs:
//     after four windows in a row above 40 % it is honest, after four in a row at
//     30 % or below eager again.
//
// What was acknowledged and what was delivered are kept apart: a packet that
// arrives late, up to 4096 TSNs, is delivered once, even if it was acknowledged
// before it came. What comes late of a channel that the peer has reset is dropped.
//
// A SACK tells of gaps and duplicates as far as what was received since the last ones
// pays for it: all of them together are no larger than what came, except two gaps
// each, the first and the newest.
//
// # Restart
//
// The local tag and initial TSN of an Assoc never change, so every INIT is
// answered, in every state, with the same INIT-ACK except the cookie. A running
// association accepts only the cookie of the peer it is running with; a cookie
// that names another one is dropped. Nobody can restart an association, which
// costs nothing here: inside DTLS a peer that starts over has a new session.
package sctp
