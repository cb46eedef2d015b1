package testkit

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"
)

// Each message of a ledger begins with its channel, its number, its length and a hash.
const ledgerHeader = 1 + 4 + 4 + 8

// LedgerMessage returns a message of a ledger: it has a header and random bytes.
func LedgerMessage(rng *rand.Rand, ch int, number uint32, size int) []byte {
	b := make([]byte, max(size, ledgerHeader))
	for i := ledgerHeader; i < len(b); i++ {
		b[i] = byte(rng.Uint32())
	}
	b[0] = byte(ch)
	binary.BigEndian.PutUint32(b[1:], number)
	binary.BigEndian.PutUint32(b[5:], uint32(len(b)))
	binary.BigEndian.PutUint64(b[9:], ledgerHash(b))
	return b
}

// LedgerNumber returns the number of a message. It returns false if the message is not one that
// LedgerMessage made for the channel.
func LedgerNumber(ch int, b []byte) (number uint32, ok bool) {
	if len(b) < ledgerHeader || int(binary.BigEndian.Uint32(b[5:])) != len(b) ||
		binary.BigEndian.Uint64(b[9:]) != ledgerHash(b) || int(b[0]) != ch {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[1:]), true
}

func ledgerHash(b []byte) uint64 {
	h := fnv.New64a()
	h.Write(b[:9])
	h.Write(b[ledgerHeader:])
	return h.Sum64()
}

// The channels of a Ledger, one of each mode.
const (
	LedgerUnreliable = 1 + iota
	LedgerSequenced
	LedgerUnordered
	LedgerOrdered
)

// A Ledger records the messages of one direction of a session, at both ends, and what is wrong with
// them. Any goroutine may use it.
type Ledger struct {
	mu       sync.Mutex // guards the fields below
	rng      *rand.Rand
	sent     [LedgerOrdered + 1]uint32
	got      [LedgerOrdered + 1]map[uint32]bool
	next     [LedgerOrdered + 1]uint32 // after the newest message that has arrived
	asked    int
	fates    int
	problems []string
}

// NewLedger returns an empty ledger.
func NewLedger(seed uint64) *Ledger {
	l := &Ledger{rng: rand.New(rand.NewPCG(seed, 15))}
	for i := range l.got {
		l.got[i] = make(map[uint32]bool)
	}
	return l
}

// Play sends messages for a time, as a game does: 60 sequenced ones a second, 30 small and 2
// large unreliable ones, 20 small and 1 large unordered ones, 30 small and 2 large ordered ones.
// send returns false if it has queued nothing.
func (l *Ledger) Play(d time.Duration, send func(ch int, b []byte, receipt bool) bool) {
	tick := time.NewTicker(time.Second / 60)
	defer tick.Stop()
	for i := range int(d / (time.Second / 60)) {
		l.send(LedgerSequenced, 40, false, send)
		if i%2 == 0 {
			l.send(LedgerUnreliable, 20+i%7*40, i%6 == 0, send)
			l.send(LedgerOrdered, i%400, false, send)
		}
		if i%3 == 0 {
			l.send(LedgerUnordered, i%300, i%15 == 0, send)
		}
		if i%30 == 0 {
			l.send(LedgerUnreliable, 3000+i%4000, true, send)
			l.send(LedgerOrdered, 2000+i%3000, true, send)
		}
		if i%60 == 0 {
			l.send(LedgerUnordered, 1024+i%5000, false, send)
		}
		<-tick.C
	}
}

func (l *Ledger) send(ch, size int, receipt bool, send func(ch int, b []byte, receipt bool) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !send(ch, LedgerMessage(l.rng, ch, l.sent[ch], size), receipt) {
		return
	}
	l.sent[ch]++
	if receipt {
		l.asked++
	}
}

// Take records a message that has arrived.
func (l *Ledger) Take(ch int, b []byte) {
	n, ok := LedgerNumber(ch, b)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case !ok:
		l.problem("channel %d: corrupt message of %d bytes", ch, len(b))
		return
	case l.got[ch][n]:
		l.problem("channel %d: message %d twice", ch, n)
	case ch == LedgerSequenced && n < l.next[ch]:
		l.problem("sequenced: %d came when %d had come", n, l.next[ch]-1)
	case ch == LedgerOrdered && n != l.next[ch]:
		l.problem("ordered: %d came when %d was due", n, l.next[ch])
	}
	l.got[ch][n] = true
	l.next[ch] = max(l.next[ch], n+1)
}

// Fate records a receipt.
func (l *Ledger) Fate() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fates++
}

func (l *Ledger) problem(format string, args ...any) {
	if len(l.problems) < 10 {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

// Settled reports whether every reliable message and every receipt has arrived.
func (l *Ledger) Settled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.missing() == 0 && l.fates == l.asked
}

// missing returns how many reliable messages have not arrived.
func (l *Ledger) missing() (n int) {
	for _, ch := range []int{LedgerUnordered, LedgerOrdered} {
		n += int(l.sent[ch]) - len(l.got[ch])
	}
	return n
}

// Arrived returns how many messages of a channel have arrived, and how many were sent.
func (l *Ledger) Arrived(ch int) (came, sent int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.got[ch]), int(l.sent[ch])
}

// Problems returns the broken promises.
func (l *Ledger) Problems() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.missing(); n != 0 {
		l.problem("%d reliable messages are missing", n)
	}
	if l.fates != l.asked {
		l.problem("%d receipts of %d", l.fates, l.asked)
	}
	return l.problems
}

// PlayBoth plays two ledgers at once, those of the two directions of a session, and waits until
// both have settled, for at most patience.
func PlayBoth(d, patience time.Duration, ledgers [2]*Ledger, send [2]func(ch int, b []byte, receipt bool) bool) {
	var both sync.WaitGroup
	for i, l := range ledgers {
		both.Go(func() { l.Play(d, send[i]) })
	}
	both.Wait()
	for end := time.Now().Add(patience); time.Now().Before(end) && !(ledgers[0].Settled() && ledgers[1].Settled()); {
		time.Sleep(100 * time.Millisecond)
	}
}
