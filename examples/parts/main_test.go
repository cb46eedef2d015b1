package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/godwit-rtc/godwit/client"
)

// A server of only the four packages serves a client, one page after the other.
func TestPartsAreAServer(t *testing.T) {
	s, err := listen(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	go s.serve(t.Context())
	web := httptest.NewServer(s)
	defer web.Close()

	offer := func(ctx context.Context, offer []byte) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, web.URL, bytes.NewReader(offer))
		if err != nil {
			return nil, err
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = fmt.Errorf("%s: %s", resp.Status, answer)
		}
		return answer, err
	}
	for n := range 2 {
		got := make(chan string, 1)
		endpoint, err := client.Listen("127.0.0.1:0", client.Config{
			Handler: client.Handler{Message: func(_ *client.Conn, m client.Message) { got <- string(m.Data) }},
		})
		if err != nil {
			t.Fatal(err)
		}
		page, err := endpoint.Connect(t.Context(), offer, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprint("hello ", n)
		if err := page.Send(0, client.Text, []byte(want)); err != nil {
			t.Fatal(err)
		}
		if echo := <-got; echo != want {
			t.Errorf("the echo is %q, want %q", echo, want)
		}
		endpoint.Close()
	}
	if _, err := offer(t.Context(), []byte("no offer")); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("an invalid offer: %v, want an error", err)
	}
}
