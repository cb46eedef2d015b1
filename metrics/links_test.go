package metrics

import (
	"testing"
	"testing/synctest"

	"github.com/godwit-rtc/godwit"
)

// A full carrier has no room for anything.
type full struct{}

func (full) Send([]byte) bool { return false }
func (full) Close(string)     {}

// The sessions are counted by the link that they use, and what the links themselves count is there.
func TestLinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, godwit.Config{Channels: table})
		defer w.close()
		before := w.scrape()
		for _, link := range []string{"webrtc", "webtransport", "websocket", "in-process", "other"} {
			w.want(before, 0, "godwit_sessions_by_link", "link", link)
		}
		_, ends, err := w.connect(table)
		if err != nil {
			t.Fatal(err)
		}
		defer ends.Close()
		for range 2 {
			if _, err := w.server.Local(godwit.LocalConfig{}); err != nil {
				t.Fatal(err)
			}
		}
		link, err := w.server.AddLink(godwit.Identity{}, godwit.LinkConfig{Name: "serial", Carrier: full{}})
		if err != nil {
			t.Fatal(err)
		}
		link.Receive([]byte("no packet"))
		synctest.Wait()
		s := w.scrape()
		w.want(s, 1, "godwit_sessions_by_link", "link", "webrtc")
		w.want(s, 2, "godwit_sessions_by_link", "link", "in-process")
		w.want(s, 0, "godwit_sessions_by_link", "link", "other") // it is not open
		w.want(s, 1, "godwit_links")
		w.want(s, 1, "godwit_links_opened_total")
		w.want(s, 1, "godwit_links_tickets_total") // of the session over WebRTC

		p := &page{}
		p.links(&godwit.LinkStats{Open: 1, Opened: 2, Tickets: 3, Refused: 4, Broken: 5, DroppedIn: 6, DroppedOut: 7})
		if s, err = parse(string(p.b)); err != nil {
			t.Fatal(err)
		}
		w.want(s, 2, "godwit_links_opened_total")
		w.want(s, 3, "godwit_links_tickets_total")
		w.want(s, 4, "godwit_links_refused_total")
		w.want(s, 5, "godwit_links_broken_total")
		w.want(s, 6, "godwit_links_dropped_total", "direction", "in")
		w.want(s, 7, "godwit_links_dropped_total", "direction", "out")
		if linkLabel("websocket") != 2 || links[linkLabel("serial")] != "other" || links[linkLabel("")] != "other" {
			t.Error("the labels of links are mixed up")
		}
	})
}
