package rtcserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/pion/stun/v3"

	"github.com/godwit-rtc/godwit/internal/udpio"
)

// How long the server waits for the answer to each of its requests to the STUN server of
// Config.Discover. The first time is that of RFC 8489.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-6.2.1
var discoverWaits = [...]time.Duration{500 * time.Millisecond, time.Second, time.Second}

// lookupTimeout limits the wait for the addresses of the STUN server's name.
const lookupTimeout = 1500 * time.Millisecond

// errNoSTUN means that the STUN server has not answered.
var errNoSTUN = errors.New("the STUN server does not answer")

// discover asks the STUN server of Config.Discover for the address by which it sees the port of
// sockets. No loop reads the sockets yet: datagrams of others that arrive meanwhile are dropped,
// and no page knows the server.
func (s *Server) discover(sockets []*udpio.Conn) {
	name := s.config.Discover
	if name == "" {
		return
	}
	v4, v6 := sockets[0].Families()
	at, err := lookupSTUN(name, v4, v6)
	var found netip.AddrPort
	if err == nil {
		found, err = askSTUN(sockets, at)
	}
	if err != nil {
		s.config.Logger.Warn("rtcserver: Config.Discover has found no public address: pages on the internet may not reach this server", "server", name, "err", err)
		return
	}
	s.discovered = found
	s.config.Logger.Info("rtcserver: discovered", "addr", found, "server", name)
}

// checkDiscover returns an error if Config.Discover is not "host:port".
func checkDiscover(name string) error {
	if name == "" {
		return nil
	}
	host, port, _ := net.SplitHostPort(name) // empty if there is an error
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || host == "" {
		return fmt.Errorf("rtcserver: Config.Discover is %q, but must be the address of a STUN server such as stun.example:3478", shorten(name))
	}
	return nil
}

// lookupSTUN returns an address of a STUN server, which checkDiscover has accepted: of IPv4 if
// the socket receives it and there is one, because there are NATs mostly for IPv4.
func lookupSTUN(name string, v4, v6 bool) (netip.AddrPort, error) {
	host, port, _ := net.SplitHostPort(name)
	n, _ := strconv.ParseUint(port, 10, 16)
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for _, is4 := range []bool{true, false} {
		i := slices.IndexFunc(all, func(a netip.Addr) bool { return a.Unmap().Is4() == is4 })
		if i >= 0 && (is4 && v4 || !is4 && v6) {
			return netip.AddrPortFrom(all[i].Unmap(), uint16(n)), nil
		}
	}
	return netip.AddrPort{}, errors.New("the STUN server has no address of a family that the socket supports")
}

// askSTUN asks the STUN server at an address. The sockets share one port: the kernel may give the
// answer to any of them.
func askSTUN(sockets []*udpio.Conn, at netip.AddrPort) (netip.AddrPort, error) {
	request, err := stun.Build(stun.TransactionID, stun.BindingRequest)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer func() {
		for _, c := range sockets {
			c.SetReadDeadline(time.Time{})
		}
	}()
	in := make([]udpio.Datagram, batchLen)
	for i := range in {
		in[i].B = make([]byte, inLen)
	}
	for _, wait := range discoverWaits {
		out := []udpio.Datagram{{Remote: at, B: slices.Clone(request.Raw)}}
		if _, err := sockets[0].WriteBatch(out); err != nil {
			return netip.AddrPort{}, err
		}
		for _, c := range sockets {
			c.SetReadDeadline(time.Now().Add(wait / time.Duration(len(sockets))))
			found, err := readSTUN(c, in, at, request.TransactionID)
			if !errors.Is(err, os.ErrDeadlineExceeded) {
				return found, err
			}
		}
	}
	return netip.AddrPort{}, errNoSTUN
}

// readSTUN reads c until the answer of the STUN server arrives, or until the read deadline.
func readSTUN(c *udpio.Conn, in []udpio.Datagram, from netip.AddrPort, id [stun.TransactionIDSize]byte) (netip.AddrPort, error) {
	for {
		n, err := c.ReadBatch(in)
		if err != nil {
			return netip.AddrPort{}, err
		}
		for i := range in[:n] {
			if in[i].Remote != from {
				continue
			}
			if a, ok := mapped(in[i].B, id); ok {
				return a, nil
			}
		}
	}
}

// mapped returns the address in the answer of a STUN server to the request with a transaction ID.
// https://www.rfc-editor.org/rfc/rfc8489.html#section-14.2
func mapped(b []byte, id [stun.TransactionIDSize]byte) (netip.AddrPort, bool) {
	m := stun.New()
	if stun.Decode(b, m) != nil || m.TransactionID != id || m.Type != stun.BindingSuccess {
		return netip.AddrPort{}, false
	}
	var x stun.XORMappedAddress
	if x.GetFrom(m) != nil {
		return netip.AddrPort{}, false
	}
	ip, _ := netip.AddrFromSlice(x.IP) // the zero Addr if x.IP is not an address
	a := netip.AddrPortFrom(ip.Unmap(), uint16(x.Port))
	return a, usable(a)
}
