// Package webtransport lets the clients of a godwit server use WebTransport, where a browser
// has no WebRTC or its UDP port is open and WebRTC is not: [Serve] serves it on the UDP port
// of the server.
//
// It is a module of its own, because it needs quic-go. The server tells QUIC from WebRTC by the
// first byte of a datagram (RFC 9443), admits every client with one request, and gives it a
// ticket for each link. A WebTransport carries one packet of a session in each datagram. It
// loses and reorders as UDP does. Streams are not used and not accepted.
//
// An idle session takes 13 goroutines, of which two are of this package, and about 150 KB;
// WebRTC has no goroutine. So this package is not for many thousands of clients.
package webtransport
