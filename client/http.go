package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer limits the body of an answer in bytes. Servers send about 1 KiB, and up to 64 KiB of
// the text of their table.
const maxAnswer = 128 << 10

// longestRetry is the longest Retry-After of a server that is believed.
const longestRetry = time.Minute

// A SignalError is the server's refusal of an offer.
type SignalError struct {
	Status int    // HTTP status
	Text   string // the server's text for the program's author
	Code   string // the reason in one word, for programs; see docs/SESSION.md. Empty if the response is not of a godwit server

	// Detail has the other strings of the server's JSON, by name, for example the
	// versions of both ends. Nil if Code is empty.
	Detail map[string]string

	retryAfter time.Duration // the server's Retry-After, at most longestRetry, or longestBackoff if Code is empty
}

// unknownAt returns the instance of a server that does not know the session to be
// resumed, or "" if e says something else. Another server may know the session.
func (e *SignalError) unknownAt() string {
	if e == nil || e.Code != "resume" || e.Detail["reason"] != "unknown" {
		return ""
	}
	return e.Detail["instance"]
}

func (e *SignalError) Error() string {
	s := fmt.Sprintf("client: the server refuses with status %d", e.Status)
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// httpSignal sends offers to servers over HTTP.
type httpSignal struct {
	client *http.Client
	header http.Header
	links  bool // the answer is to have the other links, too
}

// sourceKey is the context key of the local address to dial from.
type sourceKey struct{}

func newHTTPSignal(c *Config) httpSignal {
	if c.HTTP != nil {
		return httpSignal{client: c.HTTP, header: c.Header}
	}
	return httpSignal{client: &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       dialFromSource,
		DisableKeepAlives: true, // one connection needs one request
		ForceAttemptHTTP2: true,
	}}, header: c.Header}
}

func dialFromSource(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if a, _ := ctx.Value(sourceKey{}).(netip.Addr); a.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	return d.DialContext(ctx, network, addr)
}

// post sends an offer and returns the answer.
func (s *httpSignal) post(ctx context.Context, url string, from netip.Addr, offer []byte) ([]byte, error) {
	answer, _, err := s.exchange(ctx, url, from, offer)
	return answer, err
}

// exchange is post that also returns the URL of the answer, after redirects. A nil offer asks
// for links that need none.
func (s *httpSignal) exchange(ctx context.Context, to string, from netip.Addr, offer []byte) ([]byte, *url.URL, error) {
	ctx = context.WithValue(ctx, sourceKey{}, from)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(offer))
	if err != nil {
		return nil, nil, fmt.Errorf("client: %w", err)
	}
	maps.Copy(r.Header, s.header)
	r.Header.Set("Content-Type", "application/sdp")
	r.Header.Set("Accept", "application/sdp, application/json")
	if offer == nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if s.links {
		r.Header.Set("Accept", "application/json")
	}
	resp, err := s.discreet().Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("client: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, nil, fmt.Errorf("client: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, nil, refused(resp, body)
	case len(body) > maxAnswer:
		return nil, nil, errors.New("client: the server's answer is larger than 128 KiB")
	}
	if resp.Request != nil { // the program's transport may leave it out
		r = resp.Request
	}
	return body, r.URL, nil
}

// separate is the header for the client's credentials when Authorization is in use for a
// gate.
const separate = "Godwit-Authorization"

// discreet returns the HTTP client with a CheckRedirect that never sends the header
// separate to another host or without TLS: net/http removes Authorization in such a
// redirect, but not this header. The redirect is then the response.
func (s *httpSignal) discreet() *http.Client {
	c := *s.client // a copy: the original belongs to the program
	theirs := c.CheckRedirect
	c.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		switch from := via[len(via)-1].URL; {
		case via[0].Header.Get(separate) != "" && (!strings.EqualFold(r.URL.Host, from.Host) || from.Scheme == "https" && r.URL.Scheme != "https"):
			return http.ErrUseLastResponse
		case theirs != nil:
			return theirs(r, via)
		case len(via) >= 10: // as net/http does
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
	return &c
}

func refused(resp *http.Response, body []byte) *SignalError {
	e := &SignalError{Status: resp.StatusCode, Text: refusalText(body)}
	longest := longestBackoff
	if said := members(body); resp.StatusCode >= 400 && said["code"] != "" && said["error"] != "" {
		e.Code, e.Detail = said["code"], said
		delete(said, "code")
		delete(said, "error")
		longest = longestRetry
	}
	// Only seconds are read, not a date. Text that is not a number counts as 0, and a
	// number that is too large as the largest.
	n, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 64)
	e.retryAfter = time.Duration(min(n, uint64(longest/time.Second))) * time.Second
	return e
}

// members returns the string members of a JSON object, by name. It ignores members of
// other types, which newer servers may send.
func members(body []byte) map[string]string {
	var all map[string]any
	if json.Unmarshal(body, &all) != nil {
		return nil
	}
	texts := make(map[string]string, len(all))
	for name, v := range all {
		if text, ok := v.(string); ok {
			texts[name] = text
		}
	}
	return texts
}

// refusalText returns the text of a refusal: the "error" of its JSON, or its first line,
// at most 200 bytes.
func refusalText(body []byte) string {
	if text := members(body)["error"]; text != "" {
		return text
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line[:min(len(line), 200)]
}
