package godwit

import (
	"net/http"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A server without a UDP port serves clients over WebSockets: it checks them as a server with a
// port does, and answers an offer with a ticket.
func TestAServerWithoutAPortServesWebSockets(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv := testkit.Must(New(Config{Channels: table, RTC: rtcserver.Settings{Origins: []string{"https://game.example"}},
			Handler: Handler{Message: func(c *Conn, ch ChannelID, b []byte) { c.Send(ch, b) }}}))
		defer srv.Close()
		w := &site{t: t, srv: srv, pipes: testkit.ServeHTTP(t, srv)}
		w.http = w.pipes.Client()
		w.player().echo("hello")
		if b, status := w.ask(http.Header{"Origin": {"https://evil.example"}}); status != 403 || !strings.Contains(b, `"origin"`) {
			t.Errorf("a foreign page: %d %s", status, b)
		}
		if ws, status := w.with("AAAAAAAAAAAAAAAAAAAAAA"); ws != nil || status != 403 {
			t.Errorf("a guessed ticket: %d", status)
		}
		if status, body := post(srv, "v=1", ""); status != 200 || body["answer"] != "" || srv.Stats().Links.Tickets != 2 {
			t.Errorf("an offer: %d %v", status, body)
		}
		if st := srv.Stats(); st.Open != 1 || st.Links.Open != 1 || srv.RTC() != nil {
			t.Errorf("%+v", st)
		}
		srv.Close()
		if b, status := w.ask(nil); status != 503 || !strings.Contains(b, `"shutdown"`) {
			t.Errorf("a closed server: %d %s", status, b)
		}
	})
	if _, err := New(Config{RTC: rtcserver.Settings{Origins: []string{"*.example"}}}); err == nil {
		t.Error("an origin that matches nothing is no error")
	}
}
