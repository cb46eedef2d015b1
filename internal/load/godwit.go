package load

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"runtime"
	"sync"

	"github.com/godwit-rtc/godwit/client"
)

// Sources are the addresses that clients of a server on this machine send from.
var Sources = netip.MustParsePrefix("127.64.0.0/10")

// godwit makes clients that do all that a page does: signaling over HTTP, ICE,
// DTLS, SCTP.
type godwit struct {
	url    string
	config client.Config
	shared bool // all clients have one socket

	mu        sync.Mutex
	endpoints []*client.Endpoint
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
	if runtime.GOOS != "linux" || !isLoopback(u.Hostname()) {
		return g, nil
	}
	g.shared = true
	g.config.Sources = Sources
	_, err = g.listen("0.0.0.0:0")
	return g, err
}

func (g *godwit) listen(addr string) (*client.Endpoint, error) {
	e, err := client.Listen(addr, g.config)
	if err != nil {
		return nil, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.endpoints = append(g.endpoints, e)
	return e, nil
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
	e, err := g.endpoint()
	if err != nil {
		return nil, err
	}
	conn, err := e.Dial(ctx, g.url, c)
	return link{conn}, err
}

// endpoint returns the endpoint of the next client.
func (g *godwit) endpoint() (*client.Endpoint, error) {
	if g.shared {
		return g.endpoints[0], nil
	}
	return g.listen("")
}

func (g *godwit) Drops() (n uint64) {
	for _, e := range g.endpoints {
		n += e.Stats().Socket.KernelDrops
	}
	return n
}

func (g *godwit) Close() error {
	var closing sync.WaitGroup
	for _, e := range g.endpoints {
		closing.Go(func() { e.Close() })
	}
	closing.Wait()
	return nil
}

type link struct{ conn *client.Conn }

func (l link) Send(b []byte) error { return l.conn.Send(0, client.Binary, b) }
