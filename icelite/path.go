package icelite

import (
	"net/netip"
	"time"
)

// amplification is how many times the bytes that came from an unproved address
// may go back to it.
const amplification = 3

// A Path is an address of the peer from which a valid check came. It belongs to
// its Agent and stays where it is only until the next Answer.
type Path struct {
	Remote netip.AddrPort
	Local  netip.Addr // where the last check came to; answers leave from it

	checked  time.Time // the last valid check, or answer to a challenge: consent
	recorded time.Time // the last authentic record
	in, out  int64     // bytes while unproved; while proved, what was sent since the last proof
	proved   bool

	nominated bool // it asked last to be selected: a record from it is enough
	left      bool // the selection came from it, to one that is on trial
}

// Proved reports whether the peer has answered what was sent to the path and nowhere
// else. A check proves the password and a record the peer, and neither proves the
// address: their source can be forged, by the peer itself too.
func (p *Path) Proved() bool { return p.proved }

// Checked returns when the last valid check or answer to a challenge came.
func (p *Path) Checked() time.Time { return p.checked }

// heard returns when the last valid check or authentic record came.
func (p *Path) heard() time.Time {
	if p.recorded.After(p.checked) {
		return p.recorded
	}
	return p.checked
}

// speaking is how long after its last record a path is surely in use.
const speaking = 2 * time.Second

func (p *Path) speaks(now time.Time) bool {
	return now.Sub(p.recorded) <= speaking
}

// restart forgets what the path was: consent was lost, and the address may have
// become someone else's.
func (p *Path) restart() {
	p.unprove()
	p.recorded = time.Time{}
}

// unprove makes the path one like any other, which has got nothing yet.
func (p *Path) unprove() { p.in, p.out, p.proved = 0, 0, false }

// account notes a check and its answer. They do not make a proved path be asked again.
func (p *Path) account(in, out int) {
	if !p.proved {
		p.in += int64(in)
		p.out += int64(out)
	}
}

// mayTake reports whether n bytes more may go to the path.
func (p *Path) mayTake(n int) bool {
	return p.proved || p.out+int64(n) <= amplification*p.in
}
