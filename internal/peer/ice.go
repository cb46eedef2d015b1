package peer

import (
	"net/netip"
	"time"

	"github.com/godwit-rtc/godwit/dtls"
	"github.com/godwit-rtc/godwit/icelite"
	"github.com/godwit-rtc/godwit/internal/icectl"
	"github.com/godwit-rtc/godwit/sctp"
)

// A Path is the path of a peer's datagrams: the address of the other end, and the
// address of this end from which they leave. A zero Local means that the owner chooses
// it. Proved says, in a server, that the other end has shown that it is at Remote.
type Path struct {
	Remote netip.AddrPort
	Local  netip.Addr
	Proved bool
}

// ice is the agent of either role: the server's, which answers checks, or the
// client's, which sends them.
// https://www.rfc-editor.org/rfc/rfc8445.html#section-2.5
type ice struct {
	lite    *icelite.Agent
	control *icectl.Agent // nil in a server
}

// selected returns the path to send to, if there is one yet.
func (i *ice) selected() (Path, bool) {
	if i.control != nil {
		remote, ok := i.control.Selected()
		return Path{Remote: remote}, ok
	}
	p, ok := i.lite.Selected()
	return Path{p.Remote, p.Local, p.Proved()}, ok
}

// knows reports whether datagrams from a can come from the other end. At a server: a valid
// check has arrived from a. At a client: a is a candidate of the server.
func (i *ice) knows(a netip.AddrPort) bool {
	if i.control != nil {
		return i.control.Knows(a)
	}
	return i.lite.Path(a) != nil
}

// heard tells the agent of a datagram that is not STUN.
func (i *ice) heard(now time.Time, from netip.AddrPort, n int, authentic bool) {
	if i.control == nil {
		i.lite.Heard(now, from, n, authentic)
	}
}

// ask makes the agent of a server send challenges from now on.
func (i *ice) ask() {
	if i.control == nil {
		i.lite.Ask()
	}
}

// answered gives the agent the answer to a challenge.
func (i *ice) answered(now time.Time, b []byte) {
	if i.control == nil {
		i.lite.Answered(now, b)
	}
}

func (i *ice) maySend(now time.Time, to netip.AddrPort, n int) bool {
	if i.control != nil {
		return i.control.MaySend(now, to)
	}
	return i.lite.MaySend(now, to, n)
}

// proved tells the agent that the handshake has proved the address remote: the other end has
// answered a flight that was sent only there.
func (i *ice) proved(now time.Time, remote netip.AddrPort) {
	if i.control == nil {
		i.lite.Proved(now, remote)
	}
}

func (i *ice) deadline() time.Time {
	if i.control != nil {
		return i.control.Deadline()
	}
	return i.lite.Deadline()
}

// advance reports whether the agent has expired: the other end was silent for too long, or
// has refused this end; then err is the refusal.
func (i *ice) advance(now time.Time) (expired bool, err error) {
	if i.control != nil {
		return i.control.Advance(now), i.control.Err()
	}
	return i.lite.Advance(now), nil
}

// Check answers a STUN request, appending the response to b, and reports whether
// it was a valid check. It is for servers.
// https://www.rfc-editor.org/rfc/rfc8445.html#section-7.3
func (p *Peer) Check(now time.Time, from netip.AddrPort, local netip.Addr, r *Request, b []byte) ([]byte, bool) {
	switch p.state {
	case Closing:
		p.ending.answer()
		return b, false
	case Gone:
		return b, false
	}
	b, v := p.ice.lite.Answer(now, from, local, r, b)
	return b, v.Granted()
}

// Restart gives a server's peer the credentials of an ICE restart: see [icelite.Agent.Restart].
func (p *Peer) Restart(local, remote Credentials) { p.ice.lite.Restart(local, remote.Ufrag) }

// LocalCredentials returns the credentials of a server's end: see [icelite.Agent.Credentials].
func (p *Peer) LocalCredentials() (current, next Credentials, restarting bool) {
	return p.ice.lite.Credentials()
}

// nextChallenge returns when a challenge must be sent to the other end; zero means never.
func (p *Peer) nextChallenge() time.Time {
	if p.ice.control != nil {
		return time.Time{}
	}
	return p.ice.lite.NextChallenge()
}

// appendChallenge appends the challenge that is due, in a datagram without anything else. It
// is short, so it may be sent when a longer datagram may not.
// https://www.rfc-editor.org/rfc/rfc9260.html#section-8.3
func (p *Peer) appendChallenge(now time.Time, b []byte) []byte {
	if due := p.nextChallenge(); due.IsZero() || now.Before(due) {
		return b
	}
	info, ok := p.ice.lite.Challenge(now, sctp.ProbeLen(icelite.ChallengeLen)+p.records.Overhead())
	if !ok {
		p.drops.Unsendable++
		return b
	}
	start := len(b)
	out := p.assoc.AppendProbe(now, p.records.Reserve(b), info[:])
	out, err := p.records.Seal(out, start, dtls.TypeApplicationData)
	if err != nil {
		p.endIfExhausted(now, err)
		return b
	}
	return out
}

// Holds reports whether a is an address of the peer, proved and in use: see
// [icelite.Agent.Holds].
func (p *Peer) Holds(now time.Time, a netip.AddrPort) bool {
	return p.ice.control == nil && p.state < Closing && p.ice.lite.Holds(now, a)
}

// Since returns when the first valid check came from a; zero if there was none.
func (p *Peer) Since(a netip.AddrPort) time.Time {
	if p.ice.control != nil {
		return time.Time{}
	}
	return p.ice.lite.Since(a)
}

// Speaks reports whether an authentic record came from a in the last two seconds.
func (p *Peer) Speaks(now time.Time, a netip.AddrPort) bool {
	return p.ice.control == nil && p.state < Closing && p.ice.lite.Speaks(now, a)
}

// Answered processes a STUN datagram at a client. It returns true if the datagram is the
// server's answer to a check of this end.
// https://www.rfc-editor.org/rfc/rfc8445.html#section-7.2.5
func (p *Peer) Answered(now time.Time, from netip.AddrPort, b []byte) bool {
	ok := p.ice.control.Receive(now, from, b).Valid()
	if !ok {
		p.drops.Unasked++
	}
	return ok
}

// appendCheck appends the check of a client that is due.
func (p *Peer) appendCheck(now time.Time, b []byte) ([]byte, Path) {
	if p.ice.control == nil || p.state >= Closing {
		return b, Path{}
	}
	b, to := p.ice.control.Append(now, b)
	return b, Path{Remote: to}
}
