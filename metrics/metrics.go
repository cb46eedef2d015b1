package metrics

import (
	"net/http"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/session"
)

// Handler returns a handler that answers a GET request with the figures of s, and HEAD
// without a body. It does not authenticate the client. A program with several servers
// serves each at its own path.
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

// Append appends the figures of s to b, as they are now, in the text format of Handler. Use
// it to write or push the figures in another way.
func Append(b []byte, s *godwit.Server) []byte {
	p := &page{b: b}
	stats := s.Stats()
	p.server(&stats)
	p.sessions(s, stats.Pending)
	p.links(&stats.Links)
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
	code  session.CloseCode
	label string
}{
	{session.CloseNormal, "normal"}, {session.CloseKicked, "kicked"}, {session.CloseShutdown, "shutdown"},
	{session.CloseProtocolError, "protocol-error"}, {session.CloseAuth, "auth"}, {session.CloseReplaced, "replaced"},
	{session.CloseTimeout, "timeout"}, {session.CloseDuplicate, "duplicate"}, {session.CloseMoved, "moved"}, {session.CloseLimitMessages, "limit-messages"},
	{session.CloseLimitBytes, "limit-bytes"}, {session.CloseLimitSize, "limit-size"}, {session.CloseLimitEarly, "limit-early"},
	{session.CloseLimitRequests, "limit-requests"}, {session.CloseProgram, "program"},
}

func (p *page) server(s *godwit.Stats) {
	p.counter("godwit_sessions_opened_total", "Sessions that have opened.")
	p.add(s.Begun)

	p.counter("godwit_sessions_closed_total", "Sessions that were open and ended, by reason; program means any code of the program.")
	var other uint64
	for _, n := range s.Closed {
		other += n
	}
	for _, r := range reasons {
		p.add(s.Closed[r.code], "reason", r.label)
		other -= s.Closed[r.code]
	}
	p.add(other, "reason", "other")

	p.counter("godwit_sessions_left_total", "Sessions that the client ended.")
	p.add(s.Left)
	p.counter("godwit_sessions_refused_total", "Connect requests refused: malformed, authorization, version, table, resume token, Duplicates, MaxConns, or too many sessions of the address.")
	p.add(s.Refused)
	p.counter("godwit_direct_links_total", "Links that began without a request, with an invite or to resume, by result; resumed ones are admitted, too.")
	p.add(s.Direct.Admitted, "result", "admitted")
	p.add(s.Direct.Resumed, "result", "resumed")
	p.add(s.Direct.Refused, "result", "refused")
	p.add(s.Direct.Silent, "result", "silent")
	p.counter("godwit_direct_drops_total", "Datagrams of such links that were dropped: packets before the client was admitted, and repetitions of what admits it.")
	p.add(s.Direct.Early, "cause", "early")
	p.add(s.Direct.Repeated, "cause", "repeated")
	p.counter("godwit_broadcast_unsent_total", "Messages of Broadcast and groups that a session did not get: its queue was full, or it was interrupted.")
	p.add(s.Unsent)
}

// Bounds of the labels "le": round trips in seconds, and shares of packets lost.
var (
	rttBounds  = []float64{0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2}
	lossBounds = []float64{0, 0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5}
)

// sessions adds the figures of the sessions that are open now.
func (p *page) sessions(s *godwit.Server, pending int) {
	var open, interrupted, flying, asking, asked int
	byLink := make([]int, len(links))
	rtt, in, out := newSpread(rttBounds), newSpread(lossBounds), newSpread(lossBounds)
	for c := range s.Conns() {
		st := c.Stats()
		if st.Interrupted {
			interrupted++
		} else {
			open++
		}
		byLink[linkLabel(c.Link())]++
		flying += st.InFlight
		asking += st.Asking
		asked += st.Asked
		if st.MinRTT > 0 {
			rtt.note(st.RTT.Seconds())
		}
		in.note(st.LossIn)
		out.note(st.LossOut)
	}
	p.gauge("godwit_sessions", "Sessions by state: pending (not open yet), open, and interrupted.")
	p.addInt(pending, "state", "pending")
	p.addInt(open, "state", "open")
	p.addInt(interrupted, "state", "interrupted")

	p.gauge("godwit_sessions_by_link", "Open and interrupted sessions by the link that they use or used last; other means links of the program.")
	for i, n := range byLink {
		p.addInt(n, "link", links[i])
	}
	p.gauge("godwit_sessions_by_rtt", "Open sessions whose smoothed round trip takes at most le seconds; +Inf are all sessions that have measured one.")
	p.addSpread(rtt)
	p.gauge("godwit_sessions_by_loss", "Open sessions that lose at most the share le of packets, smoothed.")
	p.addSpread(in, "direction", "in")
	p.addSpread(out, "direction", "out")

	p.gauge("godwit_session_in_flight_bytes", "Bytes sent and not acknowledged.")
	p.addInt(flying)
	p.gauge("godwit_session_requests", "Requests without an answer: of clients (in), and of the server (out).")
	p.addInt(asked, "direction", "in")
	p.addInt(asking, "direction", "out")
}

