package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/godwit-rtc/godwit/sdp"
)

// A Config says what Run looks at.
type Config struct {
	// URL is that to which pages send their offers, or the URL of a page that has it in its script.
	URL string

	// Origin is the web origin of the game's page, such as "https://game.example". Empty means that
	// the page comes from the host of the URL.
	Origin string

	// Tokens are the tokens for two connections. If each is good once, one is enough for all checks
	// except that of the data channel. They are not sent if the certificate of the server is not valid.
	Tokens []string

	// Header has headers that are sent with every request, for a gate in front of the server. If it has
	// Authorization, tokens are sent as Godwit-Authorization.
	Header http.Header

	// App is the version of the program, and Channels the hash of its table of channels, as the page
	// has them. Empty means those of the server.
	App, Channels string

	// STUN is the address of a STUN server, "host:port", that says whether UDP leaves this network at
	// all. Empty means that none is asked.
	STUN string

	// Wait limits the wait for each answer over UDP or a WebSocket. Zero means 2 s.
	Wait time.Duration

	// Checks is the number of datagrams for the round trip and the loss. Zero means 40.
	Checks int
}

// A visit is one run of the checks, with what they have learned.
type visit struct {
	reporter
	config Config

	url     *url.URL
	client  *http.Client
	unsafe  bool           // the certificate of HTTPS is not valid, so tokens are not sent
	hosts   []netip.Addr   // addresses of the host of the URL, if that is a name
	host    netip.Addr     // the first address of the URL's host
	proxied bool           // requests leave through a proxy of this machine's environment
	site    netip.AddrPort // the address that has answered over HTTP; that of the host if they leave through a proxy
	seen    string         // what the server says of the address of this machine
	origin  string         // for the requests; empty if pages of the origin are refused
	trip    time.Duration  // the shortest request
	app     string         // version of the program, for the requests
	hash    string         // of the table of channels, for the requests
	plain   bool           // the server is a plain rtcserver.Server
	tokens  []string       // that were not used yet
	offer   *sdp.Offer     // of the answer below
	answer  *sdp.Server    // nil until the server has answered an offer
	lines   []string       // candidates of the answer, as they are
	socket  *offeredSocket // WebSocket of the answer; nil if there is none
	told    []netip.AddrPort
	mapped  netip.AddrPort // the address of this machine as the server sees it over UDP
	outside netip.AddrPort // as the STUN server sees it
	silent  bool           // the STUN server does not answer
	overUDP bool           // the server answers over UDP
}

// A step makes one or several checks. It returns false if the later steps make no sense.
type step struct {
	limit time.Duration
	run   func(*visit, context.Context) bool
}

// steps are all steps, in their order.
var steps = []step{
	{15 * time.Second, (*visit).reach},         // name, connection, certificate, http, clock
	{10 * time.Second, (*visit).checkOrigin},   // origin
	{20 * time.Second, (*visit).ask},           // version, table, answer
	{5 * time.Second, (*visit).judgeAddresses}, // address
	{5 * time.Second, (*visit).askSTUN},        // internet
	{60 * time.Second, (*visit).checkUDP},      // udp, source, trip, loss, mtu
	{5 * time.Second, (*visit).judgeSeen},      // proxy
	{30 * time.Second, (*visit).checkSocket},   // websocket
	{20 * time.Second, (*visit).openChannel},   // channel
}

// Run makes all checks, one after the other, and calls report with each result as soon as it is known.
// The error says that a field of c is wrong, or that ctx is done.
func Run(ctx context.Context, c Config, report func(Result)) error {
	v, err := newVisit(c, report)
	if err != nil {
		return err
	}
	defer v.client.CloseIdleConnections()
	for _, s := range steps {
		limited, cancel := context.WithTimeout(ctx, s.limit+4*v.config.Wait)
		proceed := s.run(v, limited)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !proceed {
			break
		}
	}
	return nil
}

func newVisit(c Config, report func(Result)) (*visit, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not a URL such as https://game.example/godwit/", c.URL)
	}
	if o, err := url.Parse(c.Origin); c.Origin != "" && c.Origin != "null" && (err != nil || o.Scheme == "" || o.Host == "" || o.Path != "") {
		return nil, fmt.Errorf("the origin %q is not one such as https://game.example, without a path", c.Origin)
	}
	if c.Wait < 0 || c.Checks < 0 {
		return nil, errors.New("the wait and the number of checks cannot be negative")
	}
	c.Wait = cmp.Or(c.Wait, 2*time.Second)
	c.Checks = min(cmp.Or(c.Checks, 40), 1000)
	v := &visit{reporter: reporter{report}, config: c, url: u, tokens: c.Tokens, app: c.App, hash: cmp.Or(c.Channels, "0000000000000000")}
	v.client = newClient()
	return v, nil
}

// private reports whether an address is of this machine or of a private network.
func private(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() || sharedSpace.Contains(a)
}

// sharedSpace is the address space between the NATs of carriers and their customers.
// https://www.rfc-editor.org/rfc/rfc6598.html
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// ms returns a time in milliseconds, for Result.Data.
func ms(d time.Duration) float64 { return float64(d.Round(10*time.Microsecond)) / 1e6 }

// brief returns a time with two or three digits.
func brief(d time.Duration) string {
	switch {
	case d < 100*time.Microsecond:
		return "less than 0.1 ms"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
