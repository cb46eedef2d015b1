// Package sessioncore is one end of a godwit session as a value: opening, requests,
// receipts, closing, interruption and resumption, over the channels of a [channel.Mux].
// docs/SESSION.md describes every byte on the wire.
//
// A [Session] is the server's or the client's end. It exists longer than one link: call
// Link when a link opens and Unlink when it closes. Between the two give it datagrams
// with Receive, take datagrams with Append until it returns none, and call Advance when
// Deadline has come. Events returns its events. A Session does no I/O, takes no lock,
// reads no clock and uses no randomness. It is not safe for concurrent use: the lock of
// its link guards it.
//
// It knows nothing of HTTP, of the signatures of tokens, of WebRTC, or of other
// sessions.
package sessioncore
