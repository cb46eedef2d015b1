package sctp

// Preload reads the memory that Receive, AppendMessage and Deadline need, so that it is
// in the processor's cache when one of them is called soon after: step 0 reads the
// association, step 1 the memory that it points to. The result has no meaning, but must
// be used: otherwise the compiler may remove the reads.
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
