// Package netsim is a bad network for tests: datagrams that are lost, late,
// doubled, out of order or damaged, in a way that a seed repeats exactly.
//
// A [Link] says what one direction of a path is like. A [Network] connects
// packet conns in memory; inside a testing/synctest bubble a minute of its time
// takes no time. A [Relay] does the same to real UDP sockets while it runs, for
// peers that cannot be moved into memory, such as browsers. Both give every
// datagram the fate that the same model draws for it.
//
// A test over an in-memory network looks like this:
//
//	synctest.Test(t, func(t *testing.T) {
//		network := netsim.New(1)
//		defer network.Close()
//		network.SetDefault(netsim.Link{Delay: 50 * time.Millisecond, Loss: 0.1})
//		server, err := network.Listen(netip.MustParseAddrPort("10.0.0.1:7777"))
//		...
//	})
//
// All methods may be called at any time from any goroutine.
//
// The package simulates what a sender of datagrams can notice, and no more:
// no routers, no competing traffic, no ICMP, no fragments, no headers.
package netsim
