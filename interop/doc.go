// Package interop holds the tests of godwit against the real thing: Chromium
// and Firefox at the other end, and pion/webrtc as the server to compare with.
//
// It is a module of its own so that what it needs stays out of godwit's go.mod.
package interop
