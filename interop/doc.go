// Package interop holds the tests of godwit against the real thing: Chromium, Firefox
// and WebKitGTK at the other end, nginx between, and pion/webrtc as the server to
// compare with.
//
// Its tests call t.Parallel; one that must be alone says why. Parallel tests share one browser of each
// kind, unless a page must be in front: see inFront.
//
// It is a module of its own so that what it needs stays out of godwit's go.mod.
package interop
