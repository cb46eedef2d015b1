package fleet

import (
	"strconv"
)

// AppendMetrics appends the counters of f in the text format of Prometheus, to be added to those of package metrics:
//
//	b := f.AppendMetrics(metrics.Append(nil, srv))
func (f *Fleet) AppendMetrics(b []byte) []byte {
	s := f.Stats()
	connected := uint64(0)
	if s.Connected {
		connected = 1
	}
	for _, m := range []struct {
		name, kind, help string
		value            uint64
	}{
		{"connected", "gauge", "1 if NATS is there.", connected},
		{"groups", "gauge", "Groups that this node uses.", uint64(s.Groups)},
		{"members", "gauge", "Memberships of sessions of this node in groups.", uint64(s.Members)},
		{"players", "gauge", "Names of players who are on this node.", uint64(s.Players)},
		{"requests_waiting", "gauge", "Requests to players of other nodes without an answer.", uint64(s.Waiting)},
		{"reconnects_total", "counter", "Times that NATS was back.", s.Reconnects},
		{"sent_messages_total", "counter", "Messages given to NATS.", s.Sent},
		{"sent_bytes_total", "counter", "Bytes given to NATS.", s.SentBytes},
		{"received_messages_total", "counter", "Messages that NATS has brought.", s.Received},
		{"received_bytes_total", "counter", "Bytes that NATS has brought.", s.ReceivedBytes},
		{"unneeded_messages_total", "counter", "Messages of groups that no other node needs.", s.Unneeded},
		{"away_dropped_messages_total", "counter", "Messages dropped because NATS was away.", s.Away},
		{"old_dropped_messages_total", "counter", "Messages for other nodes dropped at the age MaxDelay.", s.OutOld},
		{"out_dropped_messages_total", "counter", "Messages for other nodes dropped because a queue was full.", s.OutDropped},
		{"in_dropped_messages_total", "counter", "Messages of other nodes dropped because a queue was full.", s.InDropped},
		{"slow_total", "counter", "Reports of nats.go that this process reads too slowly.", s.Slow},
		{"lost_messages_total", "counter", "Messages of groups that are missing by their numbers.", s.Lost},
		{"late_messages_total", "counter", "Lost messages that arrived after a later one.", s.Late},
		{"doubled_messages_total", "counter", "Messages of groups that arrived twice.", s.Doubled},
		{"foreign_messages_total", "counter", "Messages of nodes with another table of channels.", s.Foreign},
		{"malformed_messages_total", "counter", "Messages that are not of this protocol.", s.Malformed},
		{"not_here_messages_total", "counter", "Messages for players who were on no node.", s.NotHere},
		{"unsent_messages_total", "counter", "Messages for players that could not be queued.", s.Unsent},
		{"requests_total", "counter", "Requests to players of other nodes.", s.Requests},
		{"requests_timed_out_total", "counter", "Requests that had no answer in time.", s.TimedOut},
		{"claims_total", "counter", "Names of players that this node has claimed.", s.Claims},
		{"refused_total", "counter", "Clients and sessions refused because another node has their name.", s.Refused},
		{"replaced_total", "counter", "Sessions closed because another node has claimed their name.", s.Replaced},
		{"claim_failures_total", "counter", "Attempts to claim or release a name that failed.", s.ClaimFails},
		{"nodes", "gauge", "Other nodes that are there.", uint64(s.Nodes)},
		{"spend_failures_total", "counter", "Used tokens that NATS could not note.", s.SpendFails},
		{"tokens_used_twice_total", "counter", "Tokens admitted while NATS was away and used elsewhere, too.", s.Twice},
		{"rooms_adopted_total", "counter", "Rooms of nodes that were gone which this node has claimed.", s.Adopted},
		{"players_moved_total", "counter", "Players who were sent to other nodes.", s.Moved},
		{"front_refused_total", "counter", "Requests for seats of foreign pages, and of addresses with too many.", s.FrontRefused},
		{"front_unsure_total", "counter", "Requests about a node of which the front did not know whether it is gone.", s.FrontUnsure},
		{"states_lost_total", "counter", "States of players that could not be handed over, or whose players have not come.", s.StatesLost},
		{"states_missed_total", "counter", "States of players that had not come when the player came.", s.StatesMissed},
	} {
		name := "godwit_fleet_" + m.name
		b = append(b, "# HELP "+name+" "+m.help+"\n# TYPE "+name+" "+m.kind+"\n"+name+" "...)
		b = append(strconv.AppendUint(b, m.value, 10), '\n')
	}
	return b
}
