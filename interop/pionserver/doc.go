// Package pionserver is a data-channel server on pion/webrtc, the peer that
// godwit is compared with: ICE-lite, every connection on one UDP port, detached
// channels, and the same signaling.
//
// It is a tool of the tests and benchmarks, with a goroutine per channel and no
// limits; do not use it on the internet.
package pionserver
