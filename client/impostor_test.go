package client_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/logging"
	pionsctp "github.com/pion/sctp"
	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
	"github.com/godwit-rtc/godwit/rtcserver"
)

// seenOf returns the public part of a certificate, with a Forger as its key.
func seenOf(c *dtls.Certificate) tls.Certificate {
	text := testkit.Must(c.PEM())
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			key := testkit.Must(x509.ParseCertificate(block.Bytes)).PublicKey.(*ecdsa.PublicKey)
			return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: testkit.Forger{Seen: key}}
		}
	}
	panic("no certificate")
}

// An impostor is on the path of a victim, whose datagrams come to it: it knows the ICE
// credentials, and has seen the certificate of the victim's peer.
type impostor struct {
	*netsim.Conn
	pwd string // of the checks that it answers
	own bool   // it has a certificate of its own

	mu     sync.Mutex
	victim netip.AddrPort
}

// ReadFrom returns the DTLS datagrams for pion, in which Ed25519 is offered.
func (i *impostor) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := i.ReadFromUDPAddrPort(b)
		if err != nil {
			return 0, nil, err
		}
		if d := b[:n]; n > 0 && d[0] >= 20 {
			if i.own {
				return n, net.UDPAddrFromAddrPort(from), nil
			}
			copy(d, bytes.ReplaceAll(d, []byte{0x06, 0x03, 0x08, 0x04}, []byte{0x06, 0x03, 0x08, 0x07}))
			return n, net.UDPAddrFromAddrPort(from), nil
		}
		i.answer(bytes.Clone(b[:n]), from)
	}
}

// answer answers a check.
func (i *impostor) answer(b []byte, from netip.AddrPort) {
	m := &stun.Message{Raw: b}
	if m.Decode() != nil || m.Type != stun.BindingRequest {
		return
	}
	i.mu.Lock()
	i.victim = from
	i.mu.Unlock()
	r := testkit.Must(stun.Build(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: from.Addr().AsSlice(), Port: int(from.Port())},
		stun.NewShortTermIntegrity(i.pwd), stun.Fingerprint))
	i.WriteToUDPAddrPort(r.Raw, from)
}

func (i *impostor) WriteTo(b []byte, _ net.Addr) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.WriteToUDPAddrPort(b, i.victim)
}

// check sends a check to the victim.
func (i *impostor) check(username, pwd string) {
	m := testkit.Must(stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(username),
		stun.RawAttribute{Type: stun.AttrICEControlling, Value: make([]byte, 8)},
		stun.RawAttribute{Type: stun.AttrPriority, Value: make([]byte, 4)},
		stun.RawAttribute{Type: stun.AttrUseCandidate},
		stun.NewShortTermIntegrity(pwd), stun.Fingerprint))
	i.WriteTo(m.Raw, nil)
}

// shake shakes hands as the owner of the certificate, and talks if that succeeds.
func (i *impostor) shake(isClient bool, cert tls.Certificate) error {
	silent := &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	var c *pion.Conn
	if isClient {
		c = testkit.Must(pion.ClientWithOptions(i, net.UDPAddrFromAddrPort(i.victim), pion.WithCertificates(cert),
			pion.WithInsecureSkipVerify(true), pion.WithLoggerFactory(silent),
			pion.WithSRTPProtectionProfiles(pion.SRTP_AEAD_AES_128_GCM)))
	} else {
		c = testkit.Must(pion.ServerWithOptions(i, net.UDPAddrFromAddrPort(i.victim), pion.WithCertificates(cert),
			pion.WithInsecureSkipVerify(true), pion.WithLoggerFactory(silent), pion.WithClientAuth(pion.RequireAnyClientCert),
			pion.WithInsecureSkipVerifyHello(true), pion.WithSRTPProtectionProfiles(pion.SRTP_AEAD_AES_128_GCM)))
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return err
	}
	a, err := pionsctp.ClientWithOptions(pionsctp.WithNetConn(c), pionsctp.WithLoggerFactory(silent))
	if err != nil {
		return err
	}
	defer a.Close()
	s := testkit.Must(a.OpenStream(3, pionsctp.PayloadTypeWebRTCString))
	s.SetReliabilityParams(true, pionsctp.ReliabilityTypeRexmit, 0)
	testkit.Must(s.WriteSCTP([]byte("forged"), pionsctp.PayloadTypeWebRTCString))
	time.Sleep(time.Second)
	return nil
}

