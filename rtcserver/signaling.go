package rtcserver

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/sdp"
)

// maxOffer limits the body of an offer in bytes. Browsers send less than 1 KiB for a data
// channel, and a few KiB more for each section of media, which the server refuses. JSON
// needs two more bytes for each line.
const maxOffer = 40 << 10

// offerTimeout limits the time until the body of an offer has arrived. An http.Server has
// no such limit unless the program sets one.
const offerTimeout = 10 * time.Second

// limitReading sets the read deadline of the HTTP connection to offerTimeout from now, if
// the server behind w supports deadlines. net/http sets its own deadline for the next
// request of a connection.
func limitReading(w http.ResponseWriter) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(offerTimeout))
}

// A StatusError is an error that Authorize or Engine returns to choose the HTTP status and
// the body of the refusal.
type StatusError struct {
	Status int               // 400 to 599; any other value means 403
	Text   string            // "error" of the body: a text for the page's author; empty means the name of Status
	Code   string            // "code" of the body: one word for the page's script; empty means one that fits Status
	Detail map[string]string // further members of the body
}

func (e *StatusError) Error() string { return e.Text }

// ServeHTTP answers the offer of a page. The request is a POST. Its body is the SDP of
// the offer, or the JSON {"type":"offer","sdp":…}. Its Content-Type is application/sdp,
// text/plain, application/json, or application/x-www-form-urlencoded, which curl uses
// for every body; it may be missing. The response is
//
//	{"answer":{"sdp":…,"type":"answer"},"candidate":{"candidate":…,"sdpMLineIndex":…,"sdpMid":…}}
//
// with the member "links" if Config.Links returns any, or only the SDP if the request has Accept:
// application/sdp. The answer contains the candidate, too; a page may add it or not. There is no
// candidate if the page can reach no address of the server: see [Settings].Public. A further offer
// of the same RTCPeerConnection, for example after pc.restartIce(), is answered for the connection
// that there is.
//
// The body of a refusal is the JSON {"error":…,"code":…}: a text for the page's author, and a word
// for its script. ServeHTTP also answers OPTIONS, with which a browser asks before a request of
// another origin.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limitReading(w) // also for the rest of the body of a refused request
	// A copy: the program's funcs may change it.
	r = r.WithContext(r.Context())
	if r.Header.Get(askSeen) != "" {
		w.Header().Set(tellSeen, s.seen(r))
	}
	no := s.signal(w, r)
	if no == nil {
		return
	}
	s.countRefusal(r, no)
	writeRefusal(w, no)
}

// Refuse answers a request as ServeHTTP answers one for which Config.Authorize returns err, which must not be nil: with the JSON, the status
// and the headers of a refusal. It is for handlers behind Guard. A [*StatusError] chooses them; any other error means the status 403.
func Refuse(w http.ResponseWriter, err error) { writeRefusal(w, refusalOf(err)) }

// writeRefusal answers a request with a refusal.
func writeRefusal(w http.ResponseWriter, no *StatusError) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	if no.Status == http.StatusServiceUnavailable || no.Status == http.StatusTooManyRequests {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(no.Status)
	body := map[string]string{"error": no.Text, "code": no.Code}
	maps.Copy(body, no.Detail)
	json.NewEncoder(w).Encode(body)
}

// Signaling returns a handler for a program that has no UDP port. It answers requests as the
// ServeHTTP of a Server with Config.LinksOnly does, and uses of c only what is for requests:
// Authorize, Links, which must not be nil, Upgrade, Logger, and of Settings what says which
// pages and proxies are trusted, and MaxOffers. The error says which field of c is wrong.
func Signaling(c Config) (http.Handler, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	c.LinksOnly = true
	return &Server{config: c, offers: newLimiter(c.MaxOffers), down: make(chan struct{})}, nil
}

// countRefusal counts a refusal.
func (s *Server) countRefusal(r *http.Request, no *StatusError) {
	s.stats.refuse(no.Status)
	s.config.Logger.Debug("rtcserver: refused", "remote", r.RemoteAddr, "status", no.Status, "why", no.Text)
}

