package dtls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	cryptorand "crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"math/big"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// A peerMessage is a handshake message of a peer.
type peerMessage struct {
	kind uint8
	body []byte
}

// certify returns a certificate of this public key; the signature is of another key.
func certify(public any) []byte {
	key := testkit.Must(ecdsa.GenerateKey(elliptic.P256(), cryptorand.Reader))
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	return testkit.Must(x509.CreateCertificate(cryptorand.Reader, template, template, public, key))
}

// rsaOf returns an RSA public key of this many bits, without a private key.
func rsaOf(bits int) *rsa.PublicKey {
	n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
	return &rsa.PublicKey{N: n.SetBit(n, 0, 1), E: 65537}
}

func helloBody(kind uint8, version uint16, suite Suite, extensions ...uint16) (b []byte) {
	b = binary.BigEndian.AppendUint16(b, version)
	b = append(b, bytes.Repeat([]byte{kind}, randomLen)...)
	b = append(b, 0) // session_id
	if kind == msgClientHello {
		b = append(b, 0, 0, 2) // cookie, length of the suites
	}
	b = binary.BigEndian.AppendUint16(b, uint16(suite))
	if kind == msgClientHello {
		b = append(b, 1) // length of the compression methods
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(4*len(extensions)))
	for _, e := range extensions {
		b = append(binary.BigEndian.AppendUint16(b, e), 0, 0)
	}
	return b
}

func certificateBody(chain ...[]byte) []byte {
	var list []byte
	for _, der := range chain {
		list = append(appendUint24(list, len(der)), der...)
	}
	return append(appendUint24(nil, len(list)), list...)
}

func keyExchangeBody(c curve, s tls.SignatureScheme) []byte {
	b := binary.BigEndian.AppendUint16([]byte{3}, uint16(c))
	b = append(b, 2, 4, 5) // a point
	return append(b, verifyBody(s)...)
}

func verifyBody(s tls.SignatureScheme) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(s)), 0, 3, 7, 8, 9)
}

// serverFlight returns the flight of a valid server with this certificate.
func serverFlight(leaf []byte, suite Suite, s tls.SignatureScheme) []peerMessage {
	return []peerMessage{
		{msgServerHello, helloBody(msgServerHello, version12, suite, 11, extendedMasterSecret)},
		{msgCertificate, certificateBody(leaf)},
		{msgServerKeyExchange, keyExchangeBody(curveX25519, s)},
		{msgCertificateRequest, []byte{1, 64, 0, 2, 4, 3, 0, 0}},
		{msgServerHelloDone, nil},
	}
}

func clientFlight(leaf []byte, s tls.SignatureScheme) []peerMessage {
	return []peerMessage{
		{msgClientHello, helloBody(msgClientHello, version12, ECDSAWithAES128GCM, extendedMasterSecret, 10)},
		{msgCertificate, certificateBody(leaf)},
		{msgClientKeyExchange, []byte{2, 1, 2}},
		{msgCertificateVerify, verifyBody(s)},
	}
}

func screenFor(client bool, leaf []byte) *screen {
	return &screen{client: client, peers: []Fingerprint{fingerprintOf(leaf)}}
}

// give gives s the messages, and returns those that pion gets.
func give(t *testing.T, s *screen, flight []peerMessage) (given []peerMessage, err error) {
	t.Helper()
	var out []byte
	for i, m := range flight {
		if out, err = s.read(out, handshakeRecord(string(appendMessage(nil, m.kind, i, m.body))), nil); err != nil {
			break
		}
	}
	for r := range Records(out) {
		f, rest, ok := parseFragment(r.Body())
		if !ok || len(rest) > 0 || f.length != len(f.body) || f.seq != len(given) {
			t.Fatalf("pion gets %x, want a whole message with number %d", r.Raw, len(given))
		}
		given = append(given, peerMessage{f.kind, f.body})
	}
	return given, err
}

const ed25519Scheme = tls.Ed25519 // 0x0807

