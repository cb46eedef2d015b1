package sctp_test

import (
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/sctp"
)

// Two ends of an association, and no network: packets are bytes, and the time is an
// argument. In a program each packet is one record of DTLS.
func Example() {
	now := time.Now()
	server := sctp.New(sctp.Config{LocalTag: 1, InitialTSN: 1}) // random in a program
	page := sctp.New(sctp.Config{LocalTag: 2, InitialTSN: 1, EvenStreams: true})

	// deliver moves packets until both ends have none, and prints what the server gets.
	deliver := func() {
		for {
			a, b := page.Append(now, nil), server.Append(now, nil)
			if len(a) == 0 && len(b) == 0 {
				return
			}
			for _, ev := range server.Receive(now, a, nil) {
				fmt.Printf("server: %v %q\n", ev.Type, ev.Payload)
			}
			page.Receive(now, b, nil)
			server.Flush(now)
			page.Flush(now)
		}
	}

	page.Connect(now)
	deliver()
	packet, err := page.AppendMessage(now, nil, 0, sctp.Text, []byte("hello"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, ev := range server.Receive(now, packet, nil) {
		fmt.Printf("server: %v %q\n", ev.Type, ev.Payload)
	}
	server.Flush(now)
	deliver()
	// Output:
	// server: established ""
	// server: channel open ""
	// server: message "hello"
}
