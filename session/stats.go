package session

import (
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

// Stats are the figures of a session at one end. The counters continue when the session
// moves to another link.
type Stats struct {
	channel.Stats // packets, loss, round trips, rates, queues, drops by cause

	Age           time.Duration // time since the session began: since the client's connect request
	LastHeard     time.Duration // time since the last packet arrived
	Interrupted   bool          // the session is interrupted now
	Interruptions uint64        // times the session was interrupted
	Resumed       uint32        // times the session moved to another link
	Limited       uint64        // unreliable messages dropped because of Limits
	Rejected      uint64        // requests of the other end rejected because of Limits
	Asking        int           // requests of this end without an answer
	Asked         int           // requests of the other end without an answer
}