// signal answers an offer, or returns a refusal. It makes the cheap checks first, and makes
// nothing for the connection before all checks have passed.
func (s *Server) signal(w http.ResponseWriter, r *http.Request) *StatusError {
	if s.config.Upgrade != nil && r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		return s.upgrade(w, r)
	}
	if no := s.admitOrigin(w, r); no != nil {
		return no
	}
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		w.Header().Set("Allow", "POST, OPTIONS")
		return refuse(http.StatusMethodNotAllowed, "request", "send the offer with POST, not "+shorten(r.Method))
	}
	kind, ok := acceptable(r.Header.Get("Content-Type"))
	if !ok {
		return refuse(http.StatusUnsupportedMediaType, "request", "send the offer as application/sdp, text/plain or application/json")
	}
	if kind == form {
		// Otherwise FormValue in the program's Authorize would read the offer as a form.
		r.Header = r.Header.Clone()
		r.Header.Set("Content-Type", "text/plain")
	}
	from := remote{addr: s.clientAddr(r)}
	if no := s.authorize(r, from); no != nil {
		return no
	}
	limitReading(w)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOffer))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return refuse(http.StatusRequestTimeout, "request", "the offer came too slowly")
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return refuse(http.StatusRequestEntityTooLarge, "request", tooLarge)
		}
		return refuse(http.StatusBadRequest, "request", "the offer could not be read")
	}
	if s.config.Links != nil && (s.config.LinksOnly || kind == "application/json" && len(body) == 0) {
		return s.answerLinks(w, r, from)
	}
	answer, no := s.answerOffer(body, kind, r, from)
	if no != nil {
		return no
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if strings.Contains(r.Header.Get("Accept"), "application/sdp") {
		h.Set("Content-Type", "application/sdp")
		w.Write(answer.Append(nil))
		return nil
	}
	var links []Link
	if s.config.Links != nil {
		// An error is of a request that would have no answer without links; this one has one.
		links, _ = s.config.Links(r, site(from.addr), true)
	}
	writeAnswer(w, answer, links)
	return nil
}

// upgrade answers a request for a WebSocket, or returns a refusal.
func (s *Server) upgrade(w http.ResponseWriter, r *http.Request) *StatusError {
	from := remote{addr: s.clientAddr(r)}
	err := s.config.Upgrade(w, r, from.addr)
	switch {
	case err == nil:
		return nil
	case !s.offers.allow(time.Now(), site(from.addr)):
		return refuse(http.StatusTooManyRequests, "rate", "too many offers from "+from.String()+": try again in a second")
	}
	return refusalOf(err)
}

// answerLinks answers a request with the links of the program, or returns a refusal.
func (s *Server) answerLinks(w http.ResponseWriter, r *http.Request, from remote) *StatusError {
	select {
	case <-s.down:
		return refuse(http.StatusServiceUnavailable, "shutdown", "the server shuts down")
	default:
	}
	links, err := s.config.Links(r, site(from.addr), false)
	if err != nil {
		return refusalOf(err)
	}
	w.Header().Set("Cache-Control", "no-store")
	writeAnswer(w, nil, links)
	return nil
}

const tooLarge = "the offer is larger than 40 KiB"

// authorize checks the limit of the address and calls Config.Authorize. It returns a refusal or
// nil.
func (s *Server) authorize(r *http.Request, from remote) *StatusError {
	if !from.free && !s.offers.allow(time.Now(), site(from.addr)) {
		return refuse(http.StatusTooManyRequests, "rate", "too many offers from "+from.String()+": try again in a second")
	}
	if s.config.Authorize != nil {
		if err := s.config.Authorize(r); err != nil {
			return refusalOf(err)
		}
	}
	return nil
}

