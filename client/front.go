package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/handling"
	"github.com/godwit-rtc/godwit/session"
)

// A Front is the client's side of the front of a fleet, which tells a player where to play:
//
//	front := &client.Front{URL: "https://game.example/join"}
//	s, err := client.Connect(ctx, "", client.Config{}, client.SessionConfig{Seat: front.Seat, Gone: front.Gone, Renew: true, …})
//
// A POST to URL is answered with the JSON of an [auth.Seat]. A GET of URL with the parameter node is answered
// with the status 410 if that server is gone for good, with 204 if it is there, and with another one if the
// front does not know. Package fleet has the server's side. Any goroutine may call the methods; in a
// handler they return session.ErrInHandler.
type Front struct {
	URL    string
	Header http.Header  // of the requests, for example with the player's credentials; may be nil
	HTTP   *http.Client // nil means http.DefaultClient
}

// Seat asks for a seat. A refusal of the front is a *SignalError.
func (f *Front) Seat(ctx context.Context) (auth.Seat, error) {
	status, body, err := f.do(ctx, http.MethodPost, f.URL)
	if err != nil {
		return auth.Seat{}, err
	}
	if status != http.StatusOK {
		said := members(body)
		return auth.Seat{}, &SignalError{Status: status, Code: said["code"], Text: said["error"]}
	}
	return auth.ParseSeat(body)
}

// Gone asks whether the server of a seat is gone for good.
func (f *Front) Gone(ctx context.Context, at auth.Seat) (bool, error) {
	u, err := url.Parse(f.URL)
	if err != nil {
		return false, err
	}
	q := u.Query()
	q.Set("node", at.Node)
	u.RawQuery = q.Encode()
	status, _, err := f.do(ctx, http.MethodGet, u.String())
	if err == nil && status != http.StatusGone && status != http.StatusNoContent {
		err = fmt.Errorf("client: the front does not know: status %d", status)
	}
	return status == http.StatusGone, err
}

// maxFrontAnswer is the longest answer of a front that is read.
const maxFrontAnswer = auth.MaxSeat + 1

func (f *Front) do(ctx context.Context, method, at string) (status int, body []byte, err error) {
	if handling.Now() {
		return 0, nil, session.ErrInHandler
	}
	r, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return 0, nil, err
	}
	if f.Header != nil {
		r.Header = f.Header.Clone()
	}
	c := f.HTTP
	if c == nil {
		c = http.DefaultClient
	}
	resp, err := c.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, maxFrontAnswer))
	return resp.StatusCode, body, err
}
