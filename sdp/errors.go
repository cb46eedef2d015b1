package sdp

import "errors"

// Errors of ParseOffer and ParseAnswer. Their texts are for the author of the program that
// has sent the SDP, and contain nothing of the SDP.
var (
	ErrTooLarge               = errors.New("sdp: larger than 32 KiB")
	ErrTooManyLines           = errors.New("sdp: more than 1024 lines")
	ErrTooManyMedia           = errors.New("sdp: more than 32 m= lines")
	ErrLineTooLong            = errors.New("sdp: a line is longer than 2048 bytes")
	ErrNotSDP                 = errors.New("sdp: not SDP: the first line is not v=0 (send pc.localDescription.sdp, not JSON)")
	ErrMediaLine              = errors.New("sdp: malformed m= line")
	ErrMid                    = errors.New("sdp: malformed a=mid")
	ErrNoDataChannel          = errors.New("sdp: offer has no data channel (call pc.createDataChannel before pc.createOffer)")
	ErrNoUfrag                = errors.New("sdp: no a=ice-ufrag")
	ErrUfrag                  = errors.New("sdp: a=ice-ufrag is not 4 to 256 letters, digits, + or /")
	ErrNoPwd                  = errors.New("sdp: no a=ice-pwd")
	ErrPwd                    = errors.New("sdp: a=ice-pwd is not 22 to 256 letters, digits, + or /")
	ErrNoFingerprint          = errors.New("sdp: no a=fingerprint")
	ErrFingerprint            = errors.New("sdp: malformed a=fingerprint")
	ErrUnsupportedFingerprint = errors.New("sdp: no a=fingerprint is sha-256, sha-384 or sha-512")
	ErrSetup                  = errors.New("sdp: a=setup is missing, or not one of actpass (in an offer), active and passive")
	ErrSCTPPort               = errors.New("sdp: malformed a=sctp-port")
	ErrMaxMessageSize         = errors.New("sdp: malformed a=max-message-size")
	ErrRejected               = errors.New("sdp: the answer rejects the data channel")
	ErrNotLite                = errors.New("sdp: the answer is not of an ICE-lite server: it has no a=ice-lite")
)
