package rtcserver

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/godwit-rtc/godwit/sdp"
)

// maxOffer limits the body of an offer in bytes. Browsers send under 1 KiB for a
// data channel, a few KiB with media that is then refused.
const maxOffer = 16 << 10

// offerTimeout is how long the body of an offer may take to come. An http.Server
// has no such limit unless the program sets one.
const offerTimeout = 10 * time.Second

// limitReading sets that limit, where the server behind w has deadlines. For the
// next request of a kept connection it sets its own.
func limitReading(w http.ResponseWriter) {
	http.NewResponseController(w).SetReadDeadline(time.Now().Add(offerTimeout))
}

// A StatusError is an error that Authorize or Engine returns to choose the HTTP
// status of the refusal, and what its body says.
type StatusError struct {
	Status int               // 400 to 599
	Text   string            // "error" of the body: told to the page's author
	Code   string            // "code" of the body: one word, told to the page's script
	Detail map[string]string // further members of the body
}

func (e *StatusError) Error() string { return e.Text }

// ServeHTTP answers the offer of a page. The request is a POST whose body is the
// SDP of the offer, or its JSON {"type":"offer","sdp":…}; the response is
//
//	{"answer":{"sdp":…,"type":"answer"},"candidate":{"candidate":…,"sdpMLineIndex":…,"sdpMid":…}}
//
// or the SDP alone for a request with Accept: application/sdp. The candidate is
// in the answer already; pages that add it do no harm. Errors are JSON
// {"error":…,"code":…} with a text for the page's author and a word for its script.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	limitReading(w) // also of what is left of the body of a refused one
	no := s.signal(w, r)
	if no == nil {
		return
	}
	s.stats.refuse(no.Status)
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

// signal does it, and returns a refusal or nil. The order matters: the cheapest and
// the most hostile first, and nothing exists of a connection before all have passed.
func (s *Server) signal(w http.ResponseWriter, r *http.Request) *StatusError {
	if !s.admitOrigin(w, r) {
		return refuse(http.StatusForbidden, "origin", "origin "+brief(r.Header.Get("Origin"))+" is not allowed: add it to Config.Origins")
	}
	switch r.Method {
	case http.MethodPost:
	case http.MethodOptions:
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		w.Header().Set("Allow", "POST, OPTIONS")
		return refuse(http.StatusMethodNotAllowed, "request", "send the offer with POST, not "+brief(r.Method))
	}
	if !acceptable(r.Header.Get("Content-Type")) {
		return refuse(http.StatusUnsupportedMediaType, "request", "send the offer as application/sdp, text/plain or application/json")
	}
	from := s.clientAddr(r)
	if !s.offers.allow(time.Now(), site(from)) {
		return refuse(http.StatusTooManyRequests, "rate", "too many offers from this address: try again in a second")
	}
	if s.config.Authorize != nil {
		if err := s.config.Authorize(r); err != nil {
			return refused(err)
		}
	}
	limitReading(w)
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxOffer))
	if err != nil {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return refuse(http.StatusRequestTimeout, "request", "the offer came too slowly")
		}
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return refuse(http.StatusRequestEntityTooLarge, "request", "the offer is larger than 16 KiB")
		}
		return refuse(http.StatusBadRequest, "request", "the offer could not be read")
	}
	text, ok := offerText(body)
	if !ok {
		return refuse(http.StatusBadRequest, "request", `the JSON has no "sdp": send pc.localDescription`)
	}
	offer, err := sdp.ParseOffer(text)
	if err != nil {
		return refuse(http.StatusBadRequest, "request", err.Error())
	}
	answer, no := s.accept(offer, r, from)
	if no != nil {
		return no
	}
	writeAnswer(w, r, answer)
	return nil
}

// brief returns so much of what a stranger sent as may be sent back.
func brief(s string) string { return s[:min(len(s), 100)] }

func refuse(status int, code, text string) *StatusError {
	return &StatusError{Status: status, Code: code, Text: text}
}

// refused returns the refusal that an error of the program is.
func refused(err error) *StatusError {
	if e, ok := errors.AsType[*StatusError](err); ok && e.Status >= 400 && e.Status <= 599 {
		return e
	}
	return refuse(http.StatusForbidden, "forbidden", err.Error())
}

// admitOrigin checks a browser's Origin and grants what CORS must grant. A POST
// with text/plain is sent without asking first, so a page that may not read the
// answer could still make connections: a foreign origin is refused, not only
// left without headers.
func (s *Server) admitOrigin(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true // not a browser, or a same-origin GET
	}
	_, host, _ := strings.Cut(origin, "://")
	if !strings.EqualFold(host, r.Host) && !slices.ContainsFunc(s.config.Origins, func(o string) bool {
		return o == "*" || strings.EqualFold(o, origin)
	}) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Methods", "POST, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Content-Type, Authorization")
	h.Set("Access-Control-Max-Age", "86400")
	return true
}

func acceptable(contentType string) bool {
	if contentType == "" {
		return true
	}
	if len(contentType) > 200 {
		return false // its parameters are not worth parsing
	}
	t, _, err := mime.ParseMediaType(contentType)
	return err == nil && (t == "application/sdp" || t == "text/plain" || t == "application/json")
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

func writeAnswer(w http.ResponseWriter, r *http.Request, a *sdp.Answer) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	text := a.Append(nil)
	if strings.Contains(r.Header.Get("Accept"), "application/sdp") {
		h.Set("Content-Type", "application/sdp")
		w.Write(text)
		return
	}
	type description struct {
		SDP  string `json:"sdp"`
		Type string `json:"type"`
	}
	type candidate struct {
		Candidate     string `json:"candidate"`
		SDPMLineIndex int    `json:"sdpMLineIndex"`
		SDPMid        string `json:"sdpMid"`
	}
	h.Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(struct {
		Answer    description `json:"answer"`
		Candidate candidate   `json:"candidate"`
	}{
		description{string(text), "answer"},
		candidate{a.Candidate(0), a.Offer.Index, a.Offer.Mid},
	})
}

// clientAddr returns the address of the page. X-Forwarded-For is believed from
// trusted proxies only, right to left, up to the first address that is not one.
func (s *Server) clientAddr(r *http.Request) netip.Addr {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	from, _ := netip.ParseAddr(host)
	from = from.Unmap()
	if !s.trusts(from) {
		return from
	}
	hops := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	for s.trusts(from) {
		i := strings.LastIndexByte(hops, ',')
		a, err := netip.ParseAddr(strings.TrimSpace(hops[i+1:]))
		if err != nil {
			break
		}
		from, hops = a.Unmap(), hops[:max(i, 0)]
	}
	return from
}

func (s *Server) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(s.config.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}
