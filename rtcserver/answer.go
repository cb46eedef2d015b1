package rtcserver

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
)

// A remote is where an offer came from, for the limits per address.
type remote struct {
	addr netip.Addr
	free bool // nobody knows, and the limits do not apply
}

// String names it in a refusal. That the server knows no address of a request is for
// the operator to mend, so it is said.
func (r remote) String() string {
	if !r.addr.IsValid() {
		return "requests without an IP address, which count as one (the server's Config.TrustUnixSocket may help)"
	}
	return "this address"
}

// Answer answers an offer that came some other way than by HTTP: over a WebSocket, by
// a matchmaker, from a test. The offer is SDP, or its JSON {"type":"offer","sdp":…},
// of at most 40 KiB; the answer is SDP. An error is a [*StatusError], with the same
// statuses as over HTTP.
//
// The address of the page counts for MaxOffers and MaxPerIP. Where the program does not
// know it, page is the zero Addr: then no limit per address applies, and the program
// must limit offers itself.
//
// Config.Authorize and Config.Engine get a POST of "/" without header and body, with
// ctx, and with page as its RemoteAddr. Answer does not wait for ctx to end. What an
// http.Handler does besides, Answer does not: nobody asks for an origin. A server of
// package godwit answers level one so; clients of its sessions need HTTP.
func (s *Server) Answer(ctx context.Context, offer []byte, page netip.Addr) ([]byte, error) {
	r := (&http.Request{
		Method: http.MethodPost, URL: &url.URL{Path: "/"}, Header: make(http.Header), Body: http.NoBody,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	from := remote{addr: page.Unmap().WithZone(""), free: !page.IsValid()}
	if page.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(page, 0).String()
	}
	answer, no := s.answer(offer, r, from)
	if no != nil {
		s.refused(r, no)
		return nil, no
	}
	return answer, nil
}

func (s *Server) answer(offer []byte, r *http.Request, from remote) ([]byte, *StatusError) {
	if err := r.Context().Err(); err != nil {
		return nil, refuse(http.StatusRequestTimeout, "request", err.Error())
	}
	if len(offer) > maxOffer {
		return nil, refuse(http.StatusRequestEntityTooLarge, "request", tooLarge)
	}
	if no := s.ask(r, from); no != nil {
		return nil, no
	}
	a, no := s.take(offer, "", r, from)
	if no != nil {
		return nil, no
	}
	return a.Append(nil), nil
}
