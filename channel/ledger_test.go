package channel

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godwit-rtc/godwit/internal/testkit"
)

// The ledger: numbered, hashed messages on every channel both ways over every
// kind of bad link, each promise checked at both ends. See docs/reliability.md.

var matrix = flag.Bool("matrix", false, "run all 945 cells of the ledger and print their table")

func ledgerMessage(rng *rand.Rand, ch ID, number uint32, size int) []byte {
	return testkit.LedgerMessage(rng, int(ch), number, size)
}

// A ledger records the messages of one direction.
type ledger struct {
	sent     [chat + 1]uint32
	got      [chat + 1]map[uint32]bool
	last     [chat + 1]int64
	inOrder  uint32
	passed   map[[3]uint64]bool // pieces of unreliable messages that the link passed
	numbers  map[[2]uint64]uint32
	total    map[[2]uint64]int
	problems []string
	receipts int
	asked    int
}

func newLedger() *ledger {
	l := &ledger{passed: map[[3]uint64]bool{}, numbers: map[[2]uint64]uint32{}, total: map[[2]uint64]int{}}
	for i := range l.got {
		l.got[i], l.last[i] = map[uint32]bool{}, -1
	}
	return l
}

func (l *ledger) problem(format string, args ...any) {
	if len(l.problems) < 10 {
		l.problems = append(l.problems, fmt.Sprintf(format, args...))
	}
}

// deliver checks one delivered message.
func (l *ledger) deliver(ch ID, b []byte) {
	n, ok := testkit.LedgerNumber(int(ch), b)
	if !ok {
		l.problem("channel %d: corrupt message of %d bytes", ch, len(b))
		return
	}
	if l.got[ch][n] {
		l.problem("channel %d: message %d twice", ch, n)
	}
	l.got[ch][n] = true
	switch ch {
	case positions:
		if int64(n) <= l.last[ch] {
			l.problem("sequenced: %d after %d", n, l.last[ch])
		}
		l.last[ch] = int64(n)
	case chat:
		if n != l.inOrder {
			l.problem("ordered: %d, want %d", n, l.inOrder)
		}
		l.inOrder = n + 1
	}
}

// pass records the unreliable pieces in a packet that the link does not lose.
func (l *ledger) pass(b []byte) {
	var p packet
	if !p.parse(b) {
		l.problem("an end sent a packet that does not parse")
		return
	}
	var f frame
	for b := p.frames; len(b) > 0; {
		n := f.parse(b)
		if n == 0 {
			l.problem("an end sent a frame that does not parse")
			return
		}
		b = b[n:]
		if f.kind == frameControl || ID(f.channel) != effects {
			continue
		}
		if f.kind == frameBare {
			number := binary.BigEndian.Uint32(f.payload[1:])
			l.note([2]uint64{1 << 60, uint64(number)}, 0, len(f.payload), number)
			continue
		}
		name := [2]uint64{uint64(f.channel), f.id}
		if f.index == 0 {
			l.numbers[name] = binary.BigEndian.Uint32(f.payload[1:])
		}
		l.passed[[3]uint64{name[0], name[1], uint64(f.index)}] = true
		l.total[name] = f.total
	}
}

func (l *ledger) note(name [2]uint64, i, total int, number uint32) {
	l.passed[[3]uint64{name[0], name[1], uint64(i)}] = true
	l.total[name], l.numbers[name] = total, number
}

// unreliable returns how many unreliable messages the link passed whole, and how
// many of those arrived.
func (l *ledger) unreliable() (whole, arrived int) {
	for name, total := range l.total {
		complete := true
		for i := range pieces(total) {
			complete = complete && l.passed[[3]uint64{name[0], name[1], uint64(i)}]
		}
		if !complete {
			continue
		}
		whole++
		if l.got[effects][l.numbers[name]] {
			arrived++
		}
	}
	return whole, arrived
}

// checkSmall notes the unreliable messages of one piece that a stream has not delivered.
func (l *ledger) checkSmall() {
	for name, total := range l.total {
		if pieces(total) == 1 && !l.got[effects][l.numbers[name]] {
			l.problem("unreliable message %d has not arrived", l.numbers[name])
		}
	}
}

func (l *ledger) reliableLeft() int {
	return int(l.sent[loot]) + int(l.sent[chat]) - len(l.got[loot]) - len(l.got[chat])
}

// A cellResult is one row of the table.
type cellResult struct {
	sent, arrived      int
	whole, wholeCame   int
	chatP50, chatP99   time.Duration
	retransmits, bytes uint64
	drained            time.Duration // after the last message was sent
	problems           []string
}

const ledgerSeconds = 6

// runCell is runCellOver for a link of datagrams.
func runCell(t testing.TB, c testkit.Cell) cellResult { return runCellOver(t, c, datagrams) }

