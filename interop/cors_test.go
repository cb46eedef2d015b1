package interop

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// A page of another origin, which the server lists, sends cookies and a header of its own,
// and reads when to come again. A page that only * lets in sends no cookies.
func TestPagesOfListedOrigins(t *testing.T) {
	t.Parallel()
	for _, kind := range browser.Kinds {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t, browser.Start(t, kind), godwitServers)
			p := w.tab()
			serve := func(origin string) string {
				s, err := rtcserver.Listen(netip.AddrPortFrom(browser.Host(t), 0).String(), rtcserver.Config{
					Settings: rtcserver.Settings{Origins: []string{origin}, MaxOffers: 1},
					Authorize: func(r *http.Request) error {
						if r.Header.Get("X-Build") != "7" {
							return &rtcserver.StatusError{Status: http.StatusUnauthorized, Code: "build", Text: "which build?"}
						}
						return nil
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { s.Close() })
				l, err := net.Listen("tcp", netip.AddrPortFrom(browser.Host(t), 0).String())
				if err != nil {
					t.Fatal(err)
				}
				web := &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
				web.Start()
				t.Cleanup(web.Close)
				return web.URL
			}
			for _, c := range []struct {
				origin, credentials, want string
			}{
				{strings.TrimSuffix(w.url, "/"), "include", "200 200 200 200 429"},
				{strings.TrimSuffix(w.url, "/"), "omit", "200 200 200 200 429"},
				{"*", "omit", "200 200 200 200 429"},
				{"*", "include", "TypeError"},
			} {
				var got struct{ Statuses, RetryAfter string }
				p.do(`
					const pc = new RTCPeerConnection();
					pc.createDataChannel("d");
					await pc.setLocalDescription();
					const statuses = [];
					let retryAfter = "";
					while (statuses.length < 5) {
						try {
							const r = await fetch(arg.url, {
								method: "POST", credentials: arg.credentials, headers: { "X-Build": "7" }, body: pc.localDescription.sdp,
							});
							if (statuses.length < 4 || r.status !== 200) statuses.push(r.status); // on a busy machine the server may allow more than four
							retryAfter = r.headers.get("Retry-After") ?? "";
						} catch (e) {
							statuses.push(e.name);
							break;
						}
					}
					pc.close();
					return { statuses: statuses.join(" "), retryAfter };`, map[string]string{"url": serve(c.origin), "credentials": c.credentials}, &got)
				if got.Statuses != c.want || strings.HasSuffix(c.want, "429") && got.RetryAfter != "1" {
					t.Errorf("%s, credentials %s: %+v, want %s", c.origin, c.credentials, got, c.want)
				}
			}
		})
	}
}
