package rtcserver

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"math/big"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A costlyPeer answers our ClientHello with a flight in which everything is right but the
// signature: it has computed nothing, and we verify a signature of its key.
type costlyPeer struct {
	offer  string   // of the certificate that it shows
	flight [][]byte // a message each
}

var offeredFingerprint = regexp.MustCompile(`a=fingerprint:\S+ \S+`)

func newCostlyPeer(t testing.TB, c elliptic.Curve) costlyPeer {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	half := new(big.Int).Rsh(c.Params().N, 1)
	signature, err := asn1.Marshal(struct{ R, S *big.Int }{half, half})
	if err != nil {
		t.Fatal(err)
	}
	return costlyPeerOf(t, key, 0xc02b, 0x0603, signature)
}

// newCostlyRSAPeer has the largest key of RSA that the server takes.
func newCostlyRSAPeer(t testing.TB) costlyPeer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 4096)
	if err != nil {
		t.Fatal(err)
	}
	return costlyPeerOf(t, key, 0xc02f, 0x0804, bytes.Repeat([]byte{1}, 512))
}

// costlyPeerOf returns a peer with a key, a suite for the key, and what it says is a signature, with
// its scheme.
func costlyPeerOf(t testing.TB, key crypto.Signer, suite, scheme uint16, signature []byte) costlyPeer {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(1000 * time.Hour)}
	leaf, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	sized := func(n int, b []byte) []byte { // with its length in n bytes
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b)))[4-n:], b...)
	}
	extensions := []byte{
		0, 0x17, 0, 0, // extended_master_secret
		0, 0x0e, 0, 5, 0, 2, 0, 7, 0, // use_srtp with SRTP_AEAD_AES_128_GCM
	}
	hello := append([]byte{0xfe, 0xfd}, make([]byte, 32)...)
	hello = append(hello, 0, byte(suite>>8), byte(suite), 0) // no session, ECDHE with AES-128-GCM, no compression
	point := append([]byte{9}, make([]byte, 31)...)
	exchange := append([]byte{3, 0, 29}, sized(1, point)...) // X25519
	exchange = append(binary.BigEndian.AppendUint16(exchange, scheme), sized(2, signature)...)
	p := costlyPeer{offer: offeredFingerprint.ReplaceAllString(browserOffer(t), fingerprintLine(leaf))}
	for i, m := range []struct {
		kind byte
		body []byte
	}{
		{2, append(hello, sized(2, extensions)...)},
		{11, sized(3, sized(3, leaf))},
		{12, exchange},
		{13, []byte{2, 64, 1, 0, 4, 6, 3, 8, 4, 0, 0}}, // CertificateRequest
		{14, nil},
	} {
		b := append([]byte{m.kind}, sized(3, m.body)[:3]...)
		b = append(b, 0, byte(i), 0, 0, 0)
		p.flight = append(p.flight, record(22, 0, uint64(i), append(b, sized(3, m.body)...)))
	}
	return p
}

