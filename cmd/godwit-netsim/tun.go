package main

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/godwit-rtc/godwit/netsim"
)

// tunnel is a TUN link as a network.
type tunnel struct{ *netsim.Tun }

func (t tunnel) stats() (s netsim.TunStats, status, total string) { return t.Stats(), "", "" }

func (t tunnel) Rebind() error {
	return errors.New("a TUN link has no clients whose addresses could change")
}

// ownNamespace is the namespace of this process.
const ownNamespace = "/proc/self/ns/net"

// tunnel returns what starts a TUN link with the ends of the flags.
func (o *options) tunnel() (beginner, error) {
	c := netsim.TunConfig{MTU: o.tunMTU, Seed: o.seed}
	var err error
	if c.Near, err = parseEnd(o.near); err != nil {
		return nil, fmt.Errorf("-near %w", err)
	}
	if c.Far, err = parseEnd(o.far); err != nil {
		return nil, fmt.Errorf("-far %w", err)
	}
	if c.Near.Namespace == "" {
		c.Near.Namespace = ownNamespace
	}
	return func(up, down netsim.Link, r *netsim.Recorder) (network, string, error) {
		c.Up, c.Down, c.Record = up, down, r
		t, err := netsim.OpenTun(c)
		if err != nil {
			return nil, "", fmt.Errorf("-tun: %w", err)
		}
		there := t.Far()
		text := fmt.Sprintf("from %v to %v; for programs there: nsenter --net=%s PROGRAM", there.Addrs(), t.Near().Addrs(), there.File())
		return tunnel{t}, text, nil
	}, nil
}

// parseEnd parses a namespace and addresses, separated by commas. A namespace that does not
// begin with a slash is one of "ip netns".
func parseEnd(text string) (e netsim.TunEnd, err error) {
	for part := range strings.SplitSeq(text, ",") {
		a, err := netip.ParsePrefix(part)
		switch {
		case err == nil:
			e.Addrs = append(e.Addrs, a)
		case part == "" && text == "":
		case e.Namespace == "" && strings.HasPrefix(part, "/"):
			e.Namespace = part
		case part == "" || e.Namespace != "" || strings.ContainsAny(part, ":/"):
			return e, fmt.Errorf("%q is not a namespace and addresses such as mine,10.9.0.1/24", text)
		default:
			e.Namespace = "/run/netns/" + part
		}
	}
	return e, nil
}
