package channel_test

import (
	"fmt"
	"time"

	"github.com/godwit-rtc/godwit/channel"
)

// Priorities are strict. Of three channels that always have something to send the first
// uses the rate up, the second gets its Guarantee, and the third nothing.
func ExampleChannel() {
	now := time.Unix(0, 0)
	m, err := channel.New(now, channel.Config{Rate: 100_000, Floor: 100_000, Channels: channel.Channels{
		{Name: "table", Mode: channel.ReliableOrdered, Priority: 1},
		{Name: "bulk", Mode: channel.ReliableOrdered, Priority: 7, Guarantee: 20_000},
		{Name: "rest", Mode: channel.ReliableOrdered, Priority: 7},
	}})
	if err != nil {
		panic(err)
	}
	for id := channel.ID(1); id <= 3; id++ {
		for m.Free(id) >= 1000 {
			m.Send(now, id, make([]byte, 1000), channel.Options{})
		}
	}
	for range 10 { // until the window is full
		m.Append(now, nil, channel.MaxPacket)
		now = now.Add(10 * time.Millisecond)
	}
	for id := channel.ID(1); id <= 3; id++ {
		fmt.Println(m.Channels().Name(id), m.ChannelStats(id).BytesOut > 0)
	}
	// Output:
	// table true
	// bulk true
	// rest false
}
