package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// answering is a transport that keeps the last request and counts the bodies that were closed.
type answering struct {
	status int
	header http.Header
	body   io.Reader
	last   *http.Request
	closed int
}

func (a *answering) RoundTrip(r *http.Request) (*http.Response, error) {
	a.last = r
	return &http.Response{StatusCode: a.status, Header: a.header, Body: a, Request: r}, nil
}

func (a *answering) Read(b []byte) (int, error) { return a.body.Read(b) }
func (a *answering) Close() error               { a.closed++; return nil }

// An offer has its content type and the accepted types of an answer, and is sent from the
// connection's address. The answer has at most 128 KiB, and its body is closed.
func TestPostOfAnOffer(t *testing.T) {
	from := netip.MustParseAddr("127.0.0.9")
	for name, c := range map[string]struct {
		body io.Reader
		want string
	}{
		"an answer":           {strings.NewReader("answer"), ""},
		"the largest one":     {strings.NewReader(strings.Repeat("a", maxAnswer)), ""},
		"a larger one":        {strings.NewReader(strings.Repeat("a", maxAnswer+1)), "client: the server's answer is larger than 128 KiB"},
		"one that breaks off": {iotest.ErrReader(errors.New("cut")), "client: cut"},
	} {
		a := &answering{status: http.StatusOK, body: c.body}
		s := newHTTPSignal(&Config{HTTP: &http.Client{Transport: a}, Header: http.Header{"Authorization": {"Bearer x"}}})
		body, err := s.post(t.Context(), "http://192.0.2.1/rtc", from, []byte("offer"))
		if text := textOf(err); text != c.want || (err == nil) != (len(body) > 0) {
			t.Errorf("%s: %d bytes, %q, want %q", name, len(body), text, c.want)
		}
		h := a.last.Header
		if h.Get("Content-Type") != "application/sdp" || h.Get("Accept") != "application/sdp, application/json" || h.Get("Authorization") != "Bearer x" {
			t.Errorf("%s: the headers are %v", name, h)
		}
		if got := a.last.Context().Value(sourceKey{}); got != from || a.closed != 1 {
			t.Errorf("%s: sent from %v, want %v; the body is closed %d times, want once", name, got, from, a.closed)
		}
	}
	s := newHTTPSignal(&Config{})
	if _, err := s.post(t.Context(), ":", from, nil); !strings.HasPrefix(textOf(err), "client: ") {
		t.Errorf("an invalid URL: %v, want an error that begins with client:", err)
	}
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// The client's own credentials go to no other host, and not from TLS to plain HTTP; net/http
// sees to Authorization.
func TestWhereCredentialsFollowARedirect(t *testing.T) {
	theirs := errors.New("the program's")
	for _, c := range []struct {
		from, to string
		separate bool
		before   int // requests before from
		own      error
		want     string
	}{
		{from: "https://a/", to: "https://a/x", separate: true},
		{from: "https://a/", to: "https://A/x", separate: true},
		{from: "http://a/", to: "http://a/x", separate: true},
		{from: "http://a/", to: "https://a/x", separate: true},
		{from: "https://a/", to: "http://a/x", separate: true, want: http.ErrUseLastResponse.Error()},
		{from: "https://a/", to: "https://b/x", separate: true, want: http.ErrUseLastResponse.Error()},
		{from: "https://a/", to: "https://b/x", separate: true, own: theirs, want: http.ErrUseLastResponse.Error()},
		{from: "https://a/", to: "http://b/x"},
		{from: "https://a/", to: "http://b/x", own: theirs, want: "the program's"},
		{from: "https://a/", to: "https://a/x", separate: true, own: theirs, want: "the program's"},
		{from: "https://a/", to: "https://a/x", before: 8},
		{from: "https://a/", to: "https://a/x", before: 9, want: "stopped after 10 redirects"},
		{from: "https://a/", to: "https://a/x", before: 10, want: "stopped after 10 redirects"},
	} {
		client := &http.Client{}
		if c.own != nil {
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return c.own }
		}
		request := func(to string) *http.Request {
			u, err := url.Parse(to)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{URL: u, Header: http.Header{}}
			if c.separate {
				r.Header.Set(separate, "Bearer x")
			}
			return r
		}
		via := []*http.Request{}
		for range c.before + 1 {
			via = append(via, request(c.from))
		}
		s := httpSignal{client: client}
		if got := textOf(s.discreet().CheckRedirect(request(c.to), via)); got != c.want {
			t.Errorf("%s to %s after %d, own credentials: %v: %q, want %q", c.from, c.to, c.before, c.separate, got, c.want)
		}
		if c.own == nil && client.CheckRedirect != nil {
			t.Error("the program's http.Client has changed")
		}
	}
}

