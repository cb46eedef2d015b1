package sdp

import (
	"encoding/base64"
	"net/netip"
	"strconv"
)

// An Answer is the answer of an ICE-lite server to an offer. Append writes the fields of the
// server without checking them.
type Answer struct {
	Offer *Offer // the offer that is answered

	Ufrag, Pwd  string // ICE credentials of the server
	Fingerprint Fingerprint
	Setup       Setup // SetupActive or SetupPassive; see Setup.Answer

	// Candidates are the addresses at which browsers reach the server, the best one first.
	// Their priorities are in this order.
	Candidates []netip.AddrPort

	// MaxMessageSize is the size in bytes of the largest message that the server receives.
	MaxMessageSize int

	// SCTPInit is the SCTP INIT chunk of the server, for a=sctp-init (SNAP); see
	// sctp.AppendInit. Set it only if Offer.SCTPInit is a chunk that the server understands:
	// with it the browser counts the association as established when DTLS is.
	SCTPInit []byte

	// SessionID is the session id of the o= line. It must be the same in all answers to one
	// page, with a higher SessionVersion in each. If there is only one answer, zero works for
	// both. SessionVersion counts from 0, which is 1 in SDP.
	// https://www.rfc-editor.org/rfc/rfc3264.html#section-8
	SessionID, SessionVersion uint64
}

const end = "\r\n"

// Append appends the answer to b.
func (a *Answer) Append(b []byte) []byte {
	o := a.Offer
	b = append(b, "v=0"+end+"o=- "...)
	b = strconv.AppendUint(b, a.SessionID, 10)
	b = append(b, ' ')
	b = strconv.AppendUint(b, a.SessionVersion+1, 10)
	b = append(b, " IN IP4 0.0.0.0"+end+"s=-"+end+"t=0 0"+end...)
	if o.bundle {
		b = append(b, "a=group:BUNDLE "...)
		if o.tag != o.Index {
			b = append(b, o.media[o.tag].mid...)
			b = append(b, ' ')
		}
		b = append(b, o.Mid...)
		b = append(b, end...)
	}
	b = append(b, "a=ice-lite"+end...)
	for i := range o.media {
		switch {
		case i == o.Index:
			b = a.appendData(b)
		case i == o.tag:
			b = a.appendCarrier(b)
		default:
			b = o.media[i].appendRejected(b)
		}
	}
	return b
}

// appendData appends the section of the data channel, in the same form as in the offer.
func (a *Answer) appendData(b []byte) []byte {
	m := &a.Offer.media[a.Offer.Index]
	old := m.format != dataFormat
	b = append(b, "m=application 9 "...)
	b = append(b, m.protocol...)
	if old {
		b = append(b, " 5000"...)
	} else {
		b = append(b, " webrtc-datachannel"...)
	}
	b = append(b, end+"c=IN IP4 0.0.0.0"+end...)
	b = a.appendTransport(b, m.mid)
	if old {
		b = append(b, "a=sctpmap:5000 webrtc-datachannel 65535"+end...)
	} else {
		b = append(b, "a=sctp-port:5000"+end...)
	}
	b = appendSCTPInit(b, a.SCTPInit)
	b = append(b, "a=max-message-size:"...)
	b = strconv.AppendInt(b, int64(a.MaxMessageSize), 10)
	return append(b, end...)
}

// appendCarrier appends the section that carries the connection of the bundle in the offer,
// if that is not the data channel. RFC 9143 allows to reject it, so that the next section
// of the bundle carries the connection. But with the policy max-bundle a browser has only
// the transport of that section: Chromium then refuses the answer, and Firefox sends no
// check. So the answer accepts the section, and no media is sent in either direction.
// https://www.rfc-editor.org/rfc/rfc9143.html#section-7.3.1
func (a *Answer) appendCarrier(b []byte) []byte {
	m := &a.Offer.media[a.Offer.tag]
	b = append(b, "m="...)
	b = append(b, m.kind...)
	b = append(b, " 9 "...)
	b = append(b, m.protocol...)
	b = append(b, ' ')
	b = append(b, m.format...)
	b = append(b, end+"c=IN IP4 0.0.0.0"+end...)
	b = a.appendTransport(b, m.mid)
	b = append(b, "a=inactive"+end+"a=rtcp-mux"+end...)
	if m.codec != "" {
		b = append(b, "a=rtpmap:"...)
		b = append(b, m.format...)
		b = append(b, ' ')
		b = append(b, m.codec...)
		b = append(b, end...)
	}
	return b
}

