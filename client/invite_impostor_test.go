package client_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	pion "github.com/pion/dtls/v3"
	"github.com/pion/dtls/v3/pkg/crypto/selfsign"
	"github.com/pion/logging"
	pionsctp "github.com/pion/sctp"

	"github.com/godwit-rtc/godwit"
	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/internal/sessioncore"
	"github.com/godwit-rtc/godwit/internal/testkit"
	"github.com/godwit-rtc/godwit/netsim"
)

// enter shakes hands with the server as the DTLS server, with a certificate of its own, opens an
// association, sends datagrams on stream 0, and returns what the server sends there in 20 s.
func (i *impostor) enter(t *testing.T, cert tls.Certificate, datagrams ...[]byte) (got [][]byte) {
	t.Helper()
	silent := &logging.DefaultLoggerFactory{DefaultLogLevel: logging.LogLevelDisabled}
	c := testkit.Must(pion.ServerWithOptions(i, net.UDPAddrFromAddrPort(i.victim), pion.WithCertificates(cert),
		pion.WithInsecureSkipVerify(true), pion.WithLoggerFactory(silent), pion.WithClientAuth(pion.RequireAnyClientCert),
		pion.WithInsecureSkipVerifyHello(true), pion.WithSRTPProtectionProfiles(pion.SRTP_AEAD_AES_128_GCM)))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		t.Fatalf("the impostor cannot shake hands: %v", err) // it must get this far
	}
	a, err := pionsctp.ClientWithOptions(pionsctp.WithNetConn(c), pionsctp.WithLoggerFactory(silent))
	if err != nil {
		t.Fatalf("the impostor's association does not open: %v", err)
	}
	defer a.Close()
	s := testkit.Must(a.OpenStream(0, pionsctp.PayloadTypeWebRTCBinary))
	s.SetReliabilityParams(true, pionsctp.ReliabilityTypeRexmit, 0)
	var mu sync.Mutex
	go func() {
		b := make([]byte, 2000)
		for {
			n, err := s.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			got = append(got, bytes.Clone(b[:n]))
			mu.Unlock()
		}
	}()
	for range 20 {
		for _, b := range datagrams {
			s.WriteSCTP(b, pionsctp.PayloadTypeWebRTCBinary) // an error: the server has closed
		}
		time.Sleep(time.Second)
	}
	mu.Lock()
	defer mu.Unlock()
	return got
}

// helloPacket returns the first packet of a client.
func helloPacket() []byte {
	s := testkit.Must(sessioncore.New(time.Now(), sessioncore.Config{Channel: channel.Config{Channels: table}, Hello: []byte("mallory")}))
	s.Link(time.Now(), sessioncore.LinkInfo{})
	return s.Append(time.Now(), nil, channel.MaxPacket)
}

// A man in the middle sees every datagram of a page with an invite, keeps them from the server, and
// sends the page's checks from an address of its own. So the server shakes hands with it. It lacks the
// password, which no datagram contains. It gets no session and no byte of one, whatever it sends, and
// the page gets its session later.
func TestAManInTheMiddleOfAnInvite(t *testing.T) {
	own := testkit.Must(selfsign.GenerateSelfSigned())
	admit := func(proof []byte) []byte {
		return append(append([]byte{1}, proof...), fmt.Sprintf("v=1&kind=browser&channels=%016x", channel.Table{Channels: table}.Hash())...)
	}
	for name, c := range map[string]struct {
		says            [][]byte
		refused, silent uint64
	}{
		"says nothing":         {nil, 0, 1},
		"says HELLO":           {[][]byte{helloPacket()}, 0, 1},
		"with a proof of zero": {[][]byte{admit(make([]byte, 32)), helloPacket()}, 1, 0},
		"with a short proof":   {[][]byte{{1}, append([]byte{1}, make([]byte, 31)...), helloPacket()}, 0, 1},
		"with a long query":    {[][]byte{append(admit(make([]byte, 32)), make([]byte, 512)...), helloPacket()}, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			serverCertificate()
			inGame(t, inviting(godwit.Handler{Open: func(c *godwit.Conn) { c.Send(chat, []byte("secret")) }}), func(g *game) {
				invite := g.invite()
				i := &impostor{Conn: testkit.Listen(g.t, g.network, netip.MustParseAddrPort("203.0.113.66:6666")), victim: gameAddr, own: true}
				defer i.Close()
				checks := make(chan []byte, 1)
				g.network.SetTap(func(p *netsim.Packet) bool {
					if p.From.Addr() != pageAddr.Addr() {
						return true
					}
					select {
					case checks <- bytes.Clone(p.Payload):
					default:
					}
					return false
				})
				failed := make(chan error, 1)
				go func() {
					_, err := g.accept(invite, client.SessionConfig{})
					failed <- err
				}()
				check := <-checks
				testkit.Must(i.WriteToUDPAddrPort(check, gameAddr))
				got := i.enter(g.t, own, c.says...)
				for _, b := range got {
					if b[0] != 2 || bytes.Contains(b, []byte("secret")) {
						t.Errorf("the server sends %q, want at most REFUSED", b)
					}
				}
				if err := <-failed; err == nil {
					t.Error("the page has a session, though nothing of it arrives")
				}
				synctest.Wait()
				if st := g.server.Stats(); st.Begun != 0 || st.Pending != 0 || st.Direct.Admitted != 0 || st.Direct.Refused != c.refused || st.Direct.Silent != c.silent {
					t.Errorf("%d sessions begun, %d pending, want none; %+v, want %d refused and %d silent", st.Begun, st.Pending, st.Direct, c.refused, c.silent)
				}
				g.network.SetTap(nil)
				_, err := g.accept(invite, client.SessionConfig{Handler: g.handler()})
				g.must(err)
				g.want("open", "chat: secret")
			})
		})
	}
}
