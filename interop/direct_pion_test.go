package interop

import (
	"crypto/rand"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/auth"
	"github.com/pion/webrtc/v4"
)

// TestPionConnectsWithAnInvite writes the answer of an invite with the longest fragment for pion/webrtc,
// whose channel opens.
func TestPionConnectsWithAnInvite(t *testing.T) {
	t.Parallel()
	key, err := auth.NewInviteKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := godwit.Config{Channels: webTable, Invites: key}
	server, err := godwit.Listen("127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	i, err := server.Invite(auth.InviteClaims{
		Subject: strings.Repeat("s", auth.MaxInviteSubject), Data: make([]byte, auth.MaxInviteData), For: patience,
	})
	if err != nil {
		t.Fatal(err)
	}

	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetIPFilter(net.IP.IsLoopback)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	defer await(t, "the end of pion", pc.Close)
	negotiated, id := true, uint16(0)
	channel, err := pc.CreateDataChannel("godwit", &webrtc.DataChannelInit{Negotiated: &negotiated, ID: &id})
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan struct{})
	channel.OnOpen(func() { close(opened) })
	offer, err := pc.CreateOffer(nil)
	if err == nil {
		err = pc.SetLocalDescription(offer)
	}
	if err != nil {
		t.Fatal(err)
	}
	at := server.RTC().Addr()
	lines := []string{
		"v=0", "o=- 0 1 IN IP4 0.0.0.0", "s=-", "t=0 0", "a=group:BUNDLE 0", "a=ice-lite",
		"m=application 9 UDP/DTLS/SCTP webrtc-datachannel", "c=IN IP4 0.0.0.0",
		fmt.Sprintf("a=candidate:1 1 udp 2130706431 %s %d typ host", at.Addr(), at.Port()), "a=end-of-candidates",
		"a=ice-ufrag:" + i.Ufrag, "a=ice-pwd:" + i.Pwd,
		"a=fingerprint:sha-256 " + strings.ReplaceAll(fmt.Sprintf("% X", i.Fingerprint), " ", ":"),
		"a=setup:active", "a=mid:0", "a=sctp-port:5000", "",
	}
	answer := webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: strings.Join(lines, "\r\n")}
	if err := pc.SetRemoteDescription(answer); err != nil {
		t.Fatal(err)
	}
	receive(t, opened, "the open channel")
	if len(i.Ufrag) != 193 {
		t.Errorf("the fragment has %d characters, want 193", len(i.Ufrag))
	}
}
