package sctp

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// cookieLifetime is the value that RFC 9260 recommends for Valid.Cookie.Life.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-16
const cookieLifetime = 60 * time.Second

// State cookie. It has all values of an INIT that are used later, so that nothing is
// kept between the INIT ACK and the peer's COOKIE ECHO, and a repeated INIT does not
// invalidate an earlier answer.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.1.3
//
//	time since the association's first call (64), ns
//	local tag (32) | local initial TSN (32)
//	peer's tag (32) | peer's initial TSN (32) | peer's inbound streams (16)
//	HMAC-SHA256 of the above (256)
//
// Only this end reads it. The RFC requires a MAC, a time stamp and a lifetime.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.1.3
const (
	cookieBodyLen = 8 + 2*4 + 2*4 + 2
	cookieLen     = cookieBodyLen + sha256.Size
)

// appendCookie appends the cookie that answers an INIT.
func (a *Assoc) appendCookie(t time.Duration, b []byte, i *initInfo) []byte {
	start := len(b)
	b = binary.BigEndian.AppendUint64(b, uint64(t))
	b = binary.BigEndian.AppendUint32(b, a.config.LocalTag)
	b = binary.BigEndian.AppendUint32(b, a.config.InitialTSN)
	b = binary.BigEndian.AppendUint32(b, i.tag)
	b = binary.BigEndian.AppendUint32(b, i.tsn)
	b = binary.BigEndian.AppendUint16(b, i.in)
	mac := hmac.New(sha256.New, a.config.CookieKey[:])
	mac.Write(b[start:])
	return mac.Sum(b)
}

// openCookie reads a cookie of this association. fresh says whether it is within its
// lifetime.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-5.1.5
func (a *Assoc) openCookie(t time.Duration, b []byte) (i endpoint, fresh, ok bool) {
	if len(b) != cookieLen {
		return endpoint{}, false, false
	}
	body, sum := b[:cookieBodyLen], b[cookieBodyLen:]
	mac := hmac.New(sha256.New, a.config.CookieKey[:])
	mac.Write(body)
	if !hmac.Equal(mac.Sum(nil), sum) {
		return endpoint{}, false, false
	}
	// The key may be shared: a cookie belongs to the association that made it.
	if binary.BigEndian.Uint32(body[8:]) != a.config.LocalTag ||
		binary.BigEndian.Uint32(body[12:]) != a.config.InitialTSN {
		return endpoint{}, false, false
	}
	i.tag = binary.BigEndian.Uint32(body[16:])
	i.tsn = binary.BigEndian.Uint32(body[20:])
	i.in = binary.BigEndian.Uint16(body[24:])
	return i, t-time.Duration(binary.BigEndian.Uint64(body)) <= cookieLifetime, true
}
