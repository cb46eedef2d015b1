// Package loop is the one loop of this module: that of a shard of rtcserver, of an
// endpoint of client, and of the links in one process.
//
// A [Loop] has a socket, one goroutine that calls Turn, one lock, and members: connections
// or ends of links. A [Host] says what members are and do; it adds what only its package
// knows, such as a registry or a dialler. Links whose datagrams come from other goroutines
// put them into an [Inbox] under the lock and call Wake, or Enter; a Loop that has no socket
// of its own waits at a [Bell].
//
// # One turn
//
//	wait       until datagrams arrive, the first deadline comes, or Wake is called
//	lock       everything in: Host.Receive gets the batch; members whose deadline has come advance
//	           the touched members become the members of the turn, and Host.Ready takes their news
//	unlock     handlers: Host.Unlocked, then Host.Deliver for each member with news
//	lock       everything out: Host.Settle for each member of the turn, Host.Send for the members
//	           that calls have left to the loop, then the batch leaves
//	unlock     Host.Unlocked
//
// # On which list is a member?
//
//	          Touch                    the next turn begins             the turn ends
//	(none) ──────────► touched ──────────────────────────► of the turn ─────────────► (none)
//	          Later                    the turn ends, or Flush
//	(none) ──────────► later ────────────────────────────► (none)
//
// A member may be on several lists: what touches it during a turn is for the next turn.
package loop

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/godwit-rtc/godwit/internal/timers"
	"github.com/godwit-rtc/godwit/internal/udpio"
)

// A Socket is what a loop waits for and sends with: a [udpio.Conn] or a [Bell].
type Socket interface {
	ReadBatch([]udpio.Datagram) (int, error)
	WriteBatch([]udpio.Datagram) (int, error)
	SetReadDeadline(time.Time) error
}

// A Host is what a package adds to its loop. The loop calls Unlocked and Deliver without
// its lock, and all other methods with it. The loop's goroutine, that is the caller of
// Turn, calls all of them; Send, Deadline, Entry and NextDeadline are also called by
// callers of SendBatch, Release and Flush.
type Host[M any] interface {
	// Entry returns the member's place in the lists of the loop.
	Entry(m M) *Entry
	// Receive processes the datagrams of a batch and what other goroutines have left for
	// this turn, and the deadlines of the host itself. It touches each member that it
	// changes. The bytes of the batch do not change until the handlers have run.
	Receive(now time.Time, batch []udpio.Datagram)
	// Advance tells a member that its deadline has come.
	Advance(now time.Time, m M)
	// Ready takes the news of a member for Deliver. It returns true if Deliver must run.
	Ready(m M) bool
	// Unlocked runs before the first Deliver of a turn, and at the end of the turn.
	Unlocked()
	// Deliver runs the program's handlers for the news.
	Deliver(m M)
	// Abandon is called if a handler has panicked and the program has recovered: events
	// that are not delivered yet keep their bytes, so their memory must not be used again.
	Abandon()
	// Settle sends what a member of the turn has to say, and removes a member that is over.
	Settle(now time.Time, m M)
	// Send sends what a member has to say because of a call of the program.
	Send(now time.Time, m M)
	// Deadline returns when Advance must be called for m; zero means never.
	Deadline(m M) time.Time
	// NextDeadline returns when Receive must be called for the host itself; zero means
	// never.
	NextDeadline() time.Time
}

// An Entry is the place of a member in the lists of its loop. It is a field of the member.
// The zero value is in no list.
type Entry struct {
	timer   timers.Slot
	touched bool // in Loop.touched
	inTurn  bool // the end of this turn settles the member
	later   bool // in Loop.later
	news    bool // Ready returned true in this turn
}

// HasNews reports whether Host.Deliver runs, or has run, for the member in this turn.
func (e *Entry) HasNews() bool { return e.news }

// Touched reports whether the next turn looks at the member.
func (e *Entry) Touched() bool { return e.touched }

