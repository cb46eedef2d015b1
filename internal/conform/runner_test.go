package conform

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/sdp"
	"github.com/godwit-rtc/godwit/session"
)

// The cases that answer the first attempt to resume in another way do so.
func TestAnswersToTheFirstAttempt(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{}
	through := func(ctx context.Context, address string) {
		to := testkit.Must(url.Parse(address))
		proxy := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: to.Host}) },
			ModifyResponse: func(r *http.Response) error {
				mu.Lock()
				defer mu.Unlock()
				kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
				got[to.Path] = append(got[to.Path], fmt.Sprint(r.StatusCode, " ", kind))
				return nil
			},
		})
		defer proxy.Close()
		ours(ctx, proxy.URL+to.Path)
	}
	if out, err := conform(t, "resume/a", 4, testkit.Patience, through); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range map[string]string{
		"another-instance": "410 application/json", "a-gate-answers": "404 text/html", "a-page-with-200": "200 text/html",
	} {
		all := got["/case/resume/"+name]
		if i := slices.Index(all, want); i != 1 || len(all) != 3 {
			t.Errorf("the answers of %s are %q, want %q as the second of three", name, all, want)
		}
	}
}

// A case ends the client's session, and says so.
func TestTheEndOfACase(t *testing.T) {
	reasons := make(chan session.CloseReason, 1)
	note := func(ctx context.Context, url string) {
		s, err := client.Connect(ctx, url, unhurried, client.SessionConfig{Channels: channels, Handler: client.SessionHandler{
			Close: func(_ *client.Session, why session.CloseReason) { reasons <- why },
		}})
		if err != nil {
			t.Error(err)
			return
		}
		defer s.Close(0, "")
		if why := testkit.Next(t, "the end of the session", reasons); why.Text != "the case is over" {
			t.Errorf("the session ends with %+v", why)
		}
	}
	if out, err := conform(t, "opening/hello", 1, testkit.Patience, note); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A client that hangs up amid a case fails it at once.
func TestAClientThatHangsUp(t *testing.T) {
	leave := func(ctx context.Context, url string) {
		if c, err := client.Dial(ctx, url+"?v=1&channels="+tableHash(table), unhurried); err == nil {
			c.Close()
		}
	}
	if out, err := conform(t, "opening/hello", 1, testkit.Patience, leave); err == nil || !strings.Contains(out, "the client's link ended in the middle of the case") {
		t.Errorf("%v\n%s", err, out)
	}
}

// The first packet of a link has the number 0.
func TestTheFirstPacketOfALink(t *testing.T) {
	if n := newLink(nil, nil).number(); n != 0 {
		t.Errorf("the first packet has the number %d, want 0", n)
	}
}

// A runner serves the files of others, and the offers of pages of any origin, as many as there are.
func TestWhatARunnerServes(t *testing.T) {
	files := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
	r := testkit.Must(newRunner(testkit.Must(Choose("opening/hello")), 0, files, func(_, _, _ string) {}))
	t.Cleanup(func() { r.rtc.Close() })
	ask := func(method, path, body string) *httptest.ResponseRecorder {
		w, q := httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(body))
		q.Header.Set("Origin", "https://game.example")
		q.Header.Set("Content-Type", "application/sdp")
		r.ServeHTTP(w, q)
		return w
	}
	if w := ask(http.MethodGet, "/client.js", ""); w.Code != http.StatusTeapot {
		t.Errorf("the status of a file is %d, want that of the files' handler", w.Code)
	}
	r.exams["x"] = newExam(0)
	w := ask(http.MethodOptions, "/case/x", "")
	if allowed := w.Header().Get("Access-Control-Allow-Origin"); w.Code/100 != 2 || allowed != "https://game.example" {
		t.Errorf("a preflight gets the status %d and allows %q", w.Code, allowed)
	}
	keys := testkit.Must(icelite.NewCredentials(rand.Reader))
	f := testkit.Must(dtls.GenerateCertificate(time.Now())).Fingerprint()
	offer := sdp.Offer{Ufrag: keys.Ufrag, Pwd: keys.Pwd, Setup: sdp.SetupActpass, Fingerprints: []sdp.Fingerprint{{Algorithm: f.Algorithm(), Sum: f.Sum()}}}
	body := string(offer.Append(nil))
	for n := range 200 {
		if w := ask(http.MethodPost, "/case/x", body); w.Code != http.StatusOK {
			t.Fatalf("offer %d gets the status %d: %s", n, w.Code, w.Body)
		}
	}
}
