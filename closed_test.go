package godwit

import (
	"context"
	"net/http"
	"testing"

	"github.com/godwit-rtc/godwit/internal/closed"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// Package fleet asks by closed.Server whether a server takes players still: not from the beginning of Shutdown on.
func TestAServerThatShutsDownCountsAsClosed(t *testing.T) {
	srv := testkit.Must(New(Config{Links: []string{session.LinkWebTransport}}))
	amid := false
	must(t, srv.OfferLink(LinkOffer{
		Describe: func(*http.Request) (string, []string) { return "", nil },
		Shutdown: func(context.Context) { amid = closed.Server(srv) },
	}))
	before := closed.Server(srv)
	srv.Close()
	if before || !amid || !closed.Server(srv) {
		t.Errorf("the server counts as closed before: %v, meanwhile: %v, after it: %v", before, amid, closed.Server(srv))
	}
}