// A Config configures a Loop.
type Config struct {
	Batch   int  // datagrams that are read or written at once; 0 if the socket has none
	InSize  int  // bytes of the largest datagram that can be read
	OutSize int  // bytes of the largest datagram that is sent
	Manual  bool // Release leaves datagrams for Flush or the end of the next turn
}

// Stats are the counters of a loop.
type Stats struct {
	Turns                     uint64
	DatagramsIn, DatagramsOut uint64
	BytesIn, BytesOut         uint64        // of UDP payload
	Handlers                  time.Duration // time that handlers ran
}

// A Loop serves members. Whoever has locked it owns it and its members: the goroutine that
// calls Turn, while it processes a batch, or a call of the program, while it writes one
// message. Nobody holds the lock while waiting, and no code of the program runs while the
// lock is held. The methods of Loop need the lock, except Turn, Drain, Flush and Due, which
// take it.
type Loop[M any] struct {
	sync.Mutex

	// Stats are the counters. The lock guards them.
	Stats Stats

	// Preload may be nil. The loop calls it before it processes member i of a list. It
	// loads memory of the members after i. Set it before the first Turn.
	Preload func(list []M, i int)

	host   Host[M]
	socket Socket
	config Config

	timers   timers.Heap[M]
	touched  []M // the next turn delivers and settles them
	later    []M // the end of a turn, or Flush, sends what they have to say
	busy     bool
	due      bool // the next turn must not wait
	closed   bool
	out      []udpio.Datagram
	until    time.Time // the caller of Turn waits no longer
	deadline time.Time // the socket's read deadline; zero means none
	now      time.Time // about now: of the last turn, or of Turn and Due
	waits    bool      // Turn waits for the end of a turn of Enter
	ended    sync.Cond // of that turn

	// Only the turn uses the fields below.
	in        []udpio.Datagram
	turn      []M
	delivered int       // members of turn whose handlers have run; -1 during Unlocked
	began     time.Time // when the first handler of the turn began; zero if there was none
}

// New returns a loop whose members are those of host. It starts no goroutine.
func New[M any](host Host[M], socket Socket, c Config) *Loop[M] {
	l := &Loop[M]{
		host: host, socket: socket, config: c,
		in:  newBatch(c.Batch, c.InSize),
		out: newBatch(c.Batch, c.OutSize)[:0],
	}
	l.ended.L = l
	return l
}

func newBatch(n, size int) []udpio.Datagram {
	all := make([]byte, n*size)
	ds := make([]udpio.Datagram, n)
	for i := range ds {
		ds[i].B = all[i*size : i*size : (i+1)*size]
	}
	return ds
}

// ErrEnded is returned by Turn and Run after Close, when all handlers have run.
var ErrEnded = errors.New("loop: closed")

// Run takes turns until the loop has ended. It returns ErrEnded or the error of the socket.
func (l *Loop[M]) Run() error {
	for {
		n, err := l.Turn(time.Time{})
		if err != nil {
			return err
		}
		if n > 0 && n == len(l.in) {
			// The next turn will not wait. With one processor nobody else, such as a
			// game's ticker, would run until the scheduler steps in after 10 ms.
			runtime.Gosched()
		}
	}
}

// Start starts a goroutine in a group that calls Run and then ended, if it is not nil, with
// the error. With Config.Manual it does nothing.
func (l *Loop[M]) Start(group *sync.WaitGroup, ended func(error)) {
	if l.config.Manual {
		return
	}
	group.Go(func() {
		if err := l.Run(); ended != nil {
			ended(err)
		}
	})
}

// MaxPolled limits the datagrams of one Poll. It is larger than the number of datagrams in
// a socket buffer of the default size.
const MaxPolled = 1 << 14

// Poll waits at most d and takes turns until there is nothing more to do, or d has passed
// if datagrams arrive faster than the turns process them. If d is zero or negative, it
// processes the datagrams that arrived before the call. The errors are those of Turn.
func (l *Loop[M]) Poll(d time.Duration) error {
	end := time.Now().Add(d)
	for taken, until := 0, end; ; until = Past {
		n, err := l.Turn(until)
		if err != nil {
			return err
		}
		taken += n
		if n == 0 || n < len(l.in) || taken >= MaxPolled || d > 0 && !time.Now().Before(end) {
			return nil
		}
	}
}

