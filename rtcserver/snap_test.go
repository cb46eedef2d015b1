package rtcserver

import (
	"encoding/base64"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/peer"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// withInit adds an a=sctp-init line to an offer or an answer.
func withInit(sdp, value string) string {
	return testkit.Replace("a=max-message-size:", "a=sctp-init:"+value+"\r\na=max-message-size:")(sdp)
}

// An offer with an INIT that the server understands gets the INIT of its association. Any other
// offer is answered as before, and nothing of the line is repeated.
func TestAnswersToSNAP(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		chunk := peer.LocalInit(&peer.SCTPConfig{LocalTag: 0xabcdef01, InitialTSN: 7})
		whole := base64.StdEncoding.EncodeToString(chunk)
		plain := browserOffer(t)
		offer := func(text string) (inits []string) {
			answer, err := w.signal(netip.MustParseAddr("203.0.113.9"), text)
			if err != nil {
				t.Fatal(err)
			}
			if s := testkit.Attribute(string(answer), "sctp-init"); s != "" {
				inits = append(inits, s)
			}
			return inits
		}
		for name, text := range map[string]string{
			"no line":              plain,
			"no base64":            withInit(plain, "CookieMonster!"),
			"another thing":        withInit(plain, "Q29va2llTW9uc3Rlcg=="),
			"half a chunk":         withInit(plain, base64.StdEncoding.EncodeToString(chunk[:16])),
			"two chunks":           withInit(plain, base64.StdEncoding.EncodeToString(append(chunk[:32:32], 11, 0, 0, 4))),
			"another kind":         withInit(plain, base64.StdEncoding.EncodeToString(append([]byte{2}, chunk[1:]...))),
			"without FORWARD-TSN":  withInit(plain, base64.StdEncoding.EncodeToString(append([]byte{1, 0, 0, 20}, chunk[4:20]...))),
			"of another version":   withInit(plain, "2 "+whole),
			"longer than 512 byte": withInit(plain, base64.StdEncoding.EncodeToString(append(chunk[:32:32], make([]byte, 512)...))),
		} {
			if got := offer(text); len(got) > 0 {
				t.Errorf("%s: the answer has %q", name, got)
			}
		}
		if n := w.server.Stats().SNAPs; n != 0 {
			t.Errorf("%d offers with SNAP are counted, want 0", n)
		}
		seen := make(map[string]bool)
		for range 3 {
			for _, s := range offer(withInit(plain, whole)) {
				b, err := base64.StdEncoding.DecodeString(s)
				if _, ok := peer.ParseInit(b); err != nil || !ok || s == whole {
					t.Errorf("the answer has %q, which cannot be parsed back or is the offer's: %v", s, err)
				}
				seen[s] = true
			}
		}
		if st := w.server.Stats(); len(seen) != 3 || st.SNAPs != 3 || st.Offers != 12 {
			t.Errorf("%d different INITs in 3 answers; %d of %d offers count as SNAP, want 3 of 12", len(seen), st.SNAPs, st.Offers)
		}
	})
}

// The INIT in the answer is that of the association.
func TestTheINITOfTheAnswerIsThatOfTheAssociation(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for name, edit := range map[string]func(string) string{"the server is active": nil, "the server is passive": passive} {
			p := w.newPage(client.Config{})
			if err := p.connect(edit); err != nil {
				t.Fatal(err)
			}
			p.echoes(name)
		}
		if st := w.server.Stats(); st.SNAPs != 2 {
			t.Errorf("%d connections with SNAP, want 2", st.SNAPs)
		}
	})
}

// A page whose offer arrives without its INIT, or with a broken one, opens with a handshake.
func TestPagesWhoseINITIsLost(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for name, change := range map[string]func(value string) string{
			"lost":   func(string) string { return "" },
			"broken": func(value string) string { return value[:16] },
		} {
			for _, role := range []func(string) string{func(s string) string { return s }, passive} {
				p := w.newPage(client.Config{})
				err := p.connect(func(offer string) string {
					value := testkit.Attribute(offer, "sctp-init")
					return role(testkit.Replace(value, change(value))(offer))
				})
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				p.echoes(name)
			}
		}
		if st := w.server.Stats(); st.SNAPs != 0 {
			t.Errorf("%d connections with SNAP, want 0", st.SNAPs)
		}
	})
}

// The answers to further offers of a page have the INIT of the first one, which must not change. If the
// offer has none, or the first had none, there is none.
func TestFurtherAnswersRepeatTheINIT(t *testing.T) {
	for _, snaps := range []bool{true, false} {
		inWorld(t, Config{}, func(w *world) {
			r := w.openRenewing()
			want := testkit.Attribute(w.lastAnswer, "sctp-init")
			if want == "" {
				t.Fatal("the first answer has no INIT")
			}
			if !snaps {
				want = ""
				r.offer = testkit.Replace("a=sctp-init:", "a=sctp-unit:")(r.offer)
			}
			for _, ufrag := range []string{"uf01", "", "uf02"} {
				r.offer = r.next(ufrag)
				r.version++
				_, answer := r.renew(r.offer)
				if got := testkit.Attribute(answer, "sctp-init"); got != want {
					t.Errorf("offer with %q: the answer has the INIT %q, want %q", ufrag, got, want)
				}
			}
		})
	}
}
