//go:build linux

package game

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	wt "github.com/quic-go/webtransport-go"

	"github.com/godwit-rtc/godwit/interop/pionserver"
)

// newPion serves with pion/webrtc: lite, one port, detached channels. The states have an unreliable channel, and
// bulk has the channel that the page opens with the label "bulk".
func newPion(g *Game, c Config, mux *http.ServeMux) error {
	var all crowd[*pionserver.Conn]
	const most = 1 << 20 // bytes that may wait in a channel
	errFull := errors.New("the channel is full")
	srv, err := pionserver.Listen(net.JoinHostPort(c.Host, "0"), pionserver.Config{
		Negotiated: []uint16{0},
		Handler: pionserver.Handler{
			Open:  all.add,
			Close: func(c *pionserver.Conn, _ string) { all.remove(c) },
			Message: func(c *pionserver.Conn, m pionserver.Message) {
				if g.takes(m.Data) {
					return
				}
				g.receive(m.Data, func(b []byte) error { return c.Send(0, false, b) }, func(b []byte) error {
					return g.until(func() error {
						if c.Buffered(m.Stream) > most {
							return errFull
						}
						return c.Send(m.Stream, false, b)
					}, func(err error) bool { return err == errFull })
				})
			},
		},
	})
	if err != nil {
		return err
	}
	g.close = append(g.close, func() { srv.Close() })
	g.players = all.len
	g.send = func(state []byte) { all.each(func(c *pionserver.Conn) { c.Send(0, false, state) }) }
	mux.Handle(Path, srv)
	return nil
}

// newWebSocket serves with coder/websocket, without TLS and without compression.
func newWebSocket(g *Game, _ Config, mux *http.ServeMux) error {
	var all crowd[*websocket.Conn]
	ctx, stop := context.WithCancel(context.Background())
	g.close = append(g.close, stop)
	mux.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		all.add(c)
		defer all.remove(c)
		send := func(b []byte) error { return c.Write(ctx, websocket.MessageBinary, b) }
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				return
			}
			if !g.takes(b) {
				g.receive(b, send, send)
			}
		}
	})
	g.players = all.len
	g.send = func(state []byte) {
		all.each(func(c *websocket.Conn) { c.Write(ctx, websocket.MessageBinary, state) })
	}
	g.Load = "ws" + strings.TrimPrefix(g.Load, "http")
	return nil
}

// newWebTransport serves with webtransport-go: states and inputs are datagrams, and bulk is a stream.
func newWebTransport(g *Game, c Config, _ *http.ServeMux) error {
	certificate, hash, err := newCertificate(c.Host)
	if err != nil {
		return err
	}
	udp, err := net.ListenPacket("udp", net.JoinHostPort(c.Host, "0"))
	if err != nil {
		return err
	}
	var all crowd[*wt.Session]
	handler := http.NewServeMux()
	srv := &wt.Server{
		H3: &http3.Server{
			TLSConfig:  http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{certificate}}),
			QUICConfig: &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true},
			Handler:    handler,
		},
		CheckOrigin: func(*http.Request) bool { return true },
	}
	handler.HandleFunc(Path, func(w http.ResponseWriter, r *http.Request) {
		s, err := srv.Upgrade(w, r)
		if err != nil {
			return
		}
		all.add(s)
		defer all.remove(s)
		var stream *wt.SendStream
		for {
			b, err := s.ReceiveDatagram(s.Context())
			if err != nil {
				return
			}
			if g.takes(b) {
				continue
			}
			g.receive(b, s.SendDatagram, func(b []byte) (err error) {
				if stream == nil {
					if stream, err = s.OpenUniStream(); err != nil {
						return err
					}
				}
				_, err = stream.Write(b)
				return err
			})
		}
	})
	go srv.Serve(udp)
	g.close = append(g.close, func() { srv.Close(); udp.Close() })
	g.players = all.len
	g.send = func(state []byte) { all.each(func(s *wt.Session) { s.SendDatagram(state) }) }
	g.Load, g.Hash = "https://"+udp.LocalAddr().String()+Path, hash
	return nil
}

// newCertificate returns a certificate that a browser accepts by its hash: with a key of ECDSA, for at most 14 days.
func newCertificate(host string) (c tls.Certificate, hash string, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return c, "", err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), IPAddresses: []net.IP{net.ParseIP(host)},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(240 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	sum := sha256.Sum256(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.StdEncoding.EncodeToString(sum[:]), err
}
