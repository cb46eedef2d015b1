package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"runtime"

	"github.com/godwit-rtc/godwit/client"
)

// Sources are the addresses that clients of a server on this machine send from.
var Sources = netip.MustParsePrefix("127.64.0.0/10")

// godwit makes clients that do all that a page does: signaling over HTTP, ICE,
// DTLS, SCTP.
type godwit struct {
	url      string
	config   client.Config
	endpoint *client.Endpoint // nil: every client has a socket of its own
}

// Godwit returns a Transport for the server whose signaling is at url, any WebRTC
// server that speaks the same JSON and has a lite ICE agent. If it is on this
// machine, all clients share one socket, each with an address of its own.
func Godwit(signaling string) (Transport, error) {
	u, err := url.Parse(signaling)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("load: %q is no URL of a server's signaling, such as http://localhost:8080/new_rtc_session", signaling)
	}
	g := &godwit{url: signaling}
	g.config.Handler = client.Handler{
		Message: func(c *client.Conn, m client.Message) { c.User.(*Client).Receive(m.Data) },
	}
	if runtime.GOOS == "linux" && isLoopback(u.Hostname()) {
		g.config.Sources = Sources
		g.endpoint, err = client.Listen("0.0.0.0:0", g.config)
	}
	return g, err
}

func isLoopback(host string) bool {
	addrs, err := net.LookupHost(host)
	if err != nil {
		return false
	}
	for _, a := range addrs {
		if ip, err := netip.ParseAddr(a); err == nil && ip.Is4() && ip.IsLoopback() {
			return true
		}
	}
	return false
}

func (g *godwit) Dial(ctx context.Context, c *Client) (Link, error) {
	if g.endpoint != nil {
		conn, err := g.endpoint.Dial(ctx, g.url, c)
		return link{conn}, err
	}
	e, err := client.Listen("", g.config)
	if err != nil {
		return nil, err
	}
	conn, err := e.Dial(ctx, g.url, c)
	if err != nil {
		e.Close()
	}
	return link{conn}, err
}

// Close leaves clients with sockets of their own to the end of the process.
func (g *godwit) Close() error {
	if g.endpoint == nil {
		return nil
	}
	return g.endpoint.Close()
}

type link struct{ conn *client.Conn }

func (l link) Send(b []byte) error { return l.conn.Send(0, client.Binary, b) }
