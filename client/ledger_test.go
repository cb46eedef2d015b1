package client_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"sync"
	"testing"

	"github.com/godwit-rtc/godwit/channel"
)

// A ledger records the messages of the other end that have arrived at one end.
type ledger struct {
	mu       sync.Mutex
	next     map[channel.ID]uint32
	loot     map[uint32]int
	wrong    []string
	expected int
	complete chan struct{} // closed when all that is expected is there
}

func newLedger() *ledger {
	return &ledger{next: make(map[channel.ID]uint32), loot: make(map[uint32]int), complete: make(chan struct{})}
}

func (l *ledger) expect(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expected = n
}

func entry(n uint32) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, n%500), n)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

func (l *ledger) take(ch channel.ID, b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sum := len(b) - 4
	n := binary.BigEndian.Uint32(b[sum-4:])
	switch {
	case crc32.ChecksumIEEE(b[:sum]) != binary.BigEndian.Uint32(b[sum:]):
		l.wrong = append(l.wrong, fmt.Sprintf("message %d is corrupt", n))
	case ch == loot:
		l.loot[n]++
	case n != l.next[ch]:
		l.wrong = append(l.wrong, fmt.Sprintf("message %d came when %d was due", n, l.next[ch]))
	}
	l.next[ch] = n + 1
	if l.expected > 0 && l.next[chat] >= uint32(l.expected) && len(l.loot) >= l.expected {
		l.expected = 0
		close(l.complete)
	}
}

func (l *ledger) check(t *testing.T, who string, total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.next[chat] != uint32(total) || len(l.loot) != total || len(l.wrong) > 0 {
		t.Errorf("%s has %d messages of chat and %d of loot, want %d; %v", who, l.next[chat], len(l.loot), total, l.wrong)
	}
	for n, times := range l.loot {
		if times != 1 {
			t.Errorf("%s: message %d of loot came %d times, want once", who, n, times)
		}
	}
}
