package load

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/channel"
	"github.com/godwit-rtc/godwit/client"
	"github.com/godwit-rtc/godwit/session"
)

// Sources are the addresses from which clients of a server on this machine send.
var Sources = netip.MustParsePrefix("127.64.0.0/10")

// GodwitConfig says which server clients connect to, and how.
type GodwitConfig struct {
	// URL is the URL of the server's signaling.
	URL string

	// Channels are the names of the channels on which clients send. The table of the server
	// must have them. None means level one: datagrams without channels, for any WebRTC
	// server with the same JSON and a lite ICE agent.
	Channels []string

	// Links are the links that the sessions may use; see client.SessionConfig. Nil means
	// WebRTC alone: a server under load must not get another kind of load.
	Links []string

	// WebTransport is that of client.Config, for session.LinkWebTransport in Links.
	WebTransport func(context.Context, client.LinkOffer, *client.Link) (client.Carrier, error)

	// Token is the token of the clients for a new session.
	Token string

	// Loss is the share of datagrams that are lost in each direction, and RTT the round
	// trip. If either is not zero, the datagrams pass through a relay in this process.
	Loss float64
	RTT  time.Duration
}

// godwit makes clients that do everything that a page does: signaling over HTTP, ICE, DTLS,
// SCTP, and a session if there are channels.
type godwit struct {
	url     string
	config  client.Config
	session client.SessionConfig
	ids     []channel.ID // of the channels that clients send on
	lanes   []Channel
	shared  bool // all clients have one socket
	relay   *relay

	mu        sync.Mutex
	endpoints []*client.Endpoint
}

// Godwit returns a Transport for a WebRTC server. If the server is on this machine, or behind a
// relay, all clients share one socket, and each has its own address.
func Godwit(ctx context.Context, c GodwitConfig) (Transport, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("load: %q is no URL of a server's signaling, such as http://localhost:8080/new_rtc_session", c.URL)
	}
	g := &godwit{url: c.URL, lanes: plain}
	g.config.WebTransport = c.WebTransport
	g.config.Handler = client.Handler{
		Message: func(c *client.Conn, m client.Message) { c.User.(*Client).Receive(0, m.Data) },
		Close:   func(c *client.Conn, err *client.CloseError) { c.User.(*Client).Closed(err.Error()) },
	}
	if len(c.Channels) > 0 {
		if err := g.speak(ctx, c); err != nil {
			return nil, err
		}
	}
	g.shared = runtime.GOOS == "linux" && isLoopback(u.Hostname())
	if c.Loss > 0 || c.RTT > 0 {
		g.relay = newRelay(c.Loss, c.RTT, g.shared)
		g.config.HTTP = &http.Client{Transport: g.relay}
		g.shared = runtime.GOOS == "linux" // the relay is on this machine
	}
	if g.shared {
		g.config.Sources = Sources
		_, err = g.listen("0.0.0.0:0")
	}
	return g, err
}

// speak makes the clients sessions, with the server's table of channels.
func (g *godwit) speak(ctx context.Context, c GodwitConfig) error {
	terms, err := askTerms(ctx, c.URL)
	if err != nil {
		return err
	}
	if c.Links == nil {
		c.Links = []string{session.LinkWebRTC}
	}
	g.lanes = nil
	for _, name := range c.Channels {
		id, ok := terms.channels.ID(name)
		if !ok {
			return fmt.Errorf("load: the server has no channel %q; it has %s", name, list(terms.channels))
		}
		ch := terms.channels[id-1]
		if ch.Direction == channel.ToClient {
			return fmt.Errorf("load: only the server may send on channel %q", name)
		}
		g.ids = append(g.ids, id)
		g.lanes = append(g.lanes, Channel{ch.Name, ch.Mode.String()})
	}
	g.session = client.SessionConfig{
		Channels: terms.channels,
		Schema:   terms.schema,
		Version:  terms.version,
		Links:    c.Links,
		Handler: client.SessionHandler{
			Message: func(s *client.Session, id channel.ID, b []byte) {
				s.User.(*Client).Receive(slices.Index(g.ids, id), b)
			},
			Interrupted: func(s *client.Session) { s.User.(*Client).Interrupted() },
			Close:       func(s *client.Session, why session.CloseReason) { s.User.(*Client).Closed(why.String()) },
		},
	}
	if c.Token != "" {
		g.session.Token = func(context.Context) (string, error) { return c.Token, nil }
	}
	return nil
}

// list returns the names of channels and what they promise.
func list(cs channel.Channels) string {
	var names []string
	for i := range cs {
		names = append(names, fmt.Sprintf("%s (%s)", cs[i].Name, cs[i].Mode))
	}
	return strings.Join(names, ", ")
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

func (g *godwit) Channels() []Channel { return g.lanes }

func (g *godwit) Dial(ctx context.Context, c *Client) (Link, error) {
	e, err := g.endpoint()
	if err != nil {
		return nil, err
	}
	if len(g.ids) == 0 {
		conn, err := e.Dial(ctx, g.url, c)
		return link{conn}, err
	}
	config := g.session
	config.User = c
	s, err := e.Join(ctx, g.url, config)
	return sessionLink{s, g.ids}, err
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
		n += e.Stats().KernelDrops
	}
	return n
}

func (g *godwit) Close() error {
	var closing sync.WaitGroup
	for _, e := range g.endpoints {
		closing.Go(func() { e.Close() })
	}
	closing.Wait()
	if g.relay != nil {
		g.relay.close()
	}
	return nil
}

// link is a client at level one.
type link struct{ conn *client.Conn }

func (l link) Send(_ int, b []byte) error { return l.conn.Send(0, client.Binary, b) }

// sessionLink is a client at level two.
type sessionLink struct {
	session *client.Session
	ids     []channel.ID
}

func (l sessionLink) Send(i int, b []byte) error { return l.session.Send(l.ids[i], b) }
