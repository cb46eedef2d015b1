// Package dashboard is a page with live graphs of a running [godwit.Server]: what it
// carries and drops, its sessions, and the last two minutes of any one of them. It
// is for those who write a game and those who run it.
//
// [Handler] serves the page and its figures:
//
//	ops := http.NewServeMux()
//	ops.Handle("/dashboard/", dashboard.Handler(srv))
//	http.ListenAndServe("localhost:6060", ops)
//
// It shows who plays, and from which address. It asks nobody for a password, so mount
// it where only you come: on a port of its own that only this machine reaches, as
// above, or behind the authentication of your program. On a port that only this machine
// reaches, the browser of this machine reaches it too, and with it the pages it shows: a
// stranger's page whose DNS answers with 127.0.0.1 is of the same origin. So a Handler
// serves under IP addresses and localhost only, and under the hosts that it is told.
//
// The page asks for figures once a second, and only while it is seen. What happened
// before it was opened it does not know: the history is the page's, and the handler
// keeps no state and starts no goroutine. A poll looks at every session, as
// [godwit.Server.Totals] does, and has the server remember what that says. It takes
// 3.3 ms of one processor with 1,000 clients and four channels (BenchmarkPoll), in
// proportion with more. An answer has at most 200 sessions, those that come first in
// the page's order, and about 40 KB.
//
// It stores nothing and alarms nobody.
package dashboard

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/internal/hosts"
)

//go:embed dashboard.html
var page []byte

// policy lets the page run its own script and style, and talk to where it came from.
// No text becomes markup, where the browser knows Trusted Types.
var policy = "default-src 'none'; script-src " + digest("script") + "; style-src " + digest("style") +
	"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" +
	"; require-trusted-types-for 'script'; trusted-types 'none'"

// digest returns the source expression for the page's only element of that name.
// https://www.w3.org/TR/CSP3/#grammardef-hash-source
func digest(element string) string {
	_, rest, _ := bytes.Cut(page, []byte("<"+element+">"))
	text, _, _ := bytes.Cut(rest, []byte("</"+element+">"))
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

// Handler returns a handler that serves the dashboard of s under any path: the page
// itself, and its figures where the query has "figures". It answers GET and HEAD.
//
// It is reached by an IP address, as localhost, or by one of the names, without ports:
// "ops.game.example", "*.game.example" for all names below one, "*" for any, which is safe
// only where something else asks for a password. Under another name it answers 403. It
// panics if one of the names cannot be a host.
func Handler(s *godwit.Server, names ...string) http.Handler {
	allowed := make([]string, 0, len(names))
	for _, n := range names {
		n = strings.ToLower(n)
		if !hosts.Valid(n) {
			panic("dashboard: " + strconv.Quote(n) + " is no host: it is a name without a scheme or a port")
		}
		allowed = append(allowed, n)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		if name, _, ok := hosts.Split(r.Host); !ok || !hosts.Fixed(name) && !hosts.Match(allowed, name) {
			http.Error(w, "dashboard: this host is not known: open the page by an IP address or as localhost, or give the host to dashboard.Handler", http.StatusForbidden)
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
			return
		}
		q := r.URL.Query()
		if !q.Has("figures") {
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Content-Length", strconv.Itoa(len(page)))
			w.Write(page)
			return
		}
		h.Set("Content-Type", "application/json")
		if r.Method == http.MethodHead {
			return
		}
		json.NewEncoder(w).Encode(figuresOf(s, question{
			search:  q.Get("search"),
			order:   q.Get("order"),
			down:    q.Has("down"),
			session: q.Get("session"),
		}))
	})
}
