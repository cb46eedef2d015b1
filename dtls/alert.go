package dtls

// Alert levels and the descriptions that matter here.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.2
const (
	alertWarning          = 1
	alertFatal            = 2
	alertCloseNotify      = 0
	alertHandshakeFailure = 40
	alertLen              = 2
)

// AlertCloses reports whether an alert record with this plaintext ends the connection: it
// is fatal, or a close_notify. Warnings such as user_canceled and no_renegotiation do not
// end it.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.2.1
func AlertCloses(b []byte) bool {
	// level(1) description(1)
	return len(b) == alertLen && (b[0] == alertFatal || b[0] == alertWarning && b[1] == alertCloseNotify)
}

// AppendCloseNotify appends the plaintext of a close_notify.
func AppendCloseNotify(b []byte) []byte { return append(b, alertWarning, alertCloseNotify) }
