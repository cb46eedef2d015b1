// Package session has the words of a session, which are the same at both ends: why it
// ended, the request of the other end and its answer, limits, errors and figures.
//
// A session is between a server and one client: channels with promises, requests in both
// directions, and a lifetime that is longer than that of one connection. [End] has the
// methods that code for both ends needs. Package godwit has the server's end, and both ends
// of a session within the process; package client has the client's end of a native program.
// The words of single messages are those of package channel: the table, [channel.Options],
// [channel.MessageID] and [channel.Fate].
//
// The package does no I/O and begins no session. Package godwit has aliases of the types
// that its Handler and its Config name. docs/SESSION.md describes the protocol.
package session
