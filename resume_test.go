package godwit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// A request with a session's token makes a link and no session, and does not call Authorize. The
// next such request takes its place, the end of the session removes both, and from its Close on
// the session cannot be resumed.
func TestResumeTakesNoOtherPlace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		asked := 0
		s := serve(t, Config{Channels: table, MaxConns: 1, Authorize: func(*http.Request) (Identity, error) { asked++; return Identity{}, nil }})
		x := newHostileClient(t, s, table)
		x.say(0, hello)
		x.run(100 * ms)
		resume := "Godwit-Resume " + base64.RawURLEncoding.EncodeToString(x.token)
		links := map[*rtcserver.Conn]bool{nil: true}
		for range 3 {
			wantPost(t, s, "v=1", resume, 200, "", "")
			link := x.server.newest.Load()
			if st := s.Stats(); links[link] || st.RTC.Pending != 1 || s.directory.count() != 1 || st.Pending != 0 || x.server.isOn(link) {
				t.Errorf("a new link: %v; %d links wait, want 1; %d sessions, want 1", !links[link], st.RTC.Pending, s.directory.count())
			}
			links[link] = true
		}
		if asked != 0 || s.Stats().Refused != 0 {
			t.Errorf("Authorize was called %d times and %d offers were refused, want 0", asked, s.Stats().Refused)
		}
		x.deaf = true // the session cannot end
		must(t, x.server.Send(chat, []byte("wait")))
		x.server.Close(session.CloseNormal, "")
		wantPost(t, s, "v=1", resume, 410, "resume", "ended")
		if x.server.resumable() || s.directory.count() != 1 {
			t.Errorf("resumable %v, want false; %d in the directory, want 1", x.server.resumable(), s.directory.count())
		}
		x.server.Kick("")
		settle()
		if st := s.Stats(); st.RTC.Pending != 0 || st.Refused != 1 || s.directory.count() != 0 {
			t.Errorf("after the end %d links wait, want 0; %d are refused, want 1; %d in the directory, want 0", st.RTC.Pending, st.Refused, s.directory.count())
		}
		wantPost(t, s, "v=1", resume, 410, "resume", "ended")
		wantPost(t, s, "v=1", "Godwit-Resume AAAAAAAAAAAAAAAAAAAAAB", 410, "resume", "malformed") // not what an encoder writes
	})
}

// A session that ends while its client's request is looked at is not resumed.
func TestResumeOfASessionThatEndsMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Config{Channels: table})
		x := newHostileClient(t, s, table)
		x.say(0, hello)
		x.run(100 * ms)
		r := httptest.NewRequest(http.MethodPost, "/?v=1&channels="+hexHash(s), http.NoBody)
		r.Header.Set("Authorization", "Godwit-Resume "+base64.RawURLEncoding.EncodeToString(x.token))
		must(t, s.authorize(r))
		if !resumes(r) {
			t.Error("the token resumes no session")
		}
		x.server.Kick("")
		settle()
		if e, err := s.engine(nil, r); e != nil || status(err) != http.StatusGone || s.Stats().Refused != 1 {
			t.Errorf("engine: %v, %v; want status 410 and one refusal, have %d", e, err, s.Stats().Refused)
		}
		r = httptest.NewRequest(http.MethodPost, "/?v=1&channels="+hexHash(s), http.NoBody)
		if must(t, s.authorize(r)); resumes(r) || resumes(httptest.NewRequest(http.MethodPost, "/", http.NoBody)) {
			t.Error("a request without a token resumes a session")
		}
	})
}

// Clients without a known address count for one address. A token that may be used again is
// accepted again, and one that may not is counted as refused.
func TestLimitsOfEngine(t *testing.T) {
	s := serve(t, Config{RTC: rtcserver.Settings{MaxPerIP: 2}})
	for i, want := range []int{200, 200, 429} {
		r := httptest.NewRequest(http.MethodPost, "/?v=1&channels="+hexHash(s), bytes.NewReader(offer()))
		r.RemoteAddr = "@"
		w := testkit.Serve(s, r)
		var body map[string]string
		json.Unmarshal(w.Body.Bytes(), &body)
		if w.Code != want || want == 429 && body["code"] != "rate" {
			t.Errorf("offer %d: status %d, want %d: %s", i, w.Code, want, w.Body)
		}
	}
	for _, again := range []bool{false, true} {
		signer, verifier := newTokens(t)
		verifier.Reusable = again
		s := serve(t, Config{Tokens: verifier})
		text, err := signer.Sign(time.Now(), auth.Claims{Subject: "ada", Audience: "eu-1", ID: "1", Expires: time.Now().Add(time.Minute)})
		must(t, err)
		wantPost(t, s, "v=1", "Bearer "+text, 200, "", "")
		if again {
			wantPost(t, s, "v=1", "Bearer "+text, 200, "", "")
		} else {
			wantPost(t, s, "v=1", "Bearer "+text, 401, "token", "replayed")
		}
		if n, made := s.Stats().Refused, s.directory.count(); n == 1 == again || made == 2 != again {
			t.Errorf("again %v: %d refusals, %d sessions made", again, n, made)
		}
	}
}

// When Close is called the session is in no group and in no list any more, and a server that
// drains refuses requests.
func TestWhatIsTrueInClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := serve(t, Config{Channels: table})
		x := newHostileClient(t, s, table)
		x.say(0, hello)
		x.run(100 * ms)
		g := s.NewGroup()
		g.Join(x.server)
		told := false
		s.config.Handler.Close = func(c *Conn, _ CloseReason) {
			if told = true; g.Len() != 0 || s.Len() != 0 || s.directory.count() != 0 || g.Join(c) {
				t.Errorf("in the last handler: %d in the group, %d open, %d in the directory; want 0", g.Len(), s.Len(), s.directory.count())
			}
		}
		x.deaf = true
		must(t, x.server.Send(chat, []byte("wait")))
		done := make(chan error)
		go func() { done <- s.Shutdown(t.Context(), "") }()
		settle()
		wantPost(t, s, "v=1", "", 503, "shutdown", "")
		if _, err := s.Local(LocalConfig{}); err != session.ErrClosed {
			t.Errorf("Local: %v, want ErrClosed", err)
		}
		if err := <-done; err == nil || !told {
			t.Errorf("Shutdown: %v, want an error after the last handler", err)
		}
	})
}
