package godwit

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/internal/ufrag"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// serveDirect runs a test with a server that makes invites.
func serveDirect(t *testing.T, c Config, test func(t *testing.T, srv *Server, network *netsim.Network)) {
	t.Helper()
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		c.Channels, c.Invites = table, testkit.Must(auth.NewInviteKey(rand.Reader))
		srv := testkit.Must(Serve(testkit.Listen(t, network, netip.MustParseAddrPort("192.0.2.1:7777")), c))
		defer srv.Close()
		test(t, srv, network)
	})
}

// The fragment of an invite, and that of a resume without a request, name the node: a balancer reads it there.
func TestFragmentsNameTheNode(t *testing.T) {
	const node = 77
	serveDirect(t, Config{RTC: rtcserver.Settings{Node: node}}, func(t *testing.T, srv *Server, _ *netsim.Network) {
		invite := testkit.Must(srv.Invite(auth.InviteClaims{For: time.Minute}))
		if want := fmt.Sprintf("%016x", srv.tableHash); invite.Channels != want {
			t.Errorf("the table of the invite is %q, want %q", invite.Channels, want)
		}
		for what, fragment := range map[string]string{"an invite": invite.Ufrag, "a resume": srv.resumeFragment(mark{1})} {
			if got, ok := ufrag.Node([]byte(fragment)); !ok || got != node {
				t.Errorf("%s is for node %d, %v; want %d", what, got, ok, node)
			}
		}
	})
}

// An error of the program that is no StatusError refuses with 403 and its text.
func TestTheRefusalForAnErrorWithoutAStatus(t *testing.T) {
	b := appendRefused(nil, errors.New("come back on Monday"))
	var got map[string]any
	must(t, json.Unmarshal(b[1:], &got))
	want := map[string]any{"status": 403.0, "error": "come back on Monday", "code": "forbidden"}
	if b[0] != ufrag.TypeRefused || !maps.Equal(got, want) {
		t.Errorf("REFUSED is %q, want %v", b, want)
	}
}

// What is decided about clients without a request: whoever is refused gets the error, and makes no session.
func TestDecisions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t, func(c *Config) {
			c.MaxConns = 2
			c.Admit = func(_ context.Context, id Identity) error {
				if id.Name == "eve" {
					return refusal(418, "forbidden", "not you")
				}
				return nil
			}
		})
		good := fmt.Sprintf("v=%d&channels=%016x", protocolVersion, srv.tableHash)
		decide := func(f rtcserver.Fragment, terms string) decision {
			f.Until = time.Now().Add(time.Minute)
			return srv.decide(t.Context(), &f, terms, netip.Addr{})
		}
		refused := func(what string, d decision, want int) {
			t.Helper()
			if d.conn != nil || status(d.err) != want {
				t.Errorf("%s: %v, and a session: %v; want status %d and none", what, d.err, d.conn != nil, want)
			}
		}
		if d := decide(rtcserver.Fragment{Subject: []byte("ada")}, good); d.err != nil || d.resume || d.conn == nil || d.conn.Identity().Name != "ada" {
			t.Errorf("an invite: %+v, want a session of ada", d)
		}
		refused("an invite that was used", decide(rtcserver.Fragment{Subject: []byte("ada")}, good), 409)
		refused("a malformed query", decide(rtcserver.Fragment{ID: [8]byte{1}}, "%zz"), 400)
		refused("another version", decide(rtcserver.Fragment{ID: [8]byte{1}}, "v=0"), 409)
		refused("whom Admit refuses", decide(rtcserver.Fragment{ID: [8]byte{1}, Subject: []byte("eve")}, good), 418)
		refused("a session that nobody knows", decide(rtcserver.Fragment{Resume: true, Mark: mark{9}}, good), 410)

		_, server, _ := join(t, srv, "bob")
		token, _ := server.session.Tokens()
		if d := decide(rtcserver.Fragment{Resume: true, Mark: markOf(token)}, good); d.err != nil || !d.resume || d.conn != server {
			t.Errorf("a resume: %+v, want the session of bob", d)
		}
		refused("one more", decide(rtcserver.Fragment{ID: [8]byte{2}}, good), 503)
		if n := len(slices.Collect(srv.Conns())); n != 1 {
			t.Errorf("%d sessions are open, want that of bob", n)
		}
		must(t, srv.Close())
		refused("after the end", decide(rtcserver.Fragment{ID: [8]byte{3}}, good), 503)
	})
}

// A client is refused if too many others wait for what the program decides.
func TestTooManyDecisions(t *testing.T) {
	c := Config{Admit: func(context.Context, Identity) error { return nil }}
	serveDirect(t, c, func(t *testing.T, srv *Server, network *netsim.Network) {
		for range maxDeciding {
			srv.direct.places <- struct{}{}
		}
		page := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:5000"))
		e := testkit.Must(client.Serve(page, client.Config{}))
		defer e.Close()
		_, err := e.Join(t.Context(), "", client.SessionConfig{Channels: table, Links: []string{session.LinkWebRTC},
			Invite: func(context.Context) (auth.Invite, error) { return srv.Invite(auth.InviteClaims{For: time.Minute}) }})
		if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Status != 503 || e.Code != "full" {
			t.Errorf("%v, want a refusal with status 503 and code full", err)
		}
	})
}