// runCellOver sends for six seconds, or until the blackout is over, and waits until everything is
// sent.
func runCellOver(t testing.TB, c testkit.Cell, kind linkKind) cellResult {
	w := newWorld(t, c.Seed())
	up, down := w.both(c.Link())
	w.blackout(2*time.Second, c.Blackout(), up, down)
	client, server := w.connect(Config{Channels: testTable, ReliableLink: kind == streams}, up, down)
	w.link(kind, client, server)
	length := ledgerSeconds*time.Second + c.Blackout()
	var took []time.Duration
	var ledgers []*ledger
	for _, e := range []*end{client, server} {
		l := newLedger()
		ledgers = append(ledgers, l)
		var born []time.Duration
		if kind != moving { // a move loses what is on its way
			e.passed = l.pass
		}
		e.peer.message = func(ch ID, b []byte) {
			l.deliver(ch, b)
			if ch == chat {
				took = append(took, w.now-born[l.inOrder-1])
			}
		}
		e.receipt = func(Event) { l.receipts++ }
		send := func(ch ID, size int, o Options) {
			b := ledgerMessage(w.rng, ch, l.sent[ch], size)
			if err := w.send(e, ch, b, o); err != nil {
				if err != ErrBudget {
					l.problem("channel %d: %v", ch, err)
				}
				return
			}
			if ch == chat {
				born = append(born, w.now)
			}
			if o.Receipt {
				l.asked++
			}
			l.sent[ch]++
		}
		every := func(hz int, f func(i int)) {
			w.every(time.Second/time.Duration(hz), int(length.Seconds()*float64(hz)), f)
		}
		every(60, func(int) { send(positions, 40, Options{}) })
		every(30, func(i int) { send(effects, 20+i%7*40, Options{Receipt: i%3 == 0}) })
		every(2, func(int) { send(effects, 3000+w.rng.IntN(4000), Options{Receipt: true}) })
		every(20, func(i int) { send(loot, w.rng.IntN(300), Options{Receipt: i%5 == 0}) })
		every(30, func(i int) { send(chat, w.rng.IntN(400), Options{}) })
		every(2, func(int) { send(chat, 2000+w.rng.IntN(3000), Options{Receipt: true}) })
		every(1, func(int) { send(loot, 1024+w.rng.IntN(5000), Options{}) })
	}
	w.run(length, nil)
	w.run(kind.patience(), func() bool {
		return ledgers[0].reliableLeft()+ledgers[1].reliableLeft() == 0 &&
			ledgers[0].receipts == ledgers[0].asked && ledgers[1].receipts == ledgers[1].asked
	})
	r := cellResult{drained: w.now - length, chatP50: percentile(took, 0.5), chatP99: percentile(took, 0.99)}
	for i, l := range ledgers {
		whole, came := l.unreliable()
		r.whole, r.wholeCame = r.whole+whole, r.wholeCame+came
		for ch := range l.sent {
			r.sent += int(l.sent[ch])
			r.arrived += len(l.got[ch])
		}
		if n := l.reliableLeft(); n != 0 {
			l.problem("%d reliable messages are missing", n)
		}
		if l.receipts != l.asked {
			l.problem("%d receipts of %d", l.receipts, l.asked)
		}
		if kind == streams {
			l.checkSmall()
		} else if float64(came) < 0.98*float64(whole) {
			l.problem("%d unreliable messages of %d that the link passed", came, whole)
		}
		st := w.ends[i].mux.Stats()
		r.retransmits += st.Retransmits
		r.bytes += st.BytesOut
		for _, d := range []DropReason{DropMalformed, DropAck, DropRefused, DropUnknown, DropDirection, DropKind, DropTooLarge, DropMismatch, DropWindow, DropBudget} {
			if st.Drops[d] > 0 {
				l.problem("an honest end made the other drop %d: %v", st.Drops[d], d)
			}
		}
		r.problems = append(r.problems, l.problems...)
	}
	return r
}

// TestLedger checks the promises in 60 cells, or in all 945 with -matrix.
func TestLedger(t *testing.T) {
	cells := testkit.CoveringCells(60)
	if *matrix {
		cells = testkit.AllCells()
	}
	type sum struct {
		cells, bad, sent, arrived, whole, came int
		retransmits                            uint64
		p50, p99, drained                      []time.Duration
	}
	rows := map[string]*sum{}
	for _, c := range cells {
		r := runCell(t, c)
		if len(r.problems) > 0 {
			t.Errorf("%v\n\t%s", c, strings.Join(r.problems, "\n\t"))
		}
		key := fmt.Sprintf("%2.0f %% | %s", c.Loss()*100, c.Burst())
		s := rows[key]
		if s == nil {
			s = &sum{}
			rows[key] = s
		}
		s.cells++
		s.bad += min(1, len(r.problems))
		s.sent, s.arrived = s.sent+r.sent, s.arrived+r.arrived
		s.whole, s.came = s.whole+r.whole, s.came+r.wholeCame
		s.retransmits += r.retransmits
		s.p50, s.p99, s.drained = append(s.p50, r.chatP50), append(s.p99, r.chatP99), append(s.drained, r.drained)
	}
	if !*matrix && !testing.Verbose() {
		return
	}
	fmt.Println("| loss | burst | cells | broken | messages | unreliable passed | arrived | again | ordered p50 ms | p99 ms, worst cell | all said after ms, worst |")
	fmt.Println("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
	keys := make([]string, 0, len(rows))
	for k := range rows {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		s := rows[k]
		fmt.Printf("| %s | %d | %d | %d | %d | %d | %d | %d | %d | %d |\n", k, s.cells, s.bad, s.sent, s.whole, s.came, s.retransmits,
			percentile(s.p50, 0.5).Milliseconds(), slices.Max(s.p99).Milliseconds(), slices.Max(s.drained).Milliseconds())
	}
}

// TestCoveringCells checks that the 60 cells hold every pair of settings.
func TestCoveringCells(t *testing.T) {
	cells := testkit.CoveringCells(60)
	for i := range testkit.CellAxes {
		for j := i + 1; j < len(testkit.CellAxes); j++ {
			seen := map[[2]int]bool{}
			for _, c := range cells {
				seen[[2]int{c[i], c[j]}] = true
			}
			if len(seen) != testkit.CellAxes[i]*testkit.CellAxes[j] {
				t.Errorf("axes %d and %d: %d of %d pairs are used", i, j, len(seen), testkit.CellAxes[i]*testkit.CellAxes[j])
			}
		}
	}
}
