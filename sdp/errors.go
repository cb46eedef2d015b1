package sdp

import "errors"

// Errors of ParseOffer and ParseAnswer. There are more of them, which have no names. The texts
// are for the author of the program that has sent the SDP, and contain nothing of the SDP.
var (
	ErrTooLarge      = errors.New("sdp: larger than 32 KiB")
	ErrNotSDP        = errors.New("sdp: not SDP: the first line is not v=0 (send pc.localDescription.sdp, not JSON)")
	ErrNoDataChannel = errors.New("sdp: offer has no data channel (call pc.createDataChannel before pc.createOffer)")
)

var (
	errTooManyLines           = errors.New("sdp: more than 1024 lines")
	errTooManyMedia           = errors.New("sdp: more than 32 m= lines")
	errLineTooLong            = errors.New("sdp: a line is longer than 2048 bytes")
	errMediaLine              = errors.New("sdp: malformed m= line")
	errMid                    = errors.New("sdp: malformed a=mid")
	errNoUfrag                = errors.New("sdp: no a=ice-ufrag")
	errUfrag                  = errors.New("sdp: a=ice-ufrag is not 4 to 256 letters, digits, + or /")
	errNoPwd                  = errors.New("sdp: no a=ice-pwd")
	errPwd                    = errors.New("sdp: a=ice-pwd is not 22 to 256 letters, digits, + or /")
	errNoFingerprint          = errors.New("sdp: no a=fingerprint")
	errFingerprint            = errors.New("sdp: malformed a=fingerprint")
	errUnsupportedFingerprint = errors.New("sdp: no a=fingerprint is sha-256, sha-384 or sha-512")
	errSetup                  = errors.New("sdp: a=setup is missing, or not one of actpass (in an offer), active and passive")
	errSCTPPort               = errors.New("sdp: malformed a=sctp-port")
	errMaxMessageSize         = errors.New("sdp: malformed a=max-message-size")
	errRejected               = errors.New("sdp: the answer rejects the data channel")
	errNotLite                = errors.New("sdp: the answer is not of an ICE-lite server: it has no a=ice-lite")
)
