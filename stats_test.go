package godwit

import (
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

func TestStats(t *testing.T) {
	bubble(t, func(t *testing.T) {
		srv, _ := newTestServer(t)
		client, server, _ := join(t, srv, "ada")
		client.Send(chat, []byte("hello"))
		server.Ask("x", nil, func(Result) {})
		settle()
		cut(client)
		time.Sleep(3 * time.Second)
		st, ch := server.Stats(), server.ChannelStats(chat)
		if st.LastHeard < 3*time.Second || !st.Interrupted || st.Interruptions != 1 || ch.MessagesIn != 1 || ch.BytesIn != 5 {
			t.Errorf("last heard %v ago, want 3 s at least; interrupted %v, want true, %d times, want 1; %d messages, %d bytes", st.LastHeard, st.Interrupted, st.Interruptions, ch.MessagesIn, ch.BytesIn)
		}
		if mine := client.Stats().Age; st.Age != 3*time.Second || mine != st.Age {
			t.Errorf("the age is %v at the server and %v at the client, want 3 s", st.Age, mine)
		}
		client.Close(session.CloseNormal, "")
		server.Kick("")
		settle()
		if st := srv.Stats(); st.Begun != 1 || st.Open != 0 || st.Closed[session.CloseKicked] != 1 || st.Left != 0 {
			t.Errorf("%+v, want 1 begun and kicked", st)
		}
	})
}

func TestLog(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var p testkit.Log
		srv, _ := newTestServer(t, func(c *Config) {
			c.Logger = p.Logger(slog.LevelDebug)
		})
		_, server, _ := join(t, srv, "ada")
		server.Kick("cheating")
		time.Sleep(time.Second)
		text := p.String()
		for _, want := range []string{"godwit: open", "godwit: close", "session=" + server.ID().String(), "identity=ada", "cheating"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
	})
}

// Ends are counted by code. The codes of the program share one counter with unknown codes. Ends
// that the client has caused are counted in Left, too.
func TestEndingsAreCounted(t *testing.T) {
	srv, _ := newTestServer(t)
	for _, why := range []CloseReason{
		{Code: session.CloseNormal, Remote: true}, {Code: session.CloseNormal}, {Code: session.CloseTimeout}, {Code: 30}, {Code: 31}, {Code: session.CloseProgram}, {Code: 65535, Remote: true},
	} {
		srv.ended.count(why)
	}
	st := srv.Stats()
	want := map[session.CloseCode]uint64{session.CloseNormal: 2, session.CloseTimeout: 1, 30: 1, session.CloseProgram: 3}
	if !maps.Equal(st.Closed, want) || st.Left != 2 {
		t.Errorf("the counted ends are %v, want %v; %d left, want 2", st.Closed, want, st.Left)
	}
	s := serve(t, Config{Secret: "open sesame"})
	wantPost(t, s, "v=1", "Bearer no", 401, "token", "wrong")
	wantPost(t, s, "v=1", "Bearer open sesame", 200, "", "")
	if st := s.Stats(); st.RTC.Refused[401] != 1 || st.RTC.Pending != 1 || st.Pending != 1 || st.Refused != 1 {
		t.Errorf("%+v, want 1 refusal and 1 pending", st)
	}
}
