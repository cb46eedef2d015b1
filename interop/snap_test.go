package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/logging"
	"github.com/pion/webrtc/v4"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/interop/pionserver"
	"github.com/godwit-rtc/godwit/interop/wiretap"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// handshakeChunks are the chunks that SNAP replaces.
var handshakeChunks = []string{"INIT", "INIT-ACK", "COOKIE-ECHO", "COOKIE-ACK"}

// newTappedRelay returns a relay without delay or loss for a server at its target, and its tap.
func newTappedRelay(t *testing.T, host netip.Addr, target netip.AddrPort) (*netsim.Relay, *wiretap.Tap) {
	t.Helper()
	rc := netsim.RelayConfig{Listen: netip.AddrPortFrom(host, 0), Target: target}
	tap := wiretap.Attach(&rc)
	relay, err := netsim.ListenRelay(rc)
	if err != nil {
		t.Fatal(err)
	}
	atEnd(t, "the end of the relay", relay.Close)
	return relay, tap
}

// chunksOf returns the names of the chunks of SCTP that have passed a relay, which it closes.
func chunksOf(t *testing.T, relay *netsim.Relay, tap *wiretap.Tap) (names []string) {
	t.Helper()
	relay.Close()
	ds, err := tap.Datagrams()
	if err != nil {
		t.Fatal(err)
	}
	for _, session := range wiretap.Sessions(ds) {
		for _, records := range tap.Open(session) {
			for _, r := range records {
				if r.Type != dtls.TypeApplicationData {
					continue
				}
				for kind := range wiretap.Chunks(r.Plain) {
					names = append(names, wiretap.ChunkName(kind))
				}
			}
		}
	}
	return names
}

// wantHandshake fails unless a handshake of SCTP has taken place, or none if want is false.
func wantHandshake(t *testing.T, chunks []string, want bool) {
	t.Helper()
	if !slices.Contains(chunks, "DATA") {
		t.Fatalf("the chunks on the wire are %q, without DATA", chunks)
	}
	if got := slices.ContainsFunc(chunks, func(s string) bool { return slices.Contains(handshakeChunks, s) }); got != want {
		t.Errorf("a handshake of SCTP: %v, want %v; the chunks on the wire are %q", got, want, chunks)
	}
}

// Chromium with SNAP opens and uses channels without a handshake of SCTP, in both DTLS roles and
// with channels of both kinds. If the answer has lost the attribute on its way, and in browsers
// without SNAP, a handshake takes place.
func TestSNAPInBrowsers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		kind  browser.Kind
		setup string
		strip bool // the answer loses the attribute
		snap  bool
	}{
		{"chromium", browser.ChromiumSNAP, "actpass", false, true},
		{"chromium, the page is the DTLS client", browser.ChromiumSNAP, "active", false, true},
		{"chromium, the answer has lost it", browser.ChromiumSNAP, "actpass", true, false},
		{"chromium, the page is the DTLS client, the answer has lost it", browser.ChromiumSNAP, "active", true, false},
		{"chromium without SNAP", browser.Chromium, "actpass", false, false},
		{"firefox", browser.Firefox, "actpass", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := browser.Start(t, tt.kind)
			target := freePort(t)
			relay, tap := newTappedRelay(t, browser.Host(t), target)
			w := newWorldAt(t, b, godwitServers, target, config{public: relay.Addr(), keyLog: tap})
			p := w.tab()
			if tt.strip {
				p.do(`
					const set = RTCPeerConnection.prototype.setRemoteDescription;
					RTCPeerConnection.prototype.setRemoteDescription = function (answer) {
						const sdp = answer.sdp.replace(/a=sctp-init:.*\r\n/, "");
						if (sdp === answer.sdp) throw new Error("the answer has no INIT to lose");
						return set.call(this, { type: answer.type, sdp });
					};`, nil, nil)
			}
			p.connectAs(tt.setup, dcepChannel, channelInit{"label": "agreed", "negotiated": true, "id": negotiatedStream})
			p.wantEcho("with DCEP")
			var echo string
			p.do(`return await c.channels[1].echo("agreed");`, nil, &echo)
			if echo != "agreed" {
				t.Errorf("the echo on the negotiated channel is %q, want agreed", echo)
			}
			var sdp []string
			p.do(`return [c.pc.localDescription.sdp, c.pc.remoteDescription.sdp];`, nil, &sdp)
			offers := tt.kind == browser.ChromiumSNAP
			if got := strings.Contains(sdp[0], "a=sctp-init:"); got != offers {
				t.Errorf("an INIT in the offer: %v, want %v:\n%s", got, offers, sdp[0])
			}
			if got := strings.Contains(sdp[1], "a=sctp-init:"); got != tt.snap {
				t.Errorf("an INIT in the answer: %v, want %v:\n%s", got, tt.snap, sdp[1])
			}
			snaps := uint64(0)
			if offers {
				snaps = 1
			}
			if st := w.server.(*rtcserver.Server).Stats(); st.SNAPs != snaps {
				t.Errorf("%d answers with SNAP, want %d", st.SNAPs, snaps)
			}
			p.do(`c.close();`, nil, nil)
			receive(t, w.closed, "the server hears of the close")
			wantHandshake(t, chunksOf(t, relay, tap), !tt.snap)
		})
	}
}

var loopback = netip.MustParseAddr("127.0.0.1")

