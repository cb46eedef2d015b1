package dtls

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"slices"

	"golang.org/x/crypto/chacha20poly1305"
)

// Conn and pion use the same key for records of epoch 1, because pion encrypts its
// Finished with it. A record number that is used twice would reveal the key, so the
// numbers are divided: pion may use 0 to 31, and the handshake fails before it needs
// another. Conn begins at FirstRecord and, until the handshake is done, stops at
// number 63, which is enough for a few packets of the SCTP handshake.
const (
	FirstRecord   = 32
	maxBeforeDone = 63
)

// Sizes of the parts of a record. maxOverhead is the largest number of bytes that a record
// adds to its plaintext.
const (
	tagLen      = 16
	explicitLen = 8                                // the part of a GCM nonce that is sent
	maxOverhead = headerLen + explicitLen + tagLen // 37, with AES-128-GCM
	epochOfData = 1                                // the only epoch that carries data
	nonceLen    = 12
	aadLen      = 13
)

// maxFailures is the largest number of forged records that are tried with one key.
// https://www.rfc-editor.org/rfc/rfc9147.html#section-4.5.3
const maxFailures = 1 << 36

// Errors of [Conn.Seal].
var (
	errNotDone   = errors.New("dtls: handshake is not done: nothing more may be sealed yet")
	ErrExhausted = errors.New("dtls: record numbers are used up: close the connection")
	errTooLarge  = errors.New("dtls: plaintext is larger than a record may be")
)

// A Conn is the record layer of one peer: epoch 1 of one DTLS 1.2 connection, in both
// directions. The zero value is ready for Init. A Conn is not safe for concurrent use.
type Conn struct {
	sealer, opener cipher.AEAD
	next, limit    uint64 // the number Seal uses next, and the first it may not use
	sealIV, openIV [nonceLen]byte
	nonce          [nonceLen]byte // scratch: what goes through cipher.AEAD would escape from a stack
	aad            [aadLen]byte
	chacha, done   bool
	window         replay
	failures       uint64
	drops          Drops
}

// Init gives c its keys. isClient says whether this end is the DTLS client. first is the
// first record number that Seal uses: [FirstRecord] after a [Handshake]. Before Done a
// client may seal records up to number 63, a server none, and neither opens records.
func (c *Conn) Init(k *Keys, isClient bool, first uint64) {
	*c = Conn{chacha: k.Suite.chacha(), next: first, limit: first}
	c.setOpener(k, isClient)
	if isClient {
		c.limit = max(first, maxBeforeDone+1)
		c.sealer, c.sealIV = newAEAD(k.Suite, &k.client), k.clientIV
		return
	}
	c.sealer, c.sealIV = newAEAD(k.Suite, &k.server), k.serverIV
}

func (c *Conn) setOpener(k *Keys, isClient bool) {
	if isClient {
		c.opener, c.openIV = newAEAD(k.Suite, &k.server), k.serverIV
		return
	}
	c.opener, c.openIV = newAEAD(k.Suite, &k.client), k.clientIV
}

// newOpener returns a Conn that opens the peer's records at once and seals nothing.
func newOpener(k *Keys, isClient bool) *Conn {
	c := &Conn{chacha: k.Suite.chacha(), done: true}
	c.setOpener(k, isClient)
	return c
}

