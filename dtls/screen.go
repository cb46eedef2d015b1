package dtls

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"hash"
	"slices"
)

// Errors of a handshake whose messages the screen refuses. A Failed event may carry
// them.
var (
	// ErrPeer means that no fingerprint of the offer matches the peer's certificate.
	ErrPeer = errors.New("dtls: certificate of the peer does not match the fingerprint in its offer")
	// errKey means that the key of the peer's certificate is not accepted.
	errKey = errors.New("dtls: key of the peer's certificate is not ECDSA with P-256, P-384 or P-521, nor RSA with at most 4,096 bits and the usual exponent")
	// errScheme means that the peer's signature scheme is not supported, or does not belong
	// to its key.
	errScheme = errors.New("dtls: the peer's signature scheme is not supported, or does not belong to its key")
	// errMasterSecret means that the peer does not support the extended master secret, which
	// binds the keys to both certificates.
	errMasterSecret = errors.New("dtls: the peer does not support the extended master secret")
	// ErrMessage means that a message of the peer is malformed, is out of order, or chooses
	// something that was not offered.
	ErrMessage = errors.New("dtls: a handshake message of the peer is malformed or out of turn")
	// ErrRoles means that both ends are DTLS clients.
	ErrRoles = errors.New("dtls: the peer sent a ClientHello though we are the DTLS client: " +
		"a peer that can only be the client must offer a=setup:active")
	// errFinished means that the peer's Finished does not match the messages of the
	// handshake.
	errFinished = errors.New("dtls: the peer's Finished does not match the handshake")
)

const (
	maxFinishedKept = 4  // encrypted Finished records that wait for the keys
	verifyDataLen   = 12 // https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4.9
)

// A screen checks the peer's messages before pion gets them: pion gets only whole
// messages, each once and in order. So pion computes nothing for a peer whose
// certificate is not that of its offer, and checks no signature with a scheme that does
// not belong to the key. And the promises of a finished handshake do not depend on pion
// alone. The screen does not check signatures.
//
// Set client, and peers or anyPeer, of the zero value. The lock of its Handshake guards it.
type screen struct {
	client  bool          // this end is the DTLS client
	peers   []Fingerprint // fingerprints of the offer
	anyPeer bool          // every certificate will do

	in       [maxMessages]incoming
	declared int    // bytes of all messages in in, according to their first pieces
	next     int    // message_seq of the peer's next message
	prev     uint8  // kind of the peer's last message
	number   uint64 // number of the next epoch-0 record for pion

	out        []byte // bytes of this end's message in progress
	outNext    int    // message_seq of that message
	transcript hash.Hash

	clientHello, serverHello hello
	leaf                     []byte // the peer's certificate
	key                      any    // its public key
	finished                 [][]byte
}

// An incoming is a message of the peer before pion gets it.
type incoming struct {
	message
	body []byte
}

// read processes a datagram of the peer and appends the part for pion to b. After an
// error the handshake is over. known is nil before the keys are known.
func (s *screen) read(b, datagram []byte, known *secrets) ([]byte, error) {
	for r := range Records(datagram) {
		var err error
		switch {
		case r.Epoch == 0 && r.Type == TypeHandshake:
			b, err = s.fragments(b, r.Body())
		case r.Epoch == 0 && r.Type == TypeChangeCipherSpec:
			b = s.record(b, r.Type, r.Body())
		case r.Epoch == epochOfData && r.Type == TypeHandshake:
			b, err = s.sealed(b, r.Raw, known)
		}
		if err != nil {
			return b, err
		}
	}
	return b, nil
}

