package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/sdp"
)

// checkOrigin asks, as a browser does before a request of another origin, whether pages of the origin
// may connect.
func (v *visit) checkOrigin(ctx context.Context) bool {
	own := v.url.Scheme + "://" + v.url.Host
	v.origin = cmp.Or(v.config.Origin, own)
	whose := "the page's"
	if v.origin == own {
		whose = "the server's own"
	}
	if o, _ := url.Parse(v.origin); o != nil && o.Scheme == "https" && v.url.Scheme == "http" && !v.site.Addr().IsLoopback() {
		v.fail("origin", FaultMixed, "serve the signaling over HTTPS, too", "browsers let no page of HTTPS send requests to %v", v.url)
	}
	header := v.pageHeader()
	header.Set("Access-Control-Request-Method", http.MethodPost)
	header.Set("Access-Control-Request-Headers", "authorization,content-type")
	resp, err := v.do(ctx, http.MethodOptions, v.url, "", header)
	if err != nil {
		v.fail("origin", FaultCORS, "look for a proxy that drops requests with the method OPTIONS", "no answer to a preflight: %v", rootCause(err))
		return true
	}
	said := parseRefusal(resp.body)
	allowed := resp.Header.Values("Access-Control-Allow-Origin")
	switch {
	case said.Code == "origin":
		next := fmt.Sprintf("add %q to the server's Config.Origins (of a godwit.Server: Config.RTC.Origins)", v.origin)
		if v.origin == own {
			next = "let the proxy pass on the header Host (nginx: proxy_set_header Host $host), or set Config.Hosts or Config.Origins"
		}
		v.fail("origin", FaultOrigin, next, "pages of %s, %s origin, are refused", v.origin, whose)
		v.origin = "" // the other checks continue as a native client
	case v.origin == own:
		v.ok("origin", "pages of %s, the server's own origin, may connect", own)
	case resp.StatusCode/100 != 2 || len(allowed) != 1 || allowed[0] != v.origin && allowed[0] != "*":
		v.fail("origin", FaultCORS, "let the proxy pass on requests with the method OPTIONS and the headers Access-Control-* of the server, once, and add none of its own",
			"a preflight for pages of %s gets the status %d and Access-Control-Allow-Origin %q", v.origin, resp.StatusCode, strings.Join(allowed, ", "))
	default:
		v.ok("origin", "pages of %s may connect", v.origin)
	}
	return true
}

// pageHeader returns the headers that a browser adds to a request of the page.
func (v *visit) pageHeader() http.Header {
	h := make(http.Header)
	if v.origin == "" {
		return h
	}
	h.Set("Origin", v.origin)
	if v.url.Scheme == "https" || v.url.Hostname() == "localhost" { // https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
		h.Set("Sec-Fetch-Site", "cross-site")
		if v.origin == v.url.Scheme+"://"+v.url.Host {
			h.Set("Sec-Fetch-Site", "same-origin")
		}
	}
	return h
}

// A refusal is the body of a response that refuses a request: docs/SESSION.md, section 1. It is empty if the
// response is not of a godwit server.
type refusal struct {
	Code, Error string
	Server      string // the server's version, with the codes "protocol" and "app"
	Channels    string // the server's table, with the code "channels"
}

func parseRefusal(body []byte) (r refusal) {
	if json.Unmarshal(body, &r) != nil {
		return refusal{}
	}
	return r
}

// takeToken returns a token that was not used yet, or the last one.
func (v *visit) takeToken() string {
	if len(v.tokens) == 0 {
		return ""
	}
	token := v.tokens[0]
	if len(v.tokens) > 1 {
		v.tokens = v.tokens[1:]
	}
	return token
}

// signalURL returns the URL of a request with the terms of this end.
func (v *visit) signalURL() *url.URL {
	u := *v.url
	q := u.Query()
	q.Set("v", "1")
	q.Set("kind", "native")
	q.Set("channels", v.hash)
	if v.app != "" {
		q.Set("app", v.app)
	}
	u.RawQuery = q.Encode()
	return &u
}

// post sends an offer, or a request for links without one.
func (v *visit) post(ctx context.Context, offer []byte, token string) (*response, error) {
	h := v.pageHeader()
	h.Set("Content-Type", "application/sdp")
	if offer == nil {
		h.Set("Content-Type", "application/json")
	}
	h.Set("Accept", "application/json")
	if token != "" && v.config.Header.Get("Authorization") != "" {
		h.Set("Godwit-Authorization", "Bearer "+token)
	} else if token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	return v.do(ctx, http.MethodPost, v.signalURL(), string(offer), h)
}

