// Package auth verifies what players show before they may connect: signed tokens,
// or a shared secret. It also makes such tokens, for the program that sells them.
//
// A token is a JSON Web Token: who the player is ("sub"), which servers it is for
// ("aud"), until when it is good ("exp"), a number that makes it good for one use
// ("jti"), and data of the program's own ("data"). [Signer.Sign] makes one and
// [Verifier.Verify] checks it: signature first, by a key that has one algorithm and
// no other, then everything else. [Used] remembers which were shown. The tokens may be
// of another program, whose keys [ParseKeys] reads.
//
// These are pure functions and values: the time and random bytes come in as
// arguments, and nothing is guarded by a lock. The server that uses them owns the
// set of used tokens. The package knows nothing of HTTP and keeps no passwords.
//
// https://www.rfc-editor.org/rfc/rfc7519.html
package auth