// newAEAD cannot fail: the key length is ours and the suite was checked by DeriveKeys.
func newAEAD(s Suite, key *[chachaKeyLen]byte) cipher.AEAD {
	var aead cipher.AEAD
	var err error
	if s.chacha() {
		aead, err = chacha20poly1305.New(key[:])
	} else {
		var block cipher.Block
		if block, err = aes.NewCipher(key[:aesKeyLen]); err == nil {
			aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		panic("dtls: " + err.Error())
	}
	return aead
}

// Done tells c that the handshake is over and the peer's Finished is verified.
func (c *Conn) Done() {
	c.done = true
	c.limit = maxNumber + 1
}

// Ready reports whether Init was called.
func (c *Conn) Ready() bool { return c.sealer != nil }

// Drops returns the number of records that Open refused, by cause.
func (c *Conn) Drops() *Drops { return &c.drops }

// Open authenticates and decrypts one record in place. raw is Record.Raw of [Records].
// The plaintext is a view of raw; for an empty record it is empty and not nil. If drop
// is not DropNone, there is no plaintext, and the content of raw may have changed. At
// [DropFailures] close the connection.
func (c *Conn) Open(raw []byte) (plain []byte, t ContentType, drop Drop) {
	r, drop := parseRecord(raw)
	if drop == DropNone {
		plain, drop = c.open(r)
	}
	if drop != DropNone {
		c.drops.count(drop)
		return nil, 0, drop
	}
	return plain, r.Type, DropNone
}

func (c *Conn) open(r Record) ([]byte, Drop) {
	switch {
	case r.Epoch != epochOfData:
		return nil, dropEpoch
	case r.Type < TypeAlert || r.Type > TypeApplicationData:
		return nil, dropType
	case !c.done:
		return nil, dropEarly
	case c.failures >= maxFailures:
		return nil, DropFailures
	case c.window.seen(r.Number):
		return nil, dropReplay
	}
	body := r.Body()
	if len(body) < c.explicitLen()+tagLen {
		return nil, dropMalformed
	}
	sealed := body[c.explicitLen():]
	c.setNonce(&c.openIV, body, r.Number)
	c.setAAD(r.Raw, len(sealed)-tagLen)
	plain, err := c.opener.Open(sealed[:0], c.nonce[:], sealed, c.aad[:])
	if err != nil {
		// Invalid records get no answer, so that an attacker learns nothing.
		// https://www.rfc-editor.org/rfc/rfc6347.html#section-4.1.2.7
		c.failures++
		return nil, dropAuth
	}
	c.window.mark(r.Number)
	return plain, DropNone
}

// Reserve appends room for the bytes that Seal writes before the plaintext.
func (c *Conn) Reserve(b []byte) []byte {
	var room [headerLen + explicitLen]byte
	return append(b, room[:headerLen+c.explicitLen()]...)
}

// Overhead returns the number of bytes that a record adds to its plaintext; 16 of them are
// after it.
func (c *Conn) Overhead() int { return headerLen + c.explicitLen() + tagLen }

// Seal encrypts the plaintext in b[start:], which begins with the room of Reserve, to a
// record. It works in place if b has 16 bytes of capacity left. It returns an error before the
// handshake is done and if the plaintext is too large for a record, and ErrExhausted.
func (c *Conn) Seal(b []byte, start int, t ContentType) ([]byte, error) {
	plainAt := start + headerLen + c.explicitLen()
	n := len(b) - plainAt
	switch {
	case n > maxPlaintext:
		return b, errTooLarge
	case c.next > maxNumber:
		return b, ErrExhausted
	case c.next >= c.limit:
		return b, errNotDone
	}
	b = slices.Grow(b, tagLen)
	r := b[start:]
	// type(1) version(2) epoch(2) sequence_number(6) length(2)
	r[0] = byte(t)
	binary.BigEndian.PutUint16(r[offVersion:], version12)
	putRecordNumber(r, epochOfData, c.next)
	binary.BigEndian.PutUint16(r[offLength:], uint16(c.explicitLen()+n+tagLen))
	if !c.chacha {
		// The record number is used only once with the key; a random nonce might be used
		// twice. https://www.rfc-editor.org/rfc/rfc5288.html#section-3
		copy(r[headerLen:], r[offEpoch:offEpoch+explicitLen])
	}
	c.setNonce(&c.sealIV, r[headerLen:], c.next)
	c.setAAD(r, n)
	c.next++
	c.sealer.Seal(b[plainAt:plainAt], c.nonce[:], b[plainAt:], c.aad[:])
	return b[:len(b)+tagLen], nil
}

func (c *Conn) explicitLen() int {
	if c.chacha {
		return 0
	}
	return explicitLen
}

// setNonce builds the nonce of the record with this body and number. GCM: fixed
// part, then the explicit part as sent. ChaCha20-Poly1305: epoch and number,
// padded, XORed into the IV. https://www.rfc-editor.org/rfc/rfc7905.html#section-2
func (c *Conn) setNonce(iv *[nonceLen]byte, body []byte, number uint64) {
	c.nonce = *iv
	if !c.chacha {
		copy(c.nonce[aesIVLen:], body[:explicitLen])
		return
	}
	tail := c.nonce[nonceLen-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^(epochOfData<<48|number))
}

// setAAD builds the additional data of the record with this header.
// https://www.rfc-editor.org/rfc/rfc5246.html#section-6.2.3.3
func (c *Conn) setAAD(header []byte, n int) {
	// epoch(2) sequence_number(6) type(1) version(2) length(2)
	copy(c.aad[:8], header[offEpoch:])
	c.aad[8] = header[0]
	copy(c.aad[9:11], header[offVersion:])
	binary.BigEndian.PutUint16(c.aad[11:], uint16(n))
}