// A peer whose messages are not those of an honest peer is refused, and pion gets nothing that
// arrives with or after the message that shows it.
func TestScreenRefuses(t *testing.T) {
	p256, p384 := peerCertificate().Certificate[0], p384Certificate().Certificate[0]
	rsaLeaf := rsaCertificate().Certificate[0]
	edKey, _, _ := ed25519.GenerateKey(cryptorand.Reader)
	p224 := certify(testkit.Must(ecdsa.GenerateKey(elliptic.P224(), cryptorand.Reader)).Public())
	p521 := certify(testkit.Must(ecdsa.GenerateKey(elliptic.P521(), cryptorand.Reader)).Public())
	const ecSHA256, pssSHA256, rsaSHA512 = tls.ECDSAWithP256AndSHA256, tls.PSSWithSHA256, tls.PKCS1WithSHA512

	for name, test := range map[string]struct {
		leaf   []byte
		suite  Suite
		scheme tls.SignatureScheme
		want   error
		after  int // messages of a server that pion gets before
	}{
		"P-256":                    {p256, ECDSAWithAES128GCM, ecSHA256, nil, 5},
		"P-256 with SHA-512":       {p256, ECDSAWithChaCha20, tls.ECDSAWithP521AndSHA512, nil, 5},
		"P-384":                    {p384, ECDSAWithAES128GCM, tls.ECDSAWithP384AndSHA384, nil, 5},
		"P-521":                    {p521, ECDSAWithAES128GCM, tls.ECDSAWithP521AndSHA512, nil, 5},
		"RSA with PSS":             {rsaLeaf, RSAWithAES128GCM, pssSHA256, nil, 5},
		"RSA with PKCS #1":         {rsaLeaf, RSAWithChaCha20, rsaSHA512, nil, 5},
		"RSA of 4,096 bits":        {certify(rsaOf(4096)), RSAWithAES128GCM, pssSHA256, nil, 5},
		"RSA of 4,097 bits":        {certify(rsaOf(4097)), RSAWithAES128GCM, pssSHA256, errKey, 1},
		"RSA of 16,384 bits":       {certify(rsaOf(16384)), RSAWithAES128GCM, pssSHA256, errKey, 1},
		"RSA, a costly exponent":   {certify(&rsa.PublicKey{N: rsaOf(2048).N, E: 1<<31 - 1}), RSAWithAES128GCM, pssSHA256, errKey, 1},
		"P-224":                    {p224, ECDSAWithAES128GCM, ecSHA256, errKey, 1},
		"Ed25519":                  {certify(edKey), ECDSAWithAES128GCM, ed25519Scheme, errKey, 1},
		"no certificate":           {[]byte("x"), ECDSAWithAES128GCM, ecSHA256, errKey, 1},
		"ECDSA as Ed25519":         {p256, ECDSAWithAES128GCM, ed25519Scheme, errScheme, 2},
		"ECDSA as Ed448":           {p256, ECDSAWithAES128GCM, 0x0808, errScheme, 2},
		"ECDSA as RSA":             {p256, ECDSAWithAES128GCM, pssSHA256, errScheme, 2},
		"ECDSA with SHA-1":         {p256, ECDSAWithAES128GCM, tls.ECDSAWithSHA1, errScheme, 2},
		"ECDSA with no hash":       {p256, ECDSAWithAES128GCM, 0x0003, errScheme, 2},
		"ECDSA with SHA-224":       {p256, ECDSAWithAES128GCM, 0x0303, errScheme, 2},
		"anonymous":                {p256, ECDSAWithAES128GCM, 0x0400, errScheme, 2},
		"RSA as ECDSA":             {rsaLeaf, RSAWithAES128GCM, ecSHA256, errScheme, 2},
		"RSA as Ed25519":           {rsaLeaf, RSAWithAES128GCM, ed25519Scheme, errScheme, 2},
		"RSA with SHA-1":           {rsaLeaf, RSAWithAES128GCM, tls.PKCS1WithSHA1, errScheme, 2},
		"RSA with PSS of another":  {rsaLeaf, RSAWithAES128GCM, 0x0809, errScheme, 2},
		"ECDSA in a suite of RSA":  {p256, RSAWithAES128GCM, ecSHA256, ErrMessage, 2},
		"RSA in a suite of ECDSA":  {rsaLeaf, ECDSAWithAES128GCM, pssSHA256, ErrMessage, 2},
		"a suite that is not ours": {p256, 0xc00a, ecSHA256, ErrMessage, 0},
	} {
		given, err := give(t, screenFor(true, test.leaf), serverFlight(test.leaf, test.suite, test.scheme))
		if !errors.Is(err, test.want) || len(given) != test.after {
			t.Errorf("server, %s: %v after %d messages, want %v after %d", name, err, len(given), test.want, test.after)
		}
		if test.want == ErrMessage {
			continue // the suite is the server's choice
		}
		given, err = give(t, screenFor(false, test.leaf), clientFlight(test.leaf, test.scheme))
		want := map[int]int{5: 4, 1: 1, 2: 3}[test.after] // a client signs with its last message
		if !errors.Is(err, test.want) || len(given) != want {
			t.Errorf("client, %s: %v after %d messages, want %v after %d", name, err, len(given), test.want, want)
		}
	}
}

