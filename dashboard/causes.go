package dashboard

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// dropNames are the texts for dropped datagrams, by reason.
var dropNames = [len(rtcserver.Stats{}.Drops)]string{
	rtcserver.DropNotOurs:      "datagrams that are not WebRTC",
	rtcserver.DropBadSTUN:      "malformed connectivity checks",
	rtcserver.DropUnknownUfrag: "connectivity checks for unknown connections",
	rtcserver.DropBadCheck:     "connectivity checks with a wrong password",
	rtcserver.DropUnknownAddr:  "datagrams from unproved addresses",
	rtcserver.DropFull:         "connectivity checks while the server is full",
	rtcserver.DropInbox:        "datagrams for a shard whose inbox is full",
	rtcserver.DropTaken:        "connectivity checks from an address in use",
	rtcserver.DropQUIC:         "datagrams of QUIC that came too fast",
	rtcserver.DropForged:       "connectivity checks with a forged invite",
	rtcserver.DropExpired:      "connectivity checks with an invite that has expired",
	rtcserver.DropNoSession:    "connectivity checks for a session that is not here",
	rtcserver.DropSpent:        "connectivity checks with an invite that was used",
	rtcserver.DropLimited:      "connectivity checks with an invite, beyond a limit",
	rtcserver.DropRelay:        "datagrams that claim to be of a relay",
}

// refusalNames are the texts for channels that were closed at once, by reason.
var refusalNames = [len(rtcserver.Stats{}.ChannelsRefused)]string{
	rtcserver.RefusedReliable:  "channels refused: reliable",
	rtcserver.RefusedTooMany:   "channels refused: beyond MaxChannels",
	rtcserver.RefusedMalformed: "channels refused: malformed opening",
}

// tally is a list of the events that have happened at least once.
type tally []count

func (t *tally) add(what string, n uint64) {
	if n > 0 {
		*t = append(*t, count{what, n})
	}
}

// causesOf lists the reasons for which something was dropped or refused. The cause may be a
// stranger, the machine, a client or the program.
func causesOf(st godwit.Stats, all godwit.Totals) []count {
	t := tally{} // not null
	for _, status := range slices.Sorted(maps.Keys(st.RTC.Refused)) {
		what := "requests refused: other status"
		if status != 0 {
			what = "requests refused: " + strconv.Itoa(status) + " " + http.StatusText(status)
		}
		t.add(what, st.RTC.Refused[status])
	}
	t.add("handshakes that failed", st.RTC.HandshakesFailed)
	t.add("pages that never connected", st.RTC.Closed[rtcserver.CloseNeverCame])
	t.add("SCTP associations that failed", st.RTC.Closed[rtcserver.CloseNoAssociation])
	for i, n := range st.RTC.ChannelsRefused {
		t.add(refusalNames[i], n)
	}
	for i, n := range st.RTC.Drops {
		t.add(dropNames[i], n)
	}
	t.add("links without a request: refused", st.Direct.Refused)
	t.add("links without a request: the client did not say who it is", st.Direct.Silent)
	t.add("links without a request: packets that came too early", st.Direct.Early)
	t.add("WebSockets refused: no good ticket", st.Links.Refused)
	t.add("WebSockets that broke the protocol", st.Links.Broken)
	t.add("links that may drop: too many datagrams of a client", st.Links.DroppedIn)
	t.add("links that may drop: no room for datagrams to a client", st.Links.DroppedOut)
	u := st.RTC.Socket
	t.add("received too large", u.Truncated)
	t.add("receive buffer full", u.KernelDrops)
	t.add("errors of reads", u.ReadErrors)
	t.add("send buffer full", u.SendFull)
	t.add("sent too large", u.SendTooLarge)
	t.add("unreachable", u.SendUnreachable)
	t.add("denied by a local rule", u.SendDenied)
	t.add("not sent for another reason", u.SendFailed)
	t.add("messages to many: not sent", st.Unsent)
	t.add("paths on which large packets do not arrive", all.Fallbacks)
	t.add("messages beyond Limits", all.Limited)
	t.add("requests beyond Limits", all.Rejected)
	for i, n := range all.Drops {
		t.add("from clients: "+channel.DropReason(i).String(), n)
	}
	for _, ch := range all.Channels {
		t.add("to clients: "+short(ch.Name)+": replaced, late or too many", ch.Expired+ch.Overflowed+ch.Replaced)
		t.add("to clients: "+short(ch.Name)+": queue full", ch.OverBudget)
	}
	return t
}

// endsOf lists why sessions ended.
func endsOf(st godwit.Stats) []count {
	t := tally{}
	for _, code := range slices.Sorted(maps.Keys(st.Closed)) {
		what := code.String()
		if code == session.CloseProgram {
			what = "the program's own"
		}
		t.add(what, st.Closed[code])
	}
	return t
}

// causesOfConn lists the drops and other problems of one session.
func causesOfConn(st session.Stats) []count {
	t := tally{}
	t.add("packets lost", st.PacketsLost)
	t.add("of those, late", st.Spurious)
	t.add("timeouts", st.Timeouts)
	t.add("packets made smaller", st.Fallbacks)
	t.add("pieces sent again", st.Retransmits)
	t.add("interruptions", st.Interruptions)
	t.add("moved to another link", uint64(st.Resumed))
	t.add("messages beyond Limits", st.Limited)
	t.add("requests beyond Limits", st.Rejected)
	for i, n := range st.Drops {
		t.add("from the client: "+channel.DropReason(i).String(), n)
	}
	return t
}
