package sctp

import "fmt"

// The functions in this file are for tests and logs. The processing of packets does not
// call them.

func (t EventType) String() string {
	return name(int(t), "", "established", "channel open", "channel closed", "channel refused", "message", "closed", "echo")
}

func (k Kind) String() string { return name(int(k), "text", "binary") }

func (r CloseReason) String() string {
	return name(int(r), "", "aborted by peer", "shut down by peer", "no answer to INIT",
		"no answer to COOKIE ECHO", "peer lacks partial reliability")
}

func (r RefuseReason) String() string {
	return name(int(r), "", "reliable channel", "too many channels",
		"stream of the other side", "malformed opening", "bad label or protocol")
}

func (r Reliability) String() string {
	return name(int(r), "reliable", "retransmits", "lifetime")
}

func (r DropReason) String() string {
	return name(int(r), "", "short", "port", "checksum", "malformed", "tag", "state",
		"chunk", "unknown chunk", "cookie", "restart", "unsupported", "sack", "stale sack",
		"forward", "reset", "heartbeat", "echo", "window", "refused",
		"no data", "ppid", "text", "dcep", "channels", "closed channel", "too large",
		"expired", "evicted", "forwarded", "order")
}

func name(i int, names ...string) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown %d", i)
}
