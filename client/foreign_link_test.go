package client

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// An asker puts the request into the response, as the transport of net/http does.
type asker struct{ testkit.Transport }

func (a asker) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.Transport.RoundTrip(r)
	resp.Request = r
	return resp, err
}

// The answer says where a link is, and a redirect says where the answer is from. Credentials of
// the program go only to the host of its own URL, and never without TLS if the URL has it.
func TestWhereCredentialsFollowALink(t *testing.T) {
	for _, tt := range []struct {
		from, redirect, link, to string // to: host of the request for the WebSocket, "" for none
		credentials              bool
	}{
		{from: "https://game.example/", to: "game.example", credentials: true},
		{from: "http://game.example/", to: "game.example", credentials: true},
		{from: "http://game.example/", link: "/elsewhere", to: "game.example", credentials: true},
		{from: "http://game.example/", link: "wss://GAME.example/", to: "GAME.example", credentials: true},
		{from: "https://game.example/", link: "wss://evil.example/", to: "evil.example"},
		{from: "https://game.example/", link: "//evil.example/", to: "evil.example"},
		{from: "https://game.example/", link: "wss://game.example:4433/", to: "game.example:4433"},
		{from: "https://game.example/", redirect: "https://evil.example/", to: "evil.example"},
		{from: "https://game.example/", redirect: "http://game.example/", to: "game.example"},
		{from: "https://game.example/", link: "ws://game.example/"},
		{from: "https://game.example/", link: "http://game.example/"},
	} {
		t.Run(fmt.Sprint(tt.from, tt.redirect, tt.link), func(t *testing.T) {
			testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
				to := ""
				server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					switch {
					case r.Header.Get("Upgrade") != "":
						to = r.URL.Host
						got := r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" || r.Header.Get(separate) != ""
						if got != tt.credentials || r.Header.Get("X-Game") != "1" {
							t.Errorf("the headers are %v", r.Header)
						}
						w.WriteHeader(http.StatusForbidden)
					case tt.redirect != "" && r.URL.String() == tt.from+"?"+r.URL.RawQuery:
						http.Redirect(w, r, tt.redirect, http.StatusTemporaryRedirect)
					default:
						fmt.Fprintf(w, `{"links":[{"type":"websocket","url":%q,"ticket":"t"}]}`, tt.link)
					}
				})
				header := http.Header{"Authorization": {"Basic x"}, "cookie": {"a=b"}, "X-Game": {"1"}}
				socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
				e := testkit.Must(Serve(socket, Config{Header: header, HTTP: &http.Client{Transport: asker{testkit.Transport{Handler: server}}}}))
				defer e.Close()
				_, err := e.Join(t.Context(), tt.from, SessionConfig{Channels: channel.Channels{{Name: "chat"}}, Links: []string{session.LinkWebSocket}})
				if err == nil || to != tt.to || (to == "") != strings.Contains(err.Error(), "not encrypted") {
					t.Errorf("the request goes to %q, want %q: %v", to, tt.to, err)
				}
			})
		})
	}
}
