package client

import (
	"net/url"
	"strings"
	"testing"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A link without a URL is at that of the answer, without the parameters of signaling; http is ws. A
// link after an encrypted answer is encrypted.
func TestURLsOfLinks(t *testing.T) {
	for _, c := range []struct{ answer, link, want string }{
		{"http://game.example/rtc?v=1&app=a&channels=c&kind=native&token=t", "", "ws://game.example/rtc?token=t"},
		{"https://game.example/rtc?v=1", "", "wss://game.example/rtc"},
		{"https://game.example/rtc?v=1", "/link?v=2", "wss://game.example/link?v=2"},
		{"https://game.example/a/b", "c", "wss://game.example/a/c"},
		{"http://game.example/rtc", "//other.example/link", "ws://other.example/link"},
		{"http://game.example/rtc", "wss://other.example/link", "wss://other.example/link"},
		{"http://game.example/rtc", "https://other.example/link", "wss://other.example/link"},
		{"https://game.example/rtc", "http://game.example/link", ""},
		{"https://game.example/rtc", "ftp://game.example/link", ""},
		{"http://game.example/rtc", "http://[::1", ""},
		{"http://game.example/rtc", "ws://:8080/link", ""},
		{"http://game.example/rtc", "ws:/%2fgame.example", ""},
		{"http://[::1]:8080/rtc", "", "ws://[::1]:8080/rtc"},
	} {
		a := reply{url: testkit.Must(url.Parse(c.answer))}
		u, err := a.linkURL(&offered{URL: c.link})
		got := ""
		if u != nil {
			got = u.String()
		}
		if got != c.want || (err == nil) != (c.want != "") || err != nil && !strings.HasPrefix(err.Error(), "client: the server's link ") {
			t.Errorf("%q after %s is %q, want %q: %v", c.link, c.answer, got, c.want, err)
		}
	}
}

// The first WebSocket with a ticket is the one that is used. What is no JSON has no links.
func TestLinksOfAnswers(t *testing.T) {
	for body, want := range map[string]string{
		`{"links":[{"type":"pigeon","ticket":"a"},{"type":"websocket"},{"type":"websocket","ticket":"b"},{"type":"websocket","ticket":"c"}]}`: "b",
		`{"answer":{},"links":[{"type":"websocket","ticket":"b","new":[1]}]}`:                                                                 "b",
		`{"links":[{"type":"websocket","ticket":"b"}],"answer":`:                                                                              "",
		`{"links":[{"type":"websocket","ticket":"b"},{"ticket":7}]}`:                                                                          "",
		`{"links":[]}`: "",
		`{}`:           "",
		``:             "",
		"v=0\r\n":      "",
	} {
		a := reply{body: []byte(body)}
		a.parseLinks()
		got := ""
		if l := a.webSocket(); l != nil {
			got = l.Ticket
		}
		if got != want {
			t.Errorf("%s: the ticket is %q, want %q", body, got, want)
		}
	}
}

// FuzzAnswerLinks reads the links of any answer. The URL of a WebSocket is one that can be read again,
// and is encrypted if the answer was.
func FuzzAnswerLinks(f *testing.F) {
	for _, body := range []string{
		`{"answer":{"sdp":"v=0","type":"answer"},"links":[{"type":"websocket","ticket":"AAAAAAAAAAAAAAAAAAAAAA"}]}`,
		`{"links":[{"type":"webtransport","url":"https://a.example/","ticket":"x","hashes":["eA=="]},{"type":"websocket","url":"//b.example/c?v=1#d","ticket":"y"}]}`,
		`{"links":[{"type":"websocket","url":"http://b.example","ticket":"y"}]}`,
		`{"links":[{"type":"websocket","url":"wss:/%2f<","ticket":"y"}]}`,
		`{"links":{"type":1}}`, `{`, "v=0",
	} {
		f.Add(true, body)
		f.Add(false, body)
	}
	f.Fuzz(func(t *testing.T, encrypted bool, body string) {
		base := "http://game.example/rtc?v=1&token=t"
		if encrypted {
			base = "https://game.example/rtc?v=1&token=t"
		}
		a := reply{body: []byte(body), url: testkit.Must(url.Parse(base))}
		a.parseLinks()
		l := a.webSocket()
		if l == nil {
			return
		}
		if l.Ticket == "" || l.Type != "websocket" {
			t.Fatalf("%+v is no WebSocket with a ticket", l)
		}
		to, err := a.linkURL(l)
		if err != nil {
			return
		}
		text := to.String()
		u, err := url.Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if encrypted && u.Scheme != "wss" || u.Scheme == "http" || u.Scheme == "https" {
			t.Fatalf("%q after %s", text, base)
		}
	})
}