func fingerprintLine(leaf []byte) string {
	sum := sha256.Sum256(leaf)
	return "a=fingerprint:sha-256 " + strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

// begin makes an offer, and checks and answers our ClientHello with so many messages;
// false if the offer is refused.
func (p *costlyPeer) begin(w *world, from netip.Addr, messages int) (*offered, bool) {
	answer, err := w.signal(from, p.offer)
	if err != nil {
		return nil, false
	}
	return p.answer(w, string(answer), from, messages), true
}

func (p *costlyPeer) answer(w *world, answer string, from netip.Addr, messages int) *offered {
	o := w.offeredWith(p.offer, answer)
	addr := netip.AddrPortFrom(from, 1+uint16(o.conn.id))
	o.check(addr, "")
	synctest.Wait()
	for _, m := range p.flight[:messages] {
		w.network.Inject(addr, serverAddr, bytes.Clone(m))
	}
	synctest.Wait()
	return o
}

// An attacker posts offers at the highest rate, and makes the handshakes fail with wrong
// signatures. The additional cost of P-521 and P-384 counts as more offers.
func TestHandshakesWithCostlyKeysCountForFourOffers(t *testing.T) {
	for name, c := range map[string]struct {
		curve elliptic.Curve
		want  uint64 // handshakes: of 20 offers at once, and 5 a second for 4 s
	}{
		"P-256": {elliptic.P256(), 40},
		"P-384": {elliptic.P384(), 10},
		"P-521": {elliptic.P521(), 10},
	} {
		t.Run(name, func(t *testing.T) {
			p := newCostlyPeer(t, c.curve)
			var signatures uint64
			failed := func(_ *Conn, why *CloseError) {
				if strings.Contains(why.Error(), "signature do not match") {
					signatures++
				}
			}
			inWorld(t, Config{Settings: Settings{MaxOffers: 5}, Handler: Handler{Fail: failed}}, func(w *world) {
				from := attackerAddr.Addr()
				for range 41 {
					for ok := true; ok; {
						_, ok = p.begin(w, from, len(p.flight))
					}
					time.Sleep(100 * time.Millisecond)
				}
				st := w.server.Stats()
				if st.HandshakesFailed != c.want || st.Offers != c.want || signatures != c.want {
					t.Errorf("%d handshakes failed, %d for their signature, of %d offers, want %d: %+v", st.HandshakesFailed, signatures, st.Offers, c.want, st)
				}
				if _, err := w.signal(netip.MustParseAddr("203.0.113.9"), browserOffer(t)); err != nil {
					t.Errorf("an offer from another address: %v, want nil", err)
				}
			})
		})
	}
}

// A page that shows such a certificate is charged for every end of the handshake, because the
// server may have computed with the key.
func TestCostlyKeysCountHoweverTheHandshakeEnds(t *testing.T) {
	p := newCostlyPeer(t, elliptic.P521())
	for name, c := range map[string]struct {
		messages int
		end      func(*offered)
		want     int // offers that are left of 20
	}{
		"before the certificate, by us": {1, func(o *offered) { o.conn.Close("") }, 19},
		"behind the certificate, by us": {2, func(o *offered) { o.conn.Close("") }, 16},
		"behind the signature":          {5, func(*offered) {}, 16},
		"not yet":                       {2, func(*offered) {}, 19},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{Settings: Settings{MaxOffers: 5}}, func(w *world) {
				from := attackerAddr.Addr()
				o, _ := p.begin(w, from, c.messages)
				c.end(o)
				synctest.Wait()
				left := 0
				for w.allows(from.String() + ":5555") {
					left++
				}
				if left != c.want {
					t.Errorf("%d offers are left, want %d", left, c.want)
				}
			})
		})
	}
}

// allows reports whether an offer from there is taken.
func (w *world) allows(remote string) bool {
	resp := signal(w.t, w.server, browserOffer(w.t), func(r *http.Request) { r.RemoteAddr = remote })
	return resp.Code == http.StatusOK
}

// A program that answers offers without an address limits them itself: they are not charged to
// HTTP requests without an address.
func TestCostlyKeysOfNoAddress(t *testing.T) {
	p := newCostlyPeer(t, elliptic.P521())
	inWorld(t, Config{Settings: Settings{MaxOffers: 1}}, func(w *world) {
		answer, err := w.server.Answer(t.Context(), []byte(p.offer), netip.Addr{})
		if err != nil {
			t.Fatal(err)
		}
		p.answer(w, string(answer), attackerAddr.Addr(), len(p.flight))
		for i := range 5 {
			if ok := w.allows("@"); ok != (i < 4) {
				t.Errorf("offer %d without an address: allowed %v, want %v", i, ok, i < 4)
			}
		}
	})
}

func TestCostlyKeysWithoutALimit(t *testing.T) {
	p := newCostlyPeer(t, elliptic.P521())
	inWorld(t, Config{Settings: Settings{MaxOffers: -1}}, func(w *world) {
		for range 3 {
			p.begin(w, attackerAddr.Addr(), len(p.flight))
		}
		if st := w.server.Stats(); st.HandshakesFailed != 3 || len(w.server.offers.buckets) > 0 {
			t.Errorf("%d addresses are stored, want 0; %+v, want 3 failed handshakes", len(w.server.offers.buckets), st)
		}
	})
}
