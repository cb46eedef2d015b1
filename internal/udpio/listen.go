package udpio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// ErrSockets is the error of [Listen] when Config.Sockets is out of range, or
// more than 1 where the system cannot spread one port over several sockets.
var ErrSockets = errors.New("bad number of sockets")

// maxSockets is the largest Config.Sockets.
const maxSockets = 256

// Listen opens c.Sockets sockets on addr, "host:port". Without a host, or with [::],
// they receive IPv4 and IPv6 at all addresses. Otherwise the host must be an IP
// address, or a name, which stands for one of its addresses; and the sockets receive only
// its family. For port 0 the system chooses one port for all.
//
// If another process uses the port, Listen returns an error, also for several sockets.
// These need SO_REUSEPORT, with which a second server of the same user could open the
// same port, and would get half of the packets. So Listen first tries to open the port
// without SO_REUSEPORT.
func Listen(addr string, c Config) ([]*Conn, error) {
	n := max(c.Sockets, 1)
	if n > maxSockets || n > 1 && !canSharePort {
		return nil, fmt.Errorf("%w: %d", ErrSockets, n)
	}
	network, addr, err := parseListen(addr)
	if err != nil {
		return nil, err
	}
	if n == 1 {
		return listenOne(network, addr, c)
	}
	host, port, _ := net.SplitHostPort(addr)
	return tryPorts(port, func() ([]*Conn, error) {
		first, err := listenUDP(network, addr, nil)
		if err != nil {
			return nil, err
		}
		bound := first.LocalAddr().(*net.UDPAddr)
		first.Close()
		return listenShared(network, net.JoinHostPort(host, strconv.Itoa(bound.Port)), n, c)
	})
}

// tryPorts calls open again if it fails and any port will do: another process may have
// opened the port meanwhile.
func tryPorts(port string, open func() ([]*Conn, error)) ([]*Conn, error) {
	for tries := 1; ; tries++ {
		conns, err := open()
		if err == nil || port != "0" || tries == portTries {
			return conns, err
		}
	}
}

// portTries is how often Listen tries to get a free port for port 0.
const portTries = 8

// listenOne opens one socket, whose port no other socket shares.
func listenOne(network, addr string, c Config) ([]*Conn, error) {
	u, err := listenUDP(network, addr, nil)
	if err != nil {
		return nil, err
	}
	conn, err := newSocket(u, c)
	if err != nil {
		return nil, err
	}
	return []*Conn{conn}, nil
}

// listenShared opens n sockets on one address.
func listenShared(network, addr string, n int, c Config) ([]*Conn, error) {
	conns := make([]*Conn, 0, n)
	for range n {
		var conn *Conn
		u, err := listenUDP(network, addr, sharePort)
		if err == nil {
			conn, err = newSocket(u, c)
		}
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

func listenUDP(network, addr string, control func(network, addr string, raw syscall.RawConn) error) (*net.UDPConn, error) {
	lc := net.ListenConfig{Control: control}
	pc, err := lc.ListenPacket(context.Background(), network, addr)
	if err != nil {
		return nil, err
	}
	return pc.(*net.UDPConn), nil
}

// parseListen returns the network and the address for package net. For that package
// "udp" with 0.0.0.0 would mean both families.
func parseListen(addr string) (network, address string, err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", "", fmt.Errorf("address %q is not like :7777 or 192.0.2.1:7777", addr)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", fmt.Errorf("address %q: the port must be a number from 0 to 65535", addr)
	}
	if host == "" {
		return "udp", addr, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		if ip, err = lookup(host); err != nil {
			return "", "", fmt.Errorf("address %q: the host must be empty, an IP address, or a name of this machine: %w", addr, err)
		}
	}
	switch {
	case ip.Is4() || ip.Is4In6():
		return "udp4", net.JoinHostPort(ip.Unmap().String(), port), nil
	case ip.IsUnspecified():
		return "udp", net.JoinHostPort("", port), nil
	}
	return "udp6", net.JoinHostPort(ip.String(), port), nil
}

// lookupTimeout limits the wait for the addresses of a name. Those of this machine are usually in
// a file.
const lookupTimeout = 5 * time.Second

// lookup returns an address of a name, of IPv4 if there is one, as package net does.
func lookup(name string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lookupTimeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return netip.Addr{}, err
	}
	return preferred(all), nil
}

// preferred returns the first address of IPv4; without one the first address.
func preferred(all []netip.Addr) netip.Addr {
	for _, a := range all {
		if a.Unmap().Is4() {
			return a.Unmap()
		}
	}
	return all[0]
}

// bufferSize returns the size for a field of Config; ok is false for the system's default.
func bufferSize(n int) (size int, ok bool) {
	if n == 0 {
		return defaultBuffer, true
	}
	return n, n > 0
}