// Past is a time in the past: a Turn until Past does not wait.
var Past = time.Unix(1, 0)

// Turn waits until datagrams arrive, the first deadline or until has come, or Wake was
// called, and takes one turn. Zero for until means no limit. It returns the number of
// datagrams. The error is ErrEnded after Close, when all handlers have run, or the error of
// the socket.
func (l *Loop[M]) Turn(until time.Time) (int, error) {
	if !until.IsZero() {
		l.Lock()
		l.until, l.now = until, time.Now()
		l.timeLater()
		l.arm()
		l.Unlock()
	}
	n, err := l.socket.ReadBatch(l.in)
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return 0, err
	}
	l.Lock()
	for l.busy {
		l.waits = true
		l.ended.Wait()
	}
	l.until = time.Time{}
	return n, l.take(l.in[:n])
}

// Enter takes a turn on the goroutine of the caller, who has put something into an Inbox and
// holds the lock: this costs less than to wake the goroutine of Turn. Enter unlocks. If a turn
// runs, or with Config.Manual, or after Close, Enter only calls Wake. The caller must not hold
// anything that a handler could wait for. It is for a Host whose Unlocked does nothing: a turn
// on another goroutine may begin before Unlocked runs at the end of this one.
func (l *Loop[M]) Enter() {
	if l.busy || l.closed || l.config.Manual {
		l.Wake()
		l.Unlock()
		return
	}
	l.take(nil)
}

// take takes a turn with the datagrams of a batch. The lock is held, and released.
func (l *Loop[M]) take(batch []udpio.Datagram) error {
	now := time.Now()
	l.busy, l.due = true, false
	l.Stats.Turns++
	l.Stats.DatagramsIn += uint64(len(batch))
	for i := range batch {
		l.Stats.BytesIn += uint64(len(batch[i].B))
	}
	l.host.Receive(now, batch)
	for m, ok := l.timers.Due(now); ok; m, ok = l.timers.Due(now) {
		l.host.Advance(now, m)
		l.Touch(m)
	}
	l.handOver()
	l.Unlock()
	l.deliver()
	err := l.finish(now)
	l.host.Unlocked()
	return err
}

// handOver makes the touched members those of the turn. What they have to tell now,
// handlers are told in this turn; what comes later waits for the next turn.
func (l *Loop[M]) handOver() {
	l.touched, l.turn = l.turn[:0], l.touched
	for _, m := range l.turn {
		e := l.host.Entry(m)
		e.touched, e.inTurn = false, true
		e.news = l.host.Ready(m)
	}
}

// deliver runs the handlers. Package handling knows this func by its name.
func (l *Loop[M]) deliver() {
	defer l.afterPanic()
	l.began, l.delivered = time.Time{}, -1
	l.host.Unlocked()
	for l.delivered = 0; l.delivered < len(l.turn); l.delivered++ {
		m := l.turn[l.delivered]
		if !l.host.Entry(m).news {
			continue
		}
		if l.began.IsZero() {
			l.began = time.Now()
		}
		l.host.Deliver(m)
	}
}

// afterPanic ends the turn in which a handler has panicked, for a program that recovers
// around Turn. The event that the handler got is not repeated. The next turn delivers the
// events after it.
func (l *Loop[M]) afterPanic() {
	if l.delivered == len(l.turn) {
		return
	}
	l.in = newBatch(l.config.Batch, l.config.InSize) // events that are not delivered yet lie in the old one
	l.Lock()
	l.host.Abandon()
	for _, m := range l.turn[max(l.delivered, 0):] {
		l.Touch(m)
	}
	l.due = true
	l.Unlock()
	l.finish(time.Now())
}

