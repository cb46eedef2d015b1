package metrics

import (
	"net/http"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
)

// Handler serves the figures of s to whoever asks with GET. A program with several
// servers gives each a path of its own.
func Handler(s *godwit.Server) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			w.Header().Set("Content-Type", contentType)
			w.Write(Append(nil, s))
		case http.MethodHead:
			w.Header().Set("Content-Type", contentType)
		default:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "use GET", http.StatusMethodNotAllowed)
		}
	})
}

// Append appends the figures of s, as they are now, to b: what Handler serves, for
// whoever writes or pushes it elsewhere.
func Append(b []byte, s *godwit.Server) []byte {
	p := &page{b: b}
	stats := s.Stats()
	p.server(&stats)
	p.sessions(s, stats.Pending)
	t := s.Totals()
	p.totals(&t)
	p.channels(t.Channels)
	if s.RTC() != nil {
		p.rtc(&stats.RTC)
		p.udp(&stats.RTC)
	}
	return p.b
}

// reasons are the labels of the close codes; any other one is "other".
var reasons = []struct {
	code  godwit.CloseCode
	label string
}{
	{godwit.Normal, "normal"}, {godwit.Kicked, "kicked"}, {godwit.ShutDown, "shutdown"},
	{godwit.ProtocolError, "protocol-error"}, {godwit.AuthEnded, "auth"}, {godwit.Replaced, "replaced"},
	{godwit.TimedOut, "timeout"}, {godwit.Duplicate, "duplicate"}, {godwit.LimitMessages, "limit-messages"},
	{godwit.LimitBytes, "limit-bytes"}, {godwit.LimitSize, "limit-size"}, {godwit.LimitEarly, "limit-early"},
	{godwit.LimitRequests, "limit-requests"}, {godwit.ProgramCode, "program"},
}

func (p *page) server(s *godwit.Stats) {
	p.counter("godwit_sessions_opened_total", "Sessions that were ever open.")
	p.add(s.Begun)

	p.counter("godwit_sessions_closed_total", "Sessions that ended, by reason; program is any code of the program's own.")
	var other uint64
	for _, n := range s.Closed {
		other += n
	}
	for _, r := range reasons {
		p.add(s.Closed[r.code], "reason", r.label)
		other -= s.Closed[r.code]
	}
	p.add(other, "reason", "other")

	p.counter("godwit_sessions_left_total", "Sessions that ended, of those that the client ended.")
	p.add(s.Left)
	p.counter("godwit_sessions_refused_total", "Requests for a session refused by authorization, version, table, resume token or MaxConns.")
	p.add(s.Refused)
	p.counter("godwit_broadcast_unsent_total", "Messages of Broadcast and groups that a session had no room for.")
	p.add(s.Unsent)
}

// Bounds of what sessions are counted by: seconds, and shares of packets.
var (
	rttBounds  = []float64{0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2}
	lossBounds = []float64{0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5}
)

// sessions are the figures of the sessions that are open now.
func (p *page) sessions(s *godwit.Server, pending int) {
	var open, interrupted, flying, asking, asked int
	rtt, in, out := newSpread(rttBounds), newSpread(lossBounds), newSpread(lossBounds)
	for c := range s.Conns() {
		st := c.Stats()
		if st.Interrupted {
			interrupted++
		} else {
			open++
		}
		flying += st.InFlight
		asking += st.Asking
		asked += st.Asked
		if st.MinRTT > 0 {
			rtt.note(st.RTT.Seconds())
		}
		in.note(st.LossIn)
		out.note(st.LossOut)
	}
	p.gauge("godwit_sessions", "Sessions by state: being made, open and heard, open and interrupted.")
	p.addInt(pending, "state", "pending")
	p.addInt(open, "state", "open")
	p.addInt(interrupted, "state", "interrupted")

	p.gauge("godwit_sessions_by_rtt", "Open sessions whose smoothed round trip takes at most le seconds; +Inf are all that have measured one.")
	p.addSpread(rtt)
	p.gauge("godwit_sessions_by_loss", "Open sessions that lose at most the share le of packets, smoothed.")
	p.addSpread(in, "direction", "in")
	p.addSpread(out, "direction", "out")

	p.gauge("godwit_session_in_flight_bytes", "Bytes sent and not acknowledged.")
	p.addInt(flying)
	p.gauge("godwit_session_requests", "Requests without an answer: those of clients in, own ones out.")
	p.addInt(asked, "direction", "in")
	p.addInt(asking, "direction", "out")
}

