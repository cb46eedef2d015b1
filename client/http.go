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

// A SignalError is the server's refusal of an offer.
type SignalError struct {
	Status int    // of HTTP
	Text   string // what the server says
	Code   string // the same in one word, for programs; see docs/SESSION.md. "" if it is not a godwit server that answers

	// Detail is what else the server says, which names the difference.
	Detail map[string]string

	retryAfter time.Duration
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
	resp, err := s.client.Do(r)
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

func refused(resp *http.Response, body []byte) *SignalError {
	e := &SignalError{Status: resp.StatusCode, Text: refusalText(body)}
	if json.Unmarshal(body, &e.Detail) == nil {
		e.Code = e.Detail["code"]
		delete(e.Detail, "code")
		delete(e.Detail, "error")
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.retryAfter = time.Duration(n) * time.Second
	}
	return e
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
