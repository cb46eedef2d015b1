package rtcserver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/client"
)

func wantStatus(t *testing.T, err error, status int, text string) {
	t.Helper()
	e, ok := errors.AsType[*StatusError](err)
	if !ok || e.Status != status || !strings.Contains(e.Text, text) {
		t.Errorf("error %v, want %d with %q", err, status, text)
	}
}

// Offers that do not come over HTTP are answered. Without an address no limit of an address
// applies.
func TestAnswerWithoutHTTP(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxPerIP: 64, MaxOffers: 20}}, func(w *world) {
		p := w.newPage(client.Config{})
		var err error
		p.conn, err = p.Connect(w.t.Context(), func(ctx context.Context, offer []byte) ([]byte, error) {
			return w.server.Answer(ctx, offer, p.addr().Addr())
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		p.echoes("it is a connection like any other")
		offer := []byte(browserOffer(t))
		for i := range 200 {
			if _, err := w.server.Answer(w.t.Context(), offer, netip.Addr{}); err != nil {
				t.Fatalf("offer %d: %v", i, err)
			}
		}
	})
}

func TestAnswerHasTheLimitsOfHTTP(t *testing.T) {
	inWorld(t, Config{Settings: Settings{MaxPerIP: 3, MaxOffers: 2}}, func(w *world) {
		offer, from := []byte(browserOffer(t)), netip.MustParseAddr("::ffff:203.0.113.9")
		answer := func() error {
			_, err := w.server.Answer(w.t.Context(), offer, from)
			return err
		}
		for range 3 {
			if err := answer(); err != nil {
				t.Error(err)
			}
		}
		wantStatus(t, answer(), 429, "connections from this address")
		for range 4 {
			answer()
		}
		wantStatus(t, answer(), 429, "offers from this address")
		_, err := w.server.Answer(w.t.Context(), make([]byte, maxOffer+1), netip.Addr{})
		wantStatus(t, err, 413, "40 KiB")
		_, err = w.server.Answer(w.t.Context(), []byte("no offer"), netip.Addr{})
		wantStatus(t, err, 400, "")
		ctx, cancel := context.WithCancel(w.t.Context())
		cancel()
		_, err = w.server.Answer(ctx, offer, netip.Addr{})
		wantStatus(t, err, 408, "canceled")
		w.server.Refuse()
		_, err = w.server.Answer(w.t.Context(), offer, netip.Addr{})
		wantStatus(t, err, 503, "shuts down")
		if n := w.server.Stats().Refused; n[400] != 1 || n[408] != 1 || n[413] != 1 || n[503] != 1 {
			t.Errorf("the counted refusals are %v, want one each of 400, 408, 413 and 503", n)
		}
	})
}

type userKey struct{}

func TestAnswerAsksTheProgram(t *testing.T) {
	var from string
	inWorld(t, Config{Authorize: func(r *http.Request) error {
		from = r.RemoteAddr
		if r.FormValue("x") != "" || r.Header.Get("Cookie") != "" || r.Context().Value(userKey{}) != "ada" {
			return errors.New("who are you?")
		}
		return nil
	}}, func(w *world) {
		offer, page := []byte(browserOffer(t)), netip.MustParseAddr("2001:db8::1")
		_, err := w.server.Answer(w.t.Context(), offer, page)
		wantStatus(t, err, 403, "who are you?")
		if _, err := w.server.Answer(context.WithValue(w.t.Context(), userKey{}, "ada"), offer, page); err != nil || from != "[2001:db8::1]:0" {
			t.Errorf("the connection is from %s, want [2001:db8::1]:0; error %v", from, err)
		}
	})
}

// The hooks of the program get a request that is complete: they may read it as one of HTTP.
func TestTheRequestOfAnAnswerWithoutHTTP(t *testing.T) {
	asked := 0
	s := listen(t, Config{Authorize: func(r *http.Request) error {
		asked++
		if r.Method != http.MethodPost || r.URL == nil || r.URL.String() != "/" {
			t.Errorf("the request is %s %v, want POST /", r.Method, r.URL)
		}
		if r.Proto != "HTTP/1.1" || r.ProtoMajor != 1 || r.ProtoMinor != 1 {
			t.Errorf("the protocol is %s, %d.%d, want HTTP/1.1", r.Proto, r.ProtoMajor, r.ProtoMinor)
		}
		if r.Header == nil || len(r.Header) > 0 {
			t.Errorf("the header is %#v, want one that is empty, but not nil", r.Header)
		}
		if r.Body != http.NoBody {
			t.Errorf("the body is %v, want none", r.Body)
		}
		return nil
	}})
	if _, err := s.Answer(t.Context(), []byte(browserOffer(t)), netip.Addr{}); err != nil || asked != 1 {
		t.Errorf("%v, and the program was asked %d times, want once", err, asked)
	}
}

// HTTP requests without an address count for one address, and a refusal gives the reason.
func TestRequestsWithoutAnAddressAreToldWhy(t *testing.T) {
	for _, remote := range []string{"", "@", "pipe", "192.0.2.1.2:3"} {
		inWorld(t, Config{Settings: Settings{MaxPerIP: 2}}, func(w *world) {
			nameless := func(r *http.Request) { r.RemoteAddr = remote }
			for range 2 {
				if got := signal(t, w.server, browserOffer(t), nameless); got.Code != 200 {
					t.Errorf("%q: %d %s", remote, got.Code, got.Body)
				}
			}
			wantRefusal(t, signal(t, w.server, browserOffer(t), nameless), 429, "requests without an IP address, which count as one")
		})
	}
}

// The limit of 40 KiB is for the request; the SDP in it has at most 32 KiB.
func TestAnswerTakes40KiB(t *testing.T) {
	s := listen(t, Config{})
	b, err := json.Marshal(map[string]string{"type": "offer", "sdp": browserOffer(t)})
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]int{40 << 10: 0, 40<<10 + 1: http.StatusRequestEntityTooLarge} {
		_, err := s.Answer(t.Context(), append(b, bytes.Repeat([]byte{' '}, n-len(b))...), netip.Addr{})
		e, _ := errors.AsType[*StatusError](err)
		if (err == nil) != (want == 0) || e != nil && e.Status != want {
			t.Errorf("an offer of %d bytes: %v, want status %d", n, err, want)
		}
	}
}
