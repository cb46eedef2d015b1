// Package dashboard is a page with live graphs of a running [godwit.Server]: its traffic,
// its drops, its sessions, and the last two minutes of one session. It is for the
// programmers and the operators of a game.
//
// [Handler] serves the page and its figures:
//
//	ops := http.NewServeMux()
//	ops.Handle("/dashboard/", dashboard.Handler(srv))
//	http.ListenAndServe("localhost:6060", ops)
//
// The page shows who plays, and from which address. It asks for no password, so serve it
// only to yourself: on its own port that only this machine can reach, as above, or behind
// the authentication of your program. A port that only this machine can reach is not enough:
// a browser on this machine reaches it, too. A foreign page whose DNS answers with 127.0.0.1
// would have the same origin. So a Handler answers only if the host of the URL is an IP
// address, localhost, or one of the hosts that it was given.
//
// The page requests figures once a second, while it is visible. The history is in the page,
// and begins when the page is opened. The handler keeps no state and starts no goroutine. A
// poll locks every session, as [godwit.Server.Totals] does, and makes the server keep the
// counters that Totals keeps. A poll takes 3.3 ms of one processor with 1,000 clients and
// four channels (BenchmarkPoll), and proportionally more with more clients. A response has
// at most 200 sessions, the first in the order of the page, and about 40 KB.
//
// The package stores no history and sends no alarms.
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

// policy allows the page only its own script and style, and requests to its own origin. In
// browsers with Trusted Types no text can become markup.
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

// Handler returns a handler that serves the dashboard of s under any path: the page itself,
// and its figures if the query has "figures". It answers GET and HEAD.
//
// The host of the URL must be an IP address, localhost, or one of names, which have no
// ports: "ops.game.example"; "*.game.example" for all names below one; or "*" for every
// name, which is safe only if something else asks for a password. For any other host the
// handler answers 403. Handler panics if one of the names cannot be a host.
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