// record appends a record of epoch 0, with new numbers.
func (s *screen) record(b []byte, t ContentType, body []byte) []byte {
	start := len(b)
	b = append(b, byte(t), version12>>8, version12&0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	putRecordNumber(b[start:], 0, s.number)
	binary.BigEndian.PutUint16(b[start+offLength:], uint16(len(body)))
	s.number++
	return append(b, body...)
}

func (s *screen) fragments(b, rest []byte) ([]byte, error) {
	for {
		f, tail, ok := parseFragment(rest)
		if !ok {
			return b, nil
		}
		rest = tail
		if f.seq < s.next {
			// pion repeats its flight when the same ClientHello arrives again.
			if f.kind == msgClientHello && s.in[f.seq].agrees(&f) {
				b = s.record(b, TypeHandshake, appendFragment(nil, &f, f.off, f.end))
			}
			continue
		}
		s.keep(&f)
		var err error
		if b, err = s.release(b); err != nil {
			return b, err
		}
	}
}

// keep stores the bytes of f. If a byte has arrived before, the first value counts.
func (s *screen) keep(f *fragment) {
	if f.seq >= maxMessages || f.length > maxLength(f.kind) {
		return
	}
	m := &s.in[f.seq]
	if !m.known && s.declared+f.length > maxHandshakeBytes || !m.agrees(f) {
		return
	}
	if m.body == nil {
		m.body = make([]byte, f.length)
		s.declared += f.length
	}
	for len(m.pieces) < maxMessagePieces {
		from, to := m.gap(f.off, f.end)
		if from == to {
			break
		}
		copy(m.body[from:to], f.body[from-f.off:])
		m.add(piece{off: uint16(from), end: uint16(to)})
	}
}

// release appends the complete messages that are next in order.
func (s *screen) release(b []byte) ([]byte, error) {
	for s.next < maxMessages && s.in[s.next].complete() {
		m := &s.in[s.next]
		if err := s.message(m.kind, m.body); err != nil {
			return b, err
		}
		whole := appendMessage(nil, m.kind, s.next, m.body)
		if m.kind != msgHelloVerifyRequest {
			s.transcript.Write(whole)
		}
		b = s.record(b, TypeHandshake, whole)
		m.body, m.pieces = nil, nil
		s.prev = m.kind
		s.next++
	}
	return b, nil
}

// follows reports whether a message of the peer may follow its message prev, which is zero
// before the first. https://www.rfc-editor.org/rfc/rfc5246.html#section-7.3
func (s *screen) follows(kind, prev uint8) bool {
	if !s.client {
		switch prev {
		case 0:
			return kind == msgClientHello
		case msgClientHello:
			return kind == msgCertificate
		case msgCertificate:
			return kind == msgClientKeyExchange
		case msgClientKeyExchange:
			return kind == msgCertificateVerify
		}
		return false
	}
	switch prev {
	case 0, msgHelloVerifyRequest:
		return kind == msgHelloVerifyRequest || kind == msgServerHello
	case msgServerHello:
		return kind == msgCertificate
	case msgCertificate:
		return kind == msgServerKeyExchange
	case msgServerKeyExchange:
		return kind == msgCertificateRequest || kind == msgServerHelloDone
	case msgCertificateRequest:
		return kind == msgServerHelloDone
	}
	return false
}

// message checks the next message of the peer.
func (s *screen) message(kind uint8, body []byte) error {
	if s.transcript == nil {
		s.transcript = sha256.New()
	}
	if !s.follows(kind, s.prev) {
		if kind == msgClientHello && s.client {
			return ErrRoles
		}
		return ErrMessage
	}
	switch kind {
	case msgClientHello:
		return s.hello(&s.clientHello, kind, body)
	case msgServerHello:
		return s.hello(&s.serverHello, kind, body)
	case msgCertificate:
		return s.certificate(body)
	case msgServerKeyExchange:
		c, scheme, ok := parseKeyExchange(body)
		if !ok || !c.ours() || !s.serverHello.suite.certifiedBy(s.key) {
			return ErrMessage
		}
		if !fitsKey(scheme, s.key) {
			return errScheme
		}
	case msgCertificateVerify:
		scheme, ok := parseVerify(body)
		if !ok {
			return ErrMessage
		}
		if !fitsKey(scheme, s.key) {
			return errScheme
		}
	}
	return nil
}

func (s *screen) hello(h *hello, kind uint8, body []byte) error {
	var ok bool
	*h, ok = parseHello(kind, body)
	switch {
	case !ok, kind == msgServerHello && !h.suite.aes() && !h.suite.chacha():
		return ErrMessage
	case !h.extendedMaster:
		return errMasterSecret
	}
	return nil
}

// certificate compares the peer's certificate with the offer, before anything is
// computed with the certificate.
func (s *screen) certificate(body []byte) error {
	leaf, ok := parseLeaf(body)
	if !ok {
		return ErrMessage
	}
	if !s.anyPeer && !slices.ContainsFunc(s.peers, func(f Fingerprint) bool { return f.matches(leaf) }) {
		return ErrPeer
	}
	c, err := x509.ParseCertificate(leaf)
	if err != nil || !takesKey(c.PublicKey) {
		return errKey
	}
	s.leaf, s.key = bytes.Clone(leaf), c.PublicKey
	return nil
}

// sent processes a record of epoch 0 that this end sends: its hello has the random, and all
// messages are part of Finished. A repeated message counts once.
func (s *screen) sent(body []byte) {
	for {
		f, tail, ok := parseFragment(body)
		if !ok || f.seq != s.outNext || f.off != len(s.out) {
			return
		}
		body = tail
		if s.out = append(s.out, f.body...); len(s.out) < f.length {
			continue
		}
		if f.kind == msgClientHello || s.transcript == nil {
			s.transcript = sha256.New() // the hello before HelloVerifyRequest does not count
		}
		s.transcript.Write(appendMessage(nil, f.kind, f.seq, s.out))
		switch f.kind {
		case msgClientHello:
			s.clientHello, _ = parseHello(f.kind, s.out)
		case msgServerHello:
			s.serverHello, _ = parseHello(f.kind, s.out)
		}
		s.out = s.out[:0]
		s.outNext++
	}
}

// proved returns an error if the certificate or the suite is not the one that the screen has
// seen, or a message that authenticates the peer is missing.
func (s *screen) proved(chain [][]byte, suite Suite) error {
	last := uint8(msgCertificateVerify)
	if s.client {
		last = msgServerHelloDone
	}
	if s.prev != last || suite != s.serverHello.suite || !s.serverHello.extendedMaster {
		return ErrMessage
	}
	if len(chain) == 0 || s.leaf == nil || !bytes.Equal(chain[0], s.leaf) {
		return ErrPeer
	}
	return nil
}

// sealed appends an encrypted handshake record, which can only be Finished. If the keys are
// known it appends only an authentic one; if not, it keeps up to maxFinishedKept for
// checkFinished.
func (s *screen) sealed(b, raw []byte, known *secrets) ([]byte, error) {
	if known == nil {
		if len(s.finished) == maxFinishedKept || len(raw) > maxFinished {
			return b, nil
		}
		s.finished = append(s.finished, bytes.Clone(raw))
		return append(b, raw...), nil
	}
	switch authentic, err := s.verify(raw, known); {
	case err != nil:
		return b, err
	case !authentic:
		return b, nil
	}
	s.finished = append(s.finished[:0], bytes.Clone(raw))
	return append(b, raw...), nil
}

// checkFinished returns an error if the right Finished of the peer has not arrived.
func (s *screen) checkFinished(known *secrets) error {
	for _, raw := range s.finished {
		if authentic, err := s.verify(raw, known); authentic {
			return err
		}
	}
	return errFinished
}

// verify decrypts a Finished of the peer and compares it with the messages of the handshake:
// "Recipients of Finished messages MUST verify that the contents are correct."
// https://www.rfc-editor.org/rfc/rfc5246.html#section-7.4.9
func (s *screen) verify(raw []byte, known *secrets) (authentic bool, err error) {
	known.opener.window = replay{} // the same Finished may arrive again
	plain, _, drop := known.opener.Open(bytes.Clone(raw))
	if drop != DropNone {
		return false, nil
	}
	f, rest, _ := parseFragment(plain) // has no body if plain is malformed
	if len(rest) > 0 || f.kind != msgFinished || f.length != verifyDataLen || len(f.body) != verifyDataLen ||
		!hmac.Equal(f.body, s.verifyData(known.master[:])) {
		return true, errFinished
	}
	return true, nil
}

// verifyData returns the content that the peer's Finished must have. That of a server
// includes the client's Finished.
func (s *screen) verifyData(master []byte) []byte {
	if s.transcript == nil {
		return nil
	}
	sum := s.transcript.Sum(nil)
	data := prf(master, "client finished", sum, verifyDataLen)
	if !s.client {
		return data
	}
	state, err := s.transcript.(hash.Cloner).Clone()
	if err != nil {
		return nil
	}
	state.Write(appendMessage(nil, msgFinished, s.outNext, data))
	return prf(master, "server finished", state.Sum(nil), verifyDataLen)
}