// inImpostorWorld is inWorld with a server that reports all events.
func inImpostorWorld(t *testing.T, test func(w *world)) {
	inWorldOf(t, test, func(w *world) rtcserver.Config {
		return rtcserver.Config{
			Settings: rtcserver.Settings{Certificate: serverCertificate()},
			Handler: rtcserver.Handler{
				Open:        func(*rtcserver.Conn) { w.events <- "server: open" },
				ChannelOpen: func(*rtcserver.Conn, rtcserver.Channel) { w.events <- "server: channel" },
				Message:     func(_ *rtcserver.Conn, m rtcserver.Message) { w.events <- fmt.Sprintf("server: %s", m.Data) },
				Close:       func(_ *rtcserver.Conn, err *rtcserver.CloseError) { w.events <- "server: close: " + err.Error() },
				Fail:        func(_ *rtcserver.Conn, err *rtcserver.CloseError) { w.events <- "server: fail: " + err.Error() },
			},
		}
	})
}

// Certificates cost more than all else here.
var (
	serverCertificate = sync.OnceValue(func() *dtls.Certificate {
		return testkit.Must(dtls.GenerateCertificate(time.Now().Add(-48 * time.Hour)))
	})
	pageCertificate = sync.OnceValue(func() *dtls.Certificate {
		return testkit.Must(dtls.GenerateCertificate(time.Now().Add(-48 * time.Hour)))
	})
)

// wrongScheme is the error of a signature that does not fit the key.
const wrongScheme = "dtls: the peer's signature scheme is not supported, or does not belong to its key"

// An attacker on the path of a page that has seen the page's offer and certificate opens no
// connection in its name: the server gets a failure, and no byte.
func TestImpostorOfAPage(t *testing.T) {
	serverCertificate()
	seen := seenOf(pageCertificate())
	for name, isClient := range map[string]bool{"DTLS server": false, "DTLS client": true} {
		t.Run(name, func(t *testing.T) {
			inImpostorWorld(t, func(w *world) {
				var offer string
				e := w.endpoint(client.Config{Certificate: pageCertificate()}) // the true page: it makes the offer
				_, err := e.Connect(w.t.Context(), func(_ context.Context, b []byte) ([]byte, error) {
					if offer = string(b); isClient {
						offer = strings.Replace(offer, "a=setup:actpass", "a=setup:active", 1)
					}
					return nil, errors.New("it hears no more")
				}, nil)
				if offer == "" {
					t.Fatal(err)
				}
				answer := string(testkit.Must(w.signal(w.t.Context(), []byte(offer))))
				answer = strings.ReplaceAll(answer, `\r\n`, "\r\n")
				i := &impostor{Conn: testkit.Listen(w.t, w.network, netip.MustParseAddrPort("203.0.113.66:6666")),
					victim: gameAddr}
				defer i.Close()
				i.check(testkit.Attribute(answer, "ice-ufrag")+":"+testkit.Attribute(offer, "ice-ufrag"), testkit.Attribute(answer, "ice-pwd"))
				err = i.shake(isClient, seen)
				synctest.Wait()
				t.Logf("the impostor's end: %v", err)
				if got := w.next(); !strings.HasPrefix(got, "server: fail: ") || !strings.HasSuffix(got, wrongScheme) {
					t.Errorf("%q happened, want a failure for the scheme", got)
				}
				w.wantQuiet()
			})
		})
	}
}

// An attacker that has seen the server's certificate, and is on the client's path, cannot pass
// as the server to a native client.
func TestImpostorOfAServer(t *testing.T) {
	seen := seenOf(serverCertificate())
	pageCertificate()
	for name, isClient := range map[string]bool{"DTLS server": false, "DTLS client": true} {
		t.Run(name, func(t *testing.T) {
			inImpostorWorld(t, func(w *world) {
				i := &impostor{Conn: testkit.Listen(w.t, w.network, netip.MustParseAddrPort("203.0.113.66:6666"))}
				e := w.endpoint(client.Config{Certificate: pageCertificate()})
				ended := make(chan error, 1)
				_, err := e.Connect(w.t.Context(), func(_ context.Context, offer []byte) ([]byte, error) {
					r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(offer))
					r.Header.Set("Accept", "application/sdp")
					resp := testkit.Serve(w.server, r)
					answer := strings.Replace(resp.Body.String(), "192.0.2.1 7777", "203.0.113.66 6666", 1)
					if !strings.Contains(answer, "203.0.113.66") {
						t.Errorf("the answer has no candidate that the impostor can replace: %s", answer)
					}
					if !isClient {
						answer = strings.Replace(answer, "a=setup:active", "a=setup:passive", 1)
					}
					i.pwd = testkit.Attribute(answer, "ice-pwd")
					go func() { ended <- i.shake(isClient, seen) }()
					return []byte(answer), nil
				}, nil)
				t.Logf("the impostor's end: %v", <-ended)
				i.Close()
				if err == nil || !strings.HasSuffix(err.Error(), wrongScheme) {
					t.Errorf("Connect to an impostor: %v, want the error about its scheme", err)
				}
				if got := w.next(); got != "server: fail: rtcserver: the page never connected" {
					t.Errorf("%q happened, want nothing but that nobody came to the server", got)
				}
				w.wantQuiet()
			})
		})
	}
}
