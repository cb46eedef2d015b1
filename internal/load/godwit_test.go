package load

import (
	"net"
	"net/http/httptest"
	"testing"
	"time"

	server "github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// An interruption of a client's session is one in the report.
func TestInterruptionsOfSessionsAreCounted(t *testing.T) {
	srv := testkit.Must(server.New(server.Config{Channels: channel.Channels{{Name: "input"}}}))
	defer srv.Close()
	web := httptest.NewServer(srv)
	defer web.Close()
	g := new(godwit)
	if err := g.speak(t.Context(), GodwitConfig{URL: web.URL + "/new_rtc_session", Channels: []string{"input"}}); err != nil {
		t.Fatal(err)
	}
	r := new(run)
	interrupted := g.session.Handler.Interrupted
	if interrupted == nil {
		t.Fatal("nothing counts the interruptions")
	}
	interrupted(&client.Session{User: &Client{run: r}})
	if n := r.interrupted.Load(); n != 1 {
		t.Errorf("%d interruptions are counted, want 1", n)
	}
}

// A relay keeps many more clients than the 64 that netsim.ListenRelay keeps by default.
func TestRelayKeepsAllClients(t *testing.T) {
	target := testkit.Must(net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}))
	defer target.Close()
	target.SetReadDeadline(time.Now().Add(testkit.Patience))
	r := newRelay(0, 0, false)
	defer r.close()
	at := net.UDPAddrFromAddrPort(testkit.Must(r.to(target.LocalAddr().(*net.UDPAddr).AddrPort())))
	const clients = 70
	for range clients {
		c := testkit.Must(net.DialUDP("udp4", nil, at))
		defer c.Close()
		testkit.Must(c.Write([]byte("x")))
		testkit.Must(target.Read(make([]byte, 1)))
	}
	if s := r.relay.Stats(); s.Clients != clients || s.Evicted != 0 {
		t.Errorf("the relay knows %d clients and has removed %d, want %d and none", s.Clients, s.Evicted, clients)
	}
}
