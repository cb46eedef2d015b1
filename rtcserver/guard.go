package rtcserver

import (
	"net/http"
	"net/netip"
	"time"
)

// Guard returns a handler for requests of the same pages as those of the signaling, such as one that says to which server
// a player goes. It calls h for a request that the signaling would not refuse for its Origin or its address: a page
// needs the server's own origin, or one of Origins and Hosts, and all requests of an address count towards MaxOffers, with a
// count of their own. Behind TrustedProxies, or a proxy of TrustUnixSocket, the address of the page counts. The handler sets the
// headers of CORS for h, and answers preflights, OPTIONS, itself.
//
// Other requests are refused as by ServeHTTP: with the status 403 and the code "origin", or with 429 and "rate". refused, if
// not nil, is called for each of them, on the goroutine of the request, before it is answered.
//
// Browsers send no Origin with a GET or HEAD that a foreign page causes by a link, an image or a script: h must change nothing for these
// methods, nor answer them with a script that has secrets. Pages of other origins can use no other methods than these and POST. h limits how long
// it reads a body, and how much of it; what h leaves of it must arrive within ten seconds, or the connection is closed.
//
// Guard uses of c only these fields of Settings and Logger. The error says which of them is wrong.
func Guard(c Config, h http.Handler, refused func(*StatusError)) (http.Handler, error) {
	if err := c.setDefaults(); err != nil {
		return nil, err
	}
	s := &Server{config: c, offers: newLimiter(c.MaxOffers)}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody { // without one h may have taken over the connection
			defer limitReading(w) // net/http reads the rest of the body before it answers
		}
		no := s.admitOrigin(w, r)
		if no == nil && r.Method == http.MethodOptions {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if no == nil {
			no = s.admitAddress(s.clientAddr(r))
		}
		if no == nil {
			h.ServeHTTP(w, r)
			return
		}
		if refused != nil {
			refused(no)
		}
		writeRefusal(w, no)
	}), nil
}

// admitAddress counts a request of an address. It returns a refusal or nil.
func (s *Server) admitAddress(from netip.Addr) *StatusError {
	if s.offers.allow(time.Now(), site(from)) {
		return nil
	}
	return refuse(http.StatusTooManyRequests, "rate", "too many requests from "+remote{addr: from}.String()+": try again in a second")
}
