//go:build linux

package main

import (
	"testing"
	"testing/synctest"
	"time"
)

// The age is that of the newest state at each millisecond, also between arrivals and before the
// first one; older states that arrive later do not count.
func TestBook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(time.Now().Add(time.Second))
		first := b.state()
		b.bulkArrived(1000)                // before the beginning
		time.Sleep(900 * time.Millisecond) // 0.1 s before it
		second := b.state()
		time.Sleep(350 * time.Millisecond) // 0.25 s after it
		b.arrived(second)                  // 0.35 s old
		b.arrived(first)
		b.bulkArrived(500)
		time.Sleep(750 * time.Millisecond)
		// 250 ages from 1000 to 1249 ms, when no state had arrived, and 750 from 350 to 1099 ms.
		want := result{
			p50: 850 * time.Millisecond, p99: 1240 * time.Millisecond, oldest: 1249 * time.Millisecond,
			perSecond: 1, bulk: 500,
		}
		if got := b.close(); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
