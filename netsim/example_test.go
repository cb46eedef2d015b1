package netsim_test

import (
	"fmt"
	"log"
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/netsim"
)

// Of ten datagrams over a path that loses half of them, the same ones arrive in
// every run. The way back is perfect.
func Example() {
	network := netsim.New(1)
	defer network.Close()
	server, _ := network.Listen(netip.MustParseAddrPort("10.0.0.1:7777"))
	client, _ := network.Listen(netip.MustParseAddrPort("10.0.0.2:0"))
	up := netsim.Link{Loss: 0.5}
	network.SetLink(client.PublicAddr().Addr(), server.PublicAddr().Addr(), up)

	for i := range 10 {
		client.WriteToUDPAddrPort(fmt.Appendf(nil, "datagram %d", i), server.PublicAddr())
	}
	b := make([]byte, 1500)
	for server.Queued() > 0 {
		n, _, _ := server.ReadFromUDPAddrPort(b)
		fmt.Println(string(b[:n]))
	}
	// Output:
	// datagram 3
	// datagram 5
	// datagram 7
	// datagram 9
}

// A Tap drops exactly the second datagram.
func ExampleNetwork_SetTap() {
	network := netsim.New(1)
	defer network.Close()
	server, _ := network.Listen(netip.MustParseAddrPort("10.0.0.1:7777"))
	client, _ := network.Listen(netip.MustParseAddrPort("10.0.0.2:0"))

	n := 0
	network.SetTap(func(p *netsim.Packet) bool {
		n++
		fmt.Printf("%v > %v %q\n", p.From, p.To, p.Payload)
		return n != 2
	})
	for _, s := range []string{"one", "two", "three"} {
		client.WriteToUDPAddrPort([]byte(s), server.PublicAddr())
	}
	fmt.Println(server.Queued(), "arrived")
	// Output:
	// 10.0.0.2:49152 > 10.0.0.1:7777 "one"
	// 10.0.0.2:49152 > 10.0.0.1:7777 "two"
	// 10.0.0.2:49152 > 10.0.0.1:7777 "three"
	// 2 arrived
}

// A browser that is told to connect to the relay's address instead of the
// server's has a round trip of 100 ms, loses a tenth of what it sends, and
// changes its address every ten seconds.
func ExampleRelay() {
	relay, err := netsim.ListenRelay(netsim.RelayConfig{
		Listen: netip.MustParseAddrPort("127.0.0.1:8888"),
		Target: netip.MustParseAddrPort("127.0.0.1:7777"),
		Up:     netsim.Link{Delay: 50 * time.Millisecond, Loss: 0.1},
		Down:   netsim.Link{Delay: 50 * time.Millisecond},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer relay.Close()
	for range time.Tick(10 * time.Second) {
		if err := relay.Rebind(); err != nil {
			log.Fatal(err)
		}
	}
}
