package browser

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Inside runs f inside the browsers' namespace. A socket that f opens stays there.
func Inside(t testing.TB, f func() error) error {
	t.Helper()
	n := needNetwork(t)
	done := make(chan error)
	go func() { done <- n.inside(f) }()
	return <-done
}

// inside moves its goroutine's thread into the namespace, runs f, and moves the thread back. If it cannot, the thread ends
// with the goroutine.
func (n *network) inside(f func() error) error {
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer here.Close()
	there, err := os.Open(n.file())
	if err != nil {
		return err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return os.NewSyscallError("setns", err)
	}
	err = f()
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, os.NewSyscallError("setns", back))
	}
	runtime.UnlockOSThread()
	return err
}

// ListenInside opens a UDP socket in the namespace, for a client that is no browser.
func ListenInside(t testing.TB) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	err := Inside(t, func() (err error) {
		c, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(Host(t).Next(), 0)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// HTTPInside returns an HTTP client whose connections begin in the namespace.
func HTTPInside(t testing.TB) *http.Client {
	t.Helper()
	dial := func(ctx context.Context, network, address string) (c net.Conn, err error) {
		err = Inside(t, func() (err error) {
			c, err = new(net.Dialer).DialContext(ctx, network, address)
			return err
		})
		return c, err
	}
	tr := &http.Transport{DialContext: dial}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}