// answerOffer makes a connection for an offer in SDP or JSON, and returns the answer or a refusal.
func (s *Server) answerOffer(body []byte, kind string, r *http.Request, from remote) (*sdp.Answer, *StatusError) {
	text, ok := offerText(body)
	if !ok {
		return nil, refuse(http.StatusBadRequest, "request", `the JSON has no "sdp": send pc.localDescription`)
	}
	offer, err := sdp.ParseOffer(text)
	if err == sdp.ErrNotSDP && kind == form {
		return nil, refuse(http.StatusBadRequest, "request", err.Error()+"; with curl use --data-binary, because --data drops the ends of lines")
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "request", err.Error())
	}
	return s.accept(offer, r, from)
}

// shorten returns the first 100 bytes of a client's text, to be sent back or logged.
func shorten(s string) string { return s[:min(len(s), 100)] }

func refuse(status int, code, text string) *StatusError {
	return &StatusError{Status: status, Code: code, Text: text}
}

// refusalOf converts an error of the program to a refusal. It has a code and a text: without
// both a client would think that the response is not of the server, and try again.
func refusalOf(err error) *StatusError {
	e, ok := errors.AsType[*StatusError](err)
	if !ok || e.Status < 400 || e.Status > 599 {
		e = refuse(http.StatusForbidden, "forbidden", err.Error())
	}
	c := *e // a copy: the program may use e for other requests, too
	c.Code = cmp.Or(c.Code, defaultCode(c.Status))
	c.Text = cmp.Or(c.Text, http.StatusText(c.Status), "refused")
	return &c
}

// defaultCode returns the code of a refusal of the program that has none.
func defaultCode(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "token"
	case status == http.StatusTooManyRequests:
		return "rate"
	case status >= 500:
		return "full"
	case status == http.StatusForbidden:
		return "forbidden"
	}
	return "request"
}

// form is the Content-Type that curl and other programs send with every body of a POST. It
// is as safe as text/plain: a browser sends both without a preflight.
const form = "application/x-www-form-urlencoded"

// acceptable returns the media type of an offer, without its parameters.
func acceptable(contentType string) (kind string, ok bool) {
	if contentType == "" {
		return "", true
	}
	if len(contentType) > 200 {
		return "", false // do not parse many parameters
	}
	kind, _, err := mime.ParseMediaType(contentType)
	return kind, err == nil && (kind == "application/sdp" || kind == "text/plain" || kind == "application/json" || kind == form)
}

// offerText returns the SDP of an offer that may be wrapped in JSON.
func offerText(body []byte) ([]byte, bool) {
	if len(body) == 0 || body[0] != '{' {
		return body, true
	}
	var wrapped struct{ SDP string }
	if json.Unmarshal(body, &wrapped) != nil || wrapped.SDP == "" {
		return nil, false
	}
	return []byte(wrapped.SDP), true
}

// A Link is a way besides WebRTC by which a client may reach the program, as it is in the JSON
// of an answer.
type Link struct {
	Type   string `json:"type"`
	URL    string `json:"url,omitempty"` // empty means that of the request
	Ticket string `json:"ticket"`        // proves once that the client was admitted

	// Hashes are the SHA-256 hashes, in base64, of the certificates that the server of a
	// WebTransport link may have if no CA vouches for them.
	Hashes []string `json:"hashes,omitempty"`
}

// writeAnswer writes the JSON of an answer. a is nil if the client gets only links.
func writeAnswer(w http.ResponseWriter, a *sdp.Answer, links []Link) {
	type description struct {
		SDP  string `json:"sdp"`
		Type string `json:"type"`
	}
	type candidate struct {
		Candidate     string `json:"candidate"`
		SDPMLineIndex int    `json:"sdpMLineIndex"`
		SDPMid        string `json:"sdpMid"`
	}
	var body struct {
		Answer    *description `json:"answer,omitempty"`
		Candidate *candidate   `json:"candidate,omitempty"`
		Links     []Link       `json:"links,omitempty"`
	}
	if a != nil {
		body.Answer = &description{string(a.Append(nil)), "answer"}
		if len(a.Candidates) > 0 {
			body.Candidate = &candidate{a.Candidate(0), a.Offer.Index, a.Offer.Mid}
		}
	}
	body.Links = links
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(body)
}
