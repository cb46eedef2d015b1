package session

// Limits of the parts of a session, in bytes.
const (
	// MaxHello is the longest connect message, 1024.
	MaxHello = 1024
	// MaxName is the longest name of a request, 64.
	MaxName = 64
	// MaxRequest is the largest request or reply, 65,466: a little less than 64 KiB.
	MaxRequest = maxControl - 1 - 4 - 1 - MaxName
	// MaxText is the longest text of a close or of a rejection, 256. A longer text is cut.
	MaxText = 256
	// MaxMove is the longest JSON of a seat to which a server moves a session, 4096.
	MaxMove = 4096

	maxControl = 64 << 10 // the largest message of the session's own channel
)

// Limits limit what the other end may send: Messages and Bytes of payload per second, of
// which twice as many may arrive at once, and the number of Requests without an answer.
// A request counts as a message, too, and a compressed message with the bytes that it
// inflates to. At a server, zero means 1000, 1 MiB and 64; at a
// client, no limit of messages and bytes, and 64 requests. Negative means no limit.
//
// An end drops and counts an unreliable or sequenced message that exceeds Messages or
// Bytes. A reliable message or a request that exceeds them ends the session with
// CloseLimitMessages or CloseLimitBytes, because the channel promises to deliver it. An
// end rejects a request that exceeds Requests. A message larger than its channel allows
// ends the session with CloseLimitSize; an end with the same table never sends one.
type Limits struct {
	Messages int
	Bytes    int
	Requests int
}