// pion/webrtc as the offerer, with SNAP and without, and godwit as the server.
func TestSNAPOfPion(t *testing.T) {
	t.Parallel()
	for name, snap := range map[string]bool{"with SNAP": true, "without SNAP": false} {
		t.Run(name, func(t *testing.T) {
			socket := listenUDP(t, loopback)
			relay, tap := newTappedRelay(t, loopback, socket.LocalAddr().(*net.UDPAddr).AddrPort())
			messages := make(chan string, 1)
			server, err := rtcserver.Serve(socket, rtcserver.Config{
				Settings: rtcserver.Settings{Public: []netip.AddrPort{relay.Addr()}, KeyLog: tap},
				Handler: rtcserver.Handler{Message: func(c *rtcserver.Conn, m rtcserver.Message) {
					c.Send(m.Stream, m.Kind, m.Data)
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			atEnd(t, "the end of the server", server.Close)

			var e webrtc.SettingEngine
			e.LoggerFactory = &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
			e.SetIncludeLoopbackCandidate(true)
			e.EnableSctpSnap(snap)
			pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(e)).NewPeerConnection(webrtc.Configuration{})
			if err != nil {
				t.Fatal(err)
			}
			atEnd(t, "the end of pion", pc.Close)
			dc, err := pc.CreateDataChannel("data", &webrtc.DataChannelInit{Ordered: new(false), MaxRetransmits: new(uint16)})
			if err != nil {
				t.Fatal(err)
			}
			dc.OnOpen(func() { dc.SendText("ping") })
			dc.OnMessage(func(m webrtc.DataChannelMessage) { note(messages, string(m.Data)) })
			var offer webrtc.SessionDescription
			await(t, "the offer of pion", func() (err error) {
				if offer, err = pc.CreateOffer(nil); err != nil {
					return err
				}
				return pc.SetLocalDescription(offer)
			})
			if got := strings.Contains(offer.SDP, "a=sctp-init:"); got != snap {
				t.Errorf("an INIT in the offer: %v, want %v", got, snap)
			}
			answer, err := server.Answer(patient(t), []byte(offer.SDP), netip.Addr{})
			if err != nil {
				t.Fatal(err)
			}
			await(t, "pion takes the answer", func() error {
				return pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: string(answer)})
			})
			if got := receive(t, messages, "the echo"); got != "ping" {
				t.Errorf("the echo is %q, want ping", got)
			}
			await(t, "the close of pion", pc.Close)
			wantHandshake(t, chunksOf(t, relay, tap), !snap)
		})
	}
}

// A keyLog gives the lines of a key log to a tap that is made later, before the first connection.
type keyLog struct{ tap *wiretap.Tap }

func (l *keyLog) Write(b []byte) (int, error) { return l.tap.Write(b) }

// The native client, which always offers an INIT, with pion/webrtc as the server, with SNAP and
// without.
func TestSNAPAtPion(t *testing.T) {
	t.Parallel()
	for name, snap := range map[string]bool{"with SNAP": true, "without SNAP": false} {
		t.Run(name, func(t *testing.T) {
			log := new(keyLog)
			server, err := pionserver.Listen("127.0.0.1:0", pionserver.Config{
				Negotiated: []uint16{negotiatedStream}, SNAP: snap, KeyLog: log,
				Handler: pionserver.Handler{Message: func(c *pionserver.Conn, m pionserver.Message) { c.Send(m.Stream, m.Text, m.Data) }},
			})
			if err != nil {
				t.Fatal(err)
			}
			atEnd(t, "the end of pion", server.Close)
			relay, tap := newTappedRelay(t, loopback, server.Addr())
			log.tap = tap
			messages := make(chan string, 1)
			e, err := client.Listen("127.0.0.1:0", client.Config{Handler: client.Handler{
				Message: func(_ *client.Conn, m client.Message) { note(messages, string(m.Data)) },
			}})
			if err != nil {
				t.Fatal(err)
			}
			atEnd(t, "the end of the endpoint", e.Close)
			c, err := e.Connect(patient(t), func(_ context.Context, offer []byte) ([]byte, error) {
				r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(offer))
				w := httptest.NewRecorder()
				server.ServeHTTP(w, r)
				from, to := fmt.Sprintf(" %d typ host", server.Addr().Port()), fmt.Sprintf(" %d typ host", relay.Addr().Port())
				answer := bytes.ReplaceAll(w.Body.Bytes(), []byte(from), []byte(to))
				if got := bytes.Contains(answer, []byte("a=sctp-init:")); got != snap {
					t.Errorf("an INIT in the answer: %v, want %v:\n%s", got, snap, answer)
				}
				return answer, nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			// pion drops what arrives before it has opened the channel, which it does some time after the client has.
			again := time.NewTicker(20 * time.Millisecond)
			defer again.Stop()
			for give, echo := time.After(patience), ""; echo == ""; {
				if err := c.Send(negotiatedStream, client.Text, []byte("ping")); err != nil {
					t.Fatal(err)
				}
				select {
				case echo = <-messages:
				case <-again.C:
				case <-give:
					t.Fatalf("no echo after %v", patience)
				}
				if echo != "" && echo != "ping" {
					t.Errorf("the echo is %q, want ping", echo)
				}
			}
			c.Close()
			wantHandshake(t, chunksOf(t, relay, tap), !snap)
		})
	}
}