// appendTransport appends the attributes of the connection, and the section's mid.
func (a *Answer) appendTransport(b []byte, mid string) []byte {
	for i := range a.Candidates {
		b = append(b, "a="...)
		b = a.appendCandidate(b, i)
		b = append(b, end...)
	}
	b = append(b, "a=end-of-candidates"+end...)
	b = appendAttribute(b, "ice-ufrag", a.Ufrag)
	b = appendAttribute(b, "ice-pwd", a.Pwd)
	b = append(b, "a=fingerprint:"...)
	b = a.Fingerprint.append(b)
	b = append(b, end...)
	b = appendAttribute(b, "setup", a.Setup.String())
	if mid != "" {
		b = appendAttribute(b, "mid", mid)
	}
	return b
}

// appendRejected appends the m= section that rejects m: the same line with port zero. The
// sections of an answer have the order of those of the offer.
// https://www.rfc-editor.org/rfc/rfc3264.html#section-6
func (m *mediaSection) appendRejected(b []byte) []byte {
	b = append(b, "m="...)
	b = append(b, m.kind...)
	b = append(b, " 0 "...)
	b = append(b, m.protocol...)
	b = append(b, ' ')
	b = append(b, m.format...)
	b = append(b, end+"c=IN IP4 0.0.0.0"+end...)
	if m.mid != "" {
		b = appendAttribute(b, "mid", m.mid)
	}
	return append(b, "a=inactive"+end...)
}

// appendSCTPInit appends the attribute with an INIT chunk, if there is one.
func appendSCTPInit(b, chunk []byte) []byte {
	if len(chunk) == 0 {
		return b
	}
	b = append(b, "a=sctp-init:"...)
	b = base64.StdEncoding.AppendEncode(b, chunk)
	return append(b, end...)
}

func appendAttribute(b []byte, name, value string) []byte {
	b = append(b, "a="...)
	b = append(b, name...)
	b = append(b, ':')
	b = append(b, value...)
	return append(b, end...)
}

// Candidate returns the i-th candidate, from 0, as in the answer but without "a=": the text
// for the member candidate of an RTCIceCandidate.
func (a *Answer) Candidate(i int) string { return string(a.appendCandidate(nil, i)) }

// appendCandidate appends
//
//	candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type>
//
// https://www.rfc-editor.org/rfc/rfc8839.html#section-5.1
func (a *Answer) appendCandidate(b []byte, i int) []byte {
	c := a.Candidates[i]
	b = append(b, "candidate:"...)
	b = strconv.AppendInt(b, int64(a.foundation(i)), 10)
	b = append(b, " 1 udp "...)
	b = strconv.AppendUint(b, uint64(priority(i)), 10)
	b = append(b, ' ')
	b = c.Addr().Unmap().WithZone("").AppendTo(b)
	b = append(b, ' ')
	b = strconv.AppendUint(b, uint64(c.Port()), 10)
	return append(b, " typ host"...)
}

// foundation returns the foundation of the i-th candidate: candidates with the same address
// have the same one.
// https://www.rfc-editor.org/rfc/rfc8445.html#section-5.1.1.3
func (a *Answer) foundation(i int) int {
	for j := range i {
		if a.Candidates[j].Addr().Unmap() == a.Candidates[i].Addr().Unmap() {
			return j + 1
		}
	}
	return i + 1
}

// priority returns the priority of the i-th host candidate:
//
//	priority = (2^24)*(type preference) +
//	           (2^8)*(local preference) +
//	           (2^0)*(256 - component ID)
//
// https://www.rfc-editor.org/rfc/rfc8445.html#section-5.1.2.1
func priority(i int) uint32 {
	const (
		host      = 126 // recommended type preference of host candidates
		component = 1
	)
	local := uint32(max(65535-i, 0))
	return host<<24 | local<<8 | (256 - component)
}
