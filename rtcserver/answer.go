package rtcserver

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
)

// A remote is the source of an offer, for the limits per address.
type remote struct {
	addr netip.Addr
	free bool // the limits do not apply
}

// String returns the source in words, for a refusal. If the server does not know the
// address, the text says which setting may help the operator.
func (r remote) String() string {
	if !r.addr.IsValid() {
		return "requests without an IP address, which count as one (the server's Config.TrustUnixSocket may help)"
	}
	return "this address"
}

// Answer answers an offer that did not arrive by HTTP: for example over a WebSocket, from
// a matchmaker, or in a test. The offer is SDP, or the JSON {"type":"offer","sdp":…}, of
// at most 40 KiB. The answer is SDP. The error is a [*StatusError], with the same statuses
// as over HTTP.
//
// page is the address of the page, for MaxOffers and MaxPerIP, and for the addresses in the
// answer: see Settings.Public. If the program does not know the address, page is the zero Addr:
// then no limit per address applies, and the program must limit offers itself.
//
// Config.Authorize and Config.Engine get a request POST / without headers and body, with
// ctx as its context and page as its RemoteAddr. If ctx is done when Answer is called, the
// error has the status 408. Answer does not check Config.Origins. With a server of package
// godwit it works only for pages without the godwit script; clients of sessions need HTTP.
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
		s.countRefusal(r, no)
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
	if no := s.authorize(r, from); no != nil {
		return nil, no
	}
	a, no := s.answerOffer(offer, "", r, from)
	if no != nil {
		return nil, no
	}
	return a.Append(nil), nil
}
