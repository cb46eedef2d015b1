package sctp

// Preload reads what Receive, AppendMessage and Deadline will read, so that it is
// in the processor's cache when one of them is called soon: first the association
// itself, in a second step what that points to. The result means nothing, but who
// does not use it gives the compiler leave to read nothing.
func (a *Assoc) Preload(step int) (n int) {
	if step == 0 {
		return int(a.state) + int(a.timers[timerT3]) + len(a.marks.ring) + int(a.rx.cum) +
			int(a.stats.MessagesOut)
	}
	if a.marks.n > 0 {
		n += int(a.marks.at(0).tsn)
	}
	if len(a.channels) > 0 {
		n += int(a.channels[0].stream)
	}
	return n
}
