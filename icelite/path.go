package icelite

import (
	"math"
	"net/netip"
	"time"
)

// amplification limits the bytes sent to an unproved address, as a multiple of the
// bytes that have arrived from it.
const amplification = 3

// tick is the unit of Path.first, which lasts for 248 days and keeps a Path small.
const tick = 10 * time.Millisecond

// never is the time of what has not happened: longer ago than any limit.
const never = math.MinInt64 / 2

// A Path is an address of the peer from which a valid check has arrived. The Agent owns it;
// a pointer to it is valid until the next Answer.
type Path struct {
	Remote netip.AddrPort
	Local  netip.Addr // address of this end at which the last check arrived; datagrams leave from it

	checked  time.Duration // the last valid check, or answer to a challenge: consent; or never
	answered time.Duration // when what proved it last was sent, or when it was proved in another way
	since    time.Duration // while proved, when it got the first challenge without an answer; or never
	recorded time.Duration // the last authentic record, or never
	in, out  int64         // bytes while unproved; while proved, what was sent since the last proof
	proved   bool

	nominated bool // the last check that asked for the selection came from it: an authentic record from it selects it
	left      bool // selected before the path that is on trial
	restarted bool // the last valid check had the credentials of a restart that is not complete

	first int32 // when the first valid check arrived, in ticks since the agent was made
}

// Proved reports whether the address is proved: the peer has answered something that was
// sent only to this path. A check proves that the sender knows the password, and a record
// that it is the peer. Neither proves the address, because their source addresses can be
// forged, also by the peer.
func (p *Path) Proved() bool { return p.proved }

// heard returns when the last valid check or authentic record arrived.
func (p *Path) heard() time.Duration { return max(p.recorded, p.checked) }

// speaking is how long after its last record a path counts as in use.
const speaking = 2 * time.Second

func (p *Path) speaks(now time.Duration) bool {
	return now-p.recorded <= speaking
}

// restart resets the state of the path: consent was lost, and the address may now belong to
// someone else.
func (p *Path) restart() {
	p.unprove()
	p.recorded = never
}

// unprove makes the path unproved, with no bytes counted.
func (p *Path) unprove() { p.in, p.out, p.proved = 0, 0, false }

// account counts the bytes of a check and its answer. They do not cause a challenge to a
// proved path.
func (p *Path) account(in, out int) {
	if !p.proved {
		p.in += int64(in)
		p.out += int64(out)
	}
}

// mayTake reports whether n more bytes may be sent to the path.
func (p *Path) mayTake(n int) bool {
	return p.proved || p.out+int64(n) <= amplification*p.in
}
