package client_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// With the INITs of both ends in the SDP a connection opens two round trips after the answer, as
// DTLS does. If a line is lost, broken or repeated on its way it opens with a handshake.
func TestSNAP(t *testing.T) {
	same := func(s string) string { return s }
	passive := testkit.Replace("a=setup:actpass", "a=setup:active")
	change := func(to func(value string) string) func(string) string {
		return func(sdp string) string {
			value := testkit.Attribute(sdp, "sctp-init")
			if value == "" {
				t.Error("there is no INIT to change")
			}
			return testkit.Replace(value, to(value))(sdp)
		}
	}
	none := change(func(string) string { return "" })
	broken := change(func(v string) string { return v[:20] })
	for _, tt := range []struct {
		name   string
		role   func(offer string) string
		offer  func(string) string
		answer func(answer, offer string) string
		most   time.Duration // until it is open
	}{
		{name: "SNAP", most: 200 * time.Millisecond},
		{name: "SNAP, the client is the DTLS client", role: passive, most: 300 * time.Millisecond},
		{name: "a server that does not know it", offer: none, most: 300 * time.Millisecond},
		{name: "a server that does not understand it", offer: broken, most: 300 * time.Millisecond},
		{name: "the same, the client is the DTLS client", role: passive, offer: none, most: 400 * time.Millisecond},
		{name: "an answer that has lost it", answer: func(a, _ string) string { return none(a) }, most: time.Second},
		{name: "an answer with a broken one", answer: func(a, _ string) string { return broken(a) }, most: time.Second},
		{name: "the same, as the DTLS client", role: passive, answer: func(a, _ string) string { return none(a) }, most: time.Second},
		{name: "a server that repeats what it does not know", offer: none, answer: func(a, offer string) string {
			return testkit.Replace("a=max-message-size", "a=sctp-init:"+testkit.Attribute(offer, "sctp-init")+"\r\na=max-message-size")(a)
		}, most: 300 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond})
				role, edit := tt.role, tt.offer
				if role == nil {
					role = same
				}
				if edit == nil {
					edit = same
				}
				begin := time.Now()
				c, err := w.endpoint(client.Config{}).Connect(w.t.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
					answer, err := w.server.Answer(ctx, []byte(edit(role(string(offer)))), netip.Addr{})
					if err == nil && tt.answer != nil {
						answer = []byte(tt.answer(string(answer), string(offer)))
					}
					return answer, err
				}, nil)
				if err != nil {
					w.t.Fatal(err)
				}
				if d := time.Since(begin); d > tt.most {
					w.t.Errorf("open after %v, want at most %v", d, tt.most)
				}
				w.want("open")
				w.send(c, "ping")
				w.want("3 0 ping")
			})
		})
	}
}

// A client with an invite tells the server its INIT in the username fragment, so the session opens a round
// trip earlier, too; and so does a resume without a request. The server sends nothing of a handshake of SCTP.
func TestSNAPWithoutARequest(t *testing.T) {
	inGame(t, inviting(godwit.Handler{}), func(g *game) {
		g.network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond})
		i := g.invite()
		var first netip.Addr // who sends the first record that is not of the DTLS handshake
		g.network.SetTap(func(p *netsim.Packet) bool {
			if p.Payload[0] == 23 && !first.IsValid() {
				first = p.From.Addr()
			}
			return true
		})
		began := time.Now()
		s, err := g.accept(i, client.SessionConfig{Handler: g.handler()})
		g.must(err)
		g.want("open")
		if first != pageAddr.Addr() {
			t.Errorf("the first record for SCTP is from %v, want one of the client, with HELLO", first)
		}
		if d := time.Since(began); d > 305*time.Millisecond { // two round trips, and one for HELLO and WELCOME
			t.Errorf("open after %v, want 300 ms", d)
		}
		g.kill()
		g.must(s.Send(chat, []byte("still here")))
		g.want("interrupted", "resumed")
		if st := g.server.Stats(); st.RTC.SNAPs != 2 || st.Direct.Admitted != 2 || st.Direct.Resumed != 1 {
			t.Errorf("%d connections with SNAP, %+v; want 2, one of them a resume", st.RTC.SNAPs, st.Direct)
		}
		s.Close(0, "")
	})
}