// Each case has one wrong message.
func TestScreenRefusesMessages(t *testing.T) {
	leaf, other := peerCertificate().Certificate[0], p384Certificate().Certificate[0]
	honest := map[bool][]peerMessage{
		true:  serverFlight(leaf, ECDSAWithAES128GCM, tls.ECDSAWithP256AndSHA256),
		false: clientFlight(leaf, tls.ECDSAWithP256AndSHA256),
	}
	server := func(version uint16, suite Suite, extensions ...uint16) peerMessage {
		return peerMessage{msgServerHello, helloBody(msgServerHello, version, suite, extensions...)}
	}
	client := func(version uint16, extensions ...uint16) peerMessage {
		return peerMessage{msgClientHello, helloBody(msgClientHello, version, ECDSAWithAES128GCM, extensions...)}
	}
	for name, test := range map[string]struct {
		client  bool
		at      int
		instead peerMessage
		want    error
	}{
		"ServerHello of DTLS 1.0":                    {true, 0, server(version10, ECDSAWithAES128GCM, extendedMasterSecret), ErrMessage},
		"ServerHello without extended secret":        {true, 0, server(version12, ECDSAWithAES128GCM, 11), errMasterSecret},
		"ServerHello without extensions":             {true, 0, server(version12, ECDSAWithAES128GCM), errMasterSecret},
		"ClientHello of DTLS 1.0":                    {false, 0, client(version10, extendedMasterSecret), ErrMessage},
		"ClientHello without extended secret":        {false, 0, client(version12, 10), errMasterSecret},
		"a ClientHello for a client":                 {true, 0, client(version12, extendedMasterSecret), ErrRoles},
		"a ServerHello for a server":                 {false, 0, server(version12, ECDSAWithAES128GCM, extendedMasterSecret), ErrMessage},
		"another's certificate of a server":          {true, 1, peerMessage{msgCertificate, certificateBody(other, leaf)}, ErrPeer},
		"another's certificate of a client":          {false, 1, peerMessage{msgCertificate, certificateBody(other, leaf)}, ErrPeer},
		"no certificate":                             {false, 1, peerMessage{msgCertificate, certificateBody()}, ErrPeer},
		"an empty certificate":                       {false, 1, peerMessage{msgCertificate, certificateBody(nil)}, ErrPeer},
		"a certificate list that is too short":       {true, 1, peerMessage{msgCertificate, certificateBody(leaf)[:20]}, ErrMessage},
		"a certificate that is left out":             {true, 1, peerMessage{msgServerKeyExchange, keyExchangeBody(curveX25519, tls.ECDSAWithP256AndSHA256)}, ErrMessage},
		"a certificate that a client leaves out":     {false, 1, peerMessage{msgClientKeyExchange, []byte{2, 1, 2}}, ErrMessage},
		"a key exchange that is left out":            {true, 2, peerMessage{msgServerHelloDone, nil}, ErrMessage},
		"P-384 for the key exchange":                 {true, 2, peerMessage{msgServerKeyExchange, keyExchangeBody(24, tls.ECDSAWithP256AndSHA256)}, ErrMessage},
		"P-521 for the key exchange":                 {true, 2, peerMessage{msgServerKeyExchange, keyExchangeBody(25, tls.ECDSAWithP256AndSHA256)}, ErrMessage},
		"sect163k1 for the key exchange":             {true, 2, peerMessage{msgServerKeyExchange, keyExchangeBody(1, tls.ECDSAWithP256AndSHA256)}, ErrMessage},
		"an explicit curve":                          {true, 2, peerMessage{msgServerKeyExchange, append([]byte{1}, keyExchangeBody(curveX25519, tls.ECDSAWithP256AndSHA256)[1:]...)}, ErrMessage},
		"bytes behind the signature":                 {true, 2, peerMessage{msgServerKeyExchange, append(keyExchangeBody(curveX25519, tls.ECDSAWithP256AndSHA256), 0)}, ErrMessage},
		"bytes behind the signature of a client":     {false, 3, peerMessage{msgCertificateVerify, append(verifyBody(tls.ECDSAWithP256AndSHA256), 0)}, ErrMessage},
		"no signature":                               {false, 3, peerMessage{msgCertificateVerify, nil}, ErrMessage},
		"a HelloVerifyRequest in the middle":         {true, 2, peerMessage{msgHelloVerifyRequest, []byte{0xfe, 0xfd, 0}}, ErrMessage},
		"a second ClientHello":                       {false, 1, client(version12, extendedMasterSecret), ErrMessage},
		"a certificate request where a signature is": {false, 3, peerMessage{msgCertificateRequest, []byte{1, 64, 0, 0, 0, 0}}, ErrMessage},
	} {
		flight := append([]peerMessage(nil), honest[test.client]...)
		flight[test.at] = test.instead
		given, err := give(t, screenFor(test.client, leaf), flight)
		if !errors.Is(err, test.want) || len(given) != test.at {
			t.Errorf("%s: %v after %d messages, want %v after %d", name, err, len(given), test.want, test.at)
		}
	}
}

