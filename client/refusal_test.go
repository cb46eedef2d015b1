package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// refusalOf is the error for an answer.
func refusalOf(status int, body, retryAfter string) *SignalError {
	return refused(&http.Response{StatusCode: status, Header: http.Header{"Retry-After": {retryAfter}}}, []byte(body))
}

// A refusal without a text prints nothing after its status.
func TestRefusalsPrintInWords(t *testing.T) {
	for body, want := range map[string]string{
		"":                                   "client: the server refuses with status 503",
		" \n":                                "client: the server refuses with status 503",
		"busy\nlater":                        "client: the server refuses with status 503: busy",
		`{"code":"full","error":"no place"}`: "client: the server refuses with status 503: no place",
	} {
		if got := refusalOf(503, body, "").Error(); got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
	}
}

// The browser client's tests judge the same answers.
func TestWhatIsNoRefusal(t *testing.T) {
	for _, body := range []string{
		`{"code":404}`, `{"code":5,"message":"Not Found"}`, `{"code":"NoSuchRoute","message":"no"}`, `{"code":"","error":"banned"}`,
		`{"code":"forbidden","error":{}}`, `{"error":"no"}`, `["code","error"]`, `null`, `<html>`,
	} {
		for _, status := range []int{401, 404} {
			if e := refusalOf(status, body, ""); e.Code != "" || len(e.Detail) != 0 || (&SessionConfig{}).isFinal(e) || isDenied(e) {
				t.Errorf("an answer of something else, %d %s: %#v, final %v, denied %v; want no code, false, false", status, body, e, (&SessionConfig{}).isFinal(e), isDenied(e))
			}
		}
	}
	for _, status := range []int{201, 307} {
		if e := refusalOf(status, `{"code":"full","error":"no room"}`, ""); e.Code != "" || (&SessionConfig{}).isFinal(e) {
			t.Errorf("status %d with a refusal in its body: %#v, want no code", status, e)
		}
	}
	e := refusalOf(403, `{"code":"mine","error":"banned","until":"noon","days":3}`, "")
	if e.Code != "mine" || e.Text != "banned" || len(e.Detail) != 1 || e.Detail["until"] != "noon" || !(&SessionConfig{}).isFinal(e) {
		t.Errorf("a refusal of the program: %#v, want its code, text and detail, and final", e)
	}
}

func TestRetryAfter(t *testing.T) {
	const ours = `{"code":"full","error":"no room"}`
	for _, c := range []struct {
		says          string
		ours, foreign int // seconds
	}{
		{"7", 7, 7},
		{"3600", 60, 10},
		{"2147484", 60, 10},
		{"10000000000", 60, 10},
		{"1" + strings.Repeat("0", 400), 60, 10},
		{"-5", 0, 0}, {"NaN", 0, 0}, {"Infinity", 0, 0}, {"1e300", 0, 0}, {"0x10", 0, 0}, {"1.5", 0, 0}, {"", 0, 0},
		{"Wed, 21 Oct 2026 07:28:00 GMT", 0, 0},
	} {
		if e := refusalOf(503, ours, c.says); e.retryAfter != time.Duration(c.ours)*time.Second {
			t.Errorf("Retry-After %q of a refusal: %v, want %d s", c.says, e.retryAfter, c.ours)
		}
		if e := refusalOf(503, "<html>", c.says); e.retryAfter != time.Duration(c.foreign)*time.Second {
			t.Errorf("Retry-After %q of something else: %v, want %d s", c.says, e.retryAfter, c.foreign)
		}
	}
	// While the grace time runs, a server is believed no more than others.
	e := refusalOf(503, ours, "3600")
	for l, want := range map[need]time.Duration{needLink: 10 * time.Second, needSession: time.Minute} {
		b := backoff{of: l, next: firstBackoff}
		if d := b.wait(e); d < want || d > want*3/2 {
			t.Errorf("attempt %d: a pause of %v, want %v to %v", l, d, want, want*3/2)
		}
	}
}

// A server refuses many clients at the same moment, all with the same Retry-After. They come back spread over time.
func TestClientsThatWereRefusedTogetherComeBackApart(t *testing.T) {
	e := refusalOf(503, `{"error":"full","code":"full"}`, "2")
	const clients = 1000
	tenths := make(map[time.Duration]int)
	for range clients {
		b := backoff{of: needSession, next: firstBackoff}
		d := b.wait(e)
		if d < 2*time.Second || d > 3*time.Second {
			t.Fatalf("a wait of %v, want 2 s to 3 s", d)
		}
		tenths[d/(100*time.Millisecond)]++
	}
	for at, n := range tenths {
		if n > clients/4 { // a tenth on average
			t.Errorf("%d of %d clients come back within 100 ms, after %v", n, clients, at*100*time.Millisecond)
		}
	}
}

// answered is HTTP without a network.
type answered func(r *http.Request) *http.Response

func (f answered) RoundTrip(r *http.Request) (*http.Response, error) { return f(r), nil }

func TestRedirects(t *testing.T) {
	const answer = "answer"
	for _, c := range []struct {
		from, to string
		header   string
		follows  bool
	}{
		{"http://127.0.0.1:7/g", "http://localhost:7/g", separate, false},
		{"https://game.example/g", "https://eu.game.example/g", separate, false},
		{"http://127.0.0.1:7/g", "http://127.0.0.1:8/g", separate, false},
		{"https://game.example/g", "http://game.example/g", separate, false},
		{"http://game.example/g", "https://GAME.example/g", separate, true},
		{"http://127.0.0.1:7/g", "http://127.0.0.1:7/other", separate, true},
		{"http://127.0.0.1:7/g", "http://localhost:7/g", "X-Other", true},
	} {
		var theirs int
		program := &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { theirs++; return nil },
			Transport: answered(func(r *http.Request) *http.Response {
				w := httptest.NewRecorder()
				switch {
				case r.URL.String() == c.from:
					http.Redirect(w, r, c.to, http.StatusTemporaryRedirect)
				case !c.follows:
					t.Errorf("the redirect from %s is followed to %s with %v", c.from, r.URL, r.Header)
				default:
					io.WriteString(w, answer)
				}
				return w.Result()
			}),
		}
		s := httpSignal{client: program, header: http.Header{c.header: {"Bearer secret"}}}
		b, err := s.post(context.Background(), c.from, netip.Addr{}, []byte("offer"))
		if c.follows {
			if string(b) != answer || err != nil || theirs != 1 {
				t.Errorf("from %s to %s: %q, %v; the program is asked %d times, want once", c.from, c.to, b, err, theirs)
			}
			continue
		}
		if e, ok := errors.AsType[*SignalError](err); !ok || e.Status != http.StatusTemporaryRedirect || e.Code != "" || (&SessionConfig{}).isFinal(err) || theirs != 0 {
			t.Errorf("from %s to %s: %v, want status 307 and no second request", c.from, c.to, err)
		}
	}
	loop := newHTTPSignal(&Config{HTTP: &http.Client{Transport: answered(func(r *http.Request) *http.Response {
		w := httptest.NewRecorder()
		http.Redirect(w, r, r.URL.String(), http.StatusTemporaryRedirect)
		return w.Result()
	})}})
	if _, err := loop.post(context.Background(), "http://game.example/", netip.Addr{}, nil); err == nil || !strings.Contains(err.Error(), "10 redirects") {
		t.Errorf("a redirect to itself: %v, want an error after 10 redirects", err)
	}
}
