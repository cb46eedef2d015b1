package channel

import "github.com/godwit-rtc/godwit/internal/deflate"

// maxWire returns the size in bytes of the largest message as packets carry it.
func (c *Channel) maxWire() int {
	if c.Compress {
		return c.MaxMessage + 1
	}
	return c.MaxMessage
}

// Packs reports whether a message of n bytes on a channel should be sent with SendPacked.
func (m *Mux) Packs(ch ID, n int) bool {
	if n < deflate.Least || int(ch) >= len(m.senders) {
		return false
	}
	c := m.senders[ch].cfg
	return c.Compress && n <= c.MaxMessage
}

// maxUnpacked is the number of inflated bytes after which one call of Events returns no more: what
// waits for a missing message may be thousands of messages, of which each inflates to MaxMessage.
const maxUnpacked = 1 << 20

// unpackEvents is Events if messages on channels with Compress are among the events.
func (m *Mux) unpackEvents(evs []Event) []Event {
	n := 0
	for i := range m.events {
		ev := &m.events[i]
		if n > maxUnpacked {
			m.leave(i)
			return evs
		}
		if ev.packed {
			if !m.unpack(ev) {
				continue
			}
			n += len(ev.Payload)
		}
		evs = append(evs, *ev)
	}
	m.leave(len(m.events))
	return evs
}

// leave removes the first n events. The others do not depend on a datagram any more.
func (m *Mux) leave(n int) {
	rest := m.events[:copy(m.events, m.events[n:])]
	clear(m.events[len(rest):])
	for i := range rest {
		if ev := &rest[i]; !ev.owned && len(ev.Payload) > 0 {
			ev.Payload, ev.owned = append(m.pool.get(len(ev.Payload))[:0], ev.Payload...), true
		}
	}
	m.events, m.more = rest, len(rest) > 0
	if m.packed = m.more; !m.more && cap(m.events) > keptEvents {
		m.events = nil
	}
}

// More reports whether the last call of Events has left events for another call. Then Deadline
// has come.
func (m *Mux) More() bool { return m.more }

// unpack puts the message of ev, which came on a channel with Compress, in place of what packets
// have carried. It returns false if nobody gets the message: the channel or the link is closed at
// this end, or the message is malformed or inflates beyond MaxMessage. Then unpack also counts
// that and breaks the channel: a message after it would come out of order.
func (m *Mux) unpack(ev *Event) bool {
	r, b, owned := m.receivers[ev.Channel], ev.Payload, ev.owned
	switch {
	case r.broken || r.stopped:
	case len(b) > 0 && b[0] == deflate.AsIs && !owned:
		ev.Payload = b[1:]
	case len(b) > 0 && b[0] == deflate.AsIs:
		ev.Payload, owned = b[:copy(b, b[1:])], false // at its beginning, or the pool would not take it back
	case len(b) > 0 && b[0] == deflate.Deflated:
		ev.Payload, ev.owned = m.inflate(r, b[1:]), true
	default:
		m.spoil(r)
	}
	if owned {
		m.pool.put(b)
	}
	if r.broken || r.stopped {
		return false
	}
	r.stats.count(len(b), len(ev.Payload))
	return true
}

func (m *Mux) inflate(r *receiver, b []byte) []byte {
	d := deflate.TakeReader()
	defer d.Return()
	out, err := d.Inflate(b, r.cfg.MaxMessage)
	if err != nil {
		m.spoil(r)
		return nil
	}
	return append(m.pool.get(len(out))[:0], out...)
}

func (m *Mux) spoil(r *receiver) {
	r.broken = true
	m.drop(DropInflate)
}