// However the messages are cut, shuffled and repeated, pion gets each message whole, once and in
// order, as the screen has read it. Other bytes at the same place change nothing.
func TestScreenReassembles(t *testing.T) {
	leaf := peerCertificate().Certificate[0]
	rng := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		flight := serverFlight(leaf, ECDSAWithAES128GCM, tls.ECDSAWithP256AndSHA256)
		var cuts [][]byte
		for seq, m := range flight {
			cut := 40 + rng.IntN(200)
			for off := 0; off < max(len(m.body), 1); off += cut {
				end := min(off+cut+rng.IntN(20), len(m.body)) // some bytes arrive twice
				f := fragment{kind: m.kind, length: len(m.body), seq: seq, off: off, end: end, body: m.body[off:end]}
				cuts = append(cuts, handshakeRecord(string(appendFragment(nil, &f, off, end))))
			}
		}
		rng.Shuffle(len(cuts), func(i, j int) { cuts[i], cuts[j] = cuts[j], cuts[i] })
		s := screenFor(true, leaf)
		var out []byte
		for _, c := range cuts {
			forged := bytes.Clone(c)
			for i := headerLen + fragmentHeaderLen; i < len(forged); i++ {
				forged[i] ^= 0xff
			}
			for _, d := range [][]byte{c, c, forged} {
				var err error
				if out, err = s.read(out, d, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		n := 0
		for r := range Records(out) {
			f, _, _ := parseFragment(r.Body())
			if r.Number != uint64(n) || f.kind != flight[n].kind || !bytes.Equal(f.body, flight[n].body) {
				t.Fatalf("message %d: type %d, %x in record %d; want type %d, %x", n, f.kind, f.body, r.Number, flight[n].kind, flight[n].body)
			}
			n++
		}
		if n != len(flight) {
			t.Fatalf("pion was given %d messages, want %d", n, len(flight))
		}
	}
}

// The screen accepts the messages of browsers.
func TestScreenOfBrowsers(t *testing.T) {
	for name, c := range captures(t) {
		s := &screen{client: !c.browserFirst}
		for _, d := range c.page { // the screen gets the fingerprint of this page
			for r := range Records(d) {
				if f, _, ok := parseFragment(r.Body()); ok && r.Epoch == 0 && f.kind == msgCertificate && f.length == len(f.body) {
					leaf, _ := parseLeaf(f.body)
					s.peers = []Fingerprint{fingerprintOf(leaf)}
				}
			}
		}
		for _, d := range c.page {
			if _, err := s.read(nil, d, nil); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s.leaf == nil || s.prev != msgServerHelloDone && s.prev != msgCertificateVerify {
			t.Errorf("%s: the flight ended with message type %d, want ServerHelloDone or CertificateVerify", name, s.prev)
		}
	}
}

func FuzzScreen(f *testing.F) {
	leaf := peerCertificate().Certificate[0]
	for client, flight := range map[bool][]peerMessage{
		true:  serverFlight(leaf, ECDSAWithAES128GCM, tls.ECDSAWithP256AndSHA256),
		false: clientFlight(leaf, tls.ECDSAWithP256AndSHA256),
	} {
		var all []byte
		for i, m := range flight {
			all = append(all, handshakeRecord(string(appendMessage(nil, m.kind, i, m.body)))...)
		}
		f.Add(client, all, finishedRecord())
	}
	for _, c := range captures(f) {
		f.Add(!c.browserFirst, c.page[0], c.page[1])
	}
	hello := clientFlight(leaf, tls.ECDSAWithP256AndSHA256)[0].record(0)
	longer := bytes.Clone(hello)
	longer[headerLen+offMessageLen] = 0x80
	f.Add(false, hello, longer)
	f.Fuzz(func(t *testing.T, client bool, a, b []byte) {
		s := &screen{client: client, anyPeer: true} // each process of the fuzzer has another leaf
		for _, d := range [][]byte{a, b, a} {
			out, err := s.read(nil, d, nil)
			if err != nil {
				return
			}
			for r := range Records(out) {
				if f, _, ok := parseFragment(r.Body()); r.Epoch == 0 && r.Type == TypeHandshake && (!ok || f.length > maxMessageLen) {
					t.Fatalf("pion gets %x, which is no valid fragment", r.Raw)
				}
			}
		}
		if s.declared > maxHandshakeBytes || len(s.finished) > maxFinishedKept {
			t.Fatalf("the screen exceeds a bound: %d bytes declared, %d Finished kept", s.declared, len(s.finished))
		}
	})
}
