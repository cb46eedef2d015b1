package loop

// A Puller gives events to the body of a range over a Poll: the events that the program has
// no handler for. Only the goroutine that calls Poll uses it. The zero value is ready.
type Puller[E any] struct {
	// Keep returns an event whose memory stays valid: the body has broken off, and the
	// next Poll yields the event. Nil means that every event stays valid.
	Keep func(E) E

	running bool
	yield   func(E) bool // nil while the body runs and after it broke off
	saved   []E          // events for the next Pull
}

// Running reports whether a Pull is under way.
func (p *Puller[E]) Running() bool { return p.running }

// Start begins a time in which Yield saves events for the next Pull; the returned func ends
// it. Running is true meanwhile.
func (p *Puller[E]) Start() (end func()) {
	p.running = true
	return func() { p.running = false }
}

// Saved returns the number of events that the next Pull yields first.
func (p *Puller[E]) Saved() int { return len(p.saved) }

// Pull yields what was saved, and then what turn yields. saved says that there was
// something, so that turn should not wait.
func (p *Puller[E]) Pull(yield func(E) bool, turn func(saved bool)) {
	saved, yielded := p.saved, 0
	p.saved, p.yield, p.running = nil, yield, true
	defer func() {
		p.saved = append(saved[yielded:len(saved):len(saved)], p.saved...) // saved has a rest only if the body panicked
		p.yield, p.running = nil, false
	}()
	for _, e := range saved {
		yielded++
		p.Yield(e)
	}
	turn(len(saved) > 0)
}

// Yield yields an event. It saves the event for the next Pull if the body has broken off, or
// runs and has made a call that yields another event.
// Package handling knows this method by its name.
func (p *Puller[E]) Yield(e E) {
	if p.yield == nil {
		if p.Keep != nil {
			e = p.Keep(e)
		}
		p.saved = append(p.saved, e)
		return
	}
	yield := p.yield
	p.yield = nil
	if yield(e) {
		p.yield = yield
	}
}
