package interop

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/interop/browser"
	"github.com/godwit-rtc/godwit/netsim"
)

// trialToken returns a token of an origin trial, as the page of Chrome's trials makes it: a version, a signature, and the
// JSON behind its length.
func trialToken(t *testing.T, key ed25519.PrivateKey, origin, feature string) string {
	t.Helper()
	payload, err := json.Marshal(map[string]any{"origin": origin, "feature": feature, "expiry": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	const version = 3
	signed := binary.BigEndian.AppendUint32([]byte{version}, uint32(len(payload)))
	signed = append(signed, payload...)
	token := append([]byte{version}, ed25519.Sign(key, signed)...)
	return base64.StdEncoding.EncodeToString(append(token, signed[1:]...))
}

// TestOriginTrial shows what docs/snap.md says: Chromium does SNAP if the document has the token of the trial, in a header or
// in a meta element, also if a script adds the element before it connects. The token does nothing in other responses, and
// without it nothing changes.
func TestOriginTrial(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	b := browser.OwnChromium(t, "--origin-trial-public-key="+base64.StdEncoding.EncodeToString(public))
	for _, tt := range []struct {
		name    string
		feature string
		in      string // which response has the header
		js      string // before the page connects
		want    bool
	}{
		{"a header of the document", "WebRtcSctpSnap", "/", ``, true},
		{"an element that a script adds", "WebRtcSctpSnap", "", `
			const meta = document.createElement("meta");
			meta.httpEquiv = "origin-trial";
			meta.content = arg;
			document.head.append(meta);`, true},
		{"no token", "WebRtcSctpSnap", "", ``, false},
		{"a token of another trial", "WebRtcSomethingElse", "/", ``, false},
		{"only in the answer", "WebRtcSctpSnap", "/godwit/", ``, false},
		{"only with the script", "WebRtcSctpSnap", "/godwit.min.js", ``, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWebWorld(t, b, netsim.Link{})
			handler := w.http
			var token string
			w.http = http.NewServeMux()
			w.http.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == tt.in {
					rw.Header().Set("Origin-Trial", token)
				}
				handler.ServeHTTP(rw, r)
			})
			w.url = w.serveTLSAt(browser.Host(t)) // tokens are for secure origins
			u, err := url.Parse(w.url)
			if err != nil {
				t.Fatal(err)
			}
			token = trialToken(t, key, u.Scheme+"://"+u.Host, tt.feature)
			p := w.tab()
			p.do(tt.js+`await join();`, token, nil)
			p.wantSessionEcho(1)
			want := uint64(0)
			if tt.want {
				want = 1
			}
			if st := w.server.Stats(); st.RTC.SNAPs != want {
				t.Errorf("%d sessions with SNAP, want %d", st.RTC.SNAPs, want)
			}
		})
	}
}