func (p *page) totals(t *godwit.Totals) {
	p.counter("godwit_session_packets_total", "Packets of sessions.")
	p.addWays(t.PacketsIn, t.PacketsOut)
	p.counter("godwit_session_bytes_total", "Bytes of these packets, without SCTP, DTLS and UDP.")
	p.addWays(t.BytesIn, t.BytesOut)
	for _, f := range []struct {
		name, help string
		n          uint64
	}{
		{"ack_packets", "Packets sent that carried only an acknowledgement.", t.AcksOut},
		{"retransmits", "Pieces of messages sent again because they seemed lost.", t.Retransmits},
		{"copies", "Pieces of messages sent again in free space of packets.", t.Copies},
		{"packets_lost", "Packets sent and considered lost.", t.PacketsLost},
		{"packets_spurious", "Packets considered lost and acknowledged later.", t.Spurious},
		{"probe_timeouts", "Times that no acknowledgement arrived and probes were sent.", t.Timeouts},
		{"fallbacks", "Times that packets were made smaller because large ones did not arrive.", t.Fallbacks},
		{"interruptions", "Times that a session was interrupted.", t.Interruptions},
		{"resumptions", "Times that a session moved to another link.", t.Resumed},
		{"limited", "Unreliable messages of clients dropped because of Limits.", t.Limited},
		{"requests_rejected", "Requests of clients rejected because of Limits.", t.Rejected},
	} {
		p.counter("godwit_session_"+f.name+"_total", f.help)
		p.add(f.n)
	}
	p.counter("godwit_session_drops_total", "Packets of clients, and frames in them, that were dropped, by cause.")
	for i, n := range t.Drops {
		p.add(n, "cause", channel.DropReason(i).String())
	}
}

// openedLater is the label of the channels that OpenChannel has added. The name of a
// channel has no space, so no channel of the table has the same label.
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
	p.counter("godwit_channel_messages_total", "Messages sent at least in part (out), and delivered (in).")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addWays(ch.MessagesIn, ch.MessagesOut, label...) })
	p.counter("godwit_channel_bytes_total", "Bytes of those messages, as programs send and get them.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addWays(ch.BytesIn, ch.BytesOut, label...) })
	p.counter("godwit_channel_wire_bytes_total", "Bytes of those messages as packets carry them: fewer on a channel with Compress.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addWays(ch.WireIn, ch.WireOut, label...) })

	p.counter("godwit_channel_dropped_total", "Messages that were not sent: expired, queue overflowed, replaced by a newer one, over-budget (refused by Send); and stale messages, which arrived too late.")
	family(func(ch *godwit.ChannelTotals, label ...string) {
		p.add(ch.Expired, append(label, "cause", "expired")...)
		p.add(ch.Overflowed, append(label, "cause", "overflowed")...)
		p.add(ch.Replaced, append(label, "cause", "replaced")...)
		p.add(ch.OverBudget, append(label, "cause", "over-budget")...)
		p.add(ch.Stale, append(label, "cause", "stale")...)
	})
	p.counter("godwit_channel_retransmits_total", "Pieces of messages sent again because they seemed lost.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.add(ch.Retransmits, label...) })
	p.counter("godwit_channel_copies_total", "Pieces of messages sent again in free space of packets.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.add(ch.Copies, label...) })
	p.counter("godwit_channel_duplicates_total", "Pieces of messages that arrived again.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.add(ch.Duplicates, label...) })

	p.gauge("godwit_channel_queued_messages", "Messages that wait to be sent.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addInt(ch.Queued, label...) })
	p.gauge("godwit_channel_queue_bytes", "Bytes of QueueLimit in use.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addInt(ch.QueueBytes, label...) })
	p.gauge("godwit_channel_held_bytes", "Bytes of messages held for reassembly and order.")
	family(func(ch *godwit.ChannelTotals, label ...string) { p.addInt(ch.Held, label...) })
}
