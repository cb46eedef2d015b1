// Package sctp implements the part of SCTP that a browser's data channels need: one
// association over DTLS. It sends whole messages, unordered and unreliable, and
// reassembles received messages within limits. It follows RFC 9260 (SCTP), RFC 3758
// (partial reliability), RFC 6525 (stream reset), and RFC 8831 and RFC 8832 (data
// channels).
//
// An [Assoc] does no I/O, reads no clock and uses no randomness. Give it packets with
// [Assoc.Receive]; after a batch of packets call [Assoc.Flush]. Take packets with
// [Assoc.Append] until it returns none, or send a message with [Assoc.AppendMessage].
// Call [Assoc.Advance] when [Assoc.Deadline] has come. The same calls give the same
// bytes. An Assoc is not safe for concurrent use.
//
// An Assoc does not send a message again, does not split messages, and has no
// congestion control: the layer above must add them if it needs them. An Assoc has one
// path. There are no restarts, no multihoming, no zero checksums and no message
// interleaving.
//
// The program examples/parts is a whole server made of sdp, icelite, dtls and sctp.
//
// # Acknowledgement
//
// The congestion control of a browser slows down after each gap in a SACK, even on a
// channel that never retransmits. So if honest acknowledgement has no advantage, an
// Assoc acknowledges eagerly: it acknowledges everything up to the highest TSN that it
// has seen, and reports no gaps.
//
//   - With [AckAuto] it is honest for 100 ms after the first data have arrived, and after each
//     opening of a channel. Then it stays honest until all TSNs up to the highest one of
//     these 100 ms have arrived, but for at most 3 s more. There are two reasons: the peer
//     must send a lost opening again, and channels are opened in groups. After that it is
//     eager.
//   - A stream with data that was not opened is a negotiated channel. It counts as unreliable
//     and unordered.
//   - An opening that is lost during eager acknowledgement is not sent again: its channel
//     works like a negotiated one, without a label. If reliable channels are allowed, a page
//     should open them first. When a message arrives before which all is acknowledged, it does
//     not wait for the opening, nor for messages that were lost, or are late, because they were
//     acknowledged eagerly.
//   - While a channel is open on which the peer may retransmit, an Assoc is honest in every
//     mode. This does not include an ordered channel that never retransmits: its missing
//     messages will not arrive, so no message waits for them. Its messages are delivered as
//     they arrive, and a message that arrives after a later one is dropped.
//   - A safety valve measures the loss in windows of at least 500 ms and 16 TSNs: after four
//     windows in a row above 40 % an Assoc is honest, and after four in a row at 30 % or below
//     it is eager again.
//
// Acknowledgement and delivery are independent: a packet that arrives late, by up to
// 4096 TSNs, is delivered once, even if it was acknowledged before it arrived. Late
// packets of a channel that the peer has reset are dropped.
//
// SACKs report only as many gaps and duplicates as the bytes received since the last
// reports allow, so all SACKs together are not larger than the packets received. Two gaps,
// the first and the newest, may be in each SACK nevertheless.
//
// # Restart
//
// The local tag and initial TSN of an Assoc never change, so the answer to an INIT is
// the same in every state, except for the cookie. A running association accepts only
// the cookie of its own peer and drops the cookie of another. So an association cannot
// be restarted. That is no disadvantage: inside DTLS a peer that begins again has a new
// DTLS connection.
package sctp
