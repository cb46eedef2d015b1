package client_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/client"
)

// A Front asks with the headers of its program, and reads all that a front of a fleet may answer.
func TestFront(t *testing.T) {
	status, body := 0, ""
	var asked *http.Request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r
		w.WriteHeader(status)
		w.Write([]byte(body))
	}))
	defer srv.Close()
	front := &client.Front{URL: srv.URL + "/join?region=eu", Header: http.Header{"X-Player": {"ada"}}}

	status, body = 200, `{"url":"https://a.example/","token":"t","node":"n1"}`
	seat, err := front.Seat(t.Context())
	if want := (auth.Seat{URL: "https://a.example/", Token: "t", Node: "n1"}); seat != want || err != nil {
		t.Errorf("the seat is %+v, %v; want %+v", seat, err, want)
	}
	if asked.Method != http.MethodPost || asked.Header.Get("X-Player") != "ada" || asked.URL.RawQuery != "region=eu" {
		t.Errorf("the request is %v %v %v", asked.Method, asked.URL, asked.Header)
	}
	status, body = 503, `{"code":"full","error":"no room"}`
	_, err = front.Seat(t.Context())
	if e, ok := errors.AsType[*client.SignalError](err); !ok || e.Status != 503 || e.Code != "full" || e.Text != "no room" {
		t.Errorf("a refusal: %v", err)
	}
	status, body = 200, "<html>"
	if _, err = front.Seat(t.Context()); err == nil {
		t.Error("a page is taken for a seat")
	}
	for _, c := range []struct {
		status int
		gone   bool
		known  bool
	}{{410, true, true}, {204, false, true}, {503, false, false}, {200, false, false}, {404, false, false}} {
		status = c.status
		gone, err := front.Gone(t.Context(), seat)
		if gone != c.gone || (err == nil) != c.known {
			t.Errorf("the status %d: %v, %v", c.status, gone, err)
		}
		if asked.Method != http.MethodGet || asked.URL.Query().Get("node") != "n1" || asked.URL.Query().Get("region") != "eu" {
			t.Errorf("the request is %v %v", asked.Method, asked.URL)
		}
	}
	srv.Close()
	if _, err := front.Gone(context.Background(), seat); err == nil {
		t.Error("a front that is not there knows")
	}
}
