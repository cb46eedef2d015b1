package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// A relay is a bad network in front of a server: it replaces the server's addresses in answers
// by its own, and then loses and delays datagrams. It is an [http.RoundTripper].
type relay struct {
	link    netsim.Link
	sources bool // the requests come from many addresses
	http    http.Transport

	mu     sync.Mutex
	relay  *netsim.Relay // from the first answer on
	source netip.Addr
}

// maxRelayed is the number of clients that a relay knows.
const maxRelayed = 1 << 17

func newRelay(loss float64, rtt time.Duration, sources bool) *relay {
	r := &relay{link: netsim.Link{Loss: loss, Delay: rtt / 2}, sources: sources, source: Sources.Addr()}
	r.http.DisableKeepAlives = true
	r.http.DialContext = r.dial
	return r
}

// dial connects to the server from an address of its own, for limits per address.
func (r *relay) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	if r.sources {
		r.mu.Lock()
		r.source = r.source.Next()
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(r.source, 0))
		r.mu.Unlock()
	}
	return d.DialContext(ctx, network, addr)
}

// RoundTrip passes on an offer, and the answer with the relay's address in it.
func (r *relay) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := r.http.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxTerms))
	resp.Body.Close()
	if err == nil {
		b, err = r.replace(b)
	}
	if err != nil {
		return nil, err
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, nil
}

// candidate is an address in an answer, be it in SDP or in JSON with SDP inside.
var candidate = regexp.MustCompile(`(?i)(candidate:\S+ 1 udp \d+) (\S+) (\d+) typ host`)

// replace puts the relay's address in place of the server's.
func (r *relay) replace(answer []byte) ([]byte, error) {
	m := candidate.FindSubmatch(answer)
	if m == nil {
		return nil, errors.New("load: the server's answer has no address to send to")
	}
	addr, err := netip.ParseAddr(string(m[2]))
	if err != nil {
		return nil, fmt.Errorf("load: the server's address: %w", err)
	}
	port, err := strconv.ParseUint(string(m[3]), 10, 16)
	if err != nil {
		return nil, fmt.Errorf("load: the server's port: %w", err)
	}
	at, err := r.to(netip.AddrPortFrom(addr, uint16(port)))
	if err != nil {
		return nil, err
	}
	return candidate.ReplaceAll(answer, fmt.Appendf(nil, "$1 %s %d typ host", at.Addr(), at.Port())), nil
}

// to returns the address at which the server is reached through the relay.
func (r *relay) to(server netip.AddrPort) (netip.AddrPort, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.relay == nil {
		var err error
		r.relay, err = netsim.ListenRelay(netsim.RelayConfig{Target: server, Up: r.link, Down: r.link, MaxClients: maxRelayed})
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("load: %w", err)
		}
	}
	return r.relay.Addr(), nil
}

func (r *relay) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.relay != nil {
		r.relay.Close()
	}
}
