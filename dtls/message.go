package dtls

import (
	"crypto/tls"
	"encoding/binary"
)

// A reader reads the fields of a handshake message one after the other. After an
// incomplete field ok is false, and all further fields are empty.
type reader struct {
	b  []byte
	ok bool
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.b) {
		r.b, r.ok = nil, false
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// number reads an unsigned number of n bytes.
func (r *reader) number(n int) (v int) {
	for _, b := range r.bytes(n) {
		v = v<<8 | int(b)
	}
	return v
}

// vector reads a vector whose length has n bytes.
func (r *reader) vector(n int) []byte { return r.bytes(r.number(n)) }

// end reports whether all fields were complete and nothing follows them.
func (r *reader) end() bool { return r.ok && len(r.b) == 0 }

const randomLen = 32

// A hello has the values of a ClientHello or ServerHello that are used.
type hello struct {
	random         [randomLen]byte
	suite          Suite // only in a ServerHello
	extendedMaster bool
}

// extendedMasterSecret is the type of the extension.
// https://www.rfc-editor.org/rfc/rfc7627.html#section-5.1
const extendedMasterSecret = 23

// parseHello reads the body of a ClientHello or ServerHello.
// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.1
func parseHello(kind uint8, body []byte) (h hello, ok bool) {
	r := reader{body, true}
	// version(2) random(32) session_id(1+n)
	version := r.number(2)
	copy(h.random[:], r.bytes(randomLen))
	r.vector(1)
	if kind == msgClientHello {
		// cookie(1+n) cipher_suites(2+n) compression_methods(1+n)
		r.vector(1)
		r.vector(2)
		r.vector(1)
	} else {
		// cipher_suite(2) compression_method(1)
		h.suite = Suite(r.number(2))
		compression := r.number(1) // read it before r.ok is checked
		r.ok = r.ok && compression == 0
	}
	if version != version12 || !r.ok {
		return hello{}, false
	}
	if len(r.b) == 0 {
		return h, true
	}
	// extensions(2+n): type(2) data(2+n)
	extensions := reader{r.vector(2), r.ok}
	for len(extensions.b) > 0 {
		kind, data := extensions.number(2), extensions.vector(2)
		h.extendedMaster = h.extendedMaster || kind == extendedMasterSecret && len(data) == 0
	}
	return h, r.end() && extensions.end()
}

// parseLeaf reads the body of a Certificate and returns the first certificate, or nil.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4.2
func parseLeaf(body []byte) (leaf []byte, ok bool) {
	r := reader{body, true}
	// certificate_list(3+n): certificate(3+n)
	list := reader{r.vector(3), r.ok}
	for first := true; len(list.b) > 0; first = false {
		if c := list.vector(3); first {
			leaf = c
		}
	}
	return leaf, r.end() && list.end()
}

// A curve is a group of the key exchange.
type curve uint16

// The curves that are offered and accepted. "All implementations MUST support DTLS 1.2 with
// the TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 cipher suite and the P-256 curve". Larger
// curves cost several times as much, and the peer would choose.
// https://www.rfc-editor.org/rfc/rfc8827.html#section-6.5
// https://www.rfc-editor.org/rfc/rfc8422.html#section-5.1.1
const (
	curveP256   curve = 23
	curveX25519 curve = 29
)

func (c curve) ours() bool { return c == curveP256 || c == curveX25519 }

// parseKeyExchange reads the body of a ServerKeyExchange.
// https://www.rfc-editor.org/rfc/rfc8422.html#section-5.4
func parseKeyExchange(body []byte) (c curve, s tls.SignatureScheme, ok bool) {
	const namedCurve = 3
	r := reader{body, true}
	// curve_type(1) named_curve(2) point(1+n) algorithm(2) signature(2+n)
	if r.number(1) != namedCurve {
		return 0, 0, false
	}
	c = curve(r.number(2))
	r.vector(1)
	s = tls.SignatureScheme(r.number(2))
	r.vector(2)
	return c, s, r.end()
}

// parseVerify reads the body of a CertificateVerify.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4.8
func parseVerify(body []byte) (s tls.SignatureScheme, ok bool) {
	r := reader{body, true}
	// algorithm(2) signature(2+n)
	s = tls.SignatureScheme(r.number(2))
	r.vector(2)
	return s, r.end()
}

// appendMessage appends a handshake message in the form for the hash of the handshake: in
// one piece. https://www.rfc-editor.org/rfc/rfc6347.html#section-4.2.6
func appendMessage(b []byte, kind uint8, seq int, body []byte) []byte {
	b = append(b, kind)
	b = appendUint24(b, len(body))
	b = binary.BigEndian.AppendUint16(b, uint16(seq))
	b = appendUint24(b, 0)
	b = appendUint24(b, len(body))
	return append(b, body...)
}
