package godwit

import (
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/auth"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
)

// Some limits may be negative, which means no limit. A negative value of the others would refuse
// everything.
func TestNegativeLimitsAreErrors(t *testing.T) {
	for name, c := range map[string]Config{
		"MaxUsedTokens":     {MaxUsedTokens: -1},
		"MaxConns":          {MaxConns: -1},
		"MaxRequests":       {MaxRequests: -1},
		"Silence":           {Silence: -1},
		"MaxClientChannels": {MaxClientChannels: -1},
		"MaxClientQueue":    {MaxClientQueue: -1},
		"OpenTimeout":       {OpenTimeout: -1},
		"Rate":              {Rate: -1},
		"Floor":             {Floor: -1},
	} {
		if err := c.setDefaults(); err == nil || !strings.Contains(err.Error(), "Config."+name+" is negative") {
			t.Errorf("%s: %v, want an error that says Config.%s is negative", name, err, name)
		}
	}
	c := Config{Grace: -1, Ceiling: -1, Limits: Limits{Messages: -1, Bytes: -1, Requests: -1}}
	if err := c.setDefaults(); err != nil {
		t.Errorf("no limit: %v, want nil", err)
	}
}

// Each mistake in a Config has an error that names it, and a value at the limit has no error.
func TestMistakesInAConfigAreNamed(t *testing.T) {
	_, verifier := newTokens(t)
	who := func(*http.Request) (Identity, error) { return Identity{}, nil }
	for _, c := range []struct {
		name, want string
		c          Config
	}{
		{"a table without a name", "Config.Channels: ", Config{Channels: Channels{{Name: ""}}}},
		{"a version too long", "Config.Version has 65 bytes, but may have at most 64", Config{Version: strings.Repeat("v", 65)}},
		{"the longest version", "", Config{Version: strings.Repeat("v", 64)}},
		{"a secret and tokens", "at most one of", Config{Secret: "s", Tokens: verifier}},
		{"a secret and a func", "at most one of", Config{Secret: "s", Authorize: who}},
		{"tokens and a func", "at most one of", Config{Tokens: verifier, Authorize: who}},
		{"a secret", "", Config{Secret: "s"}},
		{"a func", "", Config{Authorize: who}},
		{"tokens", "", Config{Tokens: verifier}},
		{"expiry with tokens", "", Config{Tokens: verifier, ExpireWithToken: true}},
		{"expiry without tokens", "Config.ExpireWithToken needs Config.Tokens", Config{Authorize: who, ExpireWithToken: true}},
		{"no key", "Config.Tokens: ", Config{Tokens: &auth.Verifier{Audience: "eu-1"}}},
		{"as many channels of clients as there is room for", "", Config{Channels: Channels{{Name: "a"}}, MaxClientChannels: 62}},
		{"one too many", "Config.MaxClientChannels is 63, but a session has at most 63 channels, so it may be at most 62", Config{Channels: Channels{{Name: "a"}}, MaxClientChannels: 63}},
		{"the largest queue", "", Config{MaxClientQueue: 64 << 20}},
		{"a larger queue", "Config.MaxClientQueue is", Config{MaxClientQueue: 64<<20 + 1}},
		{"the last choice of duplicates", "", Config{Duplicates: DuplicatesReplace}},
		{"an unknown choice", "Config.Duplicates is 3", Config{Duplicates: DuplicatesReplace + 1}},
	} {
		srv, err := New(c.c)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
		if err == nil {
			srv.Close()
		}
	}
	if _, err := Listen("no address", Config{}); err == nil {
		t.Error("Listen at an invalid address returns no error")
	}
	srv, err := Listen("127.0.0.1:0", Config{Version: strings.Repeat("v", 65)})
	if err == nil || srv != nil {
		t.Errorf("Listen with a wrong Config: %v, want an error and no server", err)
	}
}

// A program that changes its table afterwards changes no server.
func TestConfigIsReadOnce(t *testing.T) {
	mine := Channels{{Name: "a"}, {Name: "b"}}
	srv, err := New(Config{Channels: mine})
	must(t, err)
	defer srv.Close()
	mine[1].Name = "c"
	for name, want := range map[string]ChannelID{"a": 1, "b": 2, "c": 0} {
		if id, ok := srv.config.Channels.ID(name); id != want || ok != (want > 0) {
			t.Errorf("%s is channel %d, %v; want %d", name, id, ok, want)
		}
	}
	if srv.config.MaxConns != 4096 || srv.RTC() != nil {
		t.Errorf("MaxConns is %d, want 4096; RTC() is %v, want nil", srv.config.MaxConns, srv.RTC())
	}
}

// A session gets every setting of the Config that is one of a session. A field that the test does not know, of either
// struct, must be in want or among those that are unset.
func TestASessionGetsItsSettings(t *testing.T) {
	var c Config
	testkit.Fill(&c)
	token := sessioncore.Token{1}
	got := c.session(7, token)
	want := sessioncore.Config{
		Channel: channel.Config{Channels: c.Channels, Server: true, Rate: c.Rate, Floor: c.Floor, Ceiling: c.Ceiling},
		ID:      7, Token: token,
		Grace: c.Grace, Silence: c.Silence, OpenTimeout: c.OpenTimeout, DrainTimeout: c.DrainTimeout, Limits: c.Limits,
		ClientChannels: c.MaxClientChannels, ClientQueue: c.MaxClientQueue, MaxWaiting: c.MaxRequests,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the session gets\n%+v\nwant\n%+v", got, want)
	}
	// newConn sets Expires. Hello is a client's. The link says whether it is reliable, and how long its round
	// trips are. KeepAlive is that of a server.
	unset := []string{"Expires", "Channel.ReliableLink", "Channel.RTT", "Channel.KeepAlive", "Hello"}
	if names := testkit.Unset(got); !slices.Equal(names, unset) {
		t.Errorf("%q are unset, want %q", names, unset)
	}
}
