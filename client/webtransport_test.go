package client_test

import (
	"bytes"
	"context"
	"reflect"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// Config.WebTransport gets what the server offers, and its Carrier carries the session, whose link has the name
// of a WebTransport. Without TLS there is none.
func TestAWebTransportOfTheProgram(t *testing.T) {
	for _, tt := range []struct {
		url string
		bad bool
	}{{url: "https://game.example/wt"}, {url: "http://game.example/wt", bad: true}} {
		offers := 0
		var server *godwit.Server
		c := race{answer: func(b []byte) []byte {
			if !bytes.Contains(b, []byte(`"links":[`)) {
				t.Errorf("%s has no links", b)
			}
			return bytes.Replace(b, []byte(`"links":[`), []byte(`"links":[{"type":"webtransport","url":"`+tt.url+`","ticket":"one","hashes":["aGFzaA=="]},`), 1)
		}, upgrade: refuse}
		c.client.WebTransport = func(_ context.Context, o client.LinkOffer, l *client.Link) (client.Carrier, error) {
			offers++
			if want := (client.LinkOffer{URL: tt.url, Ticket: "one", Hashes: []string{"aGFzaA=="}}); !reflect.DeepEqual(o, want) {
				t.Errorf("the offer is %+v, want %+v", o, want)
			}
			up, down := newValve(), newValve()
			theirs := testkit.Must(server.AddLink(godwit.Identity{}, godwit.LinkConfig{Name: "wire", Carrier: down}))
			for v, receive := range map[*valve]func([]byte) bool{up: theirs.Receive, down: l.Receive} {
				go func() {
					for b := range v.ch {
						receive(b)
					}
				}()
			}
			return up, nil
		}
		c.run(t, func(g *game, e *client.Endpoint) {
			server = g.server
			s, err := g.join(e, client.SessionConfig{Links: []string{session.LinkWebTransport}})
			if tt.bad {
				if err == nil || !strings.Contains(err.Error(), "bad URL") || offers != 0 {
					t.Errorf("%s: %v, %d offers", tt.url, err, offers)
				}
				return
			}
			g.must(err)
			if s.Link() != session.LinkWebTransport || offers != 1 {
				t.Errorf("the link is %q after %d offers", s.Link(), offers)
			}
			s.Close(0, "")
			<-s.Done()
		})
	}
}
