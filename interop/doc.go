// Package interop holds the tests of godwit against the real thing: Chromium, Firefox
// and WebKitGTK at the other end, nginx between, and pion/webrtc as the server to
// compare with.
//
// It is a module of its own so that what it needs stays out of godwit's go.mod.
package interop
