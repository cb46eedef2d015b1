package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/session"
)

// With Retry, Connect tries again with the socket that it has opened: an attempt that has
// failed does not end the endpoint. When Connect gives up, the endpoint ends.
func TestConnectTriesAgain(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		attempts := 0
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if attempts++; attempts < 4 {
				http.Error(w, "a proxy without a server", http.StatusBadGateway)
				return
			}
			w.WriteHeader(http.StatusForbidden)
			w.Write([]byte(`{"code":"forbidden","error":"no"}`))
		})
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
		e, err := Serve(socket, Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: server}}})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		_, err = e.join(t.Context(), "http://game.example/", SessionConfig{Retry: true}, true) // as Connect does
		if refused, ok := errors.AsType[*SignalError](err); !ok || refused.Code != "forbidden" || attempts != 4 {
			t.Errorf("after %d attempts, want 4: %v", attempts, err)
		}
		if d := time.Since(begin); d < 1750*time.Millisecond || d > 3500*time.Millisecond {
			t.Errorf("the waits took %v, want half to all of 0.5 s, 1 s and 2 s", d)
		}
		e.Close()
		if _, err := e.Dial(t.Context(), "http://game.example/", nil); !errors.Is(err, session.ErrClosed) {
			t.Errorf("Dial after Close: %v, want ErrClosed", err)
		}
	})
}

// A server refuses the credentials of the first attempt: Join gets new ones once and tries again at
// once, also without Retry. A second refusal is final.
func TestJoinGetsNewCredentialsOnce(t *testing.T) {
	for _, retry := range []bool{false, true} {
		testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
			var seen []string
			server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				seen = append(seen, r.Header.Get("Authorization"))
				w.WriteHeader(http.StatusUnauthorized)
				w.Write([]byte(`{"code":"token","error":"no","reason":"expired"}`))
			})
			socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
			e := testkit.Must(Serve(socket, Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: server}}}))
			defer e.Close()
			begin, calls := time.Now(), 0
			token := func(context.Context) (string, error) {
				calls++
				return fmt.Sprint("t", calls), nil
			}
			_, err := e.Join(t.Context(), "http://game.example/", SessionConfig{Retry: retry, Token: token})
			if !isDenied(err) || len(seen) != 2 || seen[0] == seen[1] || calls != 2 || time.Since(begin) != 0 {
				t.Errorf("Retry %v: %v after %v; the credentials were %q, of %d calls of Token; want a refusal at once after two", retry, err, time.Since(begin), seen, calls)
			}
			seen = nil
			_, err = e.Join(t.Context(), "http://game.example/", SessionConfig{Retry: retry})
			if !isDenied(err) || len(seen) != 1 {
				t.Errorf("Retry %v: %v after %d requests without Token, want a refusal after one", retry, err, len(seen))
			}
		})
	}
}

// A server refuses the credentials, fails, and refuses the credentials again: Join has got new ones
// once, so the second refusal is final.
func TestJoinGetsNewCredentialsOnceInAllAttempts(t *testing.T) {
	testkit.OnNetwork(t, func(t *testing.T, network *netsim.Network) {
		answers := []int{401, 502, 401, 401}
		server := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(answers[0])
			if answers[0] == 401 {
				w.Write([]byte(`{"code":"token","error":"no"}`))
			}
			answers = answers[1:]
		})
		socket := testkit.Listen(t, network, netip.MustParseAddrPort("198.51.100.7:0"))
		e := testkit.Must(Serve(socket, Config{HTTP: &http.Client{Transport: testkit.Transport{Handler: server}}}))
		defer e.Close()
		token := func(context.Context) (string, error) { return "t", nil }
		_, err := e.Join(t.Context(), "http://game.example/", SessionConfig{Retry: true, Token: token})
		if !isDenied(err) || len(answers) != 1 {
			t.Errorf("%v; %d answers are left, want 1", err, len(answers))
		}
	})
}
