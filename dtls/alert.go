package dtls

// An Alert is the content of an alert record.
type Alert struct {
	Fatal       bool
	Description uint8
}

// Alert levels and the descriptions that matter here.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.2
const (
	alertWarning          = 1
	alertFatal            = 2
	alertCloseNotify      = 0
	alertHandshakeFailure = 40
	alertLen              = 2
)

// ParseAlert reads the plaintext of an alert record.
func ParseAlert(b []byte) (a Alert, ok bool) {
	// level(1) description(1)
	if len(b) != alertLen || b[0] != alertWarning && b[0] != alertFatal {
		return Alert{}, false
	}
	return Alert{Fatal: b[0] == alertFatal, Description: b[1]}, true
}

// closeNotify reports whether the alert is a close_notify: the peer has closed.
func (a Alert) closeNotify() bool { return a.Description == alertCloseNotify }

// Closes reports whether the alert ends the connection. Warnings such as user_canceled and
// no_renegotiation do not end it.
func (a Alert) Closes() bool { return a.Fatal || a.closeNotify() }

// AppendCloseNotify appends the plaintext of a close_notify.
func AppendCloseNotify(b []byte) []byte { return append(b, alertWarning, alertCloseNotify) }