// ask sends an offer until the server answers it. The server's refusals say which version of the
// program and which table of channels it has, and the next offer has the same.
func (v *visit) ask(ctx context.Context) bool {
	offer, err := newOffer()
	if err != nil {
		v.fail("answer", FaultRefused, "", "no offer: %v", err)
		return false
	}
	v.offer = offer
	text, token := offer.Append(nil), v.takeToken()
	learned := make(map[string]bool)
	for {
		resp, err := v.post(ctx, text, token)
		if err != nil {
			v.fail("answer", FaultConnection, "look at the logs of the server and its proxy", "no answer to the offer: %v", rootCause(err))
			return true
		}
		if resp.StatusCode == http.StatusOK {
			v.plain = !learned["channels"] && v.config.Channels == ""
			return v.read(resp, learned)
		}
		said := parseRefusal(resp.body)
		code := said.Code
		if learned[code] || code != "app" && code != "channels" {
			v.refused(resp, said, token)
			return true
		}
		learned[code] = true
		if !v.learn(code, said) {
			return true
		}
	}
}

// learn takes over what a refusal says about the server.
func (v *visit) learn(code string, said refusal) bool {
	if code == "app" {
		v.app = said.Server
		if v.config.App != "" {
			v.fail("version", FaultVersion, "serve the page and the server of the same build, and let browsers load the page again", "the server is version %q of the program, the page %q", v.app, v.config.App)
		}
		return true
	}
	table, err := channel.ParseTable(said.Channels)
	if err != nil {
		v.fail("table", FaultTable, "use the doctor of the server's version of godwit", "the server's table of channels cannot be read: %v", err)
		return false
	}
	v.hash = fmt.Sprintf("%016x", table.Hash())
	text := describe(table)
	if v.config.Channels != "" {
		v.fail("table", FaultTable, "give the page the same channels, in the same order, with the same options", "the server has %s with the hash %s, the page the hash %s", text, v.hash, v.config.Channels)
		return true
	}
	v.report(Result{Check: "table", Text: text + "; hash " + v.hash, Data: map[string]any{"hash": v.hash}})
	return true
}

// describe names the channels of a table.
func describe(t channel.Table) string {
	names := make([]string, 0, len(t.Channels))
	for _, c := range t.Channels {
		names = append(names, c.Name)
	}
	switch len(names) {
	case 0:
		return "no channels"
	case 1:
		return "one channel, " + names[0]
	}
	return fmt.Sprintf("%d channels: %s", len(names), strings.Join(names, ", "))
}

// refused reports a refusal.
func (v *visit) refused(resp *response, said refusal, token string) {
	text := cmp.Or(said.Error, http.StatusText(resp.StatusCode))
	f, next := FaultRefused, "look at the server's log at the level debug"
	switch said.Code {
	case "protocol":
		f, next = FaultVersion, "use the doctor, and the client script, of the server's version of godwit"
	case "token", "identity":
		f, next = FaultToken, "give a token with -token; it is used up, so give two for all checks: -token A -token B"
		if token != "" {
			next = "make a new token: it must name this server, must not be too old, and was not used before"
		}
	case "rate":
		next = "wait a few seconds"
		if strings.Contains(v.seen, "forwarded=missing") {
			next = "the server counts all players under the address of its proxy: let the proxy write X-Forwarded-For"
		}
	case "full", "shutdown":
		next = "try again later; the server has no room, or shuts down"
	case "":
		f, next = FaultServer, "a proxy, and not the server, has refused the offer: see that it passes on POST and bodies of a few KiB"
	}
	v.fail("answer", f, next, "the server refuses the offer with the status %d: %s", resp.StatusCode, text)
}

// maxLines limits the candidates of an answer that are used.
const maxLines = 16

// An offeredSocket is the WebSocket of an answer.
type offeredSocket struct {
	url    *url.URL
	ticket string
}

// read takes what later checks need from an answer.
func (v *visit) read(resp *response, learned map[string]bool) bool {
	body := parseAnswer(resp.body)
	if body.Answer.SDP == "" && len(body.Links) == 0 {
		v.fail("answer", FaultServer, "see that no proxy changes the body", "the response is no answer: %.40q", resp.body)
		return true
	}
	v.readLinks(body.Links)
	version := ""
	if learned["app"] && v.config.App == "" {
		version = fmt.Sprintf(", version %q of the program", v.app)
	}
	if v.plain {
		v.ok("version", "datagrams without sessions (rtcserver)")
	} else {
		v.ok("version", "session protocol 1%s", version)
	}
	if body.Answer.SDP == "" {
		v.skip("answer", "the server offers no WebRTC (Config.Links), so there is nothing to check over UDP")
		return true
	}
	answer, err := sdp.ParseAnswer([]byte(body.Answer.SDP))
	if err != nil {
		v.fail("answer", FaultServer, "see that no proxy changes the body", "the answer cannot be read: %v", err)
		return true
	}
	v.answer = answer
	for line := range strings.Lines(body.Answer.SDP) {
		if c, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:"); ok && len(v.lines) < maxLines {
			v.lines = append(v.lines, c)
		}
	}
	v.ok("answer", "the server answers an offer in %s, with %s", brief(resp.took), count(len(v.lines), "address", "addresses"))
	return true
}

