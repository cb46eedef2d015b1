package interop

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// With Local Network Access for WebRTC Chromium asks its user before a page of the internet sends to a private address. A
// page behind a proxy opens without a prompt, because the answer has no private address of the server, which has one. A
// server that names its private address shows that the browser would not let the page connect.
func TestAPageOfTheInternetGetsNoPrompt(t *testing.T) {
	// Not parallel: servers that listen on all addresses would name the public one, which goes away with this test.
	public, private := browser.PublicHost(t), browser.Host(t)
	b := browser.OwnChromium(t, "--enable-features=LocalNetworkAccessChecks,LocalNetworkAccessChecksWebRTC")
	for _, test := range []struct {
		name  string
		named []netip.AddrPort
		opens bool
	}{
		{"addresses that the server finds", nil, true},
		{"a private address that the program names", []netip.AddrPort{netip.AddrPortFrom(private, 0)}, false},
	} {
		srv, err := rtcserver.Listen(":0", rtcserver.Config{
			Handler: rtcserver.Handler{Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) }},
			Settings: rtcserver.Settings{
				MaxPerIP: -1, MaxOffers: -1,
				TrustedProxies: []netip.Prefix{netip.PrefixFrom(private, 24)},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		defer srv.Shutdown(context.Background())
		for i, a := range test.named {
			test.named[i] = netip.AddrPortFrom(a.Addr(), srv.Addr().Port())
		}
		if err := srv.SetPublic(test.named...); err != nil {
			t.Fatal(err)
		}
		proxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-Forwarded-For", "198.51.100.7")
			srv.ServeHTTP(w, r)
		})
		p := &tab{Page: b.Page(t, browser.ServeTLS(t, public, proxy)), t: t}
		var got struct {
			State      string
			Asked      string // the states of the permissions: the browser, which has no window, denies what it has to ask for
			Candidates []string
			Echo       string
		}
		wait := 15_000 // ms
		if !test.opens {
			wait = 3000
		}
		p.do(`
			const c = new Connection([{ label: "data" }]);
			const r = { echo: "", candidates: [], asked: "" };
			try {
				await within(arg, c.shakeHands(), "connect");
				r.echo = await c.channels[0].echo("no prompt");
			} catch {}
			r.state = c.pc.connectionState;
			r.candidates = (c.pc.remoteDescription?.sdp.match(/a=candidate:.*/g) ?? []).map((l) => l.split(" ")[4]);
			for (const name of ["local-network-access", "local-network", "loopback-network"]) {
				try {
					r.asked += name + ": " + (await navigator.permissions.query({ name })).state + " ";
				} catch {}
			}
			c.close();
			return r;`, wait, &got)
		t.Logf("%s: %+v", test.name, got)
		if opened := got.Echo == "no prompt"; opened != test.opens {
			t.Errorf("%s: the page is %s, with the candidates %v; want it open: %v", test.name, got.State, got.Candidates, test.opens)
		}
		if denied := strings.Contains(got.Asked, "denied"); denied == test.opens {
			t.Errorf("%s: the permissions are %s; want one denied: %v", test.name, got.Asked, !test.opens)
		}
		if local := strings.Contains(strings.Join(got.Candidates, " "), private.String()); local == test.opens {
			t.Errorf("%s: the candidates are %v, want the private address: %v", test.name, got.Candidates, !test.opens)
		}
	}
}
