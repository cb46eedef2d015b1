//go:build linux

package main

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/interop/game"
)

const (
	stateSize  = 200
	stateEvery = time.Second / 60
	bulkSize   = 16 << 10
)

// A book records the states and the bytes of bulk that arrive.
type book struct {
	opened time.Time
	begin  time.Time // what arrived before does not count

	mu       sync.Mutex
	arrivals []game.Arrival // each is newer than the one before
	bulk     int
}

func newBook(begin time.Time) *book { return &book{opened: time.Now(), begin: begin} }

// state returns a new state. Its first bytes say when it was made.
func (b *book) state() []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, stateSize), uint64(time.Since(b.begin)))[:stateSize]
}

// arrived records a state.
func (b *book) arrived(state []byte) {
	a := game.Arrival{At: time.Now(), Made: b.begin.Add(time.Duration(binary.BigEndian.Uint64(state)))}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.arrivals); n == 0 || a.Made.After(b.arrivals[n-1].Made) {
		b.arrivals = append(b.arrivals, a)
	}
}

func (b *book) bulkArrived(n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Now().After(b.begin) {
		b.bulk += n
	}
}

// A result says how old the newest state at the receiver was, looked at once a millisecond.
type result struct {
	p50, p99, oldest time.Duration
	perSecond, bulk  float64 // states and bytes
}

func (b *book) close() (r result) {
	b.mu.Lock()
	defer b.mu.Unlock()
	end := time.Now()
	ages := game.Measure(b.arrivals, b.opened, b.begin, end)
	r.p50, r.p99, r.oldest, r.perSecond = ages.P50, ages.P99, ages.Oldest, ages.PerSecond
	r.bulk = float64(b.bulk) / end.Sub(b.begin).Seconds()
	return r
}
