package client

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/sdp"
	"github.com/godwit-rtc/godwit/session"
)

// A session gets every setting of the SessionConfig that is one of a session. A field that the test does not know, of
// either struct, must be in want or among those that are unset.
func TestASessionGetsItsSettings(t *testing.T) {
	var c SessionConfig
	testkit.Fill(&c)
	got := c.session()
	want := sessioncore.Config{
		Channel: channel.Config{Channels: c.Channels, Rate: c.Rate, Floor: c.Floor, Ceiling: c.Ceiling},
		Hello:   c.Hello, DrainTimeout: c.DrainTimeout, Limits: c.Limits,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the session gets\n%+v\nwant\n%+v", got, want)
	}
	// The server decides on Grace and the expiry, and makes the id and the token. Only a server limits the channels
	// of clients. The link says whether it is reliable, and how long its round trips are. The other fields have one
	// value for all clients.
	unset := []string{
		"Grace", "Silence", "Expires", "Channel.Server", "Channel.ReliableLink", "Channel.RTT", "Channel.KeepAlive",
		"ID", "Token", "OpenTimeout", "ClientChannels", "ClientQueue", "MaxWaiting",
	}
	if names := testkit.Unset(got); !slices.Equal(names, unset) {
		t.Errorf("%q are unset, want %q", names, unset)
	}
	if got, want := (&SessionConfig{}).session().Limits, (session.Limits{Messages: -1, Bytes: -1}); got != want {
		t.Errorf("without limits: %+v, want %+v", got, want)
	}
}

// A peer gets every setting of the Config, of the offer and of the answer that is one of a peer. A field of its
// configuration that the test does not know must be in want or among those that are unset.
func TestAPeerGetsItsSettings(t *testing.T) {
	e := new(Endpoint)
	testkit.Fill(&e.config)
	e.config.Certificate = testkit.Must(dtls.GenerateCertificate(time.Now()))
	c := &e.config
	o := testkit.Must(e.newOffer())
	tag := peer.SCTPConfig{LocalTag: 7, InitialTSN: 8}
	server := &sdp.Server{
		Ufrag: "a", Pwd: "b", Setup: sdp.SetupPassive, SCTPPort: 9, SCTPInit: peer.LocalInit(&tag),
		Candidates: []netip.AddrPort{dialServer},
	}
	got := e.peerConfig(o, server)
	random := &o.association // see TestConnectionsHaveTheirOwnSecrets
	want := peer.Config{
		Client: true,
		Check: &peer.CheckConfig{
			LocalUfrag: o.Ufrag, RemoteUfrag: "a", RemotePwd: "b", Candidates: server.Candidates, Secret: got.Check.Secret,
			PendingTimeout: c.AnswerTimeout, ConsentTimeout: c.SilenceTimeout,
		},
		SCTP: peer.SCTPConfig{
			LocalTag: random.LocalTag, InitialTSN: random.InitialTSN, CookieKey: random.CookieKey,
			RemotePort: 9, SlowAck: true, MaxMessage: c.MaxReceive, MaxBuffered: 4 * c.MaxReceive,
		},
	}
	want.RemoteInit, _ = peer.ParseInit(server.SCTPInit)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the peer gets\n%+v\nwant\n%+v", got, want)
	}
	// ICE is a server's, and EvenStreams is set by package peer. The other fields have one value for all clients.
	f := c.Certificate.Fingerprint()
	offer := sdp.Offer{
		Ufrag: o.Ufrag, Pwd: o.Pwd, Fingerprints: []sdp.Fingerprint{{Algorithm: f.Algorithm(), Sum: f.Sum()}},
		Setup: sdp.SetupActpass, MaxMessageSize: c.MaxReceive, SCTPInit: peer.LocalInit(&o.association),
	}
	if !reflect.DeepEqual(o.Offer, offer) {
		t.Errorf("the offer is\n%+v\nwant\n%+v", o.Offer, offer)
	}
	unset := []string{
		"ICE", "SCTP.LocalPort", "SCTP.EvenStreams", "SCTP.AllowReliable", "SCTP.Ack", "SCTP.reassemblyAge",
		"SCTP.MaxChannels", "SCTP.RTT", "SCTP.Heartbeat",
	}
	if names := testkit.Unset(got); !slices.Equal(names, unset) {
		t.Errorf("%q are unset, want %q", names, unset)
	}
}
