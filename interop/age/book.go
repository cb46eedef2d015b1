//go:build linux

package main

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"
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
	arrivals []arrival // each is newer than the one before
	bulk     int
}

type arrival struct{ at, made time.Time }

func newBook(begin time.Time) *book { return &book{opened: time.Now(), begin: begin} }

// state returns a new state. Its first bytes say when it was made.
func (b *book) state() []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, stateSize), uint64(time.Since(b.begin)))[:stateSize]
}

// arrived records a state.
func (b *book) arrived(state []byte) {
	a := arrival{time.Now(), b.begin.Add(time.Duration(binary.BigEndian.Uint64(state)))}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.arrivals); n == 0 || a.made.After(b.arrivals[n-1].made) {
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
	var ages []time.Duration
	states, i := 0, -1
	made := b.opened // as long as no state has arrived
	for at := b.begin; at.Before(end); at = at.Add(time.Millisecond) {
		for i+1 < len(b.arrivals) && !b.arrivals[i+1].at.After(at) {
			i++
			made = b.arrivals[i].made
			if b.arrivals[i].at.After(b.begin) {
				states++
			}
		}
		ages = append(ages, at.Sub(made))
	}
	seconds := end.Sub(b.begin).Seconds()
	r.perSecond, r.bulk = float64(states)/seconds, float64(b.bulk)/seconds
	if n := len(ages); n > 0 {
		slices.Sort(ages)
		r.p50, r.p99, r.oldest = ages[n/2], ages[n*99/100], ages[n-1]
	}
	return r
}
