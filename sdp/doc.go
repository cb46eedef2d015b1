// Package sdp reads the offer of a browser that wants a data channel and writes
// the answer; for clients that are no browsers it writes the offer and reads the
// answer.
//
// [ParseOffer] takes what RTCPeerConnection.createOffer made and returns the few
// facts a server needs, each one checked, or an error that tells the page's
// author what is wrong. [Answer] writes the reply of an ICE-lite server with its
// addresses in it, so that nothing has to be trickled. Everything an answer
// repeats from the offer is made of token characters only. [Offer.Append] and
// [ParseAnswer] are the client's half. The package is pure functions over bytes.
//
// It is not an SDP library: media other than one data channel is refused in the
// answer, except the section that carries the connection of a bundle, which is accepted
// and sends nothing; candidates in the offer are ignored, because an ICE-lite server learns
// the peer's addresses from its checks, and nothing is renegotiated.
package sdp
