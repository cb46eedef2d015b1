package auth

// An Error says why credentials are refused.
type Error struct{ reason, text string }

// NewError returns an Error of a program's own. reason is one word for the client's
// program, text is for the author of that program.
func NewError(reason, text string) *Error { return &Error{reason, text} }

// Reason is one word for the client's program. The reasons of this package are algorithm,
// audience, busy, claims, data, expired, forged, id, lifetime, malformed, missing, not-yet,
// replayed, subject, unknown-key and wrong.
func (e *Error) Reason() string { return e.reason }

// Text is for the author of the client's program.
func (e *Error) Text() string { return e.text }

func (e *Error) Error() string { return "auth: " + e.text }

// The reasons on which a program may act. For the other reasons of a refusal there is
// [Error.Reason].
var (
	ErrMissing  = &Error{"missing", "no token: send it as Authorization: Bearer"}
	ErrExpired  = &Error{"expired", "the token has expired: get a fresh one"}
	ErrReplayed = &Error{"replayed", "the token was used before: get a fresh one"}
	ErrBusy     = &Error{"busy", "the server cannot remember more used tokens now: try again later"}
	ErrWrong    = &Error{"wrong", "the secret is wrong"}
)

var (
	errMalformed  = &Error{"malformed", "not a JSON Web Token, or not all of one"}
	errClaims     = &Error{"claims", "the token has a claim twice, or in other letters (\"Sub\" for \"sub\"): two readers could read different values"}
	errAlgorithm  = &Error{"algorithm", "the token's algorithm is not the one of its key"}
	errUnknownKey = &Error{"unknown-key", "the token is signed with a key that this server does not have: was it rotated out?"}
	errForged     = &Error{"forged", "the token's signature is wrong: it was changed, or signed with another key"}
	errNotYet     = &Error{"not-yet", "the token is not valid yet: compare the clocks of the signer and of this server"}
	errLifetime   = &Error{"lifetime", "the token is valid for longer than this server accepts: make it expire sooner"}
	errAudience   = &Error{"audience", "the token is for another server: see its \"aud\""}
	errSubject    = &Error{"subject", "the token has no \"sub\" of 1 to 256 bytes"}
	errID         = &Error{"id", "the token has no \"jti\" of 1 to 256 bytes, so its use cannot be limited to one"}
	errData       = &Error{"data", "the token's \"data\" is larger than 1024 bytes, or is not JSON"}
)
