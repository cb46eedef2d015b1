package game

// InputsConfig are the limits of an [Inputs]. The zero value has the defaults.
type InputsConfig[T any] struct {
	// MaxAhead is how many ticks before its tick an input may arrive. An input that is earlier is
	// ignored and counted in [InputStats.Ahead]. Zero and less mean 32, the limit is 1024. With more than 60
	// ticks a second it should be [ClockConfig.MaxLead] of the clients in ticks, and two more. The memory of
	// an Inputs is this number of inputs.
	MaxAhead int

	// MaxInputs is how many inputs of one message count; the rest are ignored and counted in
	// [InputStats.Flooded]. Zero and less mean 16.
	MaxInputs int

	// MaxMessages is how many messages count between two ticks; the rest are ignored and counted in
	// [InputStats.Flooded]. Zero and less mean 64. A server that stood still for a moment gets all messages
	// of that time at once: the limit must have room for them.
	MaxMessages int

	// Hold is for how many ticks in a row a missing input is the last one again. After that it is
	// the zero value. Zero means 8, a negative value none.
	Hold int

	// Valid reports whether the game accepts an input; nil accepts all. An input that it does not
	// accept is ignored and counted in [InputStats.Invalid]. NaN in a float64 passes every
	// comparison with a limit: see [Finite].
	Valid func(T) bool
}

// InputStats are counters of an [Inputs].
type InputStats struct {
	Used     uint64 // ticks whose input was there
	Missing  uint64 // ticks whose input was not there
	Late     uint64 // inputs that arrived after their tick, without one for it before
	Repeated uint64 // inputs that were there already, or were used: the copies that a loss would have needed
	Ahead    uint64 // inputs too far ahead
	Invalid  uint64 // inputs that Valid did not accept
	Flooded  uint64 // inputs and messages beyond MaxInputs and MaxMessages
}

// An Inputs has the inputs of one player at the server, in their order. Its client sends the newest
// inputs several times, so that a lost message leaves no gap. A tick uses exactly one input,
// whatever the client sends, so a client cannot act faster than the ticks; the first input that
// arrives for a tick counts, so a client cannot change it; an input that comes after its tick has no
// effect.
type Inputs[T any] struct {
	config  InputsConfig[T]
	slots   []slot[T] // by tick, modulo their number
	tick    uint32    // last tick that was taken
	last    T         // input of the last tick that had one
	missing int       // ticks since then

	messages int // since the last Take
	early    int // least number of ticks by which a message was early, since the last Early
	heard    bool

	stats InputStats
}

type slot[T any] struct {
	tick  uint32
	state slotState
	input T
}

type slotState uint8

const (
	slotEmpty slotState = iota
	slotFull
	slotMissed // the tick was taken without an input
)

// NewInputs returns the Inputs of a player who enters the game after the given tick.
func NewInputs[T any](tick uint32, c InputsConfig[T]) *Inputs[T] {
	c.MaxAhead = min(orDefault(c.MaxAhead, 32), 1024)
	c.MaxInputs = orDefault(c.MaxInputs, 16)
	c.MaxMessages = orDefault(c.MaxMessages, 64)
	if c.Hold == 0 {
		c.Hold = 8
	}
	return &Inputs[T]{config: c, slots: make([]slot[T], c.MaxAhead), tick: tick}
}

func orDefault(v, usual int) int {
	if v <= 0 {
		return usual
	}
	return v
}

// Add adds the inputs of one message: inputs[0] is for the tick newest, and each further one for the
// tick before. It keeps nothing of the slice.
func (q *Inputs[T]) Add(newest uint32, inputs []T) {
	if q.messages++; q.messages > q.config.MaxMessages {
		q.stats.Flooded++
		return
	}
	if n := q.config.MaxInputs; len(inputs) > n {
		q.stats.Flooded += uint64(len(inputs) - n)
		inputs = inputs[:n]
	}
	for i, in := range inputs {
		if int64(newest) < int64(i) {
			q.stats.Late++ // before the first tick of all
			continue
		}
		q.add(newest-uint32(i), in, i == 0)
	}
}

func (q *Inputs[T]) add(tick uint32, in T, newest bool) {
	ahead, most := int64(tick)-int64(q.tick), int64(len(q.slots))
	// An input that is too far ahead counts here, too: otherwise a client whose inputs all are would never learn it.
	if early := min(max(ahead-1, -most), most-1); newest && (!q.heard || int(early) < q.early) {
		q.early, q.heard = int(early), true
	}
	if ahead > most {
		q.stats.Ahead++
		return
	}
	s := q.slot(tick)
	full := s.tick == tick && s.state == slotFull
	switch {
	case full:
		q.stats.Repeated++
	case ahead <= 0:
		q.stats.Late++
		if s.tick == tick && s.state == slotMissed {
			s.state = slotFull // it counts once
		}
	case q.config.Valid != nil && !q.config.Valid(in):
		q.stats.Invalid++
	default:
		*s = slot[T]{tick, slotFull, in}
	}
}

func (q *Inputs[T]) slot(tick uint32) *slot[T] { return &q.slots[tick%uint32(len(q.slots))] }

// Take returns the input of a tick. If the input is not there, missing is the number of ticks in a
// row without one, and the input is the last one again for Hold ticks, then the zero value. Ticks
// only go up: for a tick that is not after the last one Take returns the last input again and
// counts nothing.
func (q *Inputs[T]) Take(tick uint32) (input T, missing int) {
	if tick <= q.tick {
		return q.held()
	}
	q.tick, q.messages = tick, 0
	s := q.slot(tick)
	if s.tick == tick && s.state == slotFull {
		q.stats.Used++
		q.last, q.missing = s.input, 0
		return q.last, 0
	}
	*s = slot[T]{tick: tick, state: slotMissed}
	q.stats.Missing++
	q.missing++
	return q.held()
}

func (q *Inputs[T]) held() (input T, missing int) {
	if q.missing > max(q.config.Hold, 0) {
		return input, q.missing
	}
	return q.last, q.missing
}

// Early returns how many ticks before its use the newest input of a message arrived: the least
// number since the last call. 0 is just in time, and a negative number is late; it is from -MaxAhead
// to MaxAhead-1, and MaxAhead-1 also for an input that was too far ahead. ok is false if no message
// arrived since the last call: then ticks says nothing, and must not get to the client. Otherwise the
// server sends the number to the client every few ticks, for [Clock.Early].
func (q *Inputs[T]) Early() (ticks int, ok bool) {
	ticks, ok = q.early, q.heard
	q.early, q.heard = 0, false
	return ticks, ok
}

// Stats returns the counters.
func (q *Inputs[T]) Stats() InputStats { return q.stats }
