package testkit

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/godwit-rtc/godwit/netsim"
)

// OnNetwork runs a test in a synctest bubble, that is in virtual time, with a network in
// memory whose random numbers have the seed 1. It closes the network after the test.
func OnNetwork(t *testing.T, test func(t *testing.T, network *netsim.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network := netsim.New(1)
		defer network.Close()
		test(t, network)
	})
}

// Listen opens a socket on a network in memory, at addr. The network chooses the
// port if that of addr is 0.
func Listen(t testing.TB, network *netsim.Network, addr netip.AddrPort) *netsim.Conn {
	t.Helper()
	socket, err := network.Listen(addr)
	if err != nil {
		t.Fatal(err)
	}
	return socket
}
