package godwit_test

import (
	"encoding/binary"
	"fmt"

	"github.com/godwit-rtc/godwit"
)

// An answer that must be in order with messages: the request has a number that the program
// chooses, and the answer is a message on the channel that begins with this number.
func ExampleRequest_ordered() {
	const chat = godwit.ChannelID(1)
	srv, err := godwit.New(godwit.Config{
		Channels: godwit.Channels{{Name: "chat", Mode: godwit.ReliableOrdered}},
		Handler: godwit.Handler{Request: func(c *godwit.Conn, r *godwit.Request) {
			c.Send(chat, append(r.Data, "you are in"...)) // Data begins with the number
			r.Ack()
			c.Send(chat, binary.BigEndian.AppendUint32(nil, 0)) // 0: of no request
		}},
	})
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	done := make(chan struct{})
	c, err := srv.Local(godwit.LocalConfig{Handler: godwit.Handler{
		Message: func(_ *godwit.Conn, _ godwit.ChannelID, b []byte) {
			if n := binary.BigEndian.Uint32(b); n > 0 {
				fmt.Printf("answer to %d: %s\n", n, b[4:])
				return
			}
			fmt.Println("the first message after it")
			close(done)
		},
	}})
	if err != nil {
		panic(err)
	}
	c.Ask("join", binary.BigEndian.AppendUint32(nil, 7), nil)
	<-done
	// Output:
	// answer to 7: you are in
	// the first message after it
}