// finish sends what the members of the turn, and those that calls have left to the loop,
// have to say. It returns ErrEnded when the loop is closed and all handlers have run.
func (l *Loop[M]) finish(now time.Time) error {
	l.Lock()
	defer l.Unlock()
	if len(l.turn) > 0 {
		now = time.Now()
	}
	l.now = now
	if !l.began.IsZero() {
		l.Stats.Handlers += now.Sub(l.began)
	}
	for i, m := range l.turn {
		l.preload(l.turn, i)
		l.host.Entry(m).inTurn = false
		l.host.Settle(now, m)
		l.Time(m)
	}
	clear(l.turn) // or it would keep members that are over
	l.sendLater(now)
	l.busy = false
	if l.waits {
		l.waits = false
		l.ended.Signal()
	}
	l.flush()
	l.arm() // also if the loop has ended: a further turn must not wait
	if l.closed && len(l.touched) == 0 {
		return ErrEnded
	}
	return nil
}

func (l *Loop[M]) preload(list []M, i int) {
	if l.Preload != nil {
		l.Preload(list, i)
	}
}

// sendLater sends what the members of later have to say.
func (l *Loop[M]) sendLater(now time.Time) {
	for i, m := range l.later {
		l.preload(l.later, i)
		l.host.Entry(m).later = false
		l.host.Send(now, m)
		l.Time(m)
	}
	clear(l.later)
	l.later = l.later[:0]
}

// Drain runs the handlers of all touched members, until none is left, and sends nothing.
// It is for a loop whose socket has failed. The goroutine of Turn calls it.
func (l *Loop[M]) Drain() {
	for more := true; more; {
		l.Lock()
		l.handOver()
		l.Unlock()
		l.deliver() // may panic, so the lock is not held by a defer
		l.Lock()
		clear(l.turn) // as in finish
		more = len(l.touched) > 0
		l.Unlock()
	}
}

// Touch makes sure that the next turn looks at m. Without Wake that turn may be far away.
func (l *Loop[M]) Touch(m M) {
	if e := l.host.Entry(m); !e.touched {
		e.touched = true
		l.touched = append(l.touched, m)
	}
}

// Wake makes the loop take a turn soon.
func (l *Loop[M]) Wake() {
	l.due = true
	if !l.busy {
		l.arm()
	}
}

// Close makes the loop end after a turn in which no member was touched.
func (l *Loop[M]) Close() {
	l.closed = true
	l.Wake()
}

// Closed reports whether Close was called.
func (l *Loop[M]) Closed() bool { return l.closed }

// Time makes m due at its deadline. A caller outside a turn calls SendBatch after it.
func (l *Loop[M]) Time(m M) {
	l.timers.Set(m, &l.host.Entry(m).timer, l.host.Deadline(m))
}

// Remove removes m from the timers: m is over.
func (l *Loop[M]) Remove(m M) { l.timers.Remove(&l.host.Entry(m).timer) }

// Pushed sets the timer of a member for which a datagram was pushed, unless the turn will.
// Call SendBatch after it.
func (l *Loop[M]) Pushed(m M) {
	if !l.host.Entry(m).inTurn {
		l.Time(m)
	}
}

// SendBatch sends the batch, unless a turn runs, which does this at its end.
func (l *Loop[M]) SendBatch() {
	if !l.busy {
		l.flush()
		l.arm()
	}
}

// Release unlocks the loop after a call of the program has changed m, and sends what m has
// to say: at once, or at the end of the turn that runs. If later is true, or with
// Config.Manual, m's datagrams leave at Flush or at the end of the next turn. If news is
// true, a turn follows soon, which delivers them.
func (l *Loop[M]) Release(m M, later, news bool) {
	defer l.Unlock()
	wait := later || l.busy || l.config.Manual
	if wait {
		l.delay(m)
	} else {
		l.host.Send(time.Now(), m)
		l.Time(m)
	}
	if news {
		l.Touch(m)
		l.due = true
	}
	if news || !wait { // else there is nothing to send or to arm, and there may be many receivers
		l.SendBatch()
	}
}