func (p *page) totals(t *godwit.Totals) {
	p.counter("godwit_session_packets_total", "Packets of sessions.")
	p.addWays(t.PacketsIn, t.PacketsOut)
	p.counter("godwit_session_bytes_total", "Bytes of those packets, without what carries them.")
	p.addWays(t.BytesIn, t.BytesOut)
	for _, f := range []struct {
		name, help string
		n          uint64
	}{
		{"ack_packets", "Packets sent that carried nothing but an acknowledgement.", t.AcksOut},
		{"retransmits", "Pieces of messages sent again because they seemed lost.", t.Retransmits},
		{"copies", "Pieces of messages sent again in spare bytes.", t.Copies},
		{"packets_lost", "Packets sent and taken for lost.", t.PacketsLost},
		{"packets_spurious", "Packets taken for lost and acknowledged after all.", t.Spurious},
		{"probe_timeouts", "Probes because no acknowledgement came.", t.Timeouts},
		{"fallbacks", "Times that packets were made smaller, since a path takes no large ones.", t.Fallbacks},
		{"interruptions", "Times that a client was not heard any more.", t.Interruptions},
		{"resumptions", "Times that a session moved to another link.", t.Resumed},
		{"limited", "Unreliable messages of clients dropped for Limits.", t.Limited},
		{"requests_rejected", "Requests of clients rejected for Limits.", t.Rejected},
	} {
		p.counter("godwit_session_"+f.name+"_total", f.help)
		p.add(f.n)
	}
	p.counter("godwit_session_drops_total", "Packets, and frames in them, that came and were not used.")
	for i, n := range t.Drops {
		p.add(n, "cause", channel.DropReason(i).String())
	}
}

// openedLater is the label of the channels that OpenChannel added. A table's names
// have no space, so none of them is the same.
const openedLater = "opened later"

func (p *page) channels(all []godwit.ChannelTotals) {
	// family adds the samples of every channel to the family just begun.
	family := func(samples func(ch *godwit.ChannelTotals, label ...string)) {
		for i := range all {
			name := all[i].Name
			if name == "" {
				name = openedLater
			}
			samples(&all[i], "channel", name)
		}
	}
	p.counter("godwit_channel_messages_total", "Messages sent at least in part, and delivered.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addWays(ch.MessagesIn, ch.MessagesOut, label...) })
	p.counter("godwit_channel_bytes_total", "Bytes of those messages.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addWays(ch.BytesIn, ch.BytesOut, label...) })

	p.counter("godwit_channel_dropped_total", "Messages that were not sent: expired, overflowed the queue, replaced by a newer one, refused for want of room; and that came too late: stale.")
	family(func(ch *godwit.ChannelTotals, label ...string) {
		p.add(ch.Expired, append(label, "cause", "expired")...)
		p.add(ch.Overflowed, append(label, "cause", "overflowed")...)
		p.add(ch.Replaced, append(label, "cause", "replaced")...)
		p.add(ch.OverBudget, append(label, "cause", "over-budget")...)
		p.add(ch.Stale, append(label, "cause", "stale")...)
	})
	p.counter("godwit_channel_retransmits_total", "Pieces of messages sent again because they seemed lost.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.add(ch.Retransmits, label...) })
	p.counter("godwit_channel_copies_total", "Pieces of messages sent again in spare bytes.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.add(ch.Copies, label...) })
	p.counter("godwit_channel_duplicates_total", "Pieces of messages that came again.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.add(ch.Duplicates, label...) })

	p.gauge("godwit_channel_queued_messages", "Messages that wait to be sent.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addInt(ch.Queued, label...) })
	p.gauge("godwit_channel_queue_bytes", "Bytes of QueueLimit in use.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addInt(ch.QueueBytes, label...) })
	p.gauge("godwit_channel_held_bytes", "Bytes that came and are held for reassembly and order.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addInt(ch.Held, label...) })
}
