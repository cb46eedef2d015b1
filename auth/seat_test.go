package auth_test

import (
	"crypto/rand"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/session"
)

// A seat survives its JSON: with an invite, with a URL, and with both.
func TestSeat(t *testing.T) {
	v := auth.Inviter{Key: testkit.Must(auth.NewInviteKey(rand.Reader)), Addresses: []netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:7777")}}
	i := testkit.Must(v.Invite(time.Now(), rand.Reader, auth.InviteClaims{Subject: "ada", For: time.Minute}))
	for _, s := range []auth.Seat{
		{Invite: &i}, {URL: "https://game.example/godwit"}, {Invite: &i, URL: "http://10.0.0.1:8080", Token: "secret"},
	} {
		got, err := auth.ParseSeat(testkit.Must(s.JSON()))
		if err != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%+v becomes %+v, %v", s, got, err)
		}
	}
	if auth.MaxSeat != session.MaxMove {
		t.Errorf("MaxSeat is %d, but a server moves a session to a seat of at most %d bytes", auth.MaxSeat, session.MaxMove)
	}
}

// What is not a seat is refused, on both sides.
func TestSeatsThatAreNone(t *testing.T) {
	for _, text := range []string{
		"", "null", "{}", "7", `{"token":"t"}`, `{"url":""}`, `{"url":"game.example"}`, `{"url":"javascript:alert(1)"}`, `{"url":"https:///path"}`,
		`{"url":":"}`, `{"invite":{"v":1}}`, `{"invite":"text"}`, `{"url":"https://a/` + strings.Repeat("a", auth.MaxSeat) + `"}`,
	} {
		if s, err := auth.ParseSeat([]byte(text)); err == nil {
			t.Errorf("%.40q is the seat %+v", text, s)
		}
	}
	for _, s := range []auth.Seat{{}, {Token: "t"}, {URL: "ftp://a"}, {URL: "https://a/" + strings.Repeat("a", auth.MaxSeat)}} {
		if b, err := s.JSON(); err == nil {
			t.Errorf("%.40v has the JSON %.40s", s, b)
		}
	}
}
