// Package netsim is a bad network for tests: it loses, delays, duplicates, reorders and
// damages datagrams. The same seed repeats a run exactly.
//
// A [Link] describes one direction of a path. A [Preset] has both directions of a kind of
// network, such as [WiFi] or [Train]. There are four ways to send datagrams over links,
// all with the same model:
//
//   - A [Network] connects packet conns in memory. Inside a testing/synctest bubble a
//     minute of simulated time takes almost no real time.
//   - A [Relay] passes datagrams between real UDP sockets, for peers that cannot use a
//     Network, such as browsers. The command godwit-netsim runs a Relay or a Tun.
//   - A [Tun] passes all traffic between two network namespaces of Linux, so that TCP of the
//     kernel, and programs that know nothing of it, have a bad network. It needs root.
//   - A [Wire] is the model as a value without goroutines, for simulations with their own
//     time.
//
// Links may share a [Bottleneck]. A [Recorder] records the fate of every datagram, and a
// [Replay] repeats the fates on another link.
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
// All methods may be called at any time from any goroutine, except those of Wire and
// [Timeline].
//
// The package simulates only the effects that a sender of datagrams can notice: no
// routers, no competing traffic, no ICMP, no fragments, no headers.
package netsim
