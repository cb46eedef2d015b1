package hosts

import (
	"strings"
	"testing"
)

func TestSplit(t *testing.T) {
	for host, want := range map[string]string{
		"game.example":                    "game.example ",
		"Game.Example:443":                "game.example 443",
		"game.example:0443":               "game.example 443",
		"127.0.0.1:8080":                  "127.0.0.1 8080",
		"[::1]":                           "::1 ",
		"[2001:DB8:0:0:0:0:0:1]:7777":     "2001:db8::1 7777",
		"[fe80::1%eth0]:80":               "fe80::1%eth0 80",
		"xn--mller-kva.example":           "xn--mller-kva.example ",
		"":                                "",
		".example":                        "",
		"müller.example":                  "",
		"game.example:":                   "",
		"game.example:0":                  "",
		"game.example:65536":              "",
		"game.example:http":               "",
		"game.example:80:80":              "",
		"user@game.example":               "",
		"game.example/":                   "",
		"*.game.example":                  "",
		"::1":                             "",
		"[::1":                            "",
		"[127.0.0.1]":                     "",
		"[::1]x":                          "",
		"[::1]x80":                        "",
		"[::1]x:80":                       "",
		"[::1]:":                          "",
		"[game.example]:80":               "",
		":80":                             "",
		"a_z.example":                     "a_z.example ",
		strings.Repeat("a", 300):          strings.Repeat("a", 300) + " ",
		strings.Repeat("a", 301):          "",
		strings.Repeat("a", 290) + ":443": strings.Repeat("a", 290) + " 443",
	} {
		name, port, ok := Split(host)
		got := name + " " + port
		if !ok {
			got = strings.TrimSpace(got)
		}
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v; want %q", host, got, ok, want)
		}
	}
}

func TestFixed(t *testing.T) {
	for name, want := range map[string]bool{
		"127.0.0.1": true, "192.168.1.5": true, "::1": true, "fe80::1%eth0": true, "localhost": true, "localhost.": true, "game.localhost": true,
		"evil.example": false, "notlocalhost": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "": false,
	} {
		if Fixed(name) != want {
			t.Errorf("Fixed(%q) = %v, want %v", name, !want, want)
		}
	}
}

func TestPatterns(t *testing.T) {
	for p, want := range map[string]bool{
		"*": true, "game.example": true, "*.game.example": true, "192.0.2.1": true,
		"": false, "*.": false, "**": false, "a.*.example": false, "game.example:443": false, "https://game.example": false, "Game.example": false,
	} {
		if Valid(p) != want {
			t.Errorf("Valid(%q) = %v, want %v", p, !want, want)
		}
	}
	list := []string{"game.example", "*.play.example"}
	for name, want := range map[string]bool{
		"game.example": true, "a.play.example": true, "a.b.play.example": true,
		"play.example": false, ".play.example": false, "a.game.example": false, "evilplay.example": false, "": false,
	} {
		if Match(list, name) != want {
			t.Errorf("Match of %q = %v, want %v", name, !want, want)
		}
	}
	if !Match([]string{"*"}, "any.example") || Match(nil, "any.example") {
		t.Errorf("Match with * = %v, want true; without patterns = %v, want false", Match([]string{"*"}, "any.example"), Match(nil, "any.example"))
	}
}
