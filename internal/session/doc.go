// Package session is one end of a godwit session as a value: opening, requests,
// receipts, closing, silence and resumption, over the channels of a [channel.Mux].
// docs/SESSION.md has every byte of it.
//
// A [Session] is a server's end or a client's. It outlives its link: tell it of a
// link with Link and of its end with Unlink. In between, give it datagrams with
// Receive, take datagrams with Append until it has none, and call Advance when
// Deadline has come. What happened is in Events. It does no I/O, takes no lock,
// reads no clock and draws no randomness, and is not safe for concurrent use:
// whoever holds the lock of its link holds the session.
//
// It knows nothing of HTTP, tokens' signatures, WebRTC, or of other sessions.
package session
