package godwit

import (
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/rtcserver"
	"github.com/godwit-rtc/godwit/session"
)

// Config.Authorize gets the header Authorization as a gate wrote it, whatever the client adds;
// Token returns the client's own token.
func TestAClientDoesNotDisplaceWhatAGateWrote(t *testing.T) {
	var gate, token string
	s := serve(t, Config{Authorize: func(r *http.Request) (Identity, error) {
		gate, token = r.Header.Get("Authorization"), Token(r)
		return Identity{Name: gate}, nil
	}})
	for _, test := range []struct{ gate, client, token string }{
		{"Bearer user:mallory", "Bearer user:admin", "user:admin"},
		{"Basic b3BlbiBzZXNhbWU=", "Bearer ticket", "ticket"},
		{"Bearer ticket", "", "ticket"},
		{"Basic b3BlbiBzZXNhbWU=", "", ""},
		{"", "", ""},
	} {
		r := httptest.NewRequest(http.MethodPost, "/godwit/?v=1&channels="+hexHash(s), http.NoBody)
		r.Header.Set("Authorization", test.gate)
		if test.client != "" {
			r.Header.Set("Godwit-Authorization", test.client)
		}
		s.ServeHTTP(httptest.NewRecorder(), r)
		if gate != test.gate || token != test.token {
			t.Errorf("Authorize saw %q and the token %q, want %q and %q", gate, token, test.gate, test.token)
		}
	}
}

// If the server itself looks for a token, it uses the client's own header.
func TestATokenComesBehindAGate(t *testing.T) {
	s := serve(t, Config{Secret: "open sesame"})
	r := httptest.NewRequest(http.MethodPost, "/godwit/?v=1&channels="+hexHash(s), http.NoBody)
	r.Header.Set("Authorization", "Basic b3BlbiBzZXNhbWU=")
	r.Header.Set("Godwit-Authorization", "Bearer open sesame")
	w := testkit.Serve(s, r)
	if w.Code != http.StatusBadRequest { // there is no offer, which is looked at later
		t.Errorf("status %d, want 400: %s", w.Code, w.Body)
	}
}

// A refusal of the program always has a code: without a code clients take the answer for that of
// a proxy and try again.
func TestRefusalsOfTheProgramHaveACode(t *testing.T) {
	for status, code := range map[int]string{401: "token", 402: "request", 403: "forbidden", 429: "rate", 503: "full"} {
		e := &rtcserver.StatusError{Status: status, Text: "no"}
		s := serve(t, Config{Authorize: func(*http.Request) (Identity, error) { return Identity{}, e }})
		wantPost(t, s, "v=1", "", status, code, "")
		if e.Code != "" {
			t.Error("the program's error has changed")
		}
	}
}

// A refusal of the program always has a text, too: without a text clients take the answer for
// that of a proxy, and a client that is refused for good tries again and again.
func TestRefusalsOfTheProgramHaveAText(t *testing.T) {
	silent := &rtcserver.StatusError{Status: 499, Code: "banned"}
	for _, test := range []struct {
		err          error
		status       int
		code, reason string
		text         string
	}{
		{&rtcserver.StatusError{Status: 403, Code: "banned"}, 403, "banned", "", "Forbidden"},
		{silent, 499, "banned", "", "refused"},
		{errors.New(""), 403, "forbidden", "", "Forbidden"},
		{auth.NewError("banned", ""), 401, "token", "banned", "Unauthorized"},
	} {
		s := serve(t, Config{Authorize: func(*http.Request) (Identity, error) { return Identity{}, test.err }})
		if b := wantPost(t, s, "v=1", "", test.status, test.code, test.reason); b["error"] != test.text {
			t.Errorf("%v: the text is %q, want %q", test.err, b["error"], test.text)
		}
	}
	if silent.Text != "" {
		t.Error("the program's error has changed")
	}
}

// The body of a loop over Poll is a handler, also for events that a loop before left.
func TestShutdownInALoopOverPoll(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	client, err := srv.Local(LocalConfig{})
	must(t, err)
	events(srv, nil)
	for range 3 {
		must(t, client.Send(chat, []byte("x")))
	}
	srv.Flush()
	left := false
	for !left {
		for range srv.Poll(0) {
			left = true
			break
		}
	}
	calls := 0
	for range srv.Poll(0) {
		calls++
		if err := srv.Shutdown(t.Context(), ""); !errors.Is(err, session.ErrInHandler) {
			t.Fatalf("Shutdown: %v, want ErrInHandler", err)
		}
		if err := srv.Close(); !errors.Is(err, session.ErrInHandler) {
			t.Fatalf("Close: %v, want ErrInHandler", err)
		}
	}
	if calls != 2 {
		t.Errorf("%d events were left, want 2", calls)
	}
}

// A program that pulls the events of a Poll is inside Poll until the Poll has ended.
func TestShutdownWhileAPollIsPulled(t *testing.T) {
	srv, _ := newTestServer(t, manual)
	for range 2 {
		_, err := srv.Local(LocalConfig{})
		must(t, err)
	}
	for opened := 0; opened < 2; {
		next, stop := iter.Pull(srv.Poll(0))
		for ev, ok := next(); ok; ev, ok = next() {
			if opened++; ev.Type != session.EventOpen {
				t.Errorf("the event is %v, %v; want EventOpen", ev.Type, ev.Err)
			}
			if err := srv.Shutdown(t.Context(), ""); err != session.ErrInHandler {
				t.Fatalf("Shutdown: %v, want ErrInHandler", err)
			}
			if err := srv.Close(); err != session.ErrInHandler {
				t.Fatalf("Close: %v, want ErrInHandler", err)
			}
		}
		stop()
	}
	must(t, srv.Shutdown(t.Context(), ""))
}

// A handler that Shutdown runs is in a handler for Poll, too.
func TestPollInAHandlerThatShutdownRuns(t *testing.T) {
	var srv *Server
	var got []error
	srv, _ = newTestServer(t, manual, func(c *Config) {
		c.Handler.Close = func(*Conn, CloseReason) {
			for ev := range srv.Poll(0) {
				got = append(got, ev.Err)
			}
		}
	})
	for range 2 {
		_, err := srv.Local(LocalConfig{})
		must(t, err)
	}
	events(srv, nil)
	must(t, srv.Shutdown(t.Context(), ""))
	if !slices.Equal(got, []error{session.ErrInHandler, session.ErrInHandler}) {
		t.Errorf("Poll yields %v, want ErrInHandler twice", got)
	}
	var then []session.EventType
	for ev := range srv.Poll(0) { // the clients' ends have no handlers
		then = append(then, ev.Type)
	}
	if !slices.Equal(then, []session.EventType{session.EventClose, session.EventClose, session.EventEnded}) {
		t.Errorf("the other events are %v, want two ends and EventEnded", then)
	}
}

func hexHash(s *Server) string { return fmt.Sprintf("%016x", s.tableHash) }
