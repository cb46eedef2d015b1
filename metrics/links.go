package metrics

import (
	"slices"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/session"
)

// links are the values of the label "link". The last is for all links of the program.
var links = []string{session.LinkWebRTC, session.LinkWebTransport, session.LinkWebSocket, session.LinkInProcess, "other"}

// linkLabel returns the index in links of a link with a name.
func linkLabel(name string) int {
	if i := slices.Index(links, name); i >= 0 {
		return i
	}
	return len(links) - 1
}

// links adds the counters of the links that are neither WebRTC nor in the process.
func (p *page) links(s *godwit.LinkStats) {
	p.gauge("godwit_links", "Links that are open now, without those of WebRTC and those in the process.")
	p.addInt(s.Open)
	p.counter("godwit_links_opened_total", "Such links that have opened.")
	p.add(s.Opened)
	p.counter("godwit_links_tickets_total", "Tickets for such links that were given to clients.")
	p.add(s.Tickets)
	p.counter("godwit_links_refused_total", "WebSockets that were refused because of their ticket.")
	p.add(s.Refused)
	p.counter("godwit_links_broken_total", "WebSockets that the server has closed because the client broke the protocol.")
	p.add(s.Broken)
	p.counter("godwit_links_dropped_total", "Datagrams of links that are not reliable, dropped because too many waited.")
	p.addWays(s.DroppedIn, s.DroppedOut)
}
