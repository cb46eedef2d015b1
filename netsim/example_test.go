package netsim_test

import (
	"bytes"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
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

// A program that knows nothing of netsim, here curl, has a slow line of 1 Mbit/s with a round
// trip of 100 ms to a server in this process. All its traffic passes over the line, TCP too.
func ExampleTun() {
	line := netsim.Link{Delay: 50 * time.Millisecond, Rate: 125_000, Loss: 0.01}
	tun, err := netsim.OpenTun(netsim.TunConfig{Up: line, Down: line})
	if err != nil {
		log.Fatal(err) // not Linux, or not root
	}
	defer tun.Close()

	var listener net.Listener
	err = tun.Near().Do(func() (err error) {
		listener, err = net.Listen("tcp", "10.98.0.1:8080")
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	go http.Serve(listener, http.FileServer(http.Dir(".")))

	curl := exec.Command("curl", "http://10.98.0.1:8080/")
	curl.Stdout = os.Stdout
	if err := tun.Far().Do(curl.Run); err != nil {
		log.Fatal(err)
	}
	fmt.Println(tun.Stats().Down.Lost, "packets were lost on the way to curl")
}

// A simulation in a time of its own: no goroutine, no sleep. A sender sends
// every 20 ms over a wire that loses a third in runs of two, and hears of
// each arrival over another one.
func ExampleWire() {
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	up := netsim.NewWire(netsim.Link{Delay: 30 * time.Millisecond, Loss: 0.33, Burst: 2}, 3)
	down := netsim.NewWire(netsim.Link{Delay: 30 * time.Millisecond}, 2)
	var events netsim.Timeline[func(now time.Time)]

	send := func(now time.Time, w *netsim.Wire, then func(now time.Time)) {
		for _, d := range w.Send(now, 100, nil) {
			events.Push(d.At, then)
		}
	}
	for i := range 6 {
		events.Push(begin.Add(time.Duration(i)*20*time.Millisecond), func(sent time.Time) {
			send(sent, up, func(now time.Time) {
				send(now, down, func(now time.Time) {
					fmt.Printf("%d is answered after %v, at %v\n", i, now.Sub(sent), now.Sub(begin))
				})
			})
		})
	}
	for {
		now, ok := events.Next()
		if !ok {
			break
		}
		event, _ := events.Pop(now)
		event(now)
	}
	fmt.Println(up.Stats().Lost, "lost")
	// Output:
	// 0 is answered after 60ms, at 60ms
	// 1 is answered after 60ms, at 80ms
	// 2 is answered after 60ms, at 100ms
	// 5 is answered after 60ms, at 160ms
	// 2 lost
}

// Two clients behind one line of 1 Mbit/s: what one sends, the other waits for.
func ExampleBottleneck() {
	line := netsim.NewBottleneck(125_000, 32_000)
	link := netsim.Link{Delay: 10 * time.Millisecond, Through: line}
	alice, bob := netsim.NewWire(link, 1), netsim.NewWire(link, 2)

	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range 10 {
		alice.Send(now, 1250, nil)
	}
	fmt.Println(line.Backlog(now), "bytes wait")
	for _, d := range bob.Send(now, 125, nil) {
		fmt.Println("bob's small one arrives after", d.At.Sub(now))
	}
	// Output:
	// 12500 bytes wait
	// bob's small one arrives after 111ms
}

// A server to which one host comes by train and all others by WiFi.
func ExamplePreset() {
	network := netsim.New(1)
	defer network.Close()
	server, passenger := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	var others netip.Addr
	network.SetLink(others, server, netsim.WiFi().Up)
	network.SetLink(server, others, netsim.WiFi().Down)
	network.SetLink(passenger, server, netsim.Train().Up)
	network.SetLink(server, passenger, netsim.Train().Down)
	fmt.Println(network.Link(passenger, server).Outage, "without a connection at a time")
	// Output:
	// 1s without a connection at a time
}

// What a recorded wire lost and delayed, a replay does again.
func ExampleReplay() {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var file bytes.Buffer
	recorder := netsim.NewRecorder(&file)
	bad := netsim.NewWire(netsim.Link{Loss: 0.5, Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond}, 3)
	bad.Record(recorder, "up")
	for i := range 4 {
		bad.Send(now.Add(time.Duration(i)*time.Millisecond), 100, nil)
	}
	if err := recorder.Flush(); err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(file.Bytes())

	trace, err := netsim.ReadTrace(&file)
	if err != nil {
		log.Fatal(err)
	}
	replay, err := netsim.NewReplay(trace, "up")
	if err != nil {
		log.Fatal(err)
	}
	again := netsim.NewWire(netsim.Link{Replay: replay}, 2)
	for i := range 4 {
		sent := now.Add(time.Duration(i) * time.Millisecond)
		for _, d := range again.Send(sent, 100, nil) {
			fmt.Println(i, "arrives after", d.At.Sub(sent))
		}
	}
	// Output:
	// {"at":0,"path":"up","size":100,"after":[27032004]}
	// {"at":1000000,"path":"up","size":100,"drop":"lost"}
	// {"at":2000000,"path":"up","size":100,"after":[25032004]}
	// {"at":3000000,"path":"up","size":100,"drop":"lost"}
	// 0 arrives after 27.032004ms
	// 2 arrives after 25.032004ms
}
