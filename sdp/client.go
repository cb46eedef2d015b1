package sdp

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// maxCandidates is the largest number of candidates of an answer that are used.
const maxCandidates = 16

// Append appends the offer of a client for one data channel. It writes Ufrag, Pwd,
// Fingerprints, Setup, MaxMessageSize, SCTPPort, SCTPInit and Mid, and ignores the other fields.
// Zero SCTPPort means 5000, and empty Mid means 0. The client is not lite, and has no candidates:
// an ICE-lite server learns the client's addresses from its checks.
func (o *Offer) Append(b []byte) []byte {
	mid := cmp.Or(o.Mid, "0")
	b = append(b, "v=0"+end+"o=- 0 1 IN IP4 0.0.0.0"+end+"s=-"+end+"t=0 0"+end...)
	b = append(b, "a=group:BUNDLE "...)
	b = append(b, mid...)
	b = append(b, end+"m=application 9 UDP/DTLS/SCTP webrtc-datachannel"+end+"c=IN IP4 0.0.0.0"+end...)
	b = appendAttribute(b, "ice-ufrag", o.Ufrag)
	b = appendAttribute(b, "ice-pwd", o.Pwd)
	for _, f := range o.Fingerprints {
		b = append(b, "a=fingerprint:"...)
		b = f.append(b)
		b = append(b, end...)
	}
	b = appendAttribute(b, "setup", o.Setup.String())
	b = appendAttribute(b, "mid", mid)
	b = append(b, "a=sctp-port:"...)
	b = strconv.AppendInt(b, int64(cmp.Or(o.SCTPPort, defaultSCTPPort)), 10)
	b = appendSCTPInit(append(b, end...), o.SCTPInit)
	b = append(b, "a=max-message-size:"...)
	b = strconv.AppendInt(b, int64(o.MaxMessageSize), 10)
	return append(b, end...)
}

// A Server has the values of an answer that a client needs. ParseAnswer has checked all of
// them.
type Server struct {
	Ufrag, Pwd   string        // ICE credentials of the server
	Fingerprints []Fingerprint // one to four; the certificate must match one of them
	Setup        Setup         // SetupActive or SetupPassive

	// MaxMessageSize is the size in bytes of the largest message that the server receives:
	// 64 KiB if the answer does not say it; zero means no limit.
	MaxMessageSize int

	SCTPPort int // 5000 if the answer does not say it

	// SCTPInit is the SCTP INIT chunk of the server, as in an Offer. An answer that repeats the
	// chunk of the offer is of a server that does not know the attribute.
	SCTPInit []byte

	// Candidates are the server's addresses, the best one first, at most 16. There may be
	// none: some servers send them outside the answer. See ParseCandidate.
	Candidates []netip.AddrPort
}

// ParseAnswer reads the answer of an ICE-lite server to an offer of one data channel, of at
// most 32 KiB. It skips lines and attributes that it does not know, and candidates that are
// host names.
func ParseAnswer(b []byte) (*Server, error) {
	sections, _, err := split(b)
	if err != nil {
		return nil, err
	}
	i := dataChannel(sections[1:])
	if i < 0 {
		return nil, errRejected
	}
	data := &sections[1+i]
	if !data.lite && !sections[0].lite {
		return nil, errNotLite
	}
	// Parts that are the same in an offer are read in the same way.
	var o Offer
	t := *data
	t.inherit(&sections[0])
	if err := o.readTransport(t); err != nil {
		return nil, err
	}
	if o.Setup == SetupActpass {
		return nil, errSetup
	}
	if err := o.readSCTP(data); err != nil {
		return nil, err
	}
	return &Server{
		Ufrag: o.Ufrag, Pwd: o.Pwd, Fingerprints: o.Fingerprints, Setup: o.Setup,
		MaxMessageSize: o.MaxMessageSize, SCTPPort: o.SCTPPort, SCTPInit: o.SCTPInit,
		Candidates: readCandidates(data.candidates),
	}, nil
}

// readCandidates returns the addresses of the usable candidates, by priority.
func readCandidates(lines []string) []netip.AddrPort {
	var all []candidate
	for _, line := range lines {
		if c, ok := parseCandidate(line); ok && len(all) < maxCandidates {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int { return cmp.Compare(b.priority, a.priority) })
	var out []netip.AddrPort
	for _, c := range all {
		if !slices.Contains(out, c.addr) {
			out = append(out, c.addr)
		}
	}
	return out
}

// A candidate has the values of an a=candidate line that are used.
type candidate struct {
	priority uint32
	addr     netip.AddrPort
}

// ParseCandidate reads the candidate of an RTCIceCandidate, with or without the prefix
// "candidate:", and returns its address. ok is false if the candidate is malformed, or not
// for UDP, or its address is a name, a wildcard or multicast.
func ParseCandidate(s string) (addr netip.AddrPort, ok bool) {
	c, ok := parseCandidate(strings.TrimPrefix(s, "candidate:"))
	return c.addr, ok
}

// parseCandidate reads
//
//	<foundation> <component> <transport> <priority> <address> <port> typ <type> ...
//
// https://www.rfc-editor.org/rfc/rfc8839.html#section-5.1
func parseCandidate(s string) (c candidate, ok bool) {
	f := strings.Fields(s)
	if len(f) < 8 || f[1] != "1" || !strings.EqualFold(f[2], "udp") || f[6] != "typ" {
		return candidate{}, false
	}
	priority, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return candidate{}, false
	}
	addr, err := netip.ParseAddr(f[4])
	if err != nil || addr.Zone() != "" {
		return candidate{}, false
	}
	if addr = addr.Unmap(); addr.IsUnspecified() || addr.IsMulticast() {
		return candidate{}, false
	}
	port, err := strconv.ParseUint(f[5], 10, 16)
	if err != nil || port == 0 {
		return candidate{}, false
	}
	return candidate{uint32(priority), netip.AddrPortFrom(addr, uint16(port))}, true
}