// What a refusal says, and for how long a server's Retry-After is believed.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status      int
		body, retry string
		code, text  string
		wait        time.Duration
	}{
		{429, `{"error":"too many","code":"busy","at":"x"}`, "7", "busy", "too many", 7 * time.Second},
		{400, `{"error":"bad","code":"app"}`, "100000", "app", "bad", longestRetry},
		{399, `{"error":"bad","code":"app"}`, "1", "", "bad", time.Second},
		{500, `{"error":"no code"}`, "100000", "", "no code", longestBackoff},
		{500, `{"error":"","code":"app"}`, "soon", "", `{"error":"","code":"app"}`, 0},
		{500, "first\nsecond", "-1", "", "first", 0},
		{500, " \n" + strings.Repeat("x", 201), "18446744073709551616", "", strings.Repeat("x", 200), longestBackoff},
		{500, `{"error":"cut off"`, "", "", `{"error":"cut off"`, 0},
		{500, `{"error":5}`, "", "", `{"error":5}`, 0},
	} {
		a := &answering{status: c.status, body: strings.NewReader(c.body), header: http.Header{"Retry-After": {c.retry}}}
		s := newHTTPSignal(&Config{HTTP: &http.Client{Transport: a}})
		_, err := s.post(t.Context(), "http://192.0.2.1/", netip.Addr{}, nil)
		e, ok := errors.AsType[*SignalError](err)
		if !ok || e.Status != c.status || e.Code != c.code || e.Text != c.text || e.retryAfter != c.wait || (e.Detail != nil) != (c.code != "") {
			t.Errorf("%d %s: %+v", c.status, c.body, err)
		}
	}
}

// Only a server that does not know a session says where that is so.
func TestServerThatDoesNotKnowTheSession(t *testing.T) {
	unknown := map[string]string{"reason": "unknown", "instance": "b"}
	for _, c := range []struct {
		e    *SignalError
		want string
	}{
		{nil, ""},
		{&SignalError{Code: "resume", Detail: unknown}, "b"},
		{&SignalError{Code: "other", Detail: unknown}, ""},
		{&SignalError{Code: "resume", Detail: map[string]string{"reason": "ended", "instance": "b"}}, ""},
	} {
		if got := c.e.unknownAt(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.e, got, c.want)
		}
	}
}

// Without Config.HTTP an offer leaves from the connection's address, if it has one, and has the headers of the
// Config.
func TestSourceOfAnOffer(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, r.RemoteAddr+" "+r.Header.Get("Authorization"))
	}))
	defer web.Close()
	s := newHTTPSignal(&Config{Header: http.Header{"Authorization": {"Bearer x"}}})
	sources := map[netip.Addr]string{{}: "127.0.0.1", netip.MustParseAddr("127.0.0.1"): "127.0.0.1"}
	if runtime.GOOS == "linux" { // the others have no further loopback address
		sources[netip.MustParseAddr("127.0.0.9")] = "127.0.0.9"
	}
	for from, want := range sources {
		ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
		body, err := s.post(ctx, web.URL, from, []byte("offer"))
		if cancel(); err != nil || !strings.HasPrefix(string(body), want+":") || !strings.HasSuffix(string(body), " Bearer x") {
			t.Errorf("from %v: the server sees %q, %v", from, body, err)
		}
	}
}

// Without Config.HTTP an offer goes through the proxy of the environment, and over HTTP/2 to a server that has it.
func TestTransportOfAnOffer(t *testing.T) {
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) }))
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	s := newHTTPSignal(&Config{})
	transport := s.client.Transport.(*http.Transport)
	if reflect.ValueOf(transport.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		t.Error("the proxy is not that of the environment")
	}
	transport.TLSClientConfig = web.Client().Transport.(*http.Transport).TLSClientConfig
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	if body, err := s.post(ctx, web.URL, netip.Addr{}, []byte("offer")); err != nil || string(body) != "HTTP/2.0" {
		t.Errorf("the server sees %q, want HTTP/2.0: %v", body, err)
	}
}

func TestDefaultsOfTheConfig(t *testing.T) {
	var c Config
	if err := c.setDefaults(); err != nil {
		t.Fatal(err)
	}
	if c.AnswerTimeout != 10*time.Second || c.HandshakeTimeout != 10*time.Second || c.SilenceTimeout != 30*time.Second ||
		c.MaxReceive != 16<<10 || c.Certificate == nil {
		t.Errorf("the defaults are %+v", c)
	}
	own := Config{AnswerTimeout: 1, HandshakeTimeout: 2, SilenceTimeout: time.Second, MaxReceive: 3, Certificate: c.Certificate}
	want := own
	if err := own.setDefaults(); err != nil || own.AnswerTimeout != want.AnswerTimeout || own.HandshakeTimeout != want.HandshakeTimeout ||
		own.SilenceTimeout != want.SilenceTimeout || own.MaxReceive != want.MaxReceive || own.Certificate != want.Certificate {
		t.Errorf("a Config with its own values becomes %+v, %v", own, err)
	}
	for d, ok := range map[time.Duration]bool{time.Second - 1: false, time.Second: true, 30 * time.Second: true, 30*time.Second + 1: false} {
		c := Config{SilenceTimeout: d, Certificate: c.Certificate}
		e, err := Listen("", c)
		if (err == nil) != ok || (e == nil) == ok {
			t.Errorf("SilenceTimeout %v: %v, want it accepted: %v", d, err, ok)
		}
		if e != nil {
			if e.Addr().Port() == 0 {
				t.Errorf("the endpoint is bound to %v, want a port", e.Addr())
			}
			e.Close()
		} else if want := "client: Config.SilenceTimeout is " + d.String() + ", but must be 1 s to 30 s"; textOf(err) != want {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if e, err := Listen("no port", Config{Certificate: c.Certificate}); e != nil || !strings.HasPrefix(textOf(err), "client: ") {
		t.Errorf("an invalid address: %v, want an error that begins with client:", err)
	}
}
