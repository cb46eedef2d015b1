package metrics

import (
	"maps"
	"slices"
	"strconv"

	"github.com/godwit-rtc/godwit/rtcserver"
)

// linkEnds are the labels of the ways that a connection ends. No connection ends with
// zero.
var linkEnds = [len(rtcserver.Stats{}.Closed)]string{
	rtcserver.CloseByServer: "server", rtcserver.CloseByPage: "page", rtcserver.CloseShutdown: "shutdown",
	rtcserver.CloseTimeout: "timeout", rtcserver.CloseNeverCame: "never-came",
	rtcserver.CloseNoHandshake: "no-handshake", rtcserver.CloseNoAssociation: "no-association",
}

// refusals are the labels of the reasons why a channel was refused.
var refusals = [len(rtcserver.Stats{}.ChannelsRefused)]string{
	rtcserver.RefusedReliable: "reliable", rtcserver.RefusedTooMany: "too-many", rtcserver.RefusedMalformed: "malformed",
}

func (p *page) rtc(s *rtcserver.Stats) {
	p.counter("godwit_rtc_offers_answered_total", "Offers of connections that were answered.")
	p.add(s.Offers)
	p.counter("godwit_rtc_snaps_total", "Connections that need no handshake of SCTP.")
	p.add(s.SNAPs)
	p.counter("godwit_rtc_offers_refused_total", "Offers of connections refused, by HTTP status.")
	for _, status := range slices.Sorted(maps.Keys(s.Refused)) {
		label := "other"
		if status != 0 {
			label = strconv.Itoa(status)
		}
		p.add(s.Refused[status], "status", label)
	}
	p.gauge("godwit_rtc_pending_answers", "Answers that no page has used yet.")
	p.addInt(s.Pending)

	p.gauge("godwit_rtc_connections", "Connections that are open, being opened, or being closed.")
	p.addInt(s.Conns)
	p.counter("godwit_rtc_opened_total", "Connections that opened.")
	p.add(s.Opened)
	p.counter("godwit_rtc_closed_total", "Connections that ended, by reason, including those that never opened.")
	for i, n := range s.Closed {
		if i > 0 {
			p.add(n, "reason", linkEnds[i])
		}
	}

	p.gauge("godwit_rtc_handshakes_in_flight", "DTLS handshakes that run now.")
	p.addInt(s.Handshakes)
	p.counter("godwit_rtc_handshakes_total", "DTLS handshakes that ended, by result.")
	p.add(s.HandshakesDone, "result", "done")
	p.add(s.HandshakesFailed, "result", "failed")
	p.counter("godwit_rtc_handshakes_queued_total", "DTLS handshakes that waited for a place of MaxHandshakes.")
	p.add(s.HandshakesQueued)
	p.counter("godwit_rtc_handshakes_yielded_total", "DTLS handshakes that failed because their page was silent while others waited.")
	p.add(s.HandshakesYielded)
	p.counter("godwit_rtc_roles_yielded_total", "Connections of which the server became the DTLS server because the page sent a ClientHello.")
	p.add(s.RolesYielded)
	p.counter("godwit_rtc_ice_restarts_total", "ICE restarts of connections of pages.")
	p.add(s.Restarts)

	p.counter("godwit_rtc_messages_total", "Messages of data channels; those of a session are its packets.")
	p.addWays(s.MessagesIn, s.MessagesOut)
	p.counter("godwit_rtc_channels_refused_total", "Data channels of pages that the server closed at once, by reason.")
	for i, n := range s.ChannelsRefused {
		p.add(n, "reason", refusals[i])
	}
	p.counter("godwit_rtc_drops_total", "Datagrams that were dropped, by cause; anyone can send them.")
	for i, n := range s.Drops {
		p.add(n, "cause", rtcserver.DropReason(i).String())
	}

	p.gauge("godwit_rtc_stopped_shards", "Shards whose socket failed; not 0 means that every offer is refused until the program listens again.")
	p.addInt(s.StoppedShards)
	p.counter("godwit_rtc_turns_total", "Turns of the loop, each a batch of datagrams.")
	p.add(s.Batches)
	p.counter("godwit_rtc_handler_seconds_total", "Time that the program's handlers ran, on the loops' goroutines.")
	p.addFloat(s.HandlerTime.Seconds())
}

func (p *page) udp(s *rtcserver.Stats) {
	p.counter("godwit_udp_datagrams_total", "UDP datagrams.")
	p.addWays(s.DatagramsIn, s.DatagramsOut)
	p.counter("godwit_udp_bytes_total", "Bytes of UDP payload.")
	p.addWays(s.BytesIn, s.BytesOut)
	p.counter("godwit_udp_drops_total", "Datagrams dropped at the socket: by the kernel for a full buffer, cut off, and those not sent.")
	u := &s.Socket
	p.add(u.KernelDrops, "cause", "receive-full")
	p.add(u.Truncated, "cause", "truncated")
	p.add(u.SendFull, "cause", "send-full")
	p.add(u.SendTooLarge, "cause", "send-too-large")
	p.add(u.SendUnreachable, "cause", "send-unreachable")
	p.add(u.SendDenied, "cause", "send-denied")
	p.add(u.SendFailed, "cause", "send-failed")
	p.counter("godwit_udp_read_errors_total", "Errors that reads reported about datagrams sent earlier.")
	p.add(u.ReadErrors)
	p.gauge("godwit_udp_buffer_bytes", "Size of a socket's buffer as the kernel counts it; 0 if not known.")
	p.addInt(u.ReadBuffer, "direction", "in")
	p.addInt(u.WriteBuffer, "direction", "out")
}
