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

	checked  time.Time // the last valid check
	recorded time.Time // the last authentic record
	in, out  int64     // bytes, while unproved
	proved   bool

	nominated bool // it asked last to be selected: a record from it is enough
	left      bool // the selection came from it, to one that is on trial
}

// Proved reports whether a record that only the peer can have made came from
// the path. A check proves the password, and not the address: its source can be
// forged.
func (p *Path) Proved() bool { return p.proved }

// Checked returns when the last valid check came.
func (p *Path) Checked() time.Time { return p.checked }

// heard returns when the last valid check or authentic record came.
func (p *Path) heard() time.Time {
	if p.recorded.After(p.checked) {
		return p.recorded
	}
	return p.checked
}

// restart forgets what the path was: consent was lost, and the address may have
// become someone else's.
func (p *Path) restart() { p.in, p.out, p.proved, p.recorded = 0, 0, false, time.Time{} }

// mayTake reports whether n bytes more may go to the path.
func (p *Path) mayTake(n int) bool {
	return p.proved || p.out+int64(n) <= amplification*p.in
}
