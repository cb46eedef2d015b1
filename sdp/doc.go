// Package sdp reads a browser's offer of a data channel and writes the answer. For clients
// that are not browsers it writes the offer and reads the answer.
//
// [ParseOffer] reads the SDP of RTCPeerConnection.createOffer. It returns the values that a
// server needs, each one checked, or an error that tells the page's author what is wrong.
// [Answer] writes the answer of an ICE-lite server, with the server's addresses, so that
// candidates need not be sent later. An answer repeats from the offer only token
// characters, so an offer cannot add lines to it. [Offer.Append] and [ParseAnswer] are for
// the client. The package has only pure functions over bytes.
//
// It is not an SDP library. The answer accepts one data channel and rejects other media,
// except the section that carries the connection of a bundle, which it accepts as inactive.
// It ignores candidates in the offer, because an ICE-lite server learns the peer's addresses
// from its checks. There is no renegotiation.
//
// The program examples/parts is a whole server made of sdp, icelite, dtls and sctp.
package sdp
