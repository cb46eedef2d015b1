// Package netsim is a bad network for tests: datagrams that are lost, late,
// doubled, out of order or damaged, in a way that a seed repeats exactly.
//
// A [Link] says what one direction of a path is like, and a [Preset] has both
// directions of a kind of network, such as [WiFi] or [Train]. There are three
// ways to send datagrams over links, and all give them the fates that the same
// model draws:
//
//   - A [Network] connects packet conns in memory; inside a testing/synctest
//     bubble a minute of its time takes no time.
//   - A [Relay] stands between real UDP sockets, for peers that cannot be moved
//     into memory, such as browsers. The command godwit-netsim is one.
//   - A [Wire] is the model as a value without goroutines, for simulations that
//     have a time of their own.
//
// Links may share a [Bottleneck]. A [Recorder] writes what became of every
// datagram, and a [Replay] repeats it on another link.
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
// All methods may be called at any time from any goroutine, except those of
// Wire and [Timeline].
//
// The package simulates what a sender of datagrams can notice, and no more:
// no routers, no competing traffic, no ICMP, no fragments, no headers.
package netsim