// An answer is the body of a response that admits a client: docs/SESSION.md, section 1.
type answer struct {
	Answer struct{ SDP string }
	Links  []link
}

type link struct{ Type, URL, Ticket string }

// parseAnswer reads an answer; what is not JSON is an empty one.
func parseAnswer(body []byte) (a answer) {
	if json.Unmarshal(body, &a) != nil {
		return answer{}
	}
	return a
}

// readLinks takes the WebSocket from the links of an answer.
func (v *visit) readLinks(links []link) {
	for _, l := range links {
		switch {
		case l.Type == "websocket" && l.Ticket != "":
			v.socket = v.socketOf(l.URL, l.Ticket)
		case l.Type == "webtransport":
			v.skip("webtransport", "the server offers it at %s; this program has no QUIC to try it", l.URL)
		}
	}
}

// socketOf returns the WebSocket of a link, whose URL may be empty: then it is that of the signaling.
func (v *visit) socketOf(link, ticket string) *offeredSocket {
	u, err := v.url.Parse(link)
	if err != nil {
		return nil
	}
	to := *u
	to.Scheme = strings.Replace(to.Scheme, "http", "ws", 1)
	return &offeredSocket{&to, ticket}
}

// count returns a number with the right form of a word.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// newOffer returns an offer of a data channel. Nothing answers its DTLS.
func newOffer() (*sdp.Offer, error) {
	credentials, err := icelite.NewCredentials(rand.Reader)
	if err != nil {
		return nil, err
	}
	certificate, err := dtls.GenerateCertificate(time.Now())
	if err != nil {
		return nil, err
	}
	f := certificate.Fingerprint()
	return &sdp.Offer{
		Ufrag: credentials.Ufrag, Pwd: credentials.Pwd,
		Fingerprints:   []sdp.Fingerprint{{Algorithm: f.Algorithm(), Sum: f.Sum()}},
		Setup:          sdp.SetupActpass,
		MaxMessageSize: 16 << 10,
	}, nil
}

// forwardedBy reads the header Godwit-Seen: the address under which the server counts this machine, or
// a word, and the word for what it has done with X-Forwarded-For.
func forwardedBy(seen string) (addr netip.Addr, word, how string) {
	word, how, _ = strings.Cut(seen, "; forwarded=")
	addr, _ = netip.ParseAddr(word) // the zero Addr if it is a word
	return addr, word, how
}

// judgeSeen compares the address under which the server counts this machine with the one that it has.
func (v *visit) judgeSeen(context.Context) bool {
	const naming = "let the proxy write the header X-Forwarded-For (nginx: proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for)"
	const trusting = "name the proxy in Config.TrustedProxies (of a godwit.Server: Config.RTC.TrustedProxies), or set TrustUnixSocket"
	addr, word, how := forwardedBy(v.seen)
	switch {
	case word == "unknown":
		word = "a client without an address"
	case !addr.IsValid():
		word = "a " + word + " address"
	}
	known := v.mapped.Addr()
	if !known.IsValid() {
		known = v.outside.Addr()
	}
	sameKind := addr.IsValid() && known.IsValid() && addr.Is4() == known.Is4()
	// Without a proxy the server sees a private address only of a machine in its own network.
	hidden := !addr.IsValid() && !private(v.site.Addr()) && (!known.IsValid() || !private(known))
	switch {
	case v.seen == "":
		v.skip("proxy", "the server does not say under which address it counts this machine: it is older, or a proxy removes the header")
	case how == "missing":
		v.fail("proxy", FaultForwarded, naming, "the server's proxy does not name its clients: all players count as one address (%s), and share its limits", word)
	case how == "unusable":
		v.fail("proxy", FaultForwarded, naming, "X-Forwarded-For of the server's proxy has no address of a player: all players count as one address (%s)", word)
	case how == "ignored" && sameKind && addr == known:
		v.ok("proxy", "the server counts this machine as %s, and ignores an X-Forwarded-For from here", word)
	case how == "ignored":
		v.fail("proxy", FaultProxy, trusting, "the server ignores X-Forwarded-For, because it does not know the proxy that writes it: all players count as one address (%s)", word)
	case hidden, sameKind && addr != known && how == "none":
		v.warn("proxy", FaultForwarded, naming+", and "+trusting, "the server counts this machine as %s, but over UDP it is %s: probably a proxy before the server hides the addresses of its players", word, orUnknown(known))
	case sameKind && addr != known:
		v.ok("proxy", "the server counts this machine as %s over HTTP, and over UDP it is %v: this network has several ways out", word, known)
	case how == "used":
		v.ok("proxy", "the server's proxy names its clients: this machine counts as %s", word)
	default:
		v.ok("proxy", "the server counts this machine as %s", word)
	}
	return true
}

func orUnknown(a netip.Addr) string {
	if a.IsValid() {
		return a.String()
	}
	return "another address"
}
