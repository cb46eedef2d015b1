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
	"strconv"
	"strings"
	"time"
)

// maxAnswer limits the body of an answer in bytes. Servers send about 1 KiB.
const maxAnswer = 32 << 10

// longestRetry is the longest Retry-After of a server that is believed.
const longestRetry = time.Minute

// A SignalError is the server's refusal of an offer.
type SignalError struct {
	Status int    // of HTTP
	Text   string // what the server says
	Code   string // the same in one word, for programs; see docs/SESSION.md. "" if it is not a godwit server that answers

	// Detail is what else the server says, which names the difference.
	Detail map[string]string

	retryAfter time.Duration // at most longestRetry, and longestBackoff if there is no Code
}

// stranger returns the instance of the server that has never heard of the session to be
// resumed, or "". Another server may have it.
func (e *SignalError) stranger() string {
	if e == nil || e.Code != "resume" || e.Detail["reason"] != "unknown" {
		return ""
	}
	return e.Detail["instance"]
}

func (e *SignalError) Error() string {
	return fmt.Sprintf("client: the server refuses with status %d: %s", e.Status, e.Text)
}

// httpSignal takes offers to servers over HTTP.
type httpSignal struct {
	client *http.Client
	header http.Header
}

// sourceKey is the key of the context's value that says which address to dial from.
type sourceKey struct{}

func newHTTPSignal(c *Config) httpSignal {
	if c.HTTP != nil {
		return httpSignal{c.HTTP, c.Header}
	}
	return httpSignal{&http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		DialContext:       dialFromSource,
		DisableKeepAlives: true, // there is one offer, and then nothing more to say
		ForceAttemptHTTP2: true,
	}}, c.Header}
}

func dialFromSource(ctx context.Context, network, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if a, ok := ctx.Value(sourceKey{}).(netip.Addr); ok && a.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0))
	}
	return d.DialContext(ctx, network, addr)
}

// post sends an offer and returns the answer.
func (s *httpSignal) post(ctx context.Context, url string, from netip.Addr, offer []byte) ([]byte, error) {
	ctx = context.WithValue(ctx, sourceKey{}, from)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(offer))
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	maps.Copy(r.Header, s.header)
	r.Header.Set("Content-Type", "application/sdp")
	r.Header.Set("Accept", "application/sdp, application/json")
	resp, err := s.discreet().Do(r)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("client: %w", err)
	case resp.StatusCode != http.StatusOK:
		return nil, refused(resp, body)
	case len(body) > maxAnswer:
		return nil, errors.New("client: the server's answer is larger than 32 KiB")
	}
	return body, nil
}

// separate is the header for credentials where Authorization is taken.
const separate = "Godwit-Authorization"

// discreet returns the client, with its redirects watched: net/http keeps Authorization
// from other hosts, but would take our header along. The answer is then the redirect.
func (s *httpSignal) discreet() *http.Client {
	c := *s.client // which is the program's
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
	// Only seconds are read, not a date. What is no number is 0, and too large a one the largest.
	n, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 64)
	e.retryAfter = time.Duration(min(n, uint64(longest/time.Second))) * time.Second
	return e
}

// members returns the strings of a JSON object. What else it has is of newer servers.
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

// refusalText returns what a refusal says: the "error" of its JSON, or its first
// line.
func refusalText(body []byte) string {
	var wrapped struct{ Error string }
	if json.Unmarshal(body, &wrapped) == nil && wrapped.Error != "" {
		return wrapped.Error
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	return line[:min(len(line), 200)]
}
