package interop

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/pion/webrtc/v4"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// warnings are the lines of a log.
type warnings chan string

func (w warnings) Write(b []byte) (int, error) {
	note(w, string(b))
	return len(b), nil
}

// A client of pion whose answers all say a=setup:passive is a DTLS client whatever the server has answered. When it gets the
// ClientHello of the server it waits for a message that does not come. The server notices, and answers the next offer of the
// address with a=setup:passive: that connection opens.
func TestAPionClientThatCanOnlyBeTheDTLSClient(t *testing.T) {
	t.Parallel()
	log := make(warnings, 16)
	srv, err := rtcserver.Listen("127.0.0.1:0", rtcserver.Config{
		Handler: rtcserver.Handler{Message: func(c *rtcserver.Conn, m rtcserver.Message) { c.Send(m.Stream, m.Kind, m.Data) }},
		Logger:  slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	_, setup := dialPassive(t, srv)
	if setup != "active" {
		t.Fatalf("the first answer says %s, want active", setup)
	}
	if line := receive(t, log, "the server's warning"); !strings.Contains(line, "sent a ClientHello") {
		t.Fatalf("the warning is %s", line)
	}
	messages, setup := dialPassive(t, srv)
	if setup != "passive" {
		t.Fatalf("the second answer says %s, want passive", setup)
	}
	if got := receive(t, messages, "the echo"); got != "hello" {
		t.Errorf("the echo is %q", got)
	}
	if n := srv.Stats().RolesYielded; n != 1 {
		t.Errorf("%d roles yielded, want 1", n)
	}
}

// dialPassive connects a client of pion, which believes that the server has answered a=setup:passive. It returns what the
// client's channel receives, on which it says hello when it opens, and the setup of the server's answer.
func dialPassive(t *testing.T, srv *rtcserver.Server) (messages chan string, setup string) {
	t.Helper()
	var settings webrtc.SettingEngine
	settings.SetIncludeLoopbackCandidate(true)
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	atEnd(t, "the end of pion", pc.Close)
	messages = make(chan string, 1)
	unreliable := uint16(0)
	channel, err := pc.CreateDataChannel("data", &webrtc.DataChannelInit{Ordered: new(bool), MaxRetransmits: &unreliable})
	if err != nil {
		t.Fatal(err)
	}
	channel.OnOpen(func() { channel.SendText("hello") })
	channel.OnMessage(func(m webrtc.DataChannelMessage) { note(messages, string(m.Data)) })
	offer, err := pc.CreateOffer(nil)
	if err == nil {
		err = pc.SetLocalDescription(offer)
	}
	if err != nil {
		t.Fatal(err)
	}
	answer, err := srv.Answer(patient(t), []byte(offer.SDP), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	setup = testkit.Attribute(string(answer), "setup")
	text := strings.Replace(string(answer), "a=setup:"+setup, "a=setup:passive", 1)
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: text}); err != nil {
		t.Fatal(err)
	}
	return messages, setup
}
