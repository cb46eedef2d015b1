// Package auth verifies the credentials of players before they may connect: signed tokens,
// or a shared secret. It also signs tokens and makes invites, for the program that gives them to
// players.
//
// A token is a JSON Web Token. It says who the player is ("sub"), which servers it is for
// ("aud"), and when it expires ("exp"). It has an id, so that it can be used only once
// ("jti"), and data of the program ("data"). [Signer.Sign] makes a token. [Verifier.Verify]
// checks the signature, with a key that has exactly one algorithm, and then the claims.
// [Used] remembers the tokens that were used. Another program may sign the tokens:
// [ParseKeys] reads its keys.
//
// An invite is all that a client needs to connect to a server without a request to a web server:
// addresses, fingerprint and ICE credentials that are made with the server's [InviteKey]. An
// [Inviter] makes an [Invite], in any program that has the key. An invite is good once, and says who the
// player is.
//
// The package has pure functions and values: the time and random bytes are arguments, and
// there are no locks. The server that uses the package owns the set of used tokens. The
// package knows nothing of HTTP and stores no passwords.
//
// https://www.rfc-editor.org/rfc/rfc7519.html
package auth