// timeLater sets the timers of the members of later: the program may call Turn without
// Flush.
func (l *Loop[M]) timeLater() {
	for _, m := range l.later {
		l.Time(m)
	}
}

// delay leaves it to the end of the turn, or to Flush, to send what m has to say.
func (l *Loop[M]) delay(m M) {
	if e := l.host.Entry(m); !e.later && !e.inTurn {
		e.later = true
		l.later = append(l.later, m)
	}
}

// Flush sends what was released with later, or with Config.Manual. It takes the lock.
func (l *Loop[M]) Flush() {
	l.Lock()
	defer l.Unlock()
	if !l.busy { // or the end of the turn does it
		l.sendLater(time.Now())
		l.SendBatch()
	}
}

// Due returns when the next turn is due, if no datagram arrives and nobody calls Wake before:
// Past if it is due now, zero if it never is. It takes the lock.
func (l *Loop[M]) Due() time.Time {
	l.Lock()
	defer l.Unlock()
	if !l.busy {
		l.now = time.Now()
		l.timeLater()
		l.arm()
	}
	return l.deadline
}

// arm sets the socket's read deadline to the first deadline, or to Past if a turn is due.
func (l *Loop[M]) arm() {
	d := Past
	if !l.due && !l.closed {
		d = Sooner(Sooner(l.next(), l.host.NextDeadline()), l.until)
	}
	if !d.Equal(l.deadline) {
		l.deadline = d
		l.socket.SetReadDeadline(d)
	}
}

// lookAhead is how long before its time in the heap next looks whether a deadline has become
// later. Deadlines of silence are 15 s or more after the last check, and move with each check: if
// each turn looked at the first of them, it would load another member and move it in the heap, for
// nothing as long as other datagrams end the wait before.
const lookAhead = time.Second

// next returns the first deadline of a member; zero means never. A member whose deadline has become
// later, such as that of consent, would end the wait for nothing. In lookAhead a loop with many
// members has a turn, which then puts the member off; with few members such waits are rare.
func (l *Loop[M]) next() time.Time {
	for {
		m, at := l.timers.First()
		if at.IsZero() || at.Sub(l.now) > lookAhead {
			return at
		}
		d := l.host.Deadline(m)
		if !d.IsZero() && !d.After(at) {
			return at
		}
		l.timers.PutOff(d)
	}
}

// Sooner returns the earlier of two deadlines, of which zero is the latest.
func Sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Slot returns an empty buffer at the end of the outgoing batch, of Config.OutSize bytes.
func (l *Loop[M]) Slot() []byte {
	if len(l.out) == cap(l.out) {
		l.flush()
	}
	return l.out[:len(l.out)+1][len(l.out)].B[:0]
}

// Push adds b, which was appended to the Slot, to the batch, unless b is empty. The zero
// value for local lets the system choose the source address.
func (l *Loop[M]) Push(b []byte, remote netip.AddrPort, local netip.Addr) {
	if len(b) == 0 {
		return
	}
	l.out = l.out[:len(l.out)+1]
	d := &l.out[len(l.out)-1]
	d.B, d.Remote, d.Local = b, remote, local
	l.Stats.BytesOut += uint64(len(b))
}

// flush sends the batch.
func (l *Loop[M]) flush() {
	if len(l.out) == 0 {
		return
	}
	l.Stats.DatagramsOut += uint64(len(l.out))
	l.socket.WriteBatch(l.out) // counts the datagrams that it drops; its only error is that the socket is closed
	l.out = l.out[:0]
}

// A State is what a test sees of a loop.
type State struct {
	Touched, Later, Out int // members of lists; datagrams that wait
	Busy                bool
	Timer, Deadline     time.Time // the first deadline of a member; the socket's read deadline
}

// State returns the state as it is now, for tests.
func (l *Loop[M]) State() State {
	_, timer := l.timers.First()
	return State{len(l.touched), len(l.later), len(l.out), l.busy, timer, l.deadline}
}
