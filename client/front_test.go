package client_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
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
	if _, err := front.Gone(context.Background(), seat); !isURLError(err) {
		t.Errorf("a front that is not there: %v, want the error of the request", err)
	}
	if _, err := front.Seat(context.Background()); !isURLError(err) {
		t.Errorf("a front that is not there: %v, want the error of the request", err)
	}
	front.URL = "http://[::1/"
	if _, err := front.Seat(context.Background()); !isURLError(err) {
		t.Errorf("a seat of a URL that is none: %v", err)
	}
	if gone, err := front.Gone(context.Background(), seat); gone || !isURLError(err) {
		t.Errorf("a server of a URL that is none is gone: %v, %v", gone, err)
	}
}

func isURLError(err error) bool {
	_, ok := errors.AsType[*url.Error](err)
	return ok
}

// A brokenBody is the body of a response that ends with an error.
type brokenBody struct{ closed bool }

func (b *brokenBody) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
func (b *brokenBody) Close() error             { b.closed = true; return nil }

func (b *brokenBody) RoundTrip(*http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusGone, Body: b}, nil
}

// An answer that breaks off is an error, not another one of the front, and its body is closed.
func TestAnswerOfAFrontThatBreaksOff(t *testing.T) {
	b := new(brokenBody)
	front := &client.Front{URL: "http://game.example/join", HTTP: &http.Client{Transport: b}}
	if _, err := front.Gone(t.Context(), auth.Seat{Node: "n1"}); !errors.Is(err, io.ErrUnexpectedEOF) || !b.closed {
		t.Errorf("Gone: %v, closed %v; want that the answer breaks off, and true", err, b.closed)
	}
	b.closed = false
	if _, err := front.Seat(t.Context()); !errors.Is(err, io.ErrUnexpectedEOF) || !b.closed {
		t.Errorf("Seat: %v, closed %v; want that the answer breaks off, and true", err, b.closed)
	}
}
